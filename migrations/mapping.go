package migrations

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/strangler-fig/strangler"
)

// hasMapping reports whether columns of a capability have another name at the service, or values another one, or the service
// has columns of its own. Such a mapping can be inverted, so it holds both ways. All of the split but the service's own
// database knows the monolith's names and
// values only: mapped translates what goes in there and what comes out.
func hasMapping(c strangler.Capability) bool {
	return slices.ContainsFunc(c.Tables, func(t strangler.Table) bool { return len(t.Columns)+len(t.Values)+len(t.Set) > 0 })
}

// openSide opens one side of a capability.
func openSide(ctx context.Context, open Open, c strangler.Capability, side strangler.Side, controlID string) (Database, error) {
	d, err := open(ctx, binding(c, side, controlID))
	switch {
	case err != nil:
		return nil, err
	case side == strangler.Legacy:
		if hasShare(c) {
			d = &shared{Database: d, tables: c.Tables}
		}
		if hasOneWay(c) {
			d = &oneWay{Database: d, tables: c.Tables}
		}
		return d, nil
	}
	if at := c.AtService(); hasMapping(at) {
		d = &mapped{Database: d, tables: at.Tables, shapes: make([]*shape, len(at.Tables)), stale: make([]bool, len(at.Tables))}
	}
	if hasPieces(c) {
		d = newJoined(d, c)
	}
	return d, nil
}

// atService is the name of a legacy column at the service.
func atService(t strangler.Table, column string) string { return cmp.Or(t.Columns[column], column) }

// remapped is the monolith's schema in the service's names, and what of the mapping cannot be.
func remapped(s Schema, tables []strangler.Table) (out Schema, problems []Problem) {
	out = s
	out.Tables = slices.Clone(s.Tables)
	rename := func(table int, names []string) []string {
		renamed := make([]string, len(names))
		for i, name := range names {
			renamed[i] = atService(tables[table], name)
		}
		return renamed
	}
	for i, t := range s.Tables {
		problems = append(problems, unmappable(t, tables[i])...)
		to := &out.Tables[i]
		to.Columns, to.Key, to.Uniques, to.References = slices.Clone(t.Columns), rename(i, t.Key), nil, nil
		for j, c := range t.Columns {
			to.Columns[j].Name = atService(tables[i], c.Name)
		}
		for k, name := range slices.Sorted(maps.Keys(tables[i].Set)) {
			c := Column{Name: name, Kind: KindText, NotNull: true, At: len(t.Columns) + len(t.Stays) + k + 1}
			if _, number := constant(tables[i].Set[name]).(int64); number {
				c.Kind, c.Size = KindInteger, 8
			}
			to.Columns = append(to.Columns, c)
		}
		slices.SortFunc(to.Columns, func(a, b Column) int { return cmp.Compare(a.Name, b.Name) })
		for _, u := range t.Uniques {
			to.Uniques = append(to.Uniques, rename(i, u))
		}
		for _, r := range t.References {
			r.Columns, r.Targets = rename(i, r.Columns), rename(r.Parent, r.Targets)
			to.References = append(to.References, r)
		}
	}
	return out, problems
}

// unmappable is what a table has against its mapping.
func unmappable(t Table, m strangler.Table) (out []Problem) {
	problem := func(format string, args ...any) {
		out = append(out, Problem{"mapping", fmt.Sprintf(format, args...), "correct it in strangler.yaml"})
	}
	column := func(name string) (Column, bool) {
		at := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
		if at < 0 {
			return Column{}, false
		}
		return t.Columns[at], true
	}
	taken := map[string]string{}
	for _, c := range t.Columns {
		name := strings.ToLower(atService(m, c.Name)) // most kinds of database take both for one
		if other, twice := taken[name]; twice {
			problem("the columns %s and %s of %s are both to be %s at the service", other, c.Name, t.Name, atService(m, c.Name))
		}
		taken[name] = c.Name
	}
	for _, name := range slices.Sorted(maps.Keys(m.Set)) {
		if other, twice := taken[strings.ToLower(name)]; twice || name == "" {
			problem("the column %s of %s is to be %q at the service, where a column of that name is set", other, t.Name, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Columns)) {
		if m.Columns[name] == "" {
			problem("the column %s of %s has no name at the service", name, t.Name)
		} else if _, ok := column(name); !ok {
			problem("%s has no column %s to be called %s at the service", t.Name, name, m.Columns[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Values)) {
		c, ok := column(name)
		switch {
		case !ok:
			problem("%s has no column %s whose values could be others at the service", t.Name, name)
			continue
		case slices.Contains(t.Key, name):
			problem("column %s is part of the key of %s, by which both sides know a row, and its values stay as they are", name, t.Name)
			continue
		case c.Kind != KindText && c.Kind != KindInteger:
			problem("column %s of %s is %s; values of text and of whole numbers can be others at the service", name, t.Name, c.words())
			continue
		}
		if _, err := newCode(c.Kind, m.Values[name], m.OneWay); err != nil {
			problem("the values of %s in %s: %v", name, t.Name, err)
		}
	}
	return out
}

// mappingNote says in the plan's notes how a table goes; empty where it goes as it is.
func mappingNote(t strangler.Table) string {
	words := t.Words()
	if words == nil {
		return ""
	}
	if t.Pieces != nil {
		words = []string{fmt.Sprintf("%s has a row for each, the others where any of the columns that they alone have is not NULL", t.To)}
		for _, p := range t.Pieces {
			words = append(words, p.To+" has "+strings.Join(p.Words(), ", "))
		}
	}
	if len(t.Drop) > 0 || t.Where != "" {
		words = append(words, "what stays is the monolith's, before the cutover and behind it, and complete leaves the table")
	}
	return fmt.Sprintf("%s, at the service %s: %s", t.From, t.To, strings.Join(words, "; "))
}

// code says what stands for a value at the service, and back: texts, of whole numbers their digits. A value that it does not
// have stands for itself.
type code struct{ forth, back map[string]string }

// newCode refuses a code that cannot be read back, but for one way.
func newCode(k Kind, values map[string]string, oneWay bool) (*code, error) {
	c := &code{values, map[string]string{}}
	for _, from := range slices.Sorted(maps.Keys(values)) {
		to := values[from]
		for _, s := range []string{from, to} {
			if n, err := strconv.ParseInt(s, 10, 64); k == KindInteger && (err != nil || strconv.FormatInt(n, 10) != s) {
				return nil, fmt.Errorf("%q is not a whole number, as the column's values are", s)
			}
		}
		if other, twice := c.back[to]; twice && oneWay {
			continue // the first one stands for all
		} else if twice {
			return nil, fmt.Errorf("%s and %s would both be %s, and nobody could tell them apart on the way back; reverse: false gives the way back up", other, from, to)
		}
		c.back[to] = from
	}
	return c, nil
}

// first is the first of the values that are one at the service.
func (c *code) first(v Value) Value {
	var was string
	switch v := v.(type) {
	case string:
		was = v
	case int64:
		was = strconv.FormatInt(v, 10)
	default:
		return v
	}
	is, ok := c.forth[was]
	if !ok {
		is = was
	}
	first, ok := c.back[is]
	if !ok {
		return v
	}
	if _, number := v.(int64); number {
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return v // the plan has refused such a code
		}
		return n
	}
	return first
}

// turn replaces a value one way. What stands for itself must not be what stands for another one.
func turn(v Value, way, back map[string]string) (Value, error) {
	var was string
	number := false
	switch v := v.(type) {
	case string:
		was = v
	case int64:
		was, number = strconv.FormatInt(v, 10), true
	default:
		return v, nil
	}
	is, ok := way[was]
	if !ok {
		if other, taken := back[was]; taken {
			return nil, fmt.Errorf("%w: by its mapping %s stands for %s at the other side, and could not be told from it", ErrMisfit, was, other)
		}
		return v, nil
	}
	if number {
		return strconv.ParseInt(is, 10, 64)
	}
	return is, nil
}

// ByMapping is the mapping of a table, kept at the service from before its first row on.
const ByMapping KeyKind = "mapping"

// sameMapping stops a split whose mapping is not the one by which its rows went: they would be read by another one.
func (s *split) sameMapping(ctx context.Context) error {
	service, err := s.db(ctx, strangler.Service)
	if err != nil {
		return err
	}
	marks, err := service.Marks(ctx)
	if err != nil {
		return err
	}
	for t, table := range s.c.Tables {
		kept, err := service.Kept(ctx, ByMapping, t, 1)
		if err != nil {
			return err
		}
		was, is := "", written(table)
		if len(kept) > 0 {
			was, _ = kept[0][0].(string)
		}
		begun := slices.ContainsFunc(marks, func(m Mark) bool { return m.Table == t && (m.InFlight || m.Finished || m.Done != nil) })
		switch {
		case was == is:
		case was != "" || begun || s.owner != strangler.Legacy:
			return fmt.Errorf("%w: the mapping of %s in strangler.yaml is not the one by which its rows went to the service; nothing was applied. Change it back, then: strangler split start %s. Or plan anew, while the monolith owns: strangler split cancel %[3]s, then run the playbook",
				strangler.ErrStopped, table.From, s.c.Name)
		default:
			if err := s.transact(ctx, service, func(a Apply) error { return a.Keep(ctx, ByMapping, t, Key{is}) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// written is a table's mapping as text, empty where there is none.
func written(t strangler.Table) string {
	if t.Pieces != nil {
		var pieces []string
		for _, p := range t.Pieces {
			pieces = append(pieces, p.To, written(p))
		}
		b, _ := json.Marshal(pieces)
		return string(b)
	}
	if len(t.Columns)+len(t.Values)+len(t.Set)+len(t.Drop) == 0 && t.Where == "" && !t.OneWay {
		return ""
	}
	form := []any{t.Columns, t.Values}
	if len(t.Set)+len(t.Drop) > 0 || t.Where != "" || t.OneWay {
		form = append(form, t.Set, slices.Sorted(slices.Values(t.Drop)), t.Where)
	}
	if t.OneWay {
		form = append(form, "reverse: false")
	}
	b, _ := json.Marshal(form) // names are sorted
	return string(b)
}

// shape is how a row of one table stands at the service.
type shape struct {
	names []string // of the monolith's columns, in their order
	at    []int    // where each is in the service's row
	codes []*code  // of each; nil: values stay as they are
	set   []setColumn
	// oneWay: what the service has is only compared with the monolith's, and has not to be turned into it.
	oneWay bool
}

// setColumn is one that the service alone has.
type setColumn struct {
	name string
	at   int // in the service's row
	is   Value
}

// constant is what is set, as a row has it.
func constant(s string) Value {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(n, 10) == s {
		return n
	}
	return s
}

// mapped is the service's database, spoken to in the monolith's columns and values. Keys are the same at both sides.
type mapped struct {
	Database
	tables []strangler.Table

	mu     sync.Mutex
	shapes []*shape // by table; nil: not asked for yet
	stale  []bool   // scripts may have changed what a shape was made of
}

// Version goes before scripts, which make and change tables.
func (d *mapped) Version(ctx context.Context) (version uint, dirty bool, err error) {
	d.mu.Lock()
	for i := range d.stale {
		d.stale[i] = true
	}
	d.mu.Unlock()
	return d.Database.Version(ctx)
}

func (d *mapped) shape(ctx context.Context, table int) (*shape, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.shapes[table]; s != nil && !d.stale[table] {
		return s, nil
	}
	columns, err := d.Database.Columns(ctx, table)
	if err != nil {
		return nil, err
	}
	m, here := d.tables[table], map[string]string{}
	for from, to := range m.Columns {
		here[to] = from
	}
	s := &shape{oneWay: m.OneWay}
	place := map[string]int{}
	for i, name := range columns {
		if is, ok := m.Set[name]; ok {
			s.set = append(s.set, setColumn{name, i, constant(is)})
			continue
		}
		name = cmp.Or(here[name], name)
		place[name] = i
		s.names = append(s.names, name)
	}
	slices.Sort(s.names)
	for _, name := range s.names {
		s.at = append(s.at, place[name])
		var c *code
		if values := m.Values[name]; len(values) > 0 {
			if c, err = newCode("", values, m.OneWay); err != nil {
				return nil, err
			}
		}
		s.codes = append(s.codes, c)
	}
	d.shapes[table], d.stale[table] = s, false
	return s, nil
}

// forth is a row of the monolith's as the service has it.
func (s *shape) forth(r Row) (Row, error) {
	out := make(Row, len(r)+len(s.set))
	for _, c := range s.set {
		out[c.at] = c.is
	}
	for i, v := range r {
		if c := s.codes[i]; c != nil {
			var err error
			if v, err = turn(v, c.forth, c.back); err != nil {
				return nil, fmt.Errorf("column %s: %w", s.names[i], err)
			}
		}
		out[s.at[i]] = v
	}
	return out, nil
}

// back is a row of the service's as the monolith has it.
func (s *shape) back(r Row) (Row, error) {
	out := make(Row, len(s.names))
	for _, c := range s.set {
		if r[c.at] != c.is && !s.oneWay {
			return nil, fmt.Errorf("%w: column %s is %v, and the monolith, which has no such column, stands for %v", ErrMisfit, c.name, r[c.at], c.is)
		}
	}
	for i := range out {
		v := r[s.at[i]]
		if c := s.codes[i]; c != nil {
			var err error
			if v, err = turn(v, c.back, c.forth); err != nil && s.oneWay {
				v = "\x00" // no value of the monolith's
			} else if err != nil {
				return nil, fmt.Errorf("column %s: %w", s.names[i], err)
			}
		}
		out[i] = v
	}
	return out, nil
}

// yielding is yield for rows of the service's.
func (d *mapped) yielding(ctx context.Context, table int, yield func(Row) error) (func(Row) error, error) {
	s, err := d.shape(ctx, table)
	return func(r Row) error {
		out, err := s.back(r)
		if err != nil {
			return err
		}
		return yield(out)
	}, err
}

func (d *mapped) Columns(ctx context.Context, table int) ([]string, error) {
	s, err := d.shape(ctx, table)
	if err != nil {
		return nil, err
	}
	return s.names, nil
}

// KeyOf takes the key out of a row that this database has yielded.
func (d *mapped) KeyOf(table int, r Row) Key {
	d.mu.Lock()
	s := d.shapes[table]
	d.mu.Unlock()
	out := make(Row, len(r)+len(s.set))
	for i, v := range r {
		out[s.at[i]] = v
	}
	return d.Database.KeyOf(table, out)
}

func (d *mapped) Range(ctx context.Context, table int, r Range, yield func(Row) error) error {
	back, err := d.yielding(ctx, table, yield)
	if err != nil {
		return err
	}
	return d.Database.Range(ctx, table, r, back)
}

func (d *mapped) Lookup(ctx context.Context, table int, keys []Key, yield func(Row) error) error {
	back, err := d.yielding(ctx, table, yield)
	if err != nil {
		return err
	}
	return d.Database.Lookup(ctx, table, keys, back)
}

func (d *mapped) Read(ctx context.Context, applied Position) (Batch, error) {
	b, err := d.Database.Read(ctx, applied)
	if err != nil {
		return nil, err
	}
	return mappedBatch{b, d}, nil
}

func (d *mapped) Forget(ctx context.Context, b Batch) error {
	return d.Database.Forget(ctx, b.(mappedBatch).Batch)
}

func (d *mapped) Begin(ctx context.Context, term int64) (Apply, error) {
	a, err := d.Database.Begin(ctx, term)
	if err != nil {
		return nil, err
	}
	return mappedApply{a, d}, nil
}

type mappedBatch struct {
	Batch
	d *mapped
}

func (b mappedBatch) Rows(ctx context.Context, table int, ranges []Range, yield func(r Row, at int) error) error {
	s, err := b.d.shape(ctx, table)
	if err != nil {
		return err
	}
	return b.Batch.Rows(ctx, table, ranges, func(r Row, at int) error {
		out, err := s.back(r)
		if err != nil {
			return err
		}
		return yield(out, at)
	})
}

func (b mappedBatch) Lookup(ctx context.Context, table int, keys []Key, yield func(Row) error) error {
	back, err := b.d.yielding(ctx, table, yield)
	if err != nil {
		return err
	}
	return b.Batch.Lookup(ctx, table, keys, back)
}

type mappedApply struct {
	Apply
	d *mapped
}

func (a mappedApply) Insert(ctx context.Context, table int, r Row) error {
	s, err := a.d.shape(ctx, table)
	if err != nil {
		return err
	}
	out, err := s.forth(r)
	if err != nil {
		return err
	}
	return a.Apply.Insert(ctx, table, out)
}

func (a mappedApply) Get(ctx context.Context, table int, keys []Key, yield func(Row) error) error {
	back, err := a.d.yielding(ctx, table, yield)
	if err != nil {
		return err
	}
	return a.Apply.Get(ctx, table, keys, back)
}
