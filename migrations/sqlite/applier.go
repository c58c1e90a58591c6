package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// apply is the applier's transaction. Its pass is a flag set and reset inside the transaction, which
// nobody else ever sees.
type apply struct {
	*tx
	tables []*table
	failed error // why what was written must not be committed

	cascades migrations.Cascades
}

// Begin takes the write lock, then checks the term, the control id and the fence.
func (d *Database) Begin(ctx context.Context, term int64) (migrations.Apply, error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	t, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	err = d.admit(ctx, t, term)
	if err == nil {
		err = t.clearBeside(ctx, tables)
	}
	a := &apply{tx: t, tables: tables}
	if err == nil {
		a.cascades, err = d.readCascades(ctx, t.w.conn)
	}
	if err != nil {
		return nil, errors.Join(err, t.rollback())
	}
	return a, nil
}

func (d *Database) admit(ctx context.Context, t *tx, term int64) error {
	f, err := readFence(ctx, t.w.conn, d.b.Capability)
	if err != nil {
		return err
	}
	if f.Term != term || f.ControlID != d.b.ControlID || f.State != migrations.FenceClosed {
		return fmt.Errorf("%w: the %s database of %s is at term %d, fence %q, control store %q; this worker's term is %d; nothing was written",
			strangler.ErrSuperseded, d.b.Side, d.b.Capability, f.Term, f.State, f.ControlID, term)
	}
	if err := d.whole(ctx, t); err != nil {
		return err
	}
	_, err = t.w.exec(ctx, "UPDATE strangler_fence SET applier = 1 WHERE capability = ?", d.b.Capability)
	return err
}

// whole checks, whenever the schema has changed, that the follower's fence still stands.
func (d *Database) whole(ctx context.Context, t *tx) error {
	var version int64
	if err := t.w.conn.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&version); err != nil || version == d.intact {
		return err
	}
	tables, err := d.asPlanned(ctx, t.w.conn)
	if err != nil {
		return err
	}
	found, err := ourTriggers(ctx, t.w.conn)
	if err != nil {
		return err
	}
	for i, name := range d.b.Tables {
		if gone := missing(d.fenceTriggers(name, tables[i]), found); len(gone) > 0 {
			return fmt.Errorf("%w: in the %s database the fence of %s was dropped or changed (%s), so it may hold writes of its own. It is put back when the split goes on: strangler split start %s, then strangler split verify %s",
				strangler.ErrStopped, d.b.Side, name, gone[0].name, d.b.Capability, d.b.Capability)
		}
	}
	d.intact = version
	return nil
}

func (a *apply) Commit() error {
	if a.failed != nil {
		return errors.Join(a.failed, a.rollback())
	}
	err := a.carryOut(context.Background())
	if err == nil {
		_, err = a.w.exec(context.Background(), "UPDATE strangler_fence SET applier = 0 WHERE capability = ?", a.d.b.Capability)
	}
	if err != nil {
		return errors.Join(err, a.rollback())
	}
	return a.commit()
}

func (a *apply) Rollback() error { return a.rollback() }

func (a *apply) Delete(ctx context.Context, i int, k migrations.Key) error {
	t := a.tables[i]
	a.cascades.Deleted(i, k)
	if !t.share.Whole() {
		return a.shareDelete(ctx, t, k)
	}
	statement, args := t.byKey("DELETE FROM "+ident(t.name), ident(t.name)), []any(k)
	if a.d.b.Common {
		statement, args = t.exactly(statement, k)
	}
	_, err := a.w.exec(ctx, statement, args...)
	return err
}

// Insert does not leave a conflict to the table's own ON CONFLICT, which may say to skip the row.
func (a *apply) Insert(ctx context.Context, i int, r migrations.Row) error {
	t := a.tables[i]
	if a.cascades.Watches(i) {
		a.cascades.Written(i, t.keyOf(r))
	}
	query := fmt.Sprintf("INSERT OR ABORT INTO %s (%s) VALUES (%s)", ident(t.name),
		list(t.columns, func(c migrations.Column) string { return ident(c.Name) }), strings.TrimSuffix(strings.Repeat("?, ", len(r)), ", "))
	values := []any(r)
	if a.d.b.Common {
		var err error
		if values, err = t.native(r); err != nil {
			return err
		}
	}
	if !t.share.Whole() {
		return a.shareInsert(ctx, t, r, query, values)
	}
	_, err := a.w.exec(ctx, query, values...)
	return t.refusal(err)
}

// refusal tells why the table did not take a row.
func (t *table) refusal(err error) error {
	if isUnique(err) {
		return fmt.Errorf("table %s: %w: %w", t.name, migrations.ErrDuplicate, err)
	}
	if isMisfit(err) {
		return fmt.Errorf("table %s: %w: %w", t.name, migrations.ErrMisfit, err)
	}
	return err
}

func (a *apply) Empty(ctx context.Context, i int) error {
	t := a.tables[i]
	a.cascades.Emptied(i)
	if !t.share.Whole() {
		return a.giveUp(ctx, t, " WHERE "+t.where(), nil)
	}
	_, err := a.w.exec(ctx, "DELETE FROM "+ident(t.name))
	return err
}

func (a *apply) Get(ctx context.Context, i int, keys []migrations.Key, yield func(migrations.Row) error) error {
	return a.d.lookup(ctx, a.w.conn, i, keys, yield)
}

func (a *apply) SetSequences(ctx context.Context, next []int64) error {
	for i, t := range a.tables {
		if !t.autoincr || next[i] == 0 {
			continue
		}
		n, err := a.w.exec(ctx, "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", next[i], t.name)
		if err == nil && n == 0 {
			_, err = a.w.exec(ctx, "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", t.name, next[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Sequences are the highest keys that AUTOINCREMENT has handed out. Another kind of database generates keys of its own for a
// table without that word too, and has to begin behind the highest.
func (d *Database) Sequences(ctx context.Context) ([]int64, error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]int64, len(tables))
	for i, t := range tables {
		var err error
		switch {
		case t.autoincr:
			err = d.pool.QueryRowContext(ctx, "SELECT seq FROM sqlite_sequence WHERE name = ?", t.name).Scan(&out[i])
		case t.aliased && d.b.Common:
			err = d.pool.QueryRowContext(ctx, fmt.Sprintf("SELECT coalesce(max(%s), 0) FROM %s", ident(t.key[0].name), ident(t.name))).Scan(&out[i])
			out[i] = max(out[i], 0)
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
	}
	return out, nil
}

// Advance keeps the position as the owner's engine writes it, which may be another.
func (a *apply) Advance(ctx context.Context, from, to migrations.Position) error {
	changed, err := a.w.exec(ctx, "UPDATE strangler_position SET applied = ? WHERE capability = ? AND applied = ?", string(to), a.d.b.Capability, string(from))
	if err == nil && changed == 0 {
		err = fmt.Errorf("%w: the position at the %s database is no longer %s", strangler.ErrSuperseded, a.d.b.Side, from)
	}
	return err
}

// Applied reads the position.
func (d *Database) Applied(ctx context.Context) (migrations.Position, error) {
	var p string
	err := d.pool.QueryRowContext(ctx, "SELECT applied FROM strangler_position WHERE capability = ?", d.b.Capability).Scan(&p)
	return migrations.Position(p), err
}

// Marks reads the progress of the copy.
func (d *Database) Marks(ctx context.Context) ([]migrations.Mark, error) {
	return marks(ctx, d.pool, d.b.Capability)
}

// Locked needs no lock of its own: the transaction has the only write lock there is.
func (a *apply) Locked(ctx context.Context) ([]migrations.Mark, error) {
	return marks(ctx, a.w.conn, a.d.b.Capability)
}

func marks(ctx context.Context, q querier, capability string) (out []migrations.Mark, err error) {
	err = each(ctx, q, "SELECT tbl, part, after, upto, done, flight, in_flight, attempt, finished, copied FROM strangler_mark WHERE capability = ? ORDER BY tbl, part", []any{capability}, func(scan func(...any) error) error {
		var m migrations.Mark
		var after, upto, done, flight []byte
		err := scan(&m.Table, &m.Part, &after, &upto, &done, &flight, &m.InFlight, &m.Attempt, &m.Finished, &m.Rows)
		for _, k := range []struct {
			from []byte
			to   *migrations.Key
		}{{after, &m.Bounds.After}, {upto, &m.Bounds.Upto}, {done, &m.Done}, {flight, &m.Flight}} {
			if err == nil {
				*k.to, err = decode(k.from)
			}
		}
		out = append(out, m)
		return err
	})
	return out, err
}

func decode(b []byte) (migrations.Key, error) {
	if b == nil {
		return nil, nil
	}
	return migrations.Decode(b)
}

func encode(k migrations.Key) any {
	if k == nil {
		return nil
	}
	return migrations.Encode(k)
}

func (a *apply) SetMark(ctx context.Context, attempt int64, m migrations.Mark) error {
	n, err := a.w.exec(ctx, "UPDATE strangler_mark SET done = ?, flight = ?, in_flight = ?, attempt = ?, finished = ?, copied = ? WHERE capability = ? AND tbl = ? AND part = ? AND attempt = ?",
		encode(m.Done), encode(m.Flight), m.InFlight, m.Attempt, m.Finished, m.Rows, a.d.b.Capability, m.Table, m.Part, attempt)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: the range in flight was marked anew", strangler.ErrSuperseded)
	}
	return err
}

func (a *apply) Divide(ctx context.Context, attempt int64, table int, keys []migrations.Key) error {
	n, err := a.w.exec(ctx, "UPDATE strangler_mark SET upto = ?, attempt = attempt + 1 WHERE capability = ? AND tbl = ? AND part = 0 AND attempt = ?", encode(keys[0]), a.d.b.Capability, table, attempt)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: the copy of the table has begun", strangler.ErrSuperseded)
	}
	for i := 0; i < len(keys) && err == nil; i++ {
		var upto migrations.Key
		if i+1 < len(keys) {
			upto = keys[i+1]
		}
		_, err = a.w.exec(ctx, "INSERT INTO strangler_mark (capability, tbl, part, after, upto, in_flight, attempt, finished, copied, columns) SELECT capability, tbl, ?, ?, ?, 0, 0, 0, 0, columns FROM strangler_mark WHERE capability = ? AND tbl = ? AND part = 0",
			i+1, encode(keys[i]), encode(upto), a.d.b.Capability, table)
	}
	return err
}

func (a *apply) Keep(ctx context.Context, kind migrations.KeyKind, table int, k migrations.Key) error {
	_, err := a.w.exec(ctx, "INSERT OR IGNORE INTO strangler_key (capability, kind, tbl, key) VALUES (?, ?, ?, ?)", a.d.b.Capability, string(kind), table, migrations.Encode(k))
	return err
}

func (a *apply) Kept(ctx context.Context, kind migrations.KeyKind, table int, n int) ([]migrations.Key, error) {
	return kept(ctx, a.w.conn, a.d.b.Capability, kind, table, n)
}

func (a *apply) Drop(ctx context.Context, kind migrations.KeyKind, table int, k migrations.Key) error {
	_, err := a.w.exec(ctx, "DELETE FROM strangler_key WHERE capability = ? AND kind = ? AND tbl = ? AND key = ?", a.d.b.Capability, string(kind), table, migrations.Encode(k))
	return err
}

// Kept lists keys that are kept here.
func (d *Database) Kept(ctx context.Context, kind migrations.KeyKind, table, n int) ([]migrations.Key, error) {
	return kept(ctx, d.pool, d.b.Capability, kind, table, n)
}

func kept(ctx context.Context, q querier, capability string, kind migrations.KeyKind, table, n int) (out []migrations.Key, err error) {
	err = each(ctx, q, "SELECT key FROM strangler_key WHERE capability = ? AND kind = ? AND tbl = ? LIMIT ?", []any{capability, string(kind), table, n}, func(scan func(...any) error) error {
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
