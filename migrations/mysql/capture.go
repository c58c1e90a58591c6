package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/serverlog"
)

// pollInterval is how often the logs are asked whether there is something.
const pollInterval = 10 * time.Millisecond

// idleRead is how long Wait lasts at most, so that readers of the follower get a fresh instant.
const idleRead = 500 * time.Millisecond

// batch is one snapshot of the rows, and of the logs or of what the binary log has told.
type batch struct {
	d         *Database
	x         *tx
	tables    []*table
	all       [][]entry // by table: the entries of its log
	logical   bool
	keys      [][]*serverlog.Keys // by table: what the binary log has told, which the stream owns
	told      []*serverlog.Keys   // of keys, what is the batch's own
	again     int                 // how many of Database.again it has
	truncated []bool
	sees      place // what the snapshot sees of the binary log
	count     int64
	next      at
	term      int64 // of the owner, as the snapshot sees it
	started   time.Time
}

type entry struct {
	id    uint64
	nonce int64
}

// snapshot begins a transaction whose statements all see one moment.
func (d *Database) snapshot(ctx context.Context) (*tx, error) {
	return d.snapshotBy(ctx, "START TRANSACTION READ ONLY")
}

func (d *Database) snapshotBy(ctx context.Context, begin string) (*tx, error) {
	conn, err := d.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	t := &tx{d: d, conn: conn}
	for _, q := range []string{"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", begin} {
		if _, err := t.exec(ctx, q); err != nil {
			return nil, errors.Join(err, t.discard())
		}
	}
	return t, nil
}

// Read takes every log entry that one snapshot sees, and then makes a commit at the owner. What is in the binary log is durable
// already, and so is what a snapshot sees: sync_binlog is 1.
func (d *Database) Read(ctx context.Context, applied migrations.Position) (_ migrations.Batch, err error) {
	from, err := parsePosition(applied)
	if err != nil {
		return nil, err
	}
	b, err := d.look(ctx, from)
	if err != nil {
		return nil, err
	}
	if b.count > 0 && !b.logical {
		err := d.write(ctx, func(t *tx) error {
			_, err := t.exec(ctx, "UPDATE strangler_position SET durable = durable + 1, forgotten = CASE WHEN forgotten + 1 = ? THEN forgotten + 1 ELSE forgotten END WHERE capability = ?", from.serial, d.b.Capability)
			return err
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("the owner's commit before the batch: %w", err), b.Close())
		}
	}
	return b, nil
}

// look opens the tables before its first look at their rows: from there on nobody changes or empties them, and a snapshot
// older than such a change is never taken.
func (d *Database) look(ctx context.Context, from at) (_ *batch, err error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	base, err := d.base(ctx, d.pool)
	if err != nil {
		return nil, err
	}
	b := &batch{d: d, tables: tables, all: make([][]entry, len(tables)), truncated: make([]bool, len(tables)), logical: base.logical(), next: from, started: time.Now()}
	begin := "START TRANSACTION READ ONLY"
	if b.logical {
		begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
	}
	if b.x, err = d.snapshotBy(ctx, begin); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(passing(err), b.Close())
		}
	}()
	if b.logical {
		if b.sees, _, err = current(ctx, b.x.conn); err != nil {
			return nil, err
		}
	}
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	if err := b.intact(ctx); err != nil {
		return nil, err
	}
	var forgotten int64
	if err := b.x.conn.QueryRowContext(ctx, "SELECT forgotten, COALESCE("+ownTerm+", 0) FROM strangler_position AS p WHERE capability = ?", d.b.Capability).Scan(&forgotten, &b.term); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return nil, fmt.Errorf("%w: the %s database of %s has lost its position. Look at: strangler split adopt %s", strangler.ErrStopped, d.b.Side, d.b.Capability, d.b.Capability)
		}
		return nil, fmt.Errorf("read the position at the %s database: %w", d.b.Side, err)
	}
	if from.serial != forgotten && from.serial != forgotten+1 {
		return nil, fmt.Errorf("%w: the %s database has given away batch %d and the other side holds batch %d, so one of them was put back from an older copy; nothing was applied. Look at: strangler split adopt %s",
			strangler.ErrStopped, d.b.Side, forgotten, from.serial, d.b.Capability)
	}
	if b.logical {
		return b, b.readLog(ctx, from)
	}
	entries := united(len(tables), func(i int) string {
		return fmt.Sprintf("SELECT %d, id, nonce FROM %s", i, ident(logTable(tables[i].name)))
	})
	err = each(ctx, b.x.conn, entries, nil, func(scan func(...any) error) error {
		var i int
		var e entry
		if err := scan(&i, &e.id, &e.nonce); err != nil {
			return err
		}
		b.all[i] = append(b.all[i], e)
		b.count++
		return nil
	})
	if err != nil {
		return nil, err
	}
	if b.count > 0 {
		b.next.serial++
	}
	return b, nil
}

// open opens the tables and their logs in the batch's transaction.
func (b *batch) open(ctx context.Context) error {
	var names []string
	for _, t := range b.tables {
		names = append(names, t.name, logTable(t.name))
	}
	_, err := b.x.exec(ctx, united(len(names), func(i int) string { return "(SELECT 1 FROM " + ident(names[i]) + " LIMIT 0)" }))
	if number(err) != errNoTable {
		return err
	}
	for _, name := range names {
		there, err := b.d.exists(ctx, name)
		if err != nil {
			return err
		}
		if !there {
			return b.d.changed("the table %s is not there: it was dropped or renamed", name)
		}
	}
	return err
}

// intact checks, while nobody can change the tables, that no trigger of the capture or the fence is gone and no column has
// come.
func (b *batch) intact(ctx context.Context) error {
	found, err := readTriggers(ctx, b.d.pool, b.d.b.Tables...)
	if err != nil {
		return err
	}
	var capture, fence []string
	for _, t := range b.tables {
		for _, g := range missing(b.d.captures(t, b.tables, b.logical), found) {
			capture = append(capture, g.name)
		}
		for _, g := range missing(b.d.fenceTriggers(t), found) {
			fence = append(fence, g.name)
		}
	}
	if len(capture) > 0 {
		return fmt.Errorf("%w: in the %s database these triggers were dropped or changed, so changes may have gone unrecorded: %s. The owner goes on serving. To begin again: strangler split cancel %s, then run the playbook",
			strangler.ErrStopped, b.d.b.Side, strings.Join(append(capture, fence...), ", "), b.d.b.Capability)
	}
	if len(fence) > 0 {
		return fmt.Errorf("%w: in the %s database the fence was changed: %s. Nothing was lost. It is put back by: strangler split start %s, then strangler split verify %s",
			strangler.ErrStopped, b.d.b.Side, strings.Join(fence, ", "), b.d.b.Capability, b.d.b.Capability)
	}
	return b.d.asPlanned(ctx, b.d.pool, b.tables)
}

func (b *batch) Changes() int64            { return b.count }
func (b *batch) Next() migrations.Position { return b.next.position() }
func (b *batch) Truncated(i int) bool      { return b.truncated[i] } // it fires no trigger, and is in the binary log
func (b *batch) Started() time.Time        { return b.started }
func (b *batch) Close() error {
	return errors.Join(serverlog.CloseAll(b.told), b.x.rollback())
}

// changed selects the distinct keys of a table's log, as k0, k1…. Spelled: keys that are written differently are
// distinct, also where they are equal here; elsewhere they may not be.
func changed(t *table, spelled bool) string {
	half := func(letter string) string {
		cols := make([]string, len(t.keyAt))
		for i := range cols {
			cols[i] = fmt.Sprintf("%s%d AS k%d", letter, i, i)
		}
		for i := range cols {
			if spelled {
				cols = append(cols, fmt.Sprintf("CAST(%s%d AS BINARY)", letter, i))
			}
		}
		return fmt.Sprintf("SELECT %s FROM %s WHERE %s0 IS NOT NULL", strings.Join(cols, ", "), ident(logTable(t.name)), letter)
	}
	return half("o") + " UNION " + half("n")
}

// Keys lets the owner's own order say in which range a key is.
func (b *batch) Keys(ctx context.Context, i int, ranges []migrations.Range, yield func(migrations.Key, int) error) error {
	if b.logical {
		return b.toldKeys(ctx, i, ranges, yield)
	}
	if len(b.all[i]) == 0 {
		return nil
	}
	t := b.tables[i]
	key := t.key()
	names := make([]string, len(key))
	for j := range key {
		names[j] = fmt.Sprintf("k.k%d", j)
	}
	rows, err := b.x.conn.QueryContext(ctx, fmt.Sprintf("SELECT %s, %s FROM (%s) AS k", strings.Join(names, ", "), t.locate(ranges, names), changed(t, b.d.b.Common)))
	if err != nil {
		return passing(err)
	}
	return scan(rows, key, 1, func(vs []migrations.Value, more []int64) error { return yield(vs, int(more[0])) })
}

// Rows joins the log with the table as the snapshot sees both.
func (b *batch) Rows(ctx context.Context, i int, ranges []migrations.Range, yield func(migrations.Row, int) error) error {
	if b.logical {
		return b.toldRows(ctx, i, ranges, yield)
	}
	if len(b.all[i]) == 0 {
		return nil
	}
	t := b.tables[i]
	var on, names []string
	for j, c := range t.key() {
		on = append(on, fmt.Sprintf("t.%s = k.k%d", ident(c.Name), j))
		names = append(names, "t."+ident(c.Name))
	}
	rows, err := b.x.conn.QueryContext(ctx, fmt.Sprintf("SELECT STRAIGHT_JOIN %s, %s FROM (%s) AS k JOIN %s AS t ON %s", t.selectList("t"), t.locate(ranges, names), changed(t, false), t.from(), strings.Join(on, " AND ")))
	if err != nil {
		return passing(err)
	}
	return scan(rows, t.columns, 1, func(vs []migrations.Value, more []int64) error { return yield(vs, int(more[0])) })
}

// Lookup reads single rows in the snapshot.
func (b *batch) Lookup(ctx context.Context, i int, keys []migrations.Key, yield func(migrations.Row) error) error {
	return b.tables[i].lookup(ctx, b.x.conn, keys, yield)
}

// forgetAtOnce is how many entries one statement deletes.
const forgetAtOnce = 1000

// these joins entries with their log as l, one by one by their whole key: whatever else finds them also locks entries beside
// them, and waits for whoever has just written those.
func these(entries []entry, log string) string {
	pairs := list(entries, func(e entry) string { return fmt.Sprintf("[%d,%d]", e.id, e.nonce) })
	return "JSON_TABLE('[" + pairs + "]', '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$[0]', nonce BIGINT PATH '$[1]')) AS k STRAIGHT_JOIN " + log + " AS l ON l.id = k.id AND l.nonce = k.nonce"
}

// ownTerm is the term in a row's fence.
const ownTerm = "(SELECT f.term FROM strangler_fence AS f WHERE f.capability = p.capability)"

// Forget deletes the batch's entries by id and nonce, counts who wrote them, and records the batch's serial, in one
// transaction.
func (d *Database) Forget(ctx context.Context, mb migrations.Batch) error {
	b := mb.(*batch)
	if err := b.Close(); err != nil {
		return err
	}
	var superseded bool
	err := d.write(ctx, func(x *tx) error {
		var term int64
		if err := x.conn.QueryRowContext(ctx, "SELECT COALESCE("+ownTerm+", 0) FROM strangler_position AS p WHERE capability = ?", d.b.Capability).Scan(&term); err != nil || term != b.term {
			superseded = true
			return err
		}
		for i, t := range b.tables {
			log := ident(logTable(t.name))
			for some := range slices.Chunk(b.all[i], forgetAtOnce) {
				from := these(some, log)
				if _, err := x.exec(ctx, fmt.Sprintf("INSERT INTO strangler_writer (capability, `user`, writes, last) SELECT %s, l.writer, COUNT(*), UTC_TIMESTAMP() FROM %s WHERE l.writer <> '' GROUP BY l.writer ON DUPLICATE KEY UPDATE writes = writes + VALUES(writes), last = VALUES(last)",
					literal(d.b.Capability), from)); err != nil {
					return err
				}
				if _, err := x.exec(ctx, "DELETE l FROM "+from); err != nil {
					return err
				}
			}
		}
		_, err := x.exec(ctx, "UPDATE strangler_position SET forgotten = GREATEST(forgotten, ?) WHERE capability = ?", b.next.serial, d.b.Capability)
		return err
	})
	if err == nil && b.logical && !superseded {
		b.forgetTold()
	}
	return err
}

// Wait asks for entries until there are some.
func (d *Database) Wait(ctx context.Context) error {
	// A statement that is cancelled takes its connection with it, so those here are let end.
	begun, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	tables, err := d.tables(begun)
	if err != nil {
		return err
	}
	if s := d.feeding(); s != nil {
		s.Some(ctx, pollInterval, idleRead)
		return nil
	}
	if base, err := d.base(begun, d.pool); err != nil || base.logical() {
		return err
	}
	logs := make([]string, len(tables))
	for i, t := range tables {
		logs[i] = "EXISTS (SELECT 1 FROM " + ident(logTable(t.name)) + ")"
	}
	ask := "SELECT " + strings.Join(logs, " OR ")
	idle := time.NewTimer(idleRead)
	defer idle.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
		var some bool
		err := d.pool.QueryRowContext(asking, ask).Scan(&some)
		cancel()
		if err != nil || some {
			return err
		}
		select {
		case <-tick.C:
		case <-idle.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// End is the serial of the last batch given away. Behind a closed fence an empty log means that nothing follows it.
func (d *Database) End(ctx context.Context) (migrations.Position, error) {
	var end at
	err := d.pool.QueryRowContext(ctx, "SELECT forgotten FROM strangler_position WHERE capability = ?", d.b.Capability).Scan(&end.serial)
	if base, errBase := d.base(ctx, d.pool); err == nil && errBase == nil && base.logical() {
		end.place, err = d.here(ctx)
	} else if err == nil {
		err = errBase
	}
	return end.position(), err
}

// Pending counts the entries of all logs; 0 where no capture is installed. Where the binary log is to be read and is not, or has
// not been to its end, what is not known of counts as one.
func (d *Database) Pending(ctx context.Context) (total int64, err error) {
	if n, logical, err := d.pendingTold(ctx); logical || err != nil {
		return n, err
	}
	for _, name := range d.b.Tables {
		var n int64
		err := d.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+ident(logTable(name))).Scan(&n)
		if err != nil && number(err) != errNoTable {
			return 0, err
		}
		total += n
	}
	return total, nil
}
