package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/serverlog"
)

// pollInterval is how often a quiet database is asked whether somebody has committed.
const pollInterval = 10 * time.Millisecond

// idleRead is how long Wait lasts at most, so that readers of the follower get a fresh instant.
const idleRead = 500 * time.Millisecond

// batch is one repeatable-read transaction over the rows, and the logs or what a slot has told.
type batch struct {
	d         *Database
	tx        *tx
	tables    []*table
	ids       [][]int64 // by table: the entries of its log
	nonces    [][]int64
	keys      [][]*serverlog.Keys // by table: what the slot has told, which the stream owns; nil where triggers capture
	told      []*serverlog.Keys   // of keys, what is the batch's own
	logical   bool
	again     int // how many of Database.again it has
	truncated []bool
	count     int64
	next      at
	term      int64 // of the owner, as the snapshot sees it
	started   time.Time
}

// at is a position: the serial of the last batch applied, and, where a slot is read, the place in the server's log up to
// which it came.
type at struct{ serial, lsn int64 }

func (p at) position() migrations.Position {
	text := strconv.FormatInt(p.serial, 10)
	if p.lsn > 0 {
		text += "@" + strconv.FormatInt(p.lsn, 10)
	}
	return migrations.Position(text)
}

func parse(p migrations.Position) (out at, err error) {
	serial, lsn, two := strings.Cut(string(p), "@")
	if p == "" {
		return out, nil
	}
	if out.serial, err = strconv.ParseInt(serial, 10, 64); err == nil && two {
		out.lsn, err = strconv.ParseInt(lsn, 10, 64)
	}
	if err != nil {
		err = fmt.Errorf("%w: %q is not a position of this engine", strangler.ErrStopped, p)
	}
	return out, err
}

// Read takes every log entry that one snapshot sees, and then makes a durable commit: the log of the server
// is flushed up to it, and so are all the commits that the snapshot sees, those without synchronous_commit too.
func (d *Database) Read(ctx context.Context, applied migrations.Position) (_ migrations.Batch, err error) {
	from, err := parse(applied)
	if err != nil {
		return nil, err
	}
	b, err := d.snapshot(ctx, from)
	if err != nil {
		return nil, err
	}
	if b.count > 0 && !b.logical {
		err := d.write(ctx, func(t *tx) error {
			_, err := t.Exec(ctx, "UPDATE "+d.ours("strangler_position")+" SET durable = durable + 1, forgotten = CASE WHEN forgotten + 1 = $2::bigint THEN forgotten + 1 ELSE forgotten END WHERE capability = $1::text", d.b.Capability, from.serial)
			return err
		})
		if err != nil && !errors.Is(err, strangler.ErrUnknown) {
			return nil, errors.Join(err, b.Close())
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("the owner's commit before the batch: %w", err), b.Close())
		}
	}
	return b, nil
}

// snapshot locks the tables before its first look at them: a rewriting ALTER TABLE, or a TRUNCATE, that an
// older snapshot met would show it an empty table.
func (d *Database) snapshot(ctx context.Context, from at) (_ *batch, err error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	b := &batch{d: d, tables: tables, ids: make([][]int64, len(tables)), nonces: make([][]int64, len(tables)), truncated: make([]bool, len(tables)), next: from, started: time.Now()}
	t, err := d.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	b.tx = &tx{d: d, Tx: t}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	base, err := d.base(ctx, d.pool)
	if err != nil {
		return nil, err
	}
	b.logical = base >= 0
	if _, err := b.tx.Exec(ctx, fmt.Sprintf("LOCK TABLE %s IN ACCESS SHARE MODE", list(tables, func(t *table) string {
		if b.logical {
			return t.full()
		}
		return t.full() + ", " + d.ours(d.logTable(t.bound))
	}))); err != nil {
		if c := code(err); c == "42P01" { // undefined_table
			return nil, d.changed(fmt.Errorf("%w: %w", errMissing, err))
		}
		return nil, err
	}
	var forgotten int64
	var state migrations.FenceState
	err = b.tx.QueryRow(ctx, "SELECT p.forgotten, f.term, f.state, "+baseColumn+" FROM "+d.ours("strangler_position")+" AS p JOIN "+d.ours("strangler_fence")+" AS f USING (capability) WHERE capability = $1::text", d.b.Capability).Scan(&forgotten, &b.term, &state, &base)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%w: the %s database of %s has lost its fence row. Look at: strangler split adopt %s", strangler.ErrStopped, d.b.Side, d.b.Capability, d.b.Capability)
	}
	if err != nil {
		return nil, fmt.Errorf("read the position at the %s database: %w", d.b.Side, err)
	}
	if from.serial != forgotten && from.serial != forgotten+1 {
		return nil, fmt.Errorf("%w: the %s database has given away batch %d and the other side holds batch %d, so one of them was put back from an older copy; nothing was applied. Look at: strangler split adopt %s",
			strangler.ErrStopped, d.b.Side, forgotten, from.serial, d.b.Capability)
	}
	s, tables, err := d.asPlanned(ctx, b.tx, tables)
	if err != nil {
		return nil, err
	}
	b.tables = tables
	if err := d.intact(s, tables, state, b.logical); err != nil {
		return nil, err
	}
	if b.logical {
		return b, b.readSlot(ctx, from, base)
	}
	if err := b.readLogs(ctx); err != nil {
		return nil, err
	}
	if b.count > 0 {
		b.next.serial++
	}
	return b, nil
}

func (b *batch) readLogs(ctx context.Context) error {
	for i, t := range b.tables {
		rows, err := b.tx.Query(ctx, "SELECT id, nonce, truncated FROM "+b.d.ours(b.d.logTable(t.bound)))
		if err != nil {
			return err
		}
		var id, nonce int64
		var truncated bool
		_, err = pgx.ForEachRow(rows, []any{&id, &nonce, &truncated}, func() error {
			b.ids[i], b.nonces[i] = append(b.ids[i], id), append(b.nonces[i], nonce)
			b.truncated[i] = b.truncated[i] || truncated
			return nil
		})
		if err != nil {
			return err
		}
		b.count += int64(len(b.ids[i]))
	}
	return nil
}

// intact refuses a snapshot in which a trigger of the capture or the fence is gone, on a table or a partition.
func (d *Database) intact(s survey, tables []*table, state migrations.FenceState, logical bool) error {
	var gone []string
	capture := false
	for _, p := range s.relations {
		var triggers []trigger
		if !logical {
			triggers = d.captureTriggers(tables[p.table])
		}
		fences, captures := d.broken(tables[p.table], p, firing(state), triggers)
		gone = append(append(gone, fences...), captures...)
		capture = capture || len(captures) > 0
	}
	switch {
	case len(gone) == 0:
		return nil
	case capture:
		return fmt.Errorf("%w: in the %s database these triggers were dropped, disabled or changed, so changes may have gone unrecorded: %s. The owner goes on serving. To begin again: strangler split cancel %s, then run the playbook",
			strangler.ErrStopped, d.b.Side, strings.Join(gone, ", "), d.b.Capability)
	}
	return fmt.Errorf("%w: in the %s database the fence was changed, or a partition has come without one: %s. Nothing was lost. It is put back by: strangler split start %s, then strangler split verify %s",
		strangler.ErrStopped, d.b.Side, strings.Join(gone, ", "), d.b.Capability, d.b.Capability)
}

func (b *batch) Changes() int64            { return b.count }
func (b *batch) Next() migrations.Position { return b.next.position() }
func (b *batch) Truncated(table int) bool  { return b.truncated[table] }
func (b *batch) Started() time.Time        { return b.started }
func (b *batch) Close() error              { return errors.Join(serverlog.CloseAll(b.told), b.tx.rollback()) }

// spelled reports whether keys that are equal may be written differently, and it matters.
func (t *table) spelled() bool {
	return slices.ContainsFunc(t.key(), func(c column) bool {
		return c.common && c.Kind == migrations.KindText && (c.collation != "" || !slices.Contains([]uint32{oidText, oidVarchar}, c.base))
	})
}

func numbered(i int, _ column) string { return fmt.Sprintf("k%d", i) }

// spelling tells keys apart as another kind of database may, which takes for two what is equal here.
func (t *table) spelling(named func(int, column) string) string {
	var out []string
	for i, c := range t.key() {
		name := named(i, c)
		if c.Kind == migrations.KindText {
			name += `::text COLLATE "C"`
		}
		out = append(out, name)
	}
	return strings.Join(out, ", ")
}

// changed selects the distinct keys of a table's log, as k0, k1…; of those that are equal, each spelling where it matters.
func (b *batch) changed(t *table) string {
	half := func(side func(column) string) string {
		var cols []string
		for i, c := range t.key() {
			cols = append(cols, fmt.Sprintf("%s AS k%d", side(c), i))
		}
		return fmt.Sprintf("SELECT %s FROM %s WHERE %s IS DISTINCT FROM NULL", strings.Join(cols, ", "), b.d.ours(b.d.logTable(t.bound)), side(t.key()[0]))
	}
	if b.d.b.Common {
		return "SELECT DISTINCT ON (" + t.spelling(numbered) + ") * FROM (" + half(oldKey) + " UNION ALL " + half(newKey) + ") AS spelled"
	}
	return half(oldKey) + " UNION " + half(newKey)
}

// keysAtOnce is how many keys of a slot go into one statement.
const keysAtOnce = 5000

// sets are what selects the keys of a table that changed, as k0, k1…: one log, or a slot's keys by and by.
func (b *batch) sets(i int, keys []*serverlog.Keys) iter.Seq2[func(p *parameters) string, error] {
	t := b.tables[i]
	return func(yield func(func(p *parameters) string, error) bool) {
		if !b.logical {
			if len(b.ids[i]) > 0 {
				yield(func(*parameters) string { return b.changed(t) }, nil)
			}
			return
		}
		var some []migrations.Key
		set := func(p *parameters) string {
			given := p.keyArrays(t.key(), some)
			if b.d.b.Common {
				return given // each spelling is there once
			}
			return "SELECT DISTINCT * FROM (" + given + ") AS given"
		}
		for k, err := range serverlog.Distinct(keys) {
			if err != nil {
				yield(nil, err)
				return
			}
			if some = append(some, k); len(some) == keysAtOnce {
				if !yield(set, nil) {
					return
				}
				some = some[:0]
			}
		}
		if len(some) > 0 {
			yield(set, nil)
		}
	}
}

// slotKeys are what the slot has told of a table; nil where triggers capture.
func (b *batch) slotKeys(i int) []*serverlog.Keys {
	if !b.logical {
		return nil
	}
	return b.keys[i]
}

// Keys lets the owner's own order say in which range a key is.
func (b *batch) Keys(ctx context.Context, i int, ranges []migrations.Range, yield func(migrations.Key, int) error) error {
	t := b.tables[i]
	names := make([]string, len(t.keyAt))
	for j := range names {
		names[j] = fmt.Sprintf("k%d", j)
	}
	key := strings.Join(names, ", ")
	for set, err := range b.sets(i, b.slotKeys(i)) {
		if err != nil {
			return err
		}
		var p parameters
		changed := set(&p)
		rows, err := query(ctx, b.tx, fmt.Sprintf("SELECT %s, %s FROM (%s) AS k", key, t.locate(ranges, key, &p), changed), p)
		if err != nil {
			return err
		}
		if err := scan(rows, t.key(), 1, func(vs []migrations.Value, more []int64) error { return yield(vs, int(more[0])) }); err != nil {
			return err
		}
	}
	return nil
}

// Rows joins the keys with the table as the snapshot sees both, each row once.
func (b *batch) Rows(ctx context.Context, i int, ranges []migrations.Range, yield func(migrations.Row, int) error) error {
	t, keys := b.tables[i], b.slotKeys(i)
	if serverlog.Added(keys) > keysAtOnce {
		standing, err := b.standing(ctx, i)
		defer func() { _ = standing.Close() }() // it was only read
		if err != nil {
			return err
		}
		keys = []*serverlog.Keys{standing}
	}
	for set, err := range b.sets(i, keys) {
		if err != nil {
			return err
		}
		var p parameters
		changed := set(&p)
		rows, err := query(ctx, b.tx, fmt.Sprintf("SELECT %s, %s FROM %s WHERE (%s) IN (%s)",
			t.selectList("t"), t.locate(ranges, t.keyList("t"), &p), t.from(), t.keyList("t"), changed), p)
		if err != nil {
			return err
		}
		err = scan(rows, t.columns, 1, func(vs []migrations.Value, more []int64) error { return yield(vs, int(more[0])) })
		if err != nil {
			return err
		}
	}
	return nil
}

// standing are the keys of the rows that stand under changed keys, as the rows have them. Two keys that are written
// differently and are equal may lie in two sets; of those here each is another row's. The caller closes it, in any case.
func (b *batch) standing(ctx context.Context, i int) (*serverlog.Keys, error) {
	t, out := b.tables[i], &serverlog.Keys{}
	for set, err := range b.sets(i, b.keys[i]) {
		if err != nil {
			return out, err
		}
		var p parameters
		changed := set(&p)
		rows, err := query(ctx, b.tx, fmt.Sprintf("SELECT %s FROM %s WHERE (%s) IN (%s)", t.keyList("t"), t.from(), t.keyList("t"), changed), p)
		if err != nil {
			return out, err
		}
		if err := scan(rows, t.key(), 0, func(vs []migrations.Value, _ []int64) error { return out.Add(vs) }); err != nil {
			return out, err
		}
	}
	return out, nil
}

// Lookup reads single rows in the snapshot.
func (b *batch) Lookup(ctx context.Context, i int, keys []migrations.Key, yield func(migrations.Row) error) error {
	return b.tables[i].lookup(ctx, b.tx, keys, yield)
}

// Forget deletes the batch's entries by id and nonce, counts who wrote them, and records the batch's serial,
// in one transaction.
func (d *Database) Forget(ctx context.Context, mb migrations.Batch) error {
	b := mb.(*batch)
	if err := b.Close(); err != nil {
		return err
	}
	if b.logical {
		again := b.again
		b.again = 0 // forgotten twice, it takes nothing along that came later
		return d.forgetSlot(ctx, b.next, b.term, again)
	}
	return d.write(ctx, func(x *tx) error {
		var term int64
		if err := x.QueryRow(ctx, "SELECT term FROM "+d.ours("strangler_fence")+" WHERE capability = $1::text", d.b.Capability).Scan(&term); err != nil || term != b.term {
			return err
		}
		for i, t := range b.tables {
			if len(b.ids[i]) == 0 {
				continue
			}
			_, err := x.Exec(ctx, fmt.Sprintf(`WITH gone AS (DELETE FROM %s AS l USING unnest($1::bigint[], $2::bigint[]) AS e (id, nonce) WHERE l.id = e.id AND l.nonce = e.nonce RETURNING l.writer)
				INSERT INTO %s AS w (capability, "user", application, address, writes, last)
				SELECT $3::text, split_part(writer, E'\t', 1), split_part(writer, E'\t', 2), split_part(writer, E'\t', 3), count(*), now() FROM gone WHERE writer <> '' GROUP BY writer
				ON CONFLICT (capability, "user", application, address) DO UPDATE SET writes = w.writes + excluded.writes, last = excluded.last`,
				d.ours(d.logTable(t.bound)), d.ours("strangler_writer")), b.ids[i], b.nonces[i], d.b.Capability)
			if err != nil {
				return err
			}
		}
		_, err := x.Exec(ctx, "UPDATE "+d.ours("strangler_position")+" SET forgotten = greatest(forgotten, $1::bigint) WHERE capability = $2::text", b.next.serial, d.b.Capability)
		return err
	})
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
	if base, err := d.base(begun, d.pool); err != nil || base >= 0 {
		return err
	}
	var logs []string
	for _, t := range tables {
		logs = append(logs, "EXISTS (SELECT FROM "+d.ours(d.logTable(t.bound))+")")
	}
	ask := "SELECT " + strings.Join(logs, " OR ")
	idle := time.NewTimer(idleRead)
	defer idle.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
		var some bool
		err := d.pool.QueryRow(asking, ask).Scan(&some)
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

// End is the serial of the last batch given away. Behind a closed fence an empty log means that
// nothing follows it.
func (d *Database) End(ctx context.Context) (migrations.Position, error) {
	var end at
	err := d.pool.QueryRow(ctx, "SELECT forgotten, CASE WHEN base IS NULL THEN 0 ELSE (pg_current_wal_insert_lsn() - '0/0')::bigint END FROM "+d.ours("strangler_position")+" WHERE capability = $1::text", d.b.Capability).Scan(&end.serial, &end.lsn)
	return end.position(), err
}

// Pending counts the entries of all logs; 0 where no capture is installed. Where a slot is to be read and is not, or
// has not been to its end, what is not known of counts as one.
func (d *Database) Pending(ctx context.Context) (total int64, err error) {
	if n, logical, err := d.pendingInSlot(ctx); logical || err != nil {
		return n, err
	}
	for _, name := range d.b.Tables {
		there, err := d.exists(ctx, d.logTable(name))
		if err != nil {
			return 0, err
		}
		if !there {
			continue
		}
		var n int64
		if err := d.pool.QueryRow(ctx, "SELECT count(*) FROM "+d.ours(d.logTable(name))).Scan(&n); err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
