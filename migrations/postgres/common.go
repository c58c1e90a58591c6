package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// common puts what another kind of database can make of a table into to, and says in a note what it cannot.
func (in *inspection) common(ctx context.Context, t *table, to *migrations.Table) error {
	return in.d.reading(ctx, func(q querier) error {
		left, err := leftOut(ctx, q, t)
		if err != nil {
			return err
		}
		if to.Uniques, err = uniques(ctx, q, t); err != nil {
			return err
		}
		references, more, err := in.references(ctx, q, t)
		if err != nil {
			return err
		}
		to.References = references
		if err := in.endless(ctx, q, t); err != nil {
			return err
		}
		if left = append(left, more...); len(left) > 0 && in.d.b.Side == strangler.Legacy {
			in.note(migrations.NextLeftOut, "the service's table %s is made without %s", t.bound, strings.Join(left, "; "))
		}
		return nil
	})
}

// endless reports the rows of which an infinite day is NULL at a service's that has none, and refuses them where there is no NULL.
func (in *inspection) endless(ctx context.Context, q querier, t *table) error {
	for _, c := range t.columns {
		if !c.ends {
			continue
		}
		var n int64
		if err := q.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM %s WHERE NOT isfinite(t.%s)", t.from(), ident(c.Name))).Scan(&n); err != nil {
			return fmt.Errorf("look for infinite days of %s in %s: %w", c.Name, t.bound, err)
		}
		switch {
		case n > 0 && c.NotNull:
			in.problem("value", "make them days, or let the column be NULL", "column %s of %s is NOT NULL and has %d rows with an infinite day, which the service's database has not", c.Name, t.bound, n)
		case n > 0:
			in.note(migrations.NextDays, "%d rows of %s have an infinite day in %s: NULL at the service; those that the service changes have NULL on the way back", n, t.bound, c.Name)
		}
	}
	return nil
}

// carriedIndex is an index that holds of other databases' tables too: it is unique, over whole columns that travel.
const carriedIndex = `i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
	AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[]) AND a.attgenerated <> '')`

// uniques are the columns of each unique index beside the key.
func uniques(ctx context.Context, q querier, t *table) (out [][]string, err error) {
	rows, err := q.Query(ctx, `SELECT (SELECT array_agg(a.attname::text ORDER BY k.at) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, at)
			JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.at <= i.indnkeyatts)
		FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = $1::oid AND x.relname <> $2::text AND `+carriedIndex+` ORDER BY x.relname::text COLLATE "C"`, t.oid, t.keyIndex)
	all, err := collect(rows, err, func(r pgx.Rows) (columns []string, err error) {
		err = r.Scan(&columns)
		return columns, err
	})
	for _, columns := range all {
		if !t.keeping(columns) && !sameColumns(columns, t.described().Key) && !slices.ContainsFunc(out, func(o []string) bool { return sameColumns(o, columns) }) {
			out = append(out, columns)
		}
	}
	return out, err
}

// sameColumns compares two lists whatever their order, as unique constraints do.
func sameColumns(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// references are a table's foreign keys to tables that move. Of these, left says what is not carried: one that old rows may
// violate, or with a generated column, and what one does to rows.
func (in *inspection) references(ctx context.Context, q querier, t *table) (out []migrations.Reference, left []string, err error) {
	type found struct {
		migrations.Reference
		parent uint32
		kept   bool
		acts   string
	}
	const names = `(SELECT array_agg(a.attname::text ORDER BY x.at) FROM unnest(k.%[1]s) WITH ORDINALITY AS x (attnum, at) JOIN pg_attribute AS a ON a.attrelid = k.%[2]s AND a.attnum = x.attnum)`
	rows, err := q.Query(ctx, `SELECT k.conname::text, k.confrelid, `+fmt.Sprintf(names, "conkey", "conrelid")+`, `+fmt.Sprintf(names, "confkey", "confrelid")+`,
			k.convalidated AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attgenerated <> '' AND (a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) OR a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey))),
			CASE WHEN 'd' IN (k.confdeltype, k.confupdtype) THEN 'what ' || k.conname || ' does on delete or update' ELSE '' END,
			CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE '' END, CASE k.confupdtype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE '' END
		FROM pg_constraint AS k WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = $1::oid ORDER BY k.conname::text COLLATE "C"`, t.oid)
	all, err := collect(rows, err, func(r pgx.Rows) (f found, err error) {
		err = r.Scan(&f.Name, &f.parent, &f.Columns, &f.Targets, &f.kept, &f.acts, &f.OnDelete, &f.OnUpdate)
		return f, err
	})
	for _, f := range all {
		f.Parent = slices.IndexFunc(in.tables, func(t *table) bool { return t != nil && t.oid == f.parent })
		switch {
		case f.Parent < 0: // it crosses the cut
		case t.keeping(f.Columns) || in.tables[f.Parent].keeping(f.Targets): // it stays
		case !f.kept:
			left = append(left, "the foreign key "+f.Name)
		default:
			out = append(out, f.Reference)
			if f.acts != "" {
				left = append(left, f.acts)
			}
		}
	}
	return out, left, err
}

// leftOut names what belongs to a table and is made in no other kind of database, one phrase for each sort.
func leftOut(ctx context.Context, q querier, t *table) ([]string, error) {
	auto, stays := []string{}, []string{}
	for _, c := range t.stays {
		stays = append(stays, c.Name)
	}
	for _, c := range t.columns {
		if c.Auto {
			auto = append(auto, c.Name)
		}
	}
	rows, err := q.Query(ctx, `SELECT what || ' ' || string_agg(name, ', ' ORDER BY name COLLATE "C") FROM (
			SELECT 1, 'the index', x.relname::text FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = $1::oid AND NOT (`+carriedIndex+`)
			UNION ALL SELECT 2, CASE WHEN a.attgenerated <> '' THEN 'the generated column' ELSE 'the default of' END, a.attname::text FROM pg_attrdef AS f JOIN pg_attribute AS a ON a.attrelid = f.adrelid AND a.attnum = f.adnum WHERE f.adrelid = $1::oid AND a.attname <> ALL ($2::text[] || $3::text[])
			UNION ALL SELECT 3, 'the check', k.conname::text FROM pg_constraint AS k WHERE k.conrelid = $1::oid AND k.contype = 'c'
			UNION ALL SELECT 4, 'the limits that its own type sets to', a.attname::text FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND y.typtype IN ('d', 'e') AND a.attname <> ALL ($3::text[])
			UNION ALL SELECT 5, 'the time zone (its times are in UTC) of', a.attname::text FROM pg_attribute AS a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'timestamptz'::regtype AND a.attname <> ALL ($3::text[])) AS x (n, what, name)
		GROUP BY n, what ORDER BY n, what`, t.oid, auto, stays)
	left, err := collect(rows, err, func(r pgx.Rows) (s string, err error) {
		err = r.Scan(&s)
		return s, err
	})
	if t.kind == "p" {
		left = append(left, "its partitions")
	}
	return left, err
}

// adopted is the schema of another kind of database as this one makes it: types by their kinds, and keys, unique constraints
// and foreign keys behind the rows. Its tables have the names of this side. What PostgreSQL cannot name is a Refusal.
func (d *Database) adopted(from migrations.Schema) (migrations.Schema, error) {
	out := migrations.Schema{Engine: "postgres"}
	for i, bound := range d.b.Tables {
		for _, c := range from.Tables[i].Columns {
			if len(c.Name) > maxName {
				return out, strangler.Refuse("table", fmt.Sprintf("the column %s of %s has a name of more than %d bytes, which PostgreSQL cuts", c.Name, from.Tables[i].Name, maxName), "rename it in the monolith")
			}
		}
		out.Tables = append(out.Tables, adopt(bound, from.Tables[i]))
	}
	for i, t := range from.Tables {
		for n, r := range t.References {
			if checkable(t, from.Tables[r.Parent], r) {
				later := &out.Tables[max(i, r.Parent)] // by then what it refers to is unique
				later.Constraints = append(later.Constraints, foreignKey(n+1, out.Tables[i], out.Tables[r.Parent], r))
			}
		}
	}
	return out, nil
}

// adopt is one table without its foreign keys.
func adopt(bound string, from migrations.Table) migrations.Table {
	schema, name := split(bound)
	t := migrations.Table{Name: bound, Schema: schema, Key: from.Key}
	for _, c := range from.Columns {
		if c.Generated {
			continue
		}
		c.Type, c.NotNull = typed(c), c.NotNull || slices.Contains(from.Key, c.Name)
		t.Columns = append(t.Columns, c)
	}
	var lines []string
	for _, c := range slices.SortedFunc(slices.Values(t.Columns), func(a, b migrations.Column) int { return cmp.Compare(a.At, b.At) }) {
		lines = append(lines, columnLine(c))
	}
	t.DDL = []string{fmt.Sprintf("CREATE TABLE %s (\n    %s\n)", ident(name), strings.Join(lines, ",\n    "))}
	t.Indexes = []migrations.Behind{indexed(name, name+"_pkey", "PRIMARY KEY", t.Key)}
	for n, columns := range from.Uniques {
		t.Constraints = append(t.Constraints, indexed(name, fmt.Sprintf("%s_key%d", name, n+1), "UNIQUE", columns))
	}
	return t
}

// columnLine is a column as CREATE TABLE has it. A generated number is one by default only: rows bring their own.
func columnLine(c migrations.Column) string {
	line := ident(c.Name) + " " + c.Type
	if c.Auto && c.Kind == migrations.KindInteger {
		return line + " GENERATED BY DEFAULT AS IDENTITY"
	}
	if c.NotNull {
		line += " NOT NULL"
	}
	return line
}

// indexed is a constraint with an index, which has its name.
func indexed(table, name, what string, columns []string) migrations.Behind {
	b := constraint(ident(table), short(name), what+" ("+list(columns, ident)+")")
	b.Name = short(name)
	return b
}

// foreignKey is the n-th of a table. It names its parent as locate finds it.
func foreignKey(n int, of, parent migrations.Table, r migrations.Reference) migrations.Behind {
	_, name := split(of.Name)
	_, target := split(parent.Name)
	b := constraintAs(dollars, ident(name), short(fmt.Sprintf("%s_fkey%d", name, n)),
		"FOREIGN KEY ("+list(r.Columns, ident)+")"+refersTo(relation{schema: parent.Schema, name: target})+list(r.Targets, ident)+")"+r.Acts())
	b.Of = of.Name
	return b
}

// checkable reports whether PostgreSQL takes a foreign key: its columns have the kinds of those that it refers to, and these
// are unique.
func checkable(of, parent migrations.Table, r migrations.Reference) bool {
	kind := func(t migrations.Table, name string) migrations.Kind {
		at := slices.IndexFunc(t.Columns, func(c migrations.Column) bool { return c.Name == name })
		if at < 0 {
			return ""
		}
		return t.Columns[at].Kind
	}
	for i, c := range r.Columns {
		if kind(of, c) == "" || kind(of, c) != kind(parent, r.Targets[i]) {
			return false
		}
	}
	return slices.ContainsFunc(append([][]string{parent.Key}, parent.Uniques...), func(u []string) bool { return sameColumns(u, r.Targets) })
}
