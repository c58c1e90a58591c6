package mysql

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/serverlog"
)

// decoder turns the events of the binary log into commits. Only the keys are taken: the rows are read later, as they then
// stand. What a foreign key changes along is in no event; triggers put the keys of that into the tables' logs, whose events
// are taken for it.
type decoder struct {
	database string
	tables   []*table
	fold     bool // names of tables are the same whatever their case

	at       int64 // how far the log has been read
	open     *group
	prepared map[string]*group // XA, by its id
	heard    bool              // the capability's own position was written: the log has what happens in this database
}

// group is a transaction as the log has it.
type group struct {
	*serverlog.Commit
	begin    int64  // where it begins
	xid      string // of XA, where it is that
	ends     bool   // it commits, or rolls back, what was prepared before
	single   bool   // it has one statement, and no end of its own
	recorded []recorded
}

// recorded is an entry of a table's log.
type recorded struct {
	end   int64 // of its commit
	table int
	entry
}

func (d *Database) newDecoder(tables []*table, from int64, fold bool) *decoder {
	return &decoder{database: d.name, tables: tables, fold: fold, at: from, prepared: map[string]*group{}}
}

// Flags of a transaction's first event (MariaDB, Gtid_log_event).
const (
	withCommitID = 2
	preparedXA   = 64
	completedXA  = 128
)

// take takes one event that ends at a place, and returns the transaction that has been committed by it, if one has.
func (d *decoder) take(e *replication.BinlogEvent, end int64) (done *group, err error) {
	defer func() { d.at = max(d.at, end) }()
	switch body := e.Event.(type) {
	case *replication.MariadbGTIDEvent:
		d.open = &group{Commit: serverlog.NewCommit(len(d.tables)), begin: d.at, single: body.IsStandalone(), ends: body.Flags&completedXA != 0}
		if body.Flags&(preparedXA|completedXA) != 0 {
			d.open.xid, err = xid(e.RawData[replication.EventHeaderSize:])
		}
		return nil, err
	case *replication.XIDEvent:
		return d.finish(end)
	case *replication.RowsEvent:
		return nil, d.changed(body)
	case *replication.QueryEvent:
		return d.statement(string(body.Schema), strings.TrimSpace(string(body.Query)), end)
	}
	switch e.Header.EventType {
	case replication.XA_PREPARE_LOG_EVENT:
		if g := d.open; g != nil {
			d.prepared[g.xid], d.open = g, nil
		}
	case replication.INCIDENT_EVENT:
		return nil, fmt.Errorf("%w: the server says that events are missing from its binary log", strangler.ErrStopped)
	}
	return nil, nil
}

// xid takes the id of an XA transaction out of the body of its first event, as it stands there.
func xid(body []byte) (string, error) {
	from := 13
	if len(body) > 12 && body[12]&withCommitID != 0 {
		from += 8
	}
	if len(body) < from+6 || len(body) < from+6+int(body[from+4])+int(body[from+5]) {
		return "", fmt.Errorf("the binary log has an XA transaction without its id")
	}
	return string(body[from : from+6+int(body[from+4])+int(body[from+5])]), nil
}

func (d *decoder) finish(end int64) (*group, error) {
	g := d.open
	d.open = nil
	if g == nil {
		return nil, nil
	}
	g.End = end
	for i := range g.recorded {
		g.recorded[i].end = end
	}
	return g, nil
}

// pinned is where the oldest transaction begins that is prepared and not ended: the log has to be read from there again. 0: there
// is none. Changes: one of them has changed a table that moves.
func (d *decoder) pinned() (from int64, changes bool) {
	for _, g := range d.prepared {
		if from == 0 || g.begin < from {
			from = g.begin
		}
		changes = changes || g.Changes > 0
	}
	return from, changes
}

// close gives back what transactions that have not ended hold.
func (d *decoder) close() error {
	if d.open != nil {
		d.prepared[""] = d.open
	}
	for _, g := range d.prepared {
		if err := serverlog.CloseAll(g.Keys); err != nil {
			return err
		}
	}
	return nil
}

var (
	truncation = regexp.MustCompile("(?is)^TRUNCATE\\s+(?:TABLE\\s+)?(?:(`(?:[^`]|``)+`|[^\\s.`;]+)\\s*\\.\\s*)?(`(?:[^`]|``)+`|[^\\s.`;]+)")
	data       = regexp.MustCompile(`(?is)^(INSERT|UPDATE|DELETE|REPLACE|LOAD|WITH|CALL|DO|SELECT)\b`)
	partitions = regexp.MustCompile(`(?is)^ALTER\b.*\b(DROP|TRUNCATE|EXCHANGE)\s+PARTITION\b`)
	comments   = regexp.MustCompile(`(?s)^(\s*/\*.*?\*/)+\s*`)
)

// statement takes what the log has as a text: the ends of transactions, and what changes rows without saying which.
func (d *decoder) statement(schema, text string, end int64) (*group, error) {
	text = comments.ReplaceAllString(text, "")
	upper := strings.ToUpper(text)
	switch {
	case upper == "COMMIT" || upper == "ROLLBACK":
		return d.finish(end)
	case strings.HasPrefix(upper, "XA COMMIT") || strings.HasPrefix(upper, "XA ROLLBACK"):
		return d.ended(strings.HasPrefix(upper, "XA COMMIT"), end)
	}
	if m := truncation.FindStringSubmatch(text); m != nil {
		if of := bare(m[1]); of == "" && d.same(schema, d.database) || d.same(of, d.database) {
			if i := d.index(bare(m[2])); i >= 0 && d.open != nil {
				d.open.Truncate(i)
			}
		}
	} else if (data.MatchString(text) || partitions.MatchString(text)) && d.concerns(schema, text) {
		return nil, fmt.Errorf("%w: the binary log has a statement that changes rows and does not say which: in a session with another binlog_format than ROW, or by partitions as a whole", strangler.ErrStopped)
	}
	if d.open != nil && d.open.single {
		return d.finish(end)
	}
	return nil, nil
}

// ended commits what an XA transaction has prepared, or forgets it.
func (d *decoder) ended(commit bool, end int64) (*group, error) {
	g := d.open
	d.open = nil
	if g == nil || !g.ends {
		return nil, nil
	}
	was := d.prepared[g.xid]
	delete(d.prepared, g.xid)
	switch {
	case was == nil && commit:
		return nil, fmt.Errorf("%w: a transaction was committed that had been prepared (XA PREPARE) before its changes were read", strangler.ErrStopped)
	case was == nil:
		return nil, nil
	case !commit:
		return nil, serverlog.CloseAll(was.Keys)
	}
	d.open = was
	return d.finish(end)
}

func bare(name string) string {
	if strings.HasPrefix(name, "`") {
		return strings.ReplaceAll(strings.Trim(name, "`"), "``", "`")
	}
	return name
}

func (d *decoder) same(a, b string) bool { return a == b || d.fold && strings.EqualFold(a, b) }

func (d *decoder) index(name string) int {
	return slices.IndexFunc(d.tables, func(t *table) bool { return d.same(t.name, name) })
}

// concerns reports whether a text may be about a table that moves, by a trigger of another one too. The server writes a DELETE for each
// table that it keeps in memory, when it has started anew.
func (d *decoder) concerns(schema, text string) bool {
	text = strings.ToLower(text)
	if d.same(schema, d.database) && !strings.HasPrefix(text, "delete from") {
		return true
	}
	if schema != d.database && !strings.Contains(text, strings.ToLower(d.database)) {
		return false
	}
	return slices.ContainsFunc(d.tables, func(t *table) bool { return strings.Contains(text, strings.ToLower(t.name)) })
}

// told is a table whose rows are looked at: one that moves, the log of one, or that with our position.
type told struct {
	table int
	log   bool
	own   bool
}

func (d *decoder) look(schema, name []byte) (told, bool) {
	if string(schema) != d.database {
		return told{}, false
	}
	for i, t := range d.tables {
		switch string(name) {
		case t.name:
			return told{table: i}, true
		case logTable(t.name):
			return told{table: i, log: true}, true
		}
	}
	return told{own: true}, string(name) == "strangler_position"
}

// decode reads the rows of an event only where they are looked at.
func (d *decoder) decode(e *replication.RowsEvent, data []byte) error {
	pos, err := e.DecodeHeader(data)
	if err != nil {
		return err
	}
	if _, wanted := d.look(e.Table.Schema, e.Table.Table); !wanted {
		return nil
	}
	return e.DecodeData(pos, data)
}

// changed takes the old and the new key of every row of an event. A key column that was not written again is in the old row.
func (d *decoder) changed(e *replication.RowsEvent) error {
	of, wanted := d.look(e.Table.Schema, e.Table.Table)
	if !wanted {
		return nil
	}
	if d.open == nil {
		return fmt.Errorf("%w: the binary log has rows of %s outside of a transaction", strangler.ErrStopped, e.Table.Table)
	}
	if of.own {
		d.heard = true
		return nil
	}
	t := d.tables[of.table]
	if of.log {
		return d.along(e, of.table)
	}
	names := make([]string, len(t.keyAt))
	for i, c := range t.key() {
		names[i] = c.Name
	}
	where, err := columnsIn(e.Table, names)
	if err != nil {
		return err
	}
	step := 1
	if e.Type() == replication.EnumRowsEventTypeUpdate {
		step = 2
	}
	for i := 0; i+step <= len(e.Rows); i += step {
		d.open.Changes++
		var before migrations.Key
		for j := range step {
			k, err := t.keyIn(e.Rows[i+j], e.SkippedColumns[i+j], where)
			if err != nil {
				return err
			}
			switch {
			case k == nil && before == nil:
				return fmt.Errorf("%w: a change of %s came without its key: binlog_row_image was changed", strangler.ErrStopped, t.name)
			case k == nil || before != nil && bytes.Equal(migrations.Encode(before), migrations.Encode(k)):
				continue
			}
			if err := d.open.Keys[of.table].Add(k); err != nil {
				return err
			}
			before = k
		}
	}
	return nil
}

// along takes the keys that a trigger has put into a table's log.
func (d *decoder) along(e *replication.RowsEvent, i int) error {
	if e.Type() != replication.EnumRowsEventTypeInsert {
		return nil // they are deleted once they are forgotten
	}
	t := d.tables[i]
	names := slices.Concat([]string{"id", "nonce"}, strings.Split(oldKeys(t), ", "), strings.Split(newKeys(t), ", "))
	where, err := columnsIn(e.Table, names)
	if err != nil {
		return err
	}
	n := len(t.keyAt)
	for j, row := range e.Rows {
		d.open.Changes++
		for _, half := range [][]int{where[2 : 2+n], where[2+n:]} {
			if row[half[0]] == nil {
				continue
			}
			k, err := t.keyIn(row, e.SkippedColumns[j], half)
			if err == nil && k != nil {
				err = d.open.Keys[i].Add(k)
			}
			if err != nil {
				return err
			}
		}
		id, okID := whole(row[where[0]])
		nonce, okNonce := whole(row[where[1]])
		if okID && okNonce {
			n, _ := strconv.ParseInt(nonce, 10, 64)
			u, _ := strconv.ParseUint(id, 10, 64)
			d.open.recorded = append(d.open.recorded, recorded{table: i, entry: entry{u, n}})
		}
	}
	return nil
}

// columnsIn finds columns in a table as the event describes it, which may be another than it is now.
func columnsIn(e *replication.TableMapEvent, names []string) ([]int, error) {
	if len(e.ColumnName) == 0 {
		return nil, fmt.Errorf("%w: the binary log does not name the columns of %s any more: binlog_row_metadata was changed", strangler.ErrStopped, e.Table)
	}
	out := make([]int, len(names))
	for i, name := range names {
		out[i] = slices.IndexFunc(e.ColumnName, func(b []byte) bool { return string(b) == name })
		if out[i] < 0 {
			return nil, fmt.Errorf("%w: the column %s of %s was renamed or dropped while rows of it changed", strangler.ErrStopped, name, e.Table)
		}
	}
	return out, nil
}

// keyIn takes the key out of a row; nil where the row does not have all of it.
func (t *table) keyIn(row []any, skipped, where []int) (migrations.Key, error) {
	k := make(migrations.Key, len(where))
	for i, c := range t.key() {
		if slices.Contains(skipped, where[i]) {
			return nil, nil
		}
		v, err := c.logged(row[where[i]])
		if err != nil {
			return nil, err
		}
		k[i] = v
	}
	return k, nil
}

// whole is a whole number as text.
func whole(v any) (string, bool) {
	switch v.(type) {
	case int, int8, int16, int32, int64, uint8, uint16, uint32, uint64:
		return fmt.Sprint(v), true
	}
	return "", false
}

// legible are the types of key columns that are read from the binary log. Others are written there in ways of their own.
var legible = map[string]bool{"tinyint": true, "smallint": true, "mediumint": true, "int": true, "bigint": true, "year": true, "decimal": true, "double": true,
	"char": true, "varchar": true, "binary": true, "varbinary": true, "date": true}

var (
	characterSet = regexp.MustCompile(`CHARACTER SET (\w+)`)
	fixedLength  = regexp.MustCompile(`^binary\((\d+)\)`)
)

// illegible says why a column of a key is not read from the binary log; empty: it is.
func (c column) illegible() string {
	if !legible[c.data] {
		return "is a " + c.data
	}
	if m := characterSet.FindStringSubmatch(c.Type); m != nil && !slices.Contains([]string{"utf8mb4", "utf8mb3", "utf8", "ascii"}, m[1]) {
		return "is in the character set " + m[1]
	}
	return ""
}

// logged is the canonical value of what the binary log has of a key's column.
func (c column) logged(v any) (migrations.Value, error) {
	var out migrations.Value
	switch text, isText := v.(string); {
	case c.kind == kindInt:
		n, ok := whole(v)
		if !ok {
			return nil, c.unread(v)
		}
		if i, err := strconv.ParseInt(n, 10, 64); err == nil {
			out = i
		} else {
			out = n
		}
	case c.kind == kindFloat:
		f, ok := v.(float64)
		if !ok || math.IsNaN(f) {
			return nil, c.unread(v)
		}
		out = f
	case !isText:
		return nil, c.unread(v)
	case c.kind == kindBytes:
		b := []byte(text)
		if m := fixedLength.FindStringSubmatch(c.Type); m != nil { // zeros at its end are left out
			n, _ := strconv.Atoi(m[1])
			b = append(b, make([]byte, max(0, n-len(b)))...)
		}
		out = b
	default:
		out = text
	}
	if c.common {
		return c.commonValue(out)
	}
	return out, nil
}

func (c column) unread(v any) error {
	return fmt.Errorf("the binary log has a %T in the key's column %s, which is a %s", v, c.Name, c.data)
}
