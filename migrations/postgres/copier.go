package postgres

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler/migrations"
)

// samplePages is about how many pages of a table are looked at to cut it.
const samplePages = 400

// mostLanes leaves connections of a handle for the stream.
const mostLanes = 4

// Lanes is how many transactions fill a server at once: two at least, since one writes while the other reads.
func (d *Database) Lanes() int { return min(max(runtime.NumCPU(), 2), mostLanes) }

// Cut takes the quantiles of the keys on some pages, drawn by chance.
func (d *Database) Cut(ctx context.Context, i, n int, least int64) ([]migrations.Key, error) {
	t, err := d.table(ctx, i)
	if err != nil {
		return nil, err
	}
	var bytes int64
	if err := d.pool.QueryRow(ctx, `WITH RECURSIVE rel AS (SELECT $1::oid AS oid UNION SELECT i.inhrelid FROM rel JOIN pg_inherits AS i ON i.inhparent = rel.oid)
		SELECT coalesce(sum(pg_relation_size(oid)), 0)::bigint FROM rel`, t.oid).Scan(&bytes); err != nil {
		return nil, fmt.Errorf("size of %s: %w", t.bound, err)
	}
	if bytes < max(least, 1) {
		return nil, nil
	}
	const page = 8 << 10
	percent := min(100, 100*samplePages*page/float64(bytes))
	key := t.keyList("t")
	last := list(t.key(), func(c column) string { return "t." + ident(c.Name) + " DESC" })
	where := ""
	if t.where != "" {
		where = " WHERE " + t.inside()
	}
	rows, err := query(ctx, d.pool, "SELECT DISTINCT ON (part) "+key+" FROM (SELECT "+key+", ntile("+fmt.Sprint(n)+") OVER (ORDER BY "+key+") AS part FROM "+t.full()+
		" AS t TABLESAMPLE SYSTEM ("+strconv.FormatFloat(percent, 'f', -1, 64)+")"+where+") AS t WHERE part < "+fmt.Sprint(n)+" ORDER BY part, "+last, nil)
	if err != nil {
		return nil, err
	}
	var keys []migrations.Key
	err = scan(rows, t.key(), 0, func(vs []migrations.Value, _ []int64) error {
		keys = append(keys, vs)
		return nil
	})
	return keys, err
}

// alike are the types whose binary form is the same in every database, and no longer to read than their text:
// not those that number what a database has made, such as types and relations.
var alike = []uint32{
	16, 17, 18, 19, 20, 21, 23, 25, 114, 700, 701, 790, 829, 650, 869, 774, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266, 1560, 1562, 1700, 2950, 3802, // scalars
	1000, 1001, 1002, 1003, 1005, 1007, 1009, 1016, 199, 1014, 1015, 1021, 1022, 1115, 1182, 1183, 1185, 1187, 1231, 1270, 1561, 1563, 2951, 3807, // their arrays
}

// Form is COPY's binary format where every column's values are alike, and its text otherwise; another kind of database
// reads neither.
func (d *Database) Form(ctx context.Context, i int) (string, error) {
	if d.b.Common {
		return "", nil
	}
	t, err := d.table(ctx, i)
	if err != nil {
		return "", err
	}
	return "postgres " + t.format() + ": " + t.planned(), nil
}

func (t *table) format() string {
	for _, c := range t.columns {
		if !slices.Contains(alike, c.base) && c.baseKind != "e" {
			return "text"
		}
	}
	return "binary"
}

// Send locks the table before its snapshot: one that is older than a rewriting ALTER TABLE would see no rows.
func (d *Database) Send(ctx context.Context, i int, r migrations.Range, w io.Writer) error {
	t, err := d.table(ctx, i)
	if err != nil {
		return err
	}
	err = d.briefly(ctx, func(x pgx.Tx) error {
		if _, err := x.Exec(ctx, "LOCK TABLE "+t.full()+" IN ACCESS SHARE MODE"); err != nil {
			return err
		}
		_, err := x.Conn().PgConn().CopyTo(ctx, w, fmt.Sprintf("COPY (SELECT %s FROM %s AS t WHERE %s) TO STDOUT (FORMAT %s)", t.selectList("t"), t.full(), t.within(t.keyList("t"), r, literals{}), t.format()))
		return err
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", t.bound, d.full(err))
	}
	return nil
}

func (a *apply) Receive(ctx context.Context, i int, r io.Reader) (int64, error) {
	if err := a.rows[i].flush(ctx); err != nil {
		return 0, err
	}
	t := a.tables[i]
	if l := lineOf(a.Conn()); l != nil {
		r = feed{r, l}
	}
	done, err := a.Conn().PgConn().CopyFrom(ctx, r, fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT %s)", t.full(), t.columnNames(), t.format()))
	if err != nil {
		return 0, fmt.Errorf("insert into %s: %w", t.bound, a.d.full(passing(err)))
	}
	return done.RowsAffected(), nil
}
