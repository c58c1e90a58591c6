package postgres

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// usedTypes is every type below the columns of $1, through arrays, domains, composites and ranges, each with
// a column that uses it.
const usedTypes = `WITH RECURSIVE used AS (
		SELECT a.attrelid, a.attname, a.atttypid AS oid FROM pg_attribute AS a WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
		UNION SELECT u.attrelid, u.attname, x.oid FROM used AS u JOIN pg_type AS y ON y.oid = u.oid CROSS JOIN LATERAL (
			SELECT y.typelem WHERE y.typcategory = 'A' AND y.typelem <> 0
			UNION ALL SELECT y.typbasetype WHERE y.typtype = 'd'
			UNION ALL SELECT a.atttypid FROM pg_attribute AS a WHERE y.typtype = 'c' AND a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped
			UNION ALL SELECT r.rngsubtype FROM pg_range AS r WHERE r.rngtypid = y.oid
			UNION ALL SELECT r.rngtypid FROM pg_range AS r WHERE y.typtype = 'm' AND (to_jsonb(r) ->> 'rngmultitypid')::oid = y.oid) AS x (oid)) `

// types refuses columns whose values mean nothing in another database, or whose type no script can make.
func (in *inspection) types(ctx context.Context, t *table) error {
	return in.each(ctx, usedTypes+`SELECT DISTINCT u.attname::text, format_type(y.oid, NULL), CASE WHEN y.typnamespace <> 'pg_catalog'::regnamespace THEN y.typtype::text WHEN y.typname = 'oid' AND c.typcategory = 'N' THEN 'number' ELSE 'oid' END
		FROM used AS u JOIN pg_type AS y ON y.oid = u.oid JOIN pg_attribute AS a ON a.attrelid = u.attrelid AND a.attname = u.attname JOIN pg_type AS c ON c.oid = a.atttypid
		WHERE y.typnamespace = 'pg_catalog'::regnamespace AND y.typname IN ('oid', 'regclass', 'regproc', 'regprocedure', 'regoper', 'regoperator', 'regrole', 'regnamespace', 'regcollation')
		OR y.typnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
			AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = 'pg_type'::regclass AND e.objid = y.oid AND e.deptype = 'e')
			AND (y.typtype = 'b' AND y.typcategory <> 'A'
				OR y.typtype = 'r' AND EXISTS (SELECT FROM pg_range AS r WHERE r.rngtypid = y.oid AND r.rngcanonical <> 0)
				OR y.typtype = 'c' AND EXISTS (SELECT FROM pg_class AS c WHERE c.oid = y.typrelid AND c.relkind <> 'c'))
		ORDER BY 1, 2`, []uint32{t.oid}, 3, func(s []string) {
		if t.keeping(s[:1]) {
			return
		}
		switch s[2] {
		case "number":
			alter := fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE", t.full(), ident(s[0]))
			in.problem("type", fmt.Sprintf("%[1]s bytea USING lo_get(%[2]s), where it names large objects, with the trigger lo_manage dropped before; %[1]s bigint, where it is a number of the application's own", alter, ident(s[0])),
				"column %s of table %s has numbers of the type %s, by which large objects are named: they stand outside of every table, and neither the copy nor the stream brings them", s[0], t.bound, s[1])
		case "oid":
			in.problem("type", "keep the value itself in a column of type bytea, bigint or text", "column %s of table %s refers to an object of this database by its number or name (type %s), a large object perhaps, which does not move with the row", s[0], t.bound, s[1])
		case "c":
			in.problem("type", "give the column a type made by CREATE TYPE … AS", "column %s of table %s has the row type of a table, %s", s[0], t.bound, s[1])
		default:
			in.problem("type", "make it in the service's database by an extension", "column %s of table %s has the type %s, which no SQL script can make", s[0], t.bound, s[1])
		}
	})
}

// userType is a type that has to be there before a table can be made.
type userType struct {
	oid       uint32
	home      string // its schema
	name      string // as SQL of the search_path has it
	kind      string // typtype
	extension string // that it comes with, quoted, or empty
	needs     []uint32
}

// types are the statements that make what the columns' types need and the database does not have.
func (m *maker) types(ctx context.Context) error {
	rows, err := m.q.Query(ctx, usedTypes+`SELECT y.oid, (SELECT nspname::text FROM pg_namespace WHERE oid = y.typnamespace), y.oid::regtype::text, y.typtype::text,
			coalesce((SELECT quote_ident(x.extname) FROM pg_depend AS e JOIN pg_extension AS x ON x.oid = e.refobjid WHERE e.classid = 'pg_type'::regclass AND e.objid = y.oid AND e.deptype = 'e'), ''),
			ARRAY(SELECT CASE WHEN z.typcategory = 'A' THEN z.typelem ELSE z.oid END FROM (SELECT y.typbasetype UNION SELECT a.atttypid FROM pg_attribute AS a WHERE y.typtype = 'c' AND a.attrelid = y.typrelid AND a.attnum > 0
				UNION SELECT r.rngsubtype FROM pg_range AS r WHERE r.rngtypid = y.oid) AS n (oid) JOIN pg_type AS z ON z.oid = n.oid)
		FROM pg_type AS y WHERE y.oid IN (SELECT oid FROM used) AND y.typnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
			AND NOT (y.typtype = 'b' AND y.typcategory = 'A') AND y.typtype <> 'm'
		ORDER BY y.typname::text COLLATE "C"`, m.oids)
	all, err := collect(rows, err, func(r pgx.Rows) (u userType, err error) {
		err = r.Scan(&u.oid, &u.home, &u.name, &u.kind, &u.extension, &u.needs)
		return u, err
	})
	if err != nil {
		return err
	}
	done := map[uint32]bool{}
	var visit func(u userType) error
	visit = func(u userType) error {
		if done[u.oid] {
			return nil
		}
		done[u.oid] = true
		for _, need := range u.needs {
			if i := slices.IndexFunc(all, func(x userType) bool { return x.oid == need }); i >= 0 {
				if err := visit(all[i]); err != nil {
					return err
				}
			}
		}
		return m.typed(ctx, u)
	}
	for _, u := range all {
		if err := visit(u); err != nil {
			return fmt.Errorf("type %s: %w", u.name, err)
		}
	}
	return nil
}

func (m *maker) typed(ctx context.Context, u userType) error {
	if u.extension != "" {
		m.once("", "CREATE EXTENSION IF NOT EXISTS "+u.extension)
		return nil
	}
	switch u.kind {
	case "e":
		labels, err := m.texts(ctx, "SELECT enumlabel::text FROM pg_enum WHERE enumtypid = $1::oid ORDER BY enumsortorder", u.oid)
		if err != nil {
			return err
		}
		quoted := list(labels, literal)
		m.missing(u.home, "type", u.name, fmt.Sprintf("to_regtype(%s) IS NULL", literal(u.name)), fmt.Sprintf("CREATE TYPE %s AS ENUM (%s)", u.name, quoted),
			fmt.Sprintf("(SELECT array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = to_regtype(%s)) IS DISTINCT FROM ARRAY[%s]::text[]", literal(u.name), quoted))
	case "d":
		lines, err := m.texts(ctx, `SELECT ' AS ' || format_type(y.typbasetype, y.typtypmod) || CASE WHEN y.typcollation <> b.typcollation THEN ' COLLATE ' || y.typcollation::regcollation::text ELSE '' END
				|| coalesce(' DEFAULT ' || coalesce(pg_get_expr(y.typdefaultbin, 0), quote_literal(y.typdefault)), '') || CASE WHEN y.typnotnull THEN ' NOT NULL' ELSE '' END
			FROM pg_type AS y JOIN pg_type AS b ON b.oid = y.typbasetype WHERE y.oid = $1::oid
			UNION ALL (SELECT ' ADD CONSTRAINT ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE contypid = $1::oid AND contype = 'c' ORDER BY conname)`, u.oid)
		if err != nil {
			return err
		}
		statements := []string{"CREATE DOMAIN " + u.name + lines[0]}
		for _, check := range lines[1:] {
			statements = append(statements, "ALTER DOMAIN "+u.name+check)
		}
		m.missing(u.home, "domain", u.name, fmt.Sprintf("to_regtype(%s) IS NULL", literal(u.name)), strings.Join(statements, ";\n    "), "")
	case "c":
		columns, err := m.texts(ctx, `SELECT quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attcollation <> y.typcollation THEN ' COLLATE ' || a.attcollation::regcollation::text ELSE '' END
			FROM pg_type AS u JOIN pg_attribute AS a ON a.attrelid = u.typrelid JOIN pg_type AS y ON y.oid = a.atttypid WHERE u.oid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, u.oid)
		if err != nil {
			return err
		}
		m.missing(u.home, "type", u.name, fmt.Sprintf("to_regtype(%s) IS NULL", literal(u.name)), fmt.Sprintf("CREATE TYPE %s AS (%s)", u.name, strings.Join(columns, ", ")), "")
	case "r":
		options, err := m.texts(ctx, `SELECT 'SUBTYPE = ' || format_type(r.rngsubtype, NULL) FROM pg_range AS r WHERE r.rngtypid = $1::oid
			UNION ALL SELECT 'SUBTYPE_OPCLASS = ' || quote_ident(o.opcname) FROM pg_range AS r JOIN pg_opclass AS o ON o.oid = r.rngsubopc WHERE r.rngtypid = $1::oid AND NOT o.opcdefault
			UNION ALL SELECT 'COLLATION = ' || r.rngcollation::regcollation::text FROM pg_range AS r JOIN pg_type AS y ON y.oid = r.rngsubtype WHERE r.rngtypid = $1::oid AND r.rngcollation <> y.typcollation
			UNION ALL SELECT 'SUBTYPE_DIFF = ' || r.rngsubdiff::regproc::text FROM pg_range AS r WHERE r.rngtypid = $1::oid AND r.rngsubdiff <> 0
			UNION ALL SELECT 'MULTIRANGE_TYPE_NAME = ' || quote_ident(y.typname) FROM pg_range AS r JOIN pg_type AS y ON y.oid = (to_jsonb(r) ->> 'rngmultitypid')::oid WHERE r.rngtypid = $1::oid`, u.oid)
		if err != nil {
			return err
		}
		m.missing(u.home, "type", u.name, fmt.Sprintf("to_regtype(%s) IS NULL", literal(u.name)), fmt.Sprintf("CREATE TYPE %s AS RANGE (%s)", u.name, strings.Join(options, ", ")), "")
	default:
		return fmt.Errorf("no script can make a type of the kind %q", u.kind)
	}
	return nil
}

// collations makes those that are not the server's own.
func (m *maker) collations(ctx context.Context) error {
	rows, err := m.q.Query(ctx, `SELECT DISTINCT c.oid::regcollation::text, n.nspname::text, c.collname::text, CASE c.collprovider WHEN 'i' THEN 'PROVIDER = icu, LOCALE = ' || quote_literal(coalesce(to_jsonb(c) ->> 'colliculocale', to_jsonb(c) ->> 'colllocale', c.collcollate))
				ELSE 'LC_COLLATE = ' || quote_literal(c.collcollate) || ', LC_CTYPE = ' || quote_literal(c.collctype) END || CASE WHEN c.collisdeterministic THEN '' ELSE ', DETERMINISTIC = false' END
		FROM pg_collation AS c JOIN pg_namespace AS n ON n.oid = c.collnamespace WHERE c.collnamespace <> 'pg_catalog'::regnamespace AND c.oid IN (
			SELECT attcollation FROM pg_attribute WHERE attrelid = ANY ($1::oid[]) UNION SELECT unnest(indcollation::oid[]) FROM pg_index WHERE indrelid = ANY ($1::oid[])
			UNION SELECT unnest(partcollation::oid[]) FROM pg_partitioned_table WHERE partrelid = ANY ($1::oid[])) ORDER BY 1`, m.oids)
	type found struct{ name, home, bare, options string }
	all, err := collect(rows, err, func(r pgx.Rows) (f found, err error) {
		err = r.Scan(&f.name, &f.home, &f.bare, &f.options)
		return f, err
	})
	for _, f := range all {
		m.missing(f.home, "collation", f.name, fmt.Sprintf("NOT EXISTS (SELECT FROM pg_collation WHERE collname = %s AND pg_collation_is_visible(oid))", literal(f.bare)),
			fmt.Sprintf("CREATE COLLATION %s (%s)", f.name, f.options), "")
	}
	return err
}

// extensions are those that defaults, constraints and indexes use; those of types come with types.
func (m *maker) extensions(ctx context.Context) error {
	names, err := m.texts(ctx, `SELECT quote_ident(extname) FROM pg_extension WHERE oid IN (`+usedExtensions+`) ORDER BY 1`, m.oids)
	for _, n := range names {
		m.once("", "CREATE EXTENSION IF NOT EXISTS "+n)
	}
	return err
}

// missing adds a statement that runs only where its object is missing, and stops the script where the object
// is there and wrong.
func (m *maker) missing(home, kind, name, condition, statement, wrong string) {
	body := fmt.Sprintf("BEGIN\n  IF %s THEN\n    %s;\n", condition, statement)
	if wrong != "" {
		body += fmt.Sprintf("  ELSIF %s THEN\n    RAISE EXCEPTION '%%', %s;\n", wrong,
			literal(fmt.Sprintf("strangler: the %s %s is there, and is not the monolith's; nothing was made. Change it, or drop it and let this script make it", kind, name)))
	}
	body += "  END IF;\nEND\n"
	tag, head := dollar(body), ""
	if !strings.ContainsAny(name, "\r\n") {
		head = fmt.Sprintf(" -- makes the %s %s where it is missing", kind, name)
	}
	m.once(home, "DO "+tag+head+"\n"+body+tag)
}

// dollar is a quote that a text does not contain.
func dollar(text string) string {
	tag := "$strangler$"
	for i := 1; strings.Contains(text, tag); i++ {
		tag = fmt.Sprintf("$strangler_%d$", i)
	}
	return tag
}

// dollars quotes a text without a change in it.
func dollars(text string) string { return dollar(text) + text + dollar(text) }

var (
	madeObject    = regexp.MustCompile(`^DO \$\w+\$ -- makes the (type|domain|collation) (.+) where it is missing\n`)
	madeExtension = regexp.MustCompile(`^CREATE (EXTENSION|SEQUENCE) IF NOT EXISTS ("(?:[^"]|"")+"|\w+)`)
	quotedName    = regexp.MustCompile(`^"((?:[^"]|"")+)"(?:$|\.)`)
	lastName      = regexp.MustCompile(`(?:"(?:[^"]|"")+"|[^".]+)$`)
)
