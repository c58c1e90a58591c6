package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strangler-fig/strangler/migrations"
)

// querier is a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// relation is a table or a partition, by name.
type relation struct {
	oid          uint32
	schema, name string
}

// full is the quoted name, good under any search_path.
func (r relation) full() string { return ident(r.schema) + "." + ident(r.name) }

// table is a table as it stands, with what the engine's statements need.
type table struct {
	bound        string // as the binding names it: name, or schema.name
	schema, name string
	path         []string // of one that is not there yet: the schemas in which a script finds its types
	oid          uint32
	owner        string   // role
	kind         string   // relkind: r table, p partitioned, v view, m materialized view, f foreign
	columns      []column // that travel: neither dropped nor generated, nor left by a share; by name, so that both sides have one order
	stays        []column // that a share leaves
	where        string   // the condition of the rows that a share takes; empty: all
	keyIndex     string   // the index that finds a row by its key; empty: none is there yet
	keyAt        []int    // where the key's columns are among columns, in the order of the key; empty: no usable key

	made  []relation // partitions of a table that is not there yet, but will be made with them
	loose bool       // it is not there yet, and its key will be made behind its rows

	persistence string // relpersistence: p permanent, u unlogged, t temporary
	partition   bool   // it is a partition of another table
	inherits    bool   // it has a parent or children by plain inheritance
	rowSecurity bool   // row level security is on
	forced      bool   // and binds the owner too
	unusable    string // why the primary key is not the key, where there is one
}

// column is one column that travels.
type column struct {
	migrations.Column        // Type is format_type's text, user types without their schema: the same at both sides
	typed             string // the type for casts, good under any search_path
	oid               uint32 // type
	base              uint32 // type below domains
	baseKind          string // typtype of base: b, c composite, e enum, r range, m multirange
	collation         string // quoted, qualified, or empty where it is the database's default or none
	sequence          string // regclass text of the sequence behind serial, identity or a nextval default, or empty
	identity          string // a: GENERATED ALWAYS AS IDENTITY, d: BY DEFAULT, or empty
	dflt              string // the expression of its default, or of its domain's, or empty
	common            bool   // values are read in the common form of the column's kind
	ends              bool   // and infinite days are NULL: the service has none
}

// full is the quoted name, good under any search_path.
func (t *table) full() string { return ident(t.schema) + "." + ident(t.name) }

func (t *table) relation() relation { return relation{t.oid, t.schema, t.name} }

// key is the key's columns, in its order.
func (t *table) key() []column {
	out := make([]column, len(t.keyAt))
	for i, at := range t.keyAt {
		out[i] = t.columns[at]
	}
	return out
}

// described is the table as other databases hear of it.
func (t *table) described() migrations.Table {
	out := migrations.Table{Name: t.bound, Schema: t.schema}
	for _, c := range t.columns {
		out.Columns = append(out.Columns, c.Column)
	}
	for _, c := range t.stays {
		out.Stays = append(out.Stays, c.Column)
	}
	for _, c := range t.key() {
		out.Key = append(out.Key, c.Name)
	}
	return out
}

// columnNames are the columns that travel, quoted and joined by commas.
func (t *table) columnNames() string {
	return list(t.columns, func(c column) string { return ident(c.Name) })
}

// describe reads one relation; nil when there is none of that name. A name without a schema is looked for
// in the current schema, the first of the search_path that exists.
func describe(ctx context.Context, q querier, bound string) (*table, error) {
	schema, name := split(bound)
	t := &table{bound: bound}
	err := q.QueryRow(ctx, `SELECT c.oid, n.nspname::text, c.relname::text, pg_get_userbyid(c.relowner)::text, c.relkind::text, c.relpersistence::text, c.relispartition,
			NOT c.relispartition AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid) OR c.relkind <> 'p' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid),
			c.relrowsecurity, c.relforcerowsecurity
		FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = coalesce(nullif($1::text, ''), current_schema()::text) AND c.relname = $2::text AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`, schema, name).
		Scan(&t.oid, &t.schema, &t.name, &t.owner, &t.kind, &t.persistence, &t.partition, &t.inherits, &t.rowSecurity, &t.forced)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("describe %s: %w", bound, err)
	}
	if err := t.readColumns(ctx, q); err != nil {
		return nil, fmt.Errorf("columns of %s: %w", bound, err)
	}
	if err := t.readKey(ctx, q); err != nil {
		return nil, fmt.Errorf("key of %s: %w", bound, err)
	}
	return t, nil
}

// nextval finds the name in a default that looks its sequence up as it runs, and so is in no catalog.
var nextval = regexp.MustCompile(`^nextval\(\(?'((?:[^']|'')+)'`)

func (t *table) readColumns(ctx context.Context, q querier) error {
	type found struct {
		column
		schema, bare, own string // own: the column's own default
		typmod            int    // of base
		baseName          string
	}
	rows, err := q.Query(ctx, `WITH RECURSIVE below AS (
			SELECT DISTINCT a.atttypid AS oid, a.atttypid AS base, -1 AS typmod FROM pg_attribute AS a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
			UNION ALL SELECT b.oid, y.typbasetype, y.typtypmod FROM below AS b JOIN pg_type AS y ON y.oid = b.base WHERE y.typtype = 'd')
		SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atttypid, b.oid, b.typtype::text, coalesce(a.attidentity::text, ''),
			CASE WHEN a.attcollation NOT IN (0, 'pg_catalog."default"'::regcollation) THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) ELSE '' END,
			CASE WHEN en.nspname = 'pg_catalog' THEN '' ELSE quote_ident(en.nspname) END, quote_ident(e.typname),
			coalesce((SELECT quote_ident(sn.nspname) || '.' || quote_ident(s.relname)
				FROM pg_depend AS p JOIN pg_class AS s ON s.oid = CASE WHEN p.refclassid = 'pg_class'::regclass AND p.classid = 'pg_attrdef'::regclass THEN p.refobjid ELSE p.objid END AND s.relkind = 'S'
				JOIN pg_namespace AS sn ON sn.oid = s.relnamespace
				WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = f.oid AND p.refclassid = 'pg_class'::regclass
				OR p.classid = 'pg_class'::regclass AND p.deptype = 'i' AND p.refclassid = 'pg_class'::regclass AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum
				LIMIT 1), ''),
			coalesce(pg_get_expr(f.adbin, f.adrelid), ''), coalesce(pg_get_expr(f.adbin, f.adrelid), pg_get_expr(y.typdefaultbin, 0), ''), a.attnum, CASE WHEN y.typtype = 'd' THEN w.typmod ELSE a.atttypmod END, b.typname::text
		FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid
		JOIN below AS w ON w.oid = a.atttypid JOIN pg_type AS b ON b.oid = w.base AND b.typtype <> 'd'
		JOIN pg_type AS e ON e.oid = CASE WHEN y.typcategory = 'A' AND y.typelem <> 0 AND y.typlen = -1 THEN y.typelem ELSE y.oid END JOIN pg_namespace AS en ON en.oid = e.typnamespace
		LEFT JOIN pg_collation AS co ON co.oid = a.attcollation LEFT JOIN pg_namespace AS cn ON cn.oid = co.collnamespace
		LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
		WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''`, t.oid)
	all, err := collect(rows, err, func(r pgx.Rows) (f found, err error) {
		err = r.Scan(&f.Name, &f.Type, &f.NotNull, &f.oid, &f.base, &f.baseKind, &f.identity, &f.collation, &f.schema, &f.bare, &f.sequence, &f.own, &f.dflt, &f.At, &f.typmod, &f.baseName)
		return f, err
	})
	if err != nil {
		return err
	}
	for _, f := range all {
		c := f.column
		c.typed = c.Type
		if f.schema != "" {
			c.Type = strings.TrimPrefix(c.Type, f.schema+".")
			c.typed = f.schema + "." + c.Type
		}
		if name := nextval.FindStringSubmatch(f.own); c.sequence == "" && name != nil {
			if c.sequence, err = sequenceNamed(ctx, q, strings.ReplaceAll(name[1], "''", "'")); err != nil {
				return err
			}
		}
		c.Default = c.dflt != "" || c.identity != ""
		c.setKind(f.typmod, f.baseName)
		t.columns = append(t.columns, c)
	}
	slices.SortFunc(t.columns, func(a, b column) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// sequenceNamed is the sequence that a default would find now; empty where there is none.
func sequenceNamed(ctx context.Context, q querier, name string) (full string, err error) {
	err = q.QueryRow(ctx, `SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE c.oid = to_regclass($1::text) AND c.relkind = 'S'`, name).Scan(&full)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return full, err
}

// readKey chooses the key: the primary key, else the replica identity's index, else a unique index. Each of
// its columns is NOT NULL and travels. A deferrable one is none: the applier's session does not run the
// trigger that checks it. Equality is the column's own, so that a key can be looked up without its index.
func (t *table) readKey(ctx context.Context, q querier) error {
	type index struct {
		name    string
		primary bool
		columns []string
		flaw    string
	}
	rows, err := q.Query(ctx, `SELECT c.relname::text, i.indisprimary, (SELECT array_agg(a.attname::text ORDER BY k.at) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, at)
				JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.at <= i.indnkeyatts),
			CASE WHEN NOT i.indisvalid THEN 'it is not valid'
				WHEN NOT i.indimmediate THEN 'it is deferrable'
				WHEN EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, at) JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
					WHERE k.at <= i.indnkeyatts AND a.attgenerated <> '') THEN 'one of its columns is generated'
				WHEN EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, at) JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
					WHERE k.at <= i.indnkeyatts AND NOT a.attnotnull) THEN 'one of its columns may be NULL'
				WHEN EXISTS (SELECT FROM unnest(i.indkey::int2[], i.indcollation::oid[]) WITH ORDINALITY AS k (attnum, coll, at) JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
					JOIN pg_collation AS c ON c.oid IN (k.coll, a.attcollation) WHERE k.at <= i.indnkeyatts AND k.coll <> a.attcollation AND NOT c.collisdeterministic) THEN 'it compares otherwise than its column'
				WHEN EXISTS (SELECT FROM unnest(i.indclass::oid[]) AS k (class) JOIN pg_opclass AS o ON o.oid = k.class
					JOIN pg_opclass AS std ON std.opcmethod = o.opcmethod AND std.opcintype = o.opcintype AND std.opcdefault
					JOIN pg_amop AS p ON p.amopfamily = o.opcfamily AND p.amoplefttype = o.opcintype AND p.amoprighttype = o.opcintype AND p.amopstrategy = 3
					JOIN pg_amop AS s ON s.amopfamily = std.opcfamily AND s.amoplefttype = std.opcintype AND s.amoprighttype = std.opcintype AND s.amopstrategy = 3
					WHERE p.amopopr <> s.amopopr) THEN 'it compares otherwise than its column'
				ELSE '' END
		FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
		WHERE i.indrelid = $1::oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
		ORDER BY i.indisprimary DESC, i.indisreplident DESC, i.indnkeyatts, c.relname::text COLLATE "C"`, t.oid)
	all, err := collect(rows, err, func(r pgx.Rows) (x index, err error) {
		err = r.Scan(&x.name, &x.primary, &x.columns, &x.flaw)
		return x, err
	})
	if err != nil {
		return err
	}
	for _, x := range all {
		if x.flaw != "" {
			if x.primary {
				t.unusable = x.flaw
			}
			continue
		}
		t.keyIndex = x.name
		t.setKey(x.columns)
		return nil
	}
	return nil
}

func (t *table) setKey(columns []string) {
	t.keyAt = nil
	for _, name := range columns {
		t.keyAt = append(t.keyAt, slices.IndexFunc(t.columns, func(c column) bool { return c.Name == name }))
	}
}

// partitions lists every partition below a table, leaf or not, without a lock on any.
func partitions(ctx context.Context, q querier, oid uint32) ([]relation, error) {
	rows, err := q.Query(ctx, `WITH RECURSIVE below AS (
			SELECT i.inhrelid AS oid FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid AND c.relispartition WHERE i.inhparent = $1::oid
			UNION ALL SELECT i.inhrelid FROM below AS b JOIN pg_inherits AS i ON i.inhparent = b.oid)
		SELECT c.oid, n.nspname::text, c.relname::text FROM below AS b JOIN pg_class AS c ON c.oid = b.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
		ORDER BY n.nspname::text COLLATE "C", c.relname::text COLLATE "C"`, oid)
	out, err := collect(rows, err, scanRelation)
	if err != nil {
		return nil, fmt.Errorf("partitions: %w", err)
	}
	return out, nil
}

func scanRelation(r pgx.Rows) (x relation, err error) {
	err = r.Scan(&x.oid, &x.schema, &x.name)
	return x, err
}

// collect reads every row of a query's answer.
func collect[T any](rows pgx.Rows, err error, scan func(pgx.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// ident quotes an identifier.
func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes a text, whatever standard_conforming_strings says.
func literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// list joins f of every element by commas.
func list[T any](in []T, f func(T) string) string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return strings.Join(out, ", ")
}
