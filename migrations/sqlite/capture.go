package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// pollInterval is how often a quiet database is asked whether somebody has committed.
const pollInterval = 10 * time.Millisecond

// idleRead is how long Wait lasts at most, so that readers of the follower get a fresh instant.
const idleRead = 500 * time.Millisecond

// batch is one read transaction over the logs and the rows.
type batch struct {
	d       *Database
	conn    *sql.Conn
	tables  []*table
	entries [][]entry // by table
	count   int64
	next    int64
	term    int64 // of the owner, as the snapshot sees it
	started time.Time
}

type entry struct{ id, nonce int64 }

// Read takes every log entry that one read transaction sees, and makes the owner's commit that holds all
// of it. In WAL mode the commit comes behind the snapshot. In a rollback journal it would wait for the
// snapshot to end, so it comes before, and a snapshot that sees a newer commit of somebody is taken anew.
func (d *Database) Read(ctx context.Context, applied migrations.Position) (migrations.Batch, error) {
	at, err := serial(applied)
	if err != nil {
		return nil, err
	}
	if err := d.look(ctx); err != nil {
		return nil, err
	}
	var mode string
	if err := d.pool.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return nil, err
	}
	for {
		var version int64
		if mode != "wal" {
			if pending, err := d.Pending(ctx); err != nil {
				return nil, err
			} else if pending > 0 {
				if version, err = d.durable(ctx, at); err != nil {
					return nil, err
				}
			}
		}
		b, err := d.snapshot(ctx, at)
		if err != nil {
			return nil, err
		}
		if b.count == 0 {
			return b, nil
		}
		if mode == "wal" {
			if _, err := d.durable(ctx, at); err != nil {
				return nil, errors.Join(err, b.Close())
			}
			return b, nil
		}
		now, err := d.version(ctx)
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		if version != 0 && now == version {
			return b, nil
		}
		if err := b.Close(); err != nil {
			return nil, err
		}
	}
}

// durable commits at the owner, and returns the writer's data_version, which only commits of others change. What a crash
// kept from being recorded of the batch applied last is recorded now, so that serials never come to be further apart.
func (d *Database) durable(ctx context.Context, applied int64) (version int64, err error) {
	err = d.write(ctx, func(t *tx) error {
		if _, err := t.w.exec(ctx, "UPDATE strangler_position SET durable = durable + 1, forgotten = CASE WHEN forgotten + 1 = ? THEN forgotten + 1 ELSE forgotten END WHERE capability = ?", applied, d.b.Capability); err != nil {
			return err
		}
		return t.w.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version)
	})
	return version, err
}

// version is the writer's data_version now.
func (d *Database) version(ctx context.Context) (version int64, err error) {
	select {
	case w := <-d.writer:
		defer func() { d.writer <- w }()
		err = w.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version)
		return version, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// snapshot opens the read transaction and reads the logs.
func (d *Database) snapshot(ctx context.Context, at int64) (_ *batch, err error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := d.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	b := &batch{d: d, conn: conn, tables: tables, entries: make([][]entry, len(tables)), next: at, started: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return nil, err
	}
	var forgotten int64
	if err := conn.QueryRowContext(ctx, "SELECT forgotten, coalesce("+ownTerm+", 0) FROM strangler_position AS p WHERE capability = ?", d.b.Capability).Scan(&forgotten, &b.term); err != nil {
		return nil, fmt.Errorf("read the position at the %s database: %w", d.b.Side, err)
	}
	if at != forgotten && at != forgotten+1 {
		return nil, fmt.Errorf("%w: the %s database has given away batch %d and the other side holds batch %d, so one of them was put back from an older copy; nothing was applied. Look at: strangler split adopt %s",
			strangler.ErrStopped, d.b.Side, forgotten, at, d.b.Capability)
	}
	if err := b.describe(ctx); err != nil {
		return nil, err
	}
	if err := b.intact(ctx); err != nil {
		return nil, err
	}
	for i, t := range b.tables {
		err := each(ctx, conn, "SELECT id, nonce FROM "+ident(logTable(t.name)), nil, func(scan func(...any) error) error {
			var e entry
			err := scan(&e.id, &e.nonce)
			b.entries[i] = append(b.entries[i], e)
			return err
		})
		if err != nil {
			return nil, err
		}
		b.count += int64(len(b.entries[i]))
	}
	if b.count > 0 {
		b.next = at + 1
	}
	return b, nil
}

// describe reads the tables anew, inside the snapshot, when the schema has changed: an index that has come
// since asks for other triggers.
func (b *batch) describe(ctx context.Context) error {
	var version int64
	if err := b.conn.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&version); err != nil {
		return err
	}
	b.d.metaMu.Lock()
	defer b.d.metaMu.Unlock()
	if version == b.d.described {
		return nil
	}
	tables, err := b.d.asPlanned(ctx, b.conn)
	if err != nil {
		return err
	}
	b.tables, b.d.meta, b.d.stale, b.d.described = tables, tables, false, version
	return nil
}

// intact checks, inside the snapshot, that no trigger of the capture or the fence is gone.
func (b *batch) intact(ctx context.Context) error {
	found, err := ourTriggers(ctx, b.conn)
	if err != nil {
		return err
	}
	var gone []string
	for i, t := range b.tables {
		for _, g := range missing(append(b.d.captureTriggers(t), b.d.fenceTriggers(b.d.b.Tables[i], t)...), found) {
			gone = append(gone, g.name)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return fmt.Errorf("%w: in the %s database these triggers were dropped or changed, so changes may have gone unrecorded: %s. The owner goes on serving. To begin again: strangler split cancel %s, then run the playbook",
		strangler.ErrStopped, b.d.b.Side, strings.Join(gone, ", "), b.d.b.Capability)
}

func (b *batch) Changes() int64            { return b.count }
func (b *batch) Next() migrations.Position { return position(b.next) }
func (b *batch) Truncated(int) bool        { return false } // SQLite has no TRUNCATE
func (b *batch) Started() time.Time        { return b.started }

func (b *batch) Close() error {
	if b.conn == nil {
		return nil
	}
	_, err := b.conn.ExecContext(context.Background(), "ROLLBACK")
	if err != nil && strings.Contains(err.Error(), "no transaction is active") {
		err = nil
	}
	err = errors.Join(err, b.conn.Close())
	b.conn = nil
	return err
}

// changed selects the distinct keys of a table's log, as k0, k1…: told apart as the table does, or by collation.
func (b *batch) changed(t *table, collation string) string {
	half := func(side string) string {
		cols := make([]string, len(t.key))
		for i, k := range t.key {
			cols[i] = fmt.Sprintf("%s%s AS k%d", ident(side+k.name), collation, i)
		}
		return fmt.Sprintf("SELECT %s FROM %s WHERE %s IS NOT NULL", strings.Join(cols, ", "), ident(logTable(t.name)), ident(side+t.key[0].name))
	}
	return half("old_") + " UNION " + half("new_")
}

// Keys lets the owner's own order say in which range a key is. Another kind of database may tell keys apart that are one
// here, so it is given every spelling.
func (b *batch) Keys(ctx context.Context, i int, ranges []migrations.Range, yield func(migrations.Key, int) error) error {
	if len(b.entries[i]) == 0 {
		return nil
	}
	t := b.tables[i]
	names := make([]string, len(t.key))
	for j := range t.key {
		names[j] = fmt.Sprintf("+k%d", j)
	}
	collation := ""
	if b.d.b.Common {
		collation = " COLLATE BINARY"
	}
	var args []any
	at := t.locate(ranges, func(j int) string { return fmt.Sprintf("k%d", j) }, &args)
	rows, err := b.conn.QueryContext(ctx, fmt.Sprintf("SELECT %s, %s FROM (%s)", strings.Join(names, ", "), at, b.changed(t, collation)), args...)
	if err != nil {
		return err
	}
	return b.d.scan(rows, t, t.keyColumns(), 1, func(vs []migrations.Value, more []int64) error { return yield(vs, int(more[0])) })
}

// locate is an expression for the index of the range that holds a key, or -1.
func (t *table) locate(ranges []migrations.Range, column func(int) string, args *[]any) string {
	if len(ranges) == 0 {
		return "-1"
	}
	collated := make([]string, len(t.key))
	for j, k := range t.key {
		collated[j] = column(j) + " COLLATE " + k.collation
	}
	at := "CASE"
	for j, r := range ranges {
		at += fmt.Sprintf(" WHEN %s THEN %d", within(strings.Join(collated, ", "), len(t.key), r, args), j)
	}
	return at + " ELSE -1 END"
}

// Rows joins the log with the table as the snapshot sees both.
func (b *batch) Rows(ctx context.Context, i int, ranges []migrations.Range, yield func(migrations.Row, int) error) error {
	if len(b.entries[i]) == 0 {
		return nil
	}
	t := b.tables[i]
	on := make([]string, len(t.key))
	for j, k := range t.key {
		on[j] = fmt.Sprintf("%s = k.k%d", k.of("t"), j)
	}
	var args []any
	at := t.locate(ranges, func(j int) string { return "t." + ident(t.key[j].name) }, &args)
	rows, err := b.conn.QueryContext(ctx, fmt.Sprintf("SELECT %s, %s FROM (%s) AS k CROSS JOIN %s AS t ON %s", t.selectList("t"), at, b.changed(t, ""), t.from(), strings.Join(on, " AND ")), args...)
	if err != nil {
		return err
	}
	return b.d.scan(rows, t, t.columns, 1, func(vs []migrations.Value, more []int64) error { return yield(vs, int(more[0])) })
}

// Lookup reads single rows in the snapshot.
func (b *batch) Lookup(ctx context.Context, i int, keys []migrations.Key, yield func(migrations.Row) error) error {
	return b.d.lookup(ctx, b.conn, i, keys, yield)
}

// ownTerm is the term in a row's fence.
const ownTerm = "(SELECT f.term FROM strangler_fence AS f WHERE f.capability = p.capability)"

// Forget deletes the batch's entries by id and nonce, and records the batch's serial beside them.
func (d *Database) Forget(ctx context.Context, mb migrations.Batch) error {
	b := mb.(*batch)
	if err := b.Close(); err != nil {
		return err
	}
	return d.write(ctx, func(x *tx) error {
		var term int64
		if err := x.w.conn.QueryRowContext(ctx, "SELECT coalesce("+ownTerm+", 0) FROM strangler_position AS p WHERE capability = ?", d.b.Capability).Scan(&term); err != nil || term != b.term {
			return err
		}
		for i, t := range b.tables {
			query := "DELETE FROM " + ident(logTable(t.name)) + " WHERE id = ? AND nonce = ?"
			for _, e := range b.entries[i] {
				if _, err := x.w.exec(ctx, query, e.id, e.nonce); err != nil {
					return err
				}
			}
		}
		if err := x.clearBeside(ctx, b.tables); err != nil {
			return err
		}
		_, err := x.w.exec(ctx, "UPDATE strangler_position SET forgotten = max(forgotten, ?) WHERE capability = ?", b.next, d.b.Capability)
		return err
	})
}

// look remembers the version of the data before a Read, so that Wait sees every commit behind it.
func (d *Database) look(ctx context.Context) error {
	d.watchMu.Lock()
	defer d.watchMu.Unlock()
	return d.watcher.QueryRowContext(ctx, "PRAGMA data_version").Scan(&d.seen)
}

// Ready has nothing to make: the triggers are there by a script.
func (d *Database) Ready(context.Context) error { return nil }

// Wait asks for the data's version until it changes.
func (d *Database) Wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, idleRead)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		var now int64
		d.watchMu.Lock()
		err := d.watcher.QueryRowContext(ctx, "PRAGMA data_version").Scan(&now)
		changed := now != d.seen
		d.watchMu.Unlock()
		if err != nil && ctx.Err() == nil {
			return err
		}
		if changed || err != nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// End is the serial of the last batch given away. Behind a closed fence an empty log means that
// nothing follows it.
func (d *Database) End(ctx context.Context) (migrations.Position, error) {
	var n int64
	err := d.pool.QueryRowContext(ctx, "SELECT forgotten FROM strangler_position WHERE capability = ?", d.b.Capability).Scan(&n)
	return position(n), err
}

// Pending counts the entries of all logs; 0 where no capture is installed.
func (d *Database) Pending(ctx context.Context) (total int64, err error) {
	for _, name := range d.b.Tables {
		there, err := d.exists(ctx, logTable(name))
		if err != nil {
			return 0, err
		}
		if !there {
			continue
		}
		var n int64
		if err := d.pool.QueryRowContext(ctx, "SELECT count(*) FROM "+ident(logTable(name))).Scan(&n); err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
