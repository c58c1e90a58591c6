package mysql

import (
	"context"
	"errors"
	"fmt"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// apply is the applier's transaction. Its pass is a variable of its session, which is taken away before the transaction
// ends. What it is given to write is collected and sent in bulk, so an error of Delete, Insert, Keep or Drop may come from a
// later call, at the latest from Commit, which then has written nothing.
type apply struct {
	*tx
	tables []*table
	rows   []rowBuffer // by table
	keys   map[keysOf]*keyBuffer
	failed error // why what was written must not be committed

	cascades migrations.Cascades
}

// enter and leave are what an applier's session has beyond others': foreign keys are not checked, and do nothing.
const (
	enter = "SET SESSION foreign_key_checks = 0"
	leave = "SET SESSION foreign_key_checks = 1, @strangler_applier = NULL"
)

// Begin locks the fence row against a new term, then checks the term, the control id and the fence.
func (d *Database) Begin(ctx context.Context, term int64) (_ migrations.Apply, err error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	t, err := d.begin(ctx, enter+", @strangler_applier = "+literal(d.pass(term)))
	if err != nil {
		return nil, err
	}
	t.leave = leave
	defer func() {
		if err != nil {
			err = errors.Join(err, t.rollback())
		}
	}()
	f, err := d.readFence(ctx, t.conn, "LOCK IN SHARE MODE")
	if err != nil {
		return nil, passing(err)
	}
	if f.Term != term || f.ControlID != d.b.ControlID || f.State != migrations.FenceClosed {
		return nil, fmt.Errorf("%w: the %s database of %s is at term %d, fence %q, control store %q; this worker's term is %d; nothing was written",
			strangler.ErrSuperseded, d.b.Side, d.b.Capability, f.Term, f.State, f.ControlID, term)
	}
	a := &apply{tx: t, tables: tables, rows: make([]rowBuffer, len(tables)), keys: map[keysOf]*keyBuffer{}}
	found, err := readTriggers(ctx, d.pool, d.b.Tables...)
	if err != nil {
		return nil, err
	}
	for i, name := range d.b.Tables {
		if gone := missing(d.fenceTriggers(tables[i]), found); len(gone) > 0 {
			return nil, fmt.Errorf("%w: in the %s database the fence of %s was dropped or changed (%s), so it may hold writes of its own. It is put back when the split goes on: strangler split start %s, then strangler split verify %s",
				strangler.ErrStopped, d.b.Side, name, gone[0].name, d.b.Capability, d.b.Capability)
		}
		a.rows[i] = rowBuffer{x: t, t: tables[i]}
	}
	d.stopFeed() // this side follows
	if err := a.rest(ctx); err != nil {
		return nil, err
	}
	if a.cascades, err = d.readCascades(ctx, t.conn); err != nil {
		return nil, err
	}
	return a, d.asPlanned(ctx, d.pool, tables)
}

// Commit writes what is collected, and takes the pass away before it commits.
func (a *apply) Commit() error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	if a.ended {
		return errors.New("transaction has ended")
	}
	err := a.failed
	for i := range a.rows {
		if err == nil {
			err = a.rows[i].flush(ctx)
		}
	}
	for _, keys := range a.keys {
		if err == nil {
			err = keys.flush(ctx)
		}
	}
	if err == nil {
		_, err = a.exec(ctx, leave)
	}
	if err == nil {
		err = a.carryOut(ctx)
	}
	if err != nil {
		return errors.Join(err, a.rollback())
	}
	return a.commit()
}

func (a *apply) Rollback() error { return a.rollback() }

func (a *apply) Delete(ctx context.Context, i int, k migrations.Key) error {
	a.cascades.Deleted(i, k)
	return a.rows[i].delete(ctx, k)
}

func (a *apply) Insert(ctx context.Context, i int, r migrations.Row) error {
	if a.cascades.Watches(i) {
		a.cascades.Written(i, a.tables[i].keyOf(r))
	}
	return a.rows[i].add(ctx, r)
}

func (a *apply) Empty(ctx context.Context, i int) error {
	if err := a.rows[i].flush(ctx); err != nil {
		return err
	}
	a.cascades.Emptied(i)
	_, err := a.exec(ctx, a.tables[i].removal("TRUE"))
	return passing(err)
}

func (a *apply) Get(ctx context.Context, i int, keys []migrations.Key, yield func(migrations.Row) error) error {
	if err := a.rows[i].flush(ctx); err != nil {
		return err
	}
	return a.tables[i].lookup(ctx, a.conn, keys, yield)
}

// SetSequences puts generated keys ahead. A row with the key is inserted and taken back, or meets another row's unique
// value: the server's counter has gone ahead either way, and does not go back with the transaction. ALTER TABLE would commit
// it, and wait for everybody who reads the table.
func (a *apply) SetSequences(ctx context.Context, next []int64) error {
	for i, t := range a.tables {
		if t.auto == "" || next[i] == 0 {
			continue
		}
		lenient, strict := "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'", "SET SESSION sql_mode = '"+strictMode+"'"
		if a.d.mariadb {
			lenient, strict = lenient+", check_constraint_checks = 0", strict+", check_constraint_checks = 1"
		}
		for _, q := range []string{lenient, "SAVEPOINT strangler_sequence", fmt.Sprintf("INSERT INTO %s (%s) SELECT %d", ident(t.name), ident(t.auto), next[i]), "ROLLBACK TO strangler_sequence", strict} {
			if _, err := a.exec(ctx, q); err != nil && number(err) != errDuplicate {
				_ = a.discard()
				return fmt.Errorf("the generated keys of %s: %w", t.name, err)
			}
		}
	}
	return nil
}

// Sequences are the highest keys that AUTO_INCREMENT has handed out.
func (d *Database) Sequences(ctx context.Context) ([]int64, error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]int64, len(tables))
	for i, t := range tables {
		if t.auto == "" {
			continue
		}
		var next uint64
		if err := d.pool.QueryRowContext(ctx, "SELECT COALESCE(AUTO_INCREMENT, 1) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?", t.name).Scan(&next); err != nil {
			return nil, fmt.Errorf("the generated keys of %s: %w", t.name, err)
		}
		out[i] = int64(min(next-1, 1<<63-1))
	}
	return out, nil
}

// Advance keeps the position as the owner's engine writes it, which may be another.
func (a *apply) Advance(ctx context.Context, from, to migrations.Position) error {
	changed, err := a.exec(ctx, "UPDATE strangler_position SET applied = ? WHERE capability = ? AND applied = ?", string(to), a.d.b.Capability, string(from))
	if err == nil && changed == 0 {
		err = fmt.Errorf("%w: the position at the %s database is no longer %s", strangler.ErrSuperseded, a.d.b.Side, from)
	}
	return passing(err)
}

// Applied reads the position.
func (d *Database) Applied(ctx context.Context) (migrations.Position, error) {
	var p string
	err := d.pool.QueryRowContext(ctx, "SELECT applied FROM strangler_position WHERE capability = ?", d.b.Capability).Scan(&p)
	return migrations.Position(p), err
}

// Marks reads the progress of the copy.
func (d *Database) Marks(ctx context.Context) ([]migrations.Mark, error) {
	return d.marks(ctx, d.pool, "")
}

// Locked reads the marks as they are now, and keeps them so.
func (a *apply) Locked(ctx context.Context) ([]migrations.Mark, error) {
	return a.d.marks(ctx, a.conn, "LOCK IN SHARE MODE")
}

func (d *Database) marks(ctx context.Context, q querier, lock string) (out []migrations.Mark, err error) {
	err = each(ctx, q, "SELECT tbl, part, `after`, upto, done, flight, in_flight, attempt, finished, copied FROM strangler_mark WHERE capability = ? ORDER BY tbl, part "+lock, []any{d.b.Capability}, func(scan func(...any) error) error {
		var m migrations.Mark
		var after, upto, done, flight []byte
		err := scan(&m.Table, &m.Part, &after, &upto, &done, &flight, &m.InFlight, &m.Attempt, &m.Finished, &m.Rows)
		for _, k := range []struct {
			from []byte
			to   *migrations.Key
		}{{after, &m.Bounds.After}, {upto, &m.Bounds.Upto}, {done, &m.Done}, {flight, &m.Flight}} {
			if err == nil && k.from != nil {
				*k.to, err = migrations.Decode(k.from)
			}
		}
		out = append(out, m)
		return err
	})
	return out, passing(err)
}

func encode(k migrations.Key) any {
	if k == nil {
		return nil
	}
	return migrations.Encode(k)
}

func (a *apply) SetMark(ctx context.Context, attempt int64, m migrations.Mark) error {
	n, err := a.exec(ctx, "UPDATE strangler_mark SET done = ?, flight = ?, in_flight = ?, attempt = ?, finished = ?, copied = ? WHERE capability = ? AND tbl = ? AND part = ? AND attempt = ?",
		encode(m.Done), encode(m.Flight), m.InFlight, m.Attempt, m.Finished, m.Rows, a.d.b.Capability, m.Table, m.Part, attempt)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: the range in flight was marked anew", strangler.ErrSuperseded)
	}
	return passing(err)
}

func (a *apply) Divide(ctx context.Context, attempt int64, table int, keys []migrations.Key) error {
	n, err := a.exec(ctx, "UPDATE strangler_mark SET upto = ?, attempt = attempt + 1 WHERE capability = ? AND tbl = ? AND part = 0 AND attempt = ?", encode(keys[0]), a.d.b.Capability, table, attempt)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: the copy of the table has begun", strangler.ErrSuperseded)
	}
	for i := 0; i < len(keys) && err == nil; i++ {
		var upto migrations.Key
		if i+1 < len(keys) {
			upto = keys[i+1]
		}
		_, err = a.exec(ctx, "INSERT INTO strangler_mark (capability, tbl, part, `after`, upto, in_flight, attempt, finished, copied, `columns`) SELECT capability, tbl, ?, ?, ?, 0, 0, 0, 0, `columns` FROM strangler_mark WHERE capability = ? AND tbl = ? AND part = 0",
			i+1, encode(keys[i]), encode(upto), a.d.b.Capability, table)
	}
	return passing(err)
}

func (a *apply) Keep(ctx context.Context, kind migrations.KeyKind, table int, k migrations.Key) error {
	return a.kept(kind, table).add(ctx, false, k)
}

func (a *apply) Drop(ctx context.Context, kind migrations.KeyKind, table int, k migrations.Key) error {
	return a.kept(kind, table).add(ctx, true, k)
}

func (a *apply) kept(kind migrations.KeyKind, table int) *keyBuffer {
	of := keysOf{kind, table}
	if a.keys[of] == nil {
		a.keys[of] = &keyBuffer{keysOf: of, x: a.tx}
	}
	return a.keys[of]
}

func (a *apply) Kept(ctx context.Context, kind migrations.KeyKind, table int, n int) ([]migrations.Key, error) {
	if err := a.kept(kind, table).flush(ctx); err != nil {
		return nil, err
	}
	return a.d.kept(ctx, a.conn, kind, table, n)
}

// Kept lists keys that are kept here.
func (d *Database) Kept(ctx context.Context, kind migrations.KeyKind, table, n int) ([]migrations.Key, error) {
	return d.kept(ctx, d.pool, kind, table, n)
}

func (d *Database) kept(ctx context.Context, q querier, kind migrations.KeyKind, table, n int) (out []migrations.Key, err error) {
	err = each(ctx, q, "SELECT `key` FROM strangler_key WHERE capability = ? AND kind = ? AND tbl = ? LIMIT ?", []any{d.b.Capability, string(kind), table, n}, func(scan func(...any) error) error {
		var b []byte
		if err := scan(&b); err != nil {
			return err
		}
		k, err := migrations.Decode(b)
		out = append(out, k)
		return err
	})
	return out, err
}
