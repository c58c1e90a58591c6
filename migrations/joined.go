package migrations

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/strangler-fig/strangler"
)

// joined is the service's database, spoken to in the monolith's tables.
type joined struct {
	Database
	tables []strangler.Table
	of     [][]int

	mu     sync.Mutex
	joints []*joint // by the monolith's table; nil: not asked for yet. drop names every column, so that one configuration has the same in every plan
}

func newJoined(d Database, c strangler.Capability) *joined {
	return &joined{Database: d, tables: c.Tables, of: places(c), joints: make([]*joint, len(c.Tables))}
}

// joint is how a row lies in rows of the pieces.
type joint struct {
	names []string // of the row's columns
	at    [][]int  // by piece: where each of its columns is in the row
	own   [][]int  // by piece: the places in the row of columns that it alone has
}

func (d *joined) joint(ctx context.Context, table int) (*joint, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if j := d.joints[table]; j != nil {
		return j, nil
	}
	j, count := &joint{}, map[string]int{}
	pieces := make([][]string, len(d.of[table]))
	for i, piece := range d.of[table] {
		columns, err := d.Database.Columns(ctx, piece)
		if err != nil {
			return nil, err
		}
		pieces[i] = columns
		for _, name := range columns {
			if count[name]++; count[name] == 1 {
				j.names = append(j.names, name)
			}
		}
	}
	slices.Sort(j.names)
	for _, columns := range pieces {
		var at, own []int
		for _, name := range columns {
			place, _ := slices.BinarySearch(j.names, name)
			at = append(at, place)
			if count[name] == 1 {
				own = append(own, place)
			}
		}
		j.at, j.own = append(j.at, at), append(j.own, own)
	}
	d.joints[table] = j
	return j, nil
}

// piece is the row of a piece, or nil where it has none.
func (j *joint) piece(i int, r Row) Row {
	if i > 0 && !slices.ContainsFunc(j.own[i], func(at int) bool { return r[at] != nil }) {
		return nil
	}
	out := make(Row, len(j.at[i]))
	for k, at := range j.at[i] {
		out[k] = r[at]
	}
	return out
}

// lookup puts the rows under keys together, in the order of the keys. One of which the first piece has none, and another one
// has, is ErrMisfit where all is of one moment, and otherwise no row.
func (d *joined) lookup(ctx context.Context, table int, keys []Key, moment bool, look func(ctx context.Context, table int, keys []Key, yield func(Row) error) error, yield func(Row) error) error {
	j, err := d.joint(ctx, table)
	if err != nil || len(keys) == 0 {
		return err
	}
	rows := map[string]Row{}
	var order []string
	for i, piece := range d.of[table] {
		err := look(ctx, piece, keys, func(r Row) error {
			key := string(Encode(d.Database.KeyOf(piece, r)))
			if i == 0 {
				order, rows[key] = append(order, key), make(Row, len(j.names))
			}
			whole := rows[key]
			if whole == nil && !moment {
				return nil
			}
			if whole == nil {
				return fmt.Errorf("%w: %s has a row with the key %s, and %s has none, which is where every row begins", ErrMisfit, d.tables[table].Pieces[i].To, keyText(d.Database.KeyOf(piece, r)), d.tables[table].Pieces[0].To)
			}
			for k, at := range j.at[i] {
				whole[at] = r[k]
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	asked := make([]string, len(keys))
	for i, k := range keys {
		asked[i] = string(Encode(k))
	}
	for _, key := range append(asked, order...) {
		if r := rows[key]; r != nil {
			delete(rows, key)
			if err := yield(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// joinAtOnce is how many rows are put together at once.
const joinAtOnce = 500

func (d *joined) whole(table int) bool { return len(d.of[table]) == 1 }

func (d *joined) Columns(ctx context.Context, table int) ([]string, error) {
	if d.whole(table) {
		return d.Database.Columns(ctx, d.of[table][0])
	}
	j, err := d.joint(ctx, table)
	if err != nil {
		return nil, err
	}
	return j.names, nil
}

// KeyOf takes the key out of a row that this database has yielded.
func (d *joined) KeyOf(table int, r Row) Key {
	if d.whole(table) {
		return d.Database.KeyOf(d.of[table][0], r)
	}
	d.mu.Lock()
	j := d.joints[table]
	d.mu.Unlock()
	return d.Database.KeyOf(d.of[table][0], j.piece(0, r))
}

func (d *joined) Bound(ctx context.Context, table int, r Range, n int) (Key, error) {
	return d.Database.Bound(ctx, d.of[table][0], r, n)
}

func (d *joined) Range(ctx context.Context, table int, r Range, yield func(Row) error) error {
	if d.whole(table) {
		return d.Database.Range(ctx, d.of[table][0], r, yield)
	}
	return d.chunks(ctx, table, r, func(keys []Key) error { return d.lookup(ctx, table, keys, false, d.Database.Lookup, yield) })
}

// chunks calls f with the keys of r, a few at once, in their order.
func (d *joined) chunks(ctx context.Context, table int, r Range, f func(keys []Key) error) error {
	first := d.of[table][0]
	for {
		upto, err := d.Database.Bound(ctx, first, r, joinAtOnce)
		if err != nil {
			return err
		}
		some := r
		if upto != nil {
			some.Upto = upto
		}
		var keys []Key
		err = d.Database.Range(ctx, first, some, func(row Row) error {
			keys = append(keys, slices.Clone(d.Database.KeyOf(first, row)))
			return nil
		})
		if err == nil {
			err = f(keys)
		}
		if err != nil || upto == nil {
			return err
		}
		r.After = upto
	}
}

func (d *joined) Lookup(ctx context.Context, table int, keys []Key, yield func(Row) error) error {
	if d.whole(table) {
		return d.Database.Lookup(ctx, d.of[table][0], keys, yield)
	}
	return d.lookup(ctx, table, keys, false, d.Database.Lookup, yield)
}

func (d *joined) Count(ctx context.Context, table int) (int64, error) {
	return d.Database.Count(ctx, d.of[table][0])
}

func (d *joined) Cut(ctx context.Context, table, n int, least int64) ([]Key, error) {
	return d.Database.Cut(ctx, d.of[table][0], n, least)
}

// Form is empty for rows that have to be looked into.
func (d *joined) Form(ctx context.Context, table int) (string, error) {
	if !d.whole(table) {
		return "", nil
	}
	return d.Database.Form(ctx, d.of[table][0])
}

func (d *joined) Send(ctx context.Context, table int, r Range, w io.Writer) error {
	return d.Database.Send(ctx, d.of[table][0], r, w)
}

func (d *joined) Relog(ctx context.Context, table int, keys []Key) error {
	return d.Database.Relog(ctx, d.of[table][0], keys)
}

func (d *joined) Marks(ctx context.Context) ([]Mark, error) {
	marks, err := d.Database.Marks(ctx)
	return d.marks(marks), err
}

// marks are those of the first pieces: the others' rows come with theirs.
func (d *joined) marks(all []Mark) (out []Mark) {
	for _, m := range all {
		if t := slices.IndexFunc(d.of, func(of []int) bool { return of[0] == m.Table }); t >= 0 {
			m.Table = t
			out = append(out, m)
		}
	}
	return out
}

func (d *joined) Kept(ctx context.Context, kind KeyKind, table, n int) ([]Key, error) {
	return d.Database.Kept(ctx, kind, d.of[table][0], n)
}

func (d *joined) Sequences(ctx context.Context) ([]int64, error) {
	all, err := d.Database.Sequences(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]int64, len(d.of))
	for t, of := range d.of {
		for _, piece := range of {
			out[t] = max(out[t], all[piece])
		}
	}
	return out, nil
}

func (d *joined) Read(ctx context.Context, applied Position) (Batch, error) {
	b, err := d.Database.Read(ctx, applied)
	if err != nil {
		return nil, err
	}
	return joinedBatch{b, d}, nil
}

func (d *joined) Forget(ctx context.Context, b Batch) error {
	return d.Database.Forget(ctx, b.(joinedBatch).Batch)
}

func (d *joined) Begin(ctx context.Context, term int64) (Apply, error) {
	a, err := d.Database.Begin(ctx, term)
	if err != nil {
		return nil, err
	}
	return joinedApply{a, d}, nil
}

type joinedBatch struct {
	Batch
	d *joined
}

func (b joinedBatch) Truncated(table int) bool { return b.Batch.Truncated(b.d.of[table][0]) }

// Keys yields a key once, whichever of the tables have changed under it. What a TRUNCATE of one behind the first has changed is
// told by no key: then it is every one that the first has.
func (b joinedBatch) Keys(ctx context.Context, table int, ranges []Range, yield func(k Key, at int) error) error {
	if b.d.whole(table) {
		return b.Batch.Keys(ctx, b.d.of[table][0], ranges, yield)
	}
	seen, err := b.changed(ctx, table, ranges, yield)
	if err != nil {
		return err
	}
	return b.others(ctx, table, seen, func(keys []Key) error {
		for _, k := range keys {
			if err := yield(k, -1); err != nil {
				return err
			}
		}
		return nil
	})
}

// changed yields the keys that changed, and returns them as they are encoded: those of a batch are held in memory.
func (b joinedBatch) changed(ctx context.Context, table int, ranges []Range, yield func(k Key, at int) error) (map[string]bool, error) {
	seen := map[string]bool{}
	for _, piece := range b.d.of[table] {
		err := b.Batch.Keys(ctx, piece, ranges, func(k Key, at int) error {
			key := string(Encode(k))
			if seen[key] {
				return nil
			}
			seen[key] = true
			return yield(k, at)
		})
		if err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// others calls f with the keys that are not among those seen, where a table behind the first was emptied as a whole. They are
// read as they are now: what has come since is not in the batch's snapshot, and what has gone since is in a later batch.
func (b joinedBatch) others(ctx context.Context, table int, seen map[string]bool, f func(keys []Key) error) error {
	if !slices.ContainsFunc(b.d.of[table][1:], b.Batch.Truncated) {
		return nil
	}
	return b.d.chunks(ctx, table, Range{}, func(keys []Key) error {
		return f(slices.DeleteFunc(keys, func(k Key) bool { return seen[string(Encode(k))] }))
	})
}

func (b joinedBatch) Rows(ctx context.Context, table int, ranges []Range, yield func(r Row, at int) error) error {
	if b.d.whole(table) {
		return b.Batch.Rows(ctx, b.d.of[table][0], ranges, yield)
	}
	var keys []Key
	var at []int
	seen, err := b.changed(ctx, table, ranges, func(k Key, in int) error {
		keys, at = append(keys, slices.Clone(k)), append(at, in)
		return nil
	})
	for i := 0; i < len(keys) && err == nil; i += joinAtOnce {
		some := keys[i:min(i+joinAtOnce, len(keys))]
		in := map[string]int{}
		for n, k := range some {
			in[string(Encode(k))] = at[i+n]
		}
		err = b.Lookup(ctx, table, some, func(r Row) error {
			return yield(r, in[string(Encode(b.d.KeyOf(table, r)))])
		})
	}
	if err != nil {
		return err
	}
	return b.others(ctx, table, seen, func(keys []Key) error {
		return b.Lookup(ctx, table, keys, func(r Row) error { return yield(r, -1) })
	})
}

func (b joinedBatch) Lookup(ctx context.Context, table int, keys []Key, yield func(Row) error) error {
	if b.d.whole(table) {
		return b.Batch.Lookup(ctx, b.d.of[table][0], keys, yield)
	}
	return b.d.lookup(ctx, table, keys, true, b.Batch.Lookup, yield)
}

type joinedApply struct {
	Apply
	d *joined
}

func (a joinedApply) Delete(ctx context.Context, table int, k Key) error {
	for _, piece := range slices.Backward(a.d.of[table]) {
		if err := a.Apply.Delete(ctx, piece, k); err != nil {
			return err
		}
	}
	return nil
}

func (a joinedApply) Insert(ctx context.Context, table int, r Row) error {
	if a.d.whole(table) {
		return a.Apply.Insert(ctx, a.d.of[table][0], r)
	}
	j, err := a.d.joint(ctx, table)
	if err != nil {
		return err
	}
	for i, piece := range a.d.of[table] {
		if own := j.piece(i, r); own != nil {
			if err := a.Apply.Insert(ctx, piece, own); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a joinedApply) Receive(ctx context.Context, table int, r io.Reader) (int64, error) {
	return a.Apply.Receive(ctx, a.d.of[table][0], r)
}

func (a joinedApply) Empty(ctx context.Context, table int) error {
	for _, piece := range slices.Backward(a.d.of[table]) {
		if err := a.Apply.Empty(ctx, piece); err != nil {
			return err
		}
	}
	return nil
}

func (a joinedApply) SetSequences(ctx context.Context, next []int64) error {
	var all []int64
	for t, of := range a.d.of {
		for range of {
			all = append(all, next[t])
		}
	}
	return a.Apply.SetSequences(ctx, all)
}

func (a joinedApply) Get(ctx context.Context, table int, keys []Key, yield func(Row) error) error {
	if a.d.whole(table) {
		return a.Apply.Get(ctx, a.d.of[table][0], keys, yield)
	}
	return a.d.lookup(ctx, table, keys, true, a.Apply.Get, yield)
}

func (a joinedApply) Locked(ctx context.Context) ([]Mark, error) {
	marks, err := a.Apply.Locked(ctx)
	return a.d.marks(marks), err
}

func (a joinedApply) SetMark(ctx context.Context, attempt int64, m Mark) error {
	m.Table = a.d.of[m.Table][0]
	return a.Apply.SetMark(ctx, attempt, m)
}

func (a joinedApply) Divide(ctx context.Context, attempt int64, table int, keys []Key) error {
	return a.Apply.Divide(ctx, attempt, a.d.of[table][0], keys)
}

func (a joinedApply) Keep(ctx context.Context, kind KeyKind, table int, k Key) error {
	return a.Apply.Keep(ctx, kind, a.d.of[table][0], k)
}

func (a joinedApply) Kept(ctx context.Context, kind KeyKind, table, n int) ([]Key, error) {
	return a.Apply.Kept(ctx, kind, a.d.of[table][0], n)
}

func (a joinedApply) Drop(ctx context.Context, kind KeyKind, table int, k Key) error {
	return a.Apply.Drop(ctx, kind, a.d.of[table][0], k)
}
