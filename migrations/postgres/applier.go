package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// apply is the applier's transaction. Its pass ends with it. What it is given to write is collected and
// sent in bulk, so an error of Delete, Insert, Keep or Drop may come from a later call, at the latest from
// Commit, which then has written nothing.
type apply struct {
	*tx
	tables []*table
	rows   []rowBuffer // by table
	kept   keyBuffer
	base   int64 // of the capture here, once this transaction is committed; 0: none

	cascades migrations.Cascades
}

// Begin locks the fence row against a new term, then checks the term, the control id and the fence. In this
// session no trigger of the target fires but those of ours, and no foreign key is checked.
func (d *Database) Begin(ctx context.Context, term int64) (_ migrations.Apply, err error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	t, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.rollback())
		}
	}()
	if _, err := t.Exec(ctx, "SELECT set_config('session_replication_role', 'replica', true), set_config('strangler.applier', $1::text, true)", fmt.Sprint(term)); err != nil {
		if code(err) == "42501" { // insufficient_privilege
			return nil, d.replicaRefused(t.Conn().PgConn().ParameterStatus("server_version"))
		}
		return nil, err
	}
	f := migrations.Fence{Installed: true}
	err = t.QueryRow(ctx, "SELECT control_id, epoch, state, term FROM "+d.ours("strangler_fence")+" WHERE capability = $1::text FOR SHARE", d.b.Capability).Scan(&f.ControlID, &f.Epoch, &f.State, &f.Term)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	if f.Term != term || f.ControlID != d.b.ControlID || f.State != migrations.FenceClosed {
		return nil, fmt.Errorf("%w: the %s database of %s is at term %d, fence %q, control store %q; this worker's term is %d; nothing was written",
			strangler.ErrSuperseded, d.b.Side, d.b.Capability, f.Term, f.State, f.ControlID, term)
	}
	s, tables, err := d.asPlanned(ctx, t, tables)
	if err != nil {
		return nil, err
	}
	for _, p := range s.relations {
		if gone, _ := d.broken(tables[p.table], p, 'A', nil); len(gone) > 0 {
			return nil, fmt.Errorf("%w: in the %s database the fence was dropped, disabled or changed (%s), so it may hold writes of its own. It is put back when the split goes on: strangler split start %s, then strangler split verify %s",
				strangler.ErrStopped, d.b.Side, strings.Join(gone, ", "), d.b.Capability, d.b.Capability)
		}
	}
	a := &apply{tx: t, tables: tables, rows: make([]rowBuffer, len(tables))}
	a.kept.tx = t
	for i := range a.rows {
		a.rows[i] = rowBuffer{tx: t, table: tables[i]}
	}
	d.stopFeed() // this side follows
	if a.cascades, err = d.readCascades(ctx, t.Tx); err != nil {
		return nil, err
	}
	return a, a.rest(ctx)
}

// Commit writes what is collected, and the deferred constraints have their say before it.
func (a *apply) Commit() error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	err := a.flush(ctx)
	if err == nil {
		err = a.carryOut(ctx)
	}
	if err != nil {
		return errors.Join(err, a.rollback())
	}
	if err := a.commit(); err != nil {
		return err
	}
	_ = a.d.let(a.base) // the next one lets go of as much
	return nil
}

func (a *apply) Rollback() error { return a.rollback() }

func (a *apply) flush(ctx context.Context) error {
	if a.ended {
		return errors.New("transaction has ended")
	}
	for i := range a.rows {
		if err := a.rows[i].flush(ctx); err != nil {
			return err
		}
	}
	return a.kept.flush(ctx)
}

func (a *apply) Delete(ctx context.Context, i int, k migrations.Key) error {
	a.cascades.Deleted(i, k)
	return a.rows[i].delete(ctx, k)
}

func (a *apply) Insert(ctx context.Context, i int, r migrations.Row) error {
	if a.cascades.Watches(i) {
		a.cascades.Written(i, a.tables[i].keyOf(r))
	}
	return a.rows[i].insert(ctx, r)
}

func (a *apply) Empty(ctx context.Context, i int) error {
	if err := a.rows[i].flush(ctx); err != nil {
		return err
	}
	a.cascades.Emptied(i)
	if t := a.tables[i]; t.shared() {
		return a.rows[i].giveUp(ctx, "true", nil)
	}
	_, err := a.Exec(ctx, "DELETE FROM "+a.tables[i].full())
	return err
}

func (a *apply) Get(ctx context.Context, i int, keys []migrations.Key, yield func(migrations.Row) error) error {
	if err := a.rows[i].flush(ctx); err != nil {
		return err
	}
	return a.tables[i].lookup(ctx, a.Tx, keys, yield)
}

// SetSequences puts every ascending sequence of a table ahead, within what it can count to. A sequence does
// not go back with the transaction; ahead is harmless.
func (a *apply) SetSequences(ctx context.Context, next []int64) error {
	for i, t := range a.tables {
		for _, c := range t.columns {
			if c.sequence == "" || next[i] == 0 {
				continue
			}
			_, err := a.Exec(ctx, `SELECT setval($1::text::regclass, greatest(least($2::bigint, seqmax), pg_sequence_last_value(seqrelid))) FROM pg_sequence
				WHERE seqrelid = $1::text::regclass AND seqincrement > 0 AND least($2::bigint, seqmax) >= seqmin`, c.sequence, next[i])
			if err != nil {
				return fmt.Errorf("sequence %s: %w", c.sequence, err)
			}
		}
	}
	return nil
}

// Sequences are the highest numbers that a table's sequences have given out, the blocks that sessions have
// cached included.
func (d *Database) Sequences(ctx context.Context) ([]int64, error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]int64, len(tables))
	for i, t := range tables {
		for _, c := range t.columns {
			if c.sequence == "" {
				continue
			}
			var n int64
			err := d.pool.QueryRow(ctx, "SELECT coalesce((SELECT pg_sequence_last_value(seqrelid) FROM pg_sequence WHERE seqrelid = $1::text::regclass AND seqincrement > 0), 0)", c.sequence).Scan(&n)
			if err != nil {
				return nil, fmt.Errorf("sequence %s: %w", c.sequence, err)
			}
			out[i] = max(out[i], n)
		}
	}
	return out, nil
}

// Advance keeps the position as the owner's engine writes it, which may be another.
func (a *apply) Advance(ctx context.Context, from, to migrations.Position) error {
	done, err := a.Exec(ctx, "UPDATE "+a.d.ours("strangler_position")+" SET applied = $1::text WHERE capability = $2::text AND applied = $3::text", string(to), a.d.b.Capability, string(from))
	if err == nil && done.RowsAffected() == 0 {
		err = fmt.Errorf("%w: the position at the %s database is no longer %s", strangler.ErrSuperseded, a.d.b.Side, from)
	}
	return err
}

// Applied reads the position.
func (d *Database) Applied(ctx context.Context) (migrations.Position, error) {
	var p string
	err := d.pool.QueryRow(ctx, "SELECT applied FROM "+d.ours("strangler_position")+" WHERE capability = $1::text", d.b.Capability).Scan(&p)
	return migrations.Position(p), err
}

// Marks reads the progress of the copy.
func (d *Database) Marks(ctx context.Context) ([]migrations.Mark, error) {
	return d.marks(ctx, d.pool, "")
}

// Locked reads the marks in a look of its own, behind the batch's snapshot, and keeps them as they are.
func (a *apply) Locked(ctx context.Context) ([]migrations.Mark, error) {
	return a.d.marks(ctx, a.Tx, "FOR SHARE")
}

func (d *Database) marks(ctx context.Context, q querier, lock string) ([]migrations.Mark, error) {
	rows, err := q.Query(ctx, "SELECT tbl, part, after, upto, done, flight, in_flight, attempt, finished, copied, loose IS NOT NULL FROM "+d.ours("strangler_mark")+" WHERE capability = $1::text ORDER BY tbl, part "+lock, d.b.Capability)
	return collect(rows, err, func(r pgx.Rows) (m migrations.Mark, err error) {
		var after, upto, done, flight []byte
		err = r.Scan(&m.Table, &m.Part, &after, &upto, &done, &flight, &m.InFlight, &m.Attempt, &m.Finished, &m.Rows, &m.Loose)
		for _, k := range []struct {
			from []byte
			to   *migrations.Key
		}{{after, &m.Bounds.After}, {upto, &m.Bounds.Upto}, {done, &m.Done}, {flight, &m.Flight}} {
			if err == nil {
				*k.to, err = decode(k.from)
			}
		}
		return m, err
	})
}

func decode(b []byte) (migrations.Key, error) {
	if b == nil {
		return nil, nil
	}
	return migrations.Decode(b)
}

func encode(k migrations.Key) []byte {
	if k == nil {
		return nil
	}
	return migrations.Encode(k)
}

func (a *apply) SetMark(ctx context.Context, attempt int64, m migrations.Mark) error {
	done, err := a.Exec(ctx, "UPDATE "+a.d.ours("strangler_mark")+" SET done = $1::bytea, flight = $2::bytea, in_flight = $3::boolean, attempt = $4::bigint, finished = $5::boolean, copied = $6::bigint, loose = CASE WHEN $7::boolean THEN loose END WHERE capability = $8::text AND tbl = $9::integer AND part = $10::integer AND attempt = $11::bigint",
		encode(m.Done), encode(m.Flight), m.InFlight, m.Attempt, m.Finished, m.Rows, m.Loose, a.d.b.Capability, m.Table, m.Part, attempt)
	if err == nil && done.RowsAffected() == 0 {
		err = fmt.Errorf("%w: the range in flight was marked anew", strangler.ErrSuperseded)
	}
	return passing(err)
}

func (a *apply) Divide(ctx context.Context, attempt int64, table int, keys []migrations.Key) error {
	mark := a.d.ours("strangler_mark")
	done, err := a.Exec(ctx, "UPDATE "+mark+" SET upto = $1::bytea, attempt = attempt + 1 WHERE capability = $2::text AND tbl = $3::integer AND part = 0 AND attempt = $4::bigint", encode(keys[0]), a.d.b.Capability, table, attempt)
	if err == nil && done.RowsAffected() == 0 {
		err = fmt.Errorf("%w: the copy of the table has begun", strangler.ErrSuperseded)
	}
	for i := 0; i < len(keys) && err == nil; i++ {
		var upto migrations.Key
		if i+1 < len(keys) {
			upto = keys[i+1]
		}
		_, err = a.Exec(ctx, "INSERT INTO "+mark+" (capability, tbl, part, after, upto, in_flight, attempt, finished, copied, columns, loose) SELECT capability, tbl, $1::integer, $2::bytea, $3::bytea, false, 0, false, 0, columns, loose FROM "+mark+" WHERE capability = $4::text AND tbl = $5::integer AND part = 0",
			i+1, encode(keys[i]), encode(upto), a.d.b.Capability, table)
	}
	return err
}

func (a *apply) Keep(ctx context.Context, kind migrations.KeyKind, table int, k migrations.Key) error {
	return a.kept.add(ctx, keyEntry{kind, table, migrations.Encode(k)}, false)
}

func (a *apply) Drop(ctx context.Context, kind migrations.KeyKind, table int, k migrations.Key) error {
	return a.kept.add(ctx, keyEntry{kind, table, migrations.Encode(k)}, true)
}

func (a *apply) Kept(ctx context.Context, kind migrations.KeyKind, table int, n int) ([]migrations.Key, error) {
	if err := a.kept.flush(ctx); err != nil {
		return nil, err
	}
	return a.d.keptKeys(ctx, a.Tx, kind, table, n)
}

// Kept lists keys that are kept here.
func (d *Database) Kept(ctx context.Context, kind migrations.KeyKind, table, n int) ([]migrations.Key, error) {
	return d.keptKeys(ctx, d.pool, kind, table, n)
}

func (d *Database) keptKeys(ctx context.Context, q querier, kind migrations.KeyKind, table, n int) ([]migrations.Key, error) {
	rows, err := q.Query(ctx, "SELECT key FROM "+d.ours("strangler_key")+" WHERE capability = $1::text AND kind = $2::text AND tbl = $3::integer LIMIT $4::bigint", d.b.Capability, string(kind), table, n)
	return collect(rows, err, func(r pgx.Rows) (migrations.Key, error) {
		var b []byte
		if err := r.Scan(&b); err != nil {
			return nil, err
		}
		return migrations.Decode(b)
	})
}
