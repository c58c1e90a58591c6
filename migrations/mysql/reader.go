package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler/migrations"
)

// estimated is the number of rows from which on Count takes the server's estimate.
const estimated = 1_000_000

func (t *table) selectList(alias string) string {
	return list(t.columns, func(c column) string { return c.read(alias) })
}

func (t *table) names(alias string) []string {
	out := make([]string, len(t.keyAt))
	for i, c := range t.key() {
		out[i] = alias + "." + ident(c.Name)
	}
	return out
}

// compare is the condition that a key, given as SQL expressions, is behind k (">") or not behind it ("<="). It is written
// out, since the server finds nothing by comparing rows as a whole.
func (t *table) compare(names []string, k migrations.Key, behind bool) string {
	strict, last := ">", ">"
	if !behind {
		strict, last = "<", "<="
	}
	cond, key := "", t.key()
	for i := len(key) - 1; i >= 0; i-- {
		v := key[i].literal(k[i])
		if i == len(key)-1 {
			cond = fmt.Sprintf("%s %s %s", names[i], last, v)
			continue
		}
		cond = fmt.Sprintf("%s %s %s OR (%s = %s AND (%s))", names[i], strict, v, names[i], v, cond)
	}
	return "(" + cond + ")"
}

// within is the condition that a key lies in r.
func (t *table) within(names []string, r migrations.Range) string {
	var cond []string
	if r.After != nil {
		cond = append(cond, t.compare(names, r.After, true))
	}
	if r.Upto != nil {
		cond = append(cond, t.compare(names, r.Upto, false))
	}
	if cond == nil {
		return "TRUE"
	}
	return strings.Join(cond, " AND ")
}

// locate is an expression for the index of the range that holds a key, or -1.
func (t *table) locate(ranges []migrations.Range, names []string) string {
	if len(ranges) == 0 {
		return "-1"
	}
	at := "CASE"
	for j, r := range ranges {
		at += fmt.Sprintf(" WHEN %s THEN %d", t.within(names, r), j)
	}
	return at + " ELSE -1 END"
}

// Bound finds the end of the next chunk.
func (d *Database) Bound(ctx context.Context, i int, r migrations.Range, n int) (migrations.Key, error) {
	t, err := d.table(ctx, i)
	if err != nil {
		return nil, err
	}
	names := t.names("t")
	rows, err := d.pool.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s AS t WHERE %s ORDER BY %[1]s LIMIT 1 OFFSET %[4]d", strings.Join(names, ", "), t.from(), t.within(names, r), n-1))
	if err != nil {
		return nil, passing(err)
	}
	var bound migrations.Key
	err = scan(rows, t.key(), 0, func(vs []migrations.Value, _ []int64) error {
		bound = vs
		return nil
	})
	return bound, err
}

// Range yields the rows of a chunk as they come.
func (d *Database) Range(ctx context.Context, i int, r migrations.Range, yield func(migrations.Row) error) error {
	t, err := d.table(ctx, i)
	if err != nil {
		return err
	}
	rows, err := d.pool.QueryContext(ctx, t.rangeOf(r))
	if err != nil {
		return passing(err)
	}
	return scan(rows, t.columns, 0, func(vs []migrations.Value, _ []int64) error { return yield(vs) })
}

func (t *table) rangeOf(r migrations.Range) string {
	names := t.names("t")
	return fmt.Sprintf("SELECT %s FROM %s AS t WHERE %s ORDER BY %s", t.selectList("t"), t.from(), t.within(names, r), strings.Join(names, ", "))
}

// keysAtOnce is how many rows one statement looks up, or deletes.
const keysAtOnce = 500

// Lookup reads single rows in one snapshot.
func (d *Database) Lookup(ctx context.Context, i int, keys []migrations.Key, yield func(migrations.Row) error) (err error) {
	t, err := d.table(ctx, i)
	if err != nil || len(keys) == 0 {
		return err
	}
	if len(keys) <= keysAtOnce {
		return t.lookup(ctx, d.pool, keys, yield)
	}
	x, err := d.snapshot(ctx)
	if err != nil {
		return err
	}
	defer x.rollback()
	return t.lookup(ctx, x.conn, keys, yield)
}

func (t *table) lookup(ctx context.Context, q querier, keys []migrations.Key, yield func(migrations.Row) error) error {
	yielded := map[string]bool{} // keys that are written differently may be the same row's
	once := func(vs []migrations.Value, _ []int64) error {
		if len(keys) > keysAtOnce {
			k := string(migrations.Encode(t.keyOf(vs)))
			if yielded[k] {
				return nil
			}
			yielded[k] = true
		}
		return yield(vs)
	}
	for part := range slices.Chunk(keys, keysAtOnce) {
		rows, err := q.QueryContext(ctx, "SELECT "+t.selectList("t")+" FROM "+t.from()+" AS t WHERE "+t.anyOf(t.names("t"), part))
		if err != nil {
			return passing(err)
		}
		if err := scan(rows, t.columns, 0, once); err != nil {
			return err
		}
	}
	return nil
}

// anyOf is the condition that a key is one of several, written so that the key's index serves it. In the common form a key
// is one that is written just so: what is equal here may be two at the other side.
func (t *table) anyOf(names []string, keys []migrations.Key) string {
	key := t.key()
	var b []byte
	if len(key) == 1 {
		b = append(b, names[0]+" IN ("...)
		for i, k := range keys {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = key[0].appendLiteral(b, k[0])
		}
		b = append(b, ')')
		if key[0].spelled() {
			b = append(b, " AND "+written(names[0])+" IN ("+list(keys, func(k migrations.Key) string { return key[0].bytes(k[0]) })+")"...)
		}
		return string(b)
	}
	for i, k := range keys {
		if i > 0 {
			b = append(b, " OR "...)
		}
		b = append(b, '(')
		for j, c := range key {
			if j > 0 {
				b = append(b, " AND "...)
			}
			b = c.appendLiteral(append(b, names[j]+" = "...), k[j])
			if c.spelled() {
				b = append(b, " AND "+written(names[j])+" = "+c.bytes(k[j])...)
			}
		}
		b = append(b, ')')
	}
	return "(" + string(b) + ")"
}

// spelled reports whether values of a column that are equal may be written differently, and it matters.
func (c column) spelled() bool { return c.common && c.Kind == migrations.KindText }

// written are the bytes of a text, and bytes those of a value, whatever the collation and the character set of its column.
func written(name string) string { return "CAST(CONVERT(" + name + " USING utf8mb4) AS BINARY)" }

func (c column) bytes(v migrations.Value) string { return c.literal([]byte(v.(string))) }

// Count is exact, but for tables that the server takes for large.
func (d *Database) Count(ctx context.Context, i int) (n int64, err error) {
	t, err := d.table(ctx, i)
	if err != nil {
		return 0, err
	}
	err = d.pool.QueryRowContext(ctx, "SELECT COALESCE(TABLE_ROWS, 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?", t.name).Scan(&n)
	if err != nil || n >= estimated {
		return n, err
	}
	err = d.pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+t.from()+" AS t").Scan(&n)
	return n, passing(err)
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
