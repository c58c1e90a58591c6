package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler/migrations"
)

// Catalog lists all tables of the database and their foreign keys, but for partitions and what extensions have made. It reads
// only.
func (d *Database) Catalog(ctx context.Context) (out migrations.Catalog, err error) {
	const tables = `SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
		AND NOT EXISTS (SELECT FROM pg_depend AS x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid AND x.deptype = 'e') ORDER BY n.nspname, c.relname`
	var schema, name string
	rows, err := d.pool.Query(ctx, tables)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&schema, &name}, func() error {
			if !migrations.Own(name) {
				out.Tables = append(out.Tables, d.binding(schema, name))
			}
			return nil
		})
	}
	if err != nil {
		return out, fmt.Errorf("tables of the %s database: %w", d.b.Side, err)
	}
	const keys = `SELECT k.oid, n.nspname, c.relname, m.nspname, p.relname, k.confdeltype::text,
			(SELECT array_agg(a.attname::text ORDER BY x.i) FROM unnest(k.conkey) WITH ORDINALITY AS x (n, i) JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = x.n),
			(SELECT array_agg(a.attname::text ORDER BY x.i) FROM unnest(k.confkey) WITH ORDINALITY AS x (n, i) JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = x.n)
		FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
		JOIN pg_class AS p ON p.oid = k.confrelid JOIN pg_namespace AS m ON m.oid = p.relnamespace
		WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY n.nspname, c.relname, k.conname`
	var id uint32
	var above, parent, action string
	var from, to []string
	if rows, err = d.pool.Query(ctx, keys); err == nil {
		_, err = pgx.ForEachRow(rows, []any{&id, &schema, &name, &above, &parent, &action, &from, &to}, func() error {
			out.Keys = append(out.Keys, migrations.ForeignKey{Table: d.binding(schema, name), Columns: from, Parent: d.binding(above, parent), Targets: to, OnDelete: actions[action]})
			from, to = nil, nil
			return nil
		})
	}
	if err != nil {
		return out, fmt.Errorf("foreign keys of the %s database: %w", d.b.Side, err)
	}
	return out, nil
}

// binding is how strangler.yaml names a table; split reads it.
func (d *Database) binding(schema, name string) string {
	part := func(s string) string {
		if strings.ContainsAny(s, `."`) {
			return ident(s)
		}
		return s
	}
	if ident(schema) == d.schema || schema == d.schema {
		return part(name)
	}
	return part(schema) + "." + part(name)
}
