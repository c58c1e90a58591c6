package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strangler-fig/strangler/migrations"
)

// selectList reads every column as an expression, so that the driver gives what is stored and does not
// turn the text of a column declared DATETIME into a time.
func (t *table) selectList(alias string) string {
	return list(t.columns, func(c migrations.Column) string { return "+" + alias + "." + ident(c.Name) })
}

func (t *table) keyList(alias string) string {
	return list(t.key, func(k keyColumn) string { return k.of(alias) })
}

func (t *table) order() string { return "ORDER BY " + t.keyList("t") }

// within is the condition that a key, given as SQL expressions, lies in r; args are appended.
func within(key string, n int, r migrations.Range, args *[]any) string {
	marks := "(" + strings.TrimSuffix(strings.Repeat("?, ", n), ", ") + ")"
	cond := []string{"1"}
	if r.After != nil {
		cond = append(cond, fmt.Sprintf("(%s) > %s", key, marks))
		*args = append(*args, r.After...)
	}
	if r.Upto != nil {
		cond = append(cond, fmt.Sprintf("(%s) <= %s", key, marks))
		*args = append(*args, r.Upto...)
	}
	return strings.Join(cond, " AND ")
}

// Bound finds the end of the next chunk.
func (d *Database) Bound(ctx context.Context, i int, r migrations.Range, n int) (migrations.Key, error) {
	t, err := d.table(ctx, i)
	if err != nil {
		return nil, err
	}
	var args []any
	query := fmt.Sprintf("SELECT %s FROM %s AS t WHERE %s %s LIMIT 1 OFFSET %d",
		list(t.key, func(k keyColumn) string { return "+t." + ident(k.name) }), t.from(), within(t.keyList("t"), len(t.key), r, &args), t.order(), n-1)
	rows, err := d.pool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	var bound migrations.Key
	err = d.scan(rows, t, t.keyColumns(), 0, func(vs []migrations.Value, _ []int64) error {
		bound = vs
		return nil
	})
	return bound, err
}

// Range yields the rows of a chunk; they are read whole before the first is given away, so that the
// snapshot lasts no longer than the reading.
func (d *Database) Range(ctx context.Context, i int, r migrations.Range, yield func(migrations.Row) error) error {
	t, err := d.table(ctx, i)
	if err != nil {
		return err
	}
	var args []any
	rows, err := d.pool.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s AS t WHERE %s %s", t.selectList("t"), t.from(), within(t.keyList("t"), len(t.key), r, &args), t.order()), args...)
	if err != nil {
		return err
	}
	var all []migrations.Row
	if err := d.scan(rows, t, t.columns, 0, func(vs []migrations.Value, _ []int64) error {
		all = append(all, vs)
		return nil
	}); err != nil {
		return err
	}
	for _, row := range all {
		if err := yield(row); err != nil {
			return err
		}
	}
	return nil
}

// lookupKeys is how many rows one statement looks up.
const lookupKeys = 100

// Lookup reads single rows in one read transaction.
func (d *Database) Lookup(ctx context.Context, i int, keys []migrations.Key, yield func(migrations.Row) error) error {
	return d.read(ctx, func(q querier) error {
		return d.lookup(ctx, q, i, keys, yield)
	})
}

func (d *Database) lookup(ctx context.Context, q querier, i int, keys []migrations.Key, yield func(migrations.Row) error) error {
	t, err := d.table(ctx, i)
	if err != nil {
		return err
	}
	query := "SELECT " + t.selectList("t") + " FROM " + t.from() + " AS t WHERE "
	var asked map[string]bool // nil: keys that are written differently may be the same row's
	if d.b.Common && t.loose() {
		asked = make(map[string]bool, len(keys))
		for _, k := range keys {
			asked[string(migrations.Encode(k))] = true
		}
	}
	yielded := map[string]bool{}
	once := func(vs []migrations.Value, _ []int64) error {
		if len(keys) > lookupKeys || asked != nil {
			k := string(migrations.Encode(t.keyOf(vs)))
			if yielded[k] || asked != nil && !asked[k] {
				return nil
			}
			yielded[k] = true
		}
		return yield(vs)
	}
	for part := range slices.Chunk(keys, lookupKeys) {
		args := make([]any, 0, len(part)*len(t.key))
		for _, k := range part {
			args = append(args, k...)
		}
		rows, err := q.QueryContext(ctx, query+t.anyOf(len(part)), args...)
		if err != nil {
			return err
		}
		if err := d.scan(rows, t, t.columns, 0, once); err != nil {
			return err
		}
	}
	return nil
}

// anyOf is the condition that the key is one of n bound. It is written so that the key's index serves it:
// a list for one column, alternatives for several.
func (t *table) anyOf(n int) string {
	if len(t.key) == 1 {
		return t.key[0].of("t") + " IN (" + strings.TrimSuffix(strings.Repeat("?, ", n), ", ") + ")"
	}
	one := t.byKey("", "t")
	one = "(" + strings.TrimPrefix(one, " WHERE ") + ")"
	return strings.TrimSuffix(strings.Repeat(one+" OR ", n), " OR ")
}

// byKey completes a statement with the condition that the key is the one bound.
func (t *table) byKey(statement, alias string) string {
	cond := make([]string, len(t.key))
	for i, k := range t.key {
		cond[i] = k.of(alias) + " = ?"
	}
	return statement + " WHERE " + strings.Join(cond, " AND ")
}

// counted is a table's number of rows as it was some time ago.
type counted struct {
	rows int64
	at   time.Time
	took time.Duration
}

// SQLite counts rows by reading the whole table, and whoever watches a copy asks for it all the time.
const (
	quickCount = 100_000 // so many rows are counted each time
	countAge   = 10 * time.Second
	countShare = 50 // a table that takes long to count is counted for one part in so many of the time
)

// Count is exact for a table of up to 100,000 rows; for a larger one it may be some seconds old.
func (d *Database) Count(ctx context.Context, i int) (int64, error) {
	t, err := d.table(ctx, i)
	if err != nil {
		return 0, err
	}
	d.countMu.Lock()
	defer d.countMu.Unlock()
	c, began := d.counts[i], time.Now()
	if c.rows > quickCount && began.Before(c.at.Add(max(countAge, countShare*c.took))) {
		return c.rows, nil
	}
	if err := d.pool.QueryRowContext(ctx, "SELECT count(*) FROM "+t.from()).Scan(&c.rows); err != nil {
		return 0, err
	}
	c.at, c.took = time.Now(), time.Since(began)
	d.counts[i] = c
	return c.rows, nil
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

// read runs f in one read transaction.
func (d *Database) read(ctx context.Context, f func(querier) error) error {
	conn, err := d.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Also behind a failed BEGIN: interrupted at the wrong instant, it has begun and says that it has not.
	defer conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	return f(conn)
}
