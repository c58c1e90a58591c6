package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler/migrations"
)

// estimated is the number of rows from which on Count takes the planner's estimate.
const estimated = 1_000_000

func (t *table) selectList(alias string) string {
	return list(t.columns, func(c column) string { return alias + "." + ident(c.Name) })
}

func (t *table) keyList(alias string) string {
	return list(t.key(), func(c column) string { return alias + "." + ident(c.Name) })
}

// given is how a statement is given values: by parameters, or as literals where it can have none.
type given interface {
	add(c column, v migrations.Value) string
}

// within is the condition that a key, given as SQL expressions, lies in r.
func (t *table) within(key string, r migrations.Range, p given) string {
	bound := func(k migrations.Key) string {
		vs := make([]string, len(k))
		for j, c := range t.key() {
			vs[j] = p.add(c, k[j])
		}
		return "ROW(" + strings.Join(vs, ", ") + ")"
	}
	var cond []string
	if r.After != nil {
		cond = append(cond, "ROW("+key+") > "+bound(r.After))
	}
	if r.Upto != nil {
		cond = append(cond, "ROW("+key+") <= "+bound(r.Upto))
	}
	if cond == nil {
		return "true"
	}
	return strings.Join(cond, " AND ")
}

// locate is an expression for the index of the range that holds a key, or -1.
func (t *table) locate(ranges []migrations.Range, key string, p *parameters) string {
	if len(ranges) == 0 {
		return "-1"
	}
	at := "CASE"
	for j, r := range ranges {
		at += fmt.Sprintf(" WHEN %s THEN %d", t.within(key, r, p), j)
	}
	return at + " ELSE -1 END"
}

// query runs a statement whose answer is read as text.
func query(ctx context.Context, q querier, sql string, args parameters) (pgx.Rows, error) {
	return q.Query(ctx, sql, append([]any{textFormat}, args...)...)
}

// readWait is how long a reading statement waits for a lock. A worker that reads may hold what its own stream waits for, and
// the stream's snapshot what an application's TRUNCATE waits for: behind that one the statement would wait for itself, and
// with it everybody else.
const readWait = "200ms"

// briefly runs f in a transaction that only reads, and fails with ErrSlow where a lock is not to be had within readWait.
func (d *Database) briefly(ctx context.Context, f func(x pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, d.pool, pgx.TxOptions{BeginQuery: "BEGIN READ ONLY; SET LOCAL lock_timeout = '" + readWait + "'"}, f)
	if code(err) == lockNotAvailable {
		err = fmt.Errorf("%w: %w", migrations.ErrSlow, err)
	}
	return err
}

// Bound finds the end of the next chunk.
func (d *Database) Bound(ctx context.Context, i int, r migrations.Range, n int) (migrations.Key, error) {
	t, err := d.table(ctx, i)
	if err != nil {
		return nil, err
	}
	var p parameters
	ask := fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %[1]s LIMIT 1 OFFSET %[4]d", t.keyList("t"), t.from(), t.within(t.keyList("t"), r, &p), n-1)
	var bound migrations.Key
	err = d.briefly(ctx, func(x pgx.Tx) error {
		rows, err := query(ctx, x, ask, p)
		if err != nil {
			return err
		}
		return scan(rows, t.key(), 0, func(vs []migrations.Value, _ []int64) error {
			bound = vs
			return nil
		})
	})
	return bound, err
}

// Range yields the rows of a chunk as they come.
func (d *Database) Range(ctx context.Context, i int, r migrations.Range, yield func(migrations.Row) error) error {
	t, err := d.table(ctx, i)
	if err != nil {
		return err
	}
	var p parameters
	ask := fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s", t.selectList("t"), t.from(), t.within(t.keyList("t"), r, &p), t.keyList("t"))
	return d.briefly(ctx, func(x pgx.Tx) error {
		rows, err := query(ctx, x, ask, p)
		if err != nil {
			return err
		}
		return scan(rows, t.columns, 0, func(vs []migrations.Value, _ []int64) error { return yield(vs) })
	})
}

// Lookup reads single rows by one statement.
func (d *Database) Lookup(ctx context.Context, i int, keys []migrations.Key, yield func(migrations.Row) error) error {
	t, err := d.table(ctx, i)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return nil
	}
	return d.briefly(ctx, func(x pgx.Tx) error { return t.lookup(ctx, x, keys, yield) })
}

func (t *table) lookup(ctx context.Context, q querier, keys []migrations.Key, yield func(migrations.Row) error) error {
	if len(keys) == 0 {
		return nil
	}
	var p parameters
	rows, err := query(ctx, q, fmt.Sprintf("SELECT %s FROM %s WHERE %s", t.selectList("t"), t.from(), t.anyOf(p.keyArrays(t.key(), keys))), p)
	if err != nil {
		return err
	}
	return scan(rows, t.columns, 0, func(vs []migrations.Value, _ []int64) error { return yield(vs) })
}

// anyOf is the condition that t's key is one of those that given selects. In the common form a key is one that is written
// just so: what is equal here may be two at the other side.
func (t *table) anyOf(given string) string {
	equal := fmt.Sprintf("(%s) IN (%s)", t.keyList("t"), given)
	if !t.spelled() {
		return equal
	}
	return fmt.Sprintf("%s AND (%s) IN (SELECT %s FROM (%s) AS spelled)", equal, t.spelling(func(i int, c column) string { return "t." + ident(c.Name) }), t.spelling(numbered), given)
}

// Count is exact, but for tables that the planner takes for large.
func (d *Database) Count(ctx context.Context, i int) (n int64, err error) {
	t, err := d.table(ctx, i)
	if err != nil {
		return 0, err
	}
	if err := d.pool.QueryRow(ctx, "SELECT reltuples::bigint FROM pg_class WHERE oid = $1::oid", t.oid).Scan(&n); err != nil || n >= estimated {
		return n, err
	}
	err = d.briefly(ctx, func(x pgx.Tx) error { return x.QueryRow(ctx, "SELECT count(*) FROM "+t.from()).Scan(&n) })
	return n, err
}

// KeyOf takes the key out of a row of this side's table.
func (d *Database) KeyOf(i int, r migrations.Row) migrations.Key {
	d.metaMu.Lock()
	defer d.metaMu.Unlock()
	return d.meta[i].keyOf(r)
}

func (t *table) keyOf(r migrations.Row) migrations.Key {
	k := make(migrations.Key, len(t.keyAt))
	for j, at := range t.keyAt {
		k[j] = r[at]
	}
	return k
}
