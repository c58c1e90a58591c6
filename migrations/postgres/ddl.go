package postgres

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// maker collects the statements that make one table, as far as they can be read from the catalog. Names
// come without their schema, since its transaction's search_path holds every schema that they need.
type maker struct {
	q          querier
	bound      []string   // the binding's tables
	at         int        // the table's place in the binding
	moved      [][]uint32 // each bound table, with its partitions
	oids       []uint32   // of this table
	whole      bool       // it has partitions, whose indexes are made with those of the table: nothing follows the rows
	keyIndex   string     // the index that finds a row by its key
	statements []string
	made       migrations.Table // its DDL is statements, once they are all there
}

// ddl is what makes a table in another PostgreSQL database, under any search_path: types, collations and
// extensions where they are missing, sequences, the table with its partitions, constraints and indexes,
// comments. Foreign keys are between tables that move, each with the later of the two. Not carried over:
// triggers, policies, grants, tablespaces, owners.
func (d *Database) ddl(ctx context.Context, t *table, to *migrations.Table) error {
	m := &maker{at: -1, bound: d.b.Tables, whole: t.kind == "p", keyIndex: t.keyIndex, made: migrations.Table{Homes: map[string]string{}}}
	err := d.reading(ctx, func(q querier) error {
		m.q = q
		for i, bound := range d.b.Tables {
			other, err := describe(ctx, q, bound)
			if err != nil {
				return err
			}
			var oids []uint32
			if other != nil {
				below, err := partitions(ctx, q, other.oid)
				if err != nil {
					return err
				}
				oids = append(oids, other.oid)
				for _, p := range below {
					oids = append(oids, p.oid)
				}
				if other.oid == t.oid {
					m.at, m.oids = i, oids
				}
			}
			m.moved = append(m.moved, oids)
		}
		if m.at < 0 {
			return fmt.Errorf("table %s has gone away", t.bound)
		}
		return m.all(ctx, t)
	})
	to.DDL, to.Indexes, to.Constraints, to.Homes = m.statements, m.made.Indexes, m.made.Constraints, m.made.Homes
	return err
}

func (m *maker) all(ctx context.Context, t *table) error {
	if err := m.setPath(ctx, t); err != nil {
		return err
	}
	for _, f := range []func(context.Context) error{m.extensions, m.collations, m.types, m.sequences} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	rows, err := m.q.Query(ctx, `WITH RECURSIVE tree AS (SELECT $1::oid AS oid, 0::oid AS parent, 0 AS depth UNION ALL SELECT i.inhrelid, i.inhparent, depth + 1 FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid)
		SELECT c.oid, quote_ident(c.relname), coalesce(quote_ident(p.relname), ''), coalesce(pg_get_expr(c.relpartbound, c.oid), '')
		FROM tree JOIN pg_class AS c ON c.oid = tree.oid LEFT JOIN pg_class AS p ON p.oid = tree.parent ORDER BY depth, c.relname::text COLLATE "C"`, t.oid)
	type node struct {
		oid                 uint32
		name, parent, bound string
	}
	tree, err := collect(rows, err, func(r pgx.Rows) (n node, err error) {
		err = r.Scan(&n.oid, &n.name, &n.parent, &n.bound)
		return n, err
	})
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, n := range tree {
		if seen[n.name] {
			return strangler.Refuse("table", fmt.Sprintf("two partitions of %s have the name %s, in two schemas; at the service they stand in one", t.bound, n.name), "rename one of them")
		}
		seen[n.name] = true
		if err := m.table(ctx, n.oid, n.name); err != nil {
			return err
		}
		if n.parent != "" {
			m.add("ALTER TABLE %s ATTACH PARTITION %s %s", n.parent, n.name, n.bound)
		}
	}
	for _, f := range []func(context.Context) error{m.owned, m.foreignKeys, m.comments} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return nil
}

// nearSchemas are the schemas of all that the statements which make the tables $1 name: $2 is every table
// that moves.
const nearSchemas = usedTypes + `, near AS (
		SELECT typnamespace AS oid FROM pg_type WHERE oid IN (SELECT oid FROM used) UNION SELECT relnamespace FROM pg_class WHERE oid = ANY ($2::oid[])
		UNION SELECT collnamespace FROM pg_collation WHERE oid IN (SELECT attcollation FROM pg_attribute WHERE attrelid = ANY ($1::oid[]))
		UNION SELECT s.relnamespace FROM pg_depend AS d JOIN pg_class AS s ON s.oid IN (d.objid, d.refobjid) AND s.relkind = 'S' LEFT JOIN pg_attrdef AS f ON f.oid = d.objid
			WHERE d.classid = 'pg_class'::regclass AND d.refobjid = ANY ($1::oid[]) OR d.classid = 'pg_attrdef'::regclass AND f.adrelid = ANY ($1::oid[])
		UNION SELECT x.extnamespace FROM pg_extension AS x WHERE x.oid IN (` + usedExtensions + `)),
	schemas AS (SELECT n.oid, n.nspname FROM pg_namespace AS n WHERE n.oid IN (SELECT oid FROM near) AND n.nspname NOT IN ('pg_catalog', 'information_schema')) `

// usedExtensions are those behind the defaults, constraints and indexes of $1.
const usedExtensions = `SELECT e.refobjid FROM (
		SELECT 'pg_class'::regclass AS classid, unnest($1::oid[]) AS objid UNION SELECT 'pg_class'::regclass, indexrelid FROM pg_index WHERE indrelid = ANY ($1::oid[])
		UNION SELECT 'pg_attrdef'::regclass, oid FROM pg_attrdef WHERE adrelid = ANY ($1::oid[]) UNION SELECT 'pg_constraint'::regclass, oid FROM pg_constraint WHERE conrelid = ANY ($1::oid[])) AS o
	JOIN pg_depend AS d ON d.classid = o.classid AND d.objid = o.objid JOIN pg_depend AS e ON e.classid = d.refclassid AND e.objid = d.refobjid AND e.deptype = 'e' WHERE d.refclassid <> 'pg_type'::regclass`

// setPath makes every object that the table needs visible, its own schema's first. The catalog writes the
// names of what is visible without their schemas, and a schema without USAGE is invisible.
func (m *maker) setPath(ctx context.Context, t *table) error {
	var all []uint32
	for _, oids := range m.moved {
		all = append(all, oids...)
	}
	hidden, err := m.texts(ctx, nearSchemas+`SELECT format('GRANT USAGE ON SCHEMA %I TO %I', nspname, current_user) FROM schemas WHERE NOT has_schema_privilege(oid, 'USAGE') ORDER BY 1`, m.oids, all)
	if err != nil {
		return err
	}
	if len(hidden) > 0 {
		return strangler.Refuse("rights", fmt.Sprintf("the role may not look into every schema that %s needs", t.bound), hidden...)
	}
	_, err = m.q.Exec(ctx, nearSchemas+`SELECT set_config('search_path', $3::text || coalesce((SELECT string_agg(', ' || quote_ident(nspname), '' ORDER BY nspname) FROM schemas WHERE nspname <> $4::text), ''), true)`,
		m.oids, all, ident(t.schema), t.schema)
	return err
}

func (m *maker) add(format string, args ...any) {
	m.statements = append(m.statements, fmt.Sprintf(format, args...))
}

// once adds a statement that is not there yet, and says in which schema stands what it makes.
func (m *maker) once(home, statement string) {
	m.made.Homes[statement] = home
	if !slices.Contains(m.statements, statement) {
		m.statements = append(m.statements, statement)
	}
}

// texts runs a query whose rows are one text each.
func (m *maker) texts(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := m.q.Query(ctx, query, args...)
	return collect(rows, err, func(r pgx.Rows) (s string, err error) {
		err = r.Scan(&s)
		return s, err
	})
}

// addAll adds every row of a query as a statement.
func (m *maker) addAll(ctx context.Context, query string, args ...any) error {
	statements, err := m.texts(ctx, query, args...)
	m.statements = append(m.statements, statements...)
	return err
}

const sequenceOptions = `'START WITH ' || q.seqstart || ' INCREMENT BY ' || q.seqincrement || ' MINVALUE ' || q.seqmin || ' MAXVALUE ' || q.seqmax || ' CACHE ' || q.seqcache || CASE WHEN q.seqcycle THEN ' CYCLE' ELSE '' END`

// columnLines are a table's columns, as CREATE TABLE has them. A default that names its sequence in a text
// gets the sequence itself.
const columnLines = `SELECT quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
		|| CASE WHEN a.attcollation <> y.typcollation THEN ' COLLATE ' || a.attcollation::regcollation::text ELSE '' END
		|| CASE WHEN a.attgenerated = 's' THEN ' GENERATED ALWAYS AS (' || pg_get_expr(f.adbin, f.adrelid) || ') STORED'
			WHEN a.attidentity <> '' THEN ' GENERATED ' || CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END || ' AS IDENTITY (SEQUENCE NAME '
				|| (SELECT quote_ident(s.relname) || ' ' || ` + sequenceOptions + ` FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_sequence AS q ON q.seqrelid = s.oid
					WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'i' AND d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum) || ')'
			WHEN f.oid IS NOT NULL THEN ' DEFAULT ' || coalesce((SELECT 'nextval(' || quote_literal(s.oid::regclass::text) || '::regclass)' FROM pg_class AS s
				WHERE s.relkind = 'S' AND s.oid = to_regclass(substring(pg_get_expr(f.adbin, f.adrelid) FROM '^nextval\(\(''(.*)''::text\)::regclass\)$'))), pg_get_expr(f.adbin, f.adrelid))
			ELSE '' END
		|| CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
	FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
	WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

const constraintLines = `SELECT 'CONSTRAINT ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
	WHERE conrelid = $1::oid AND (contype = 'c' OR $2::boolean AND contype IN ('p', 'u', 'x')) AND convalidated ORDER BY array_position('{p,u,x,c}', contype::text), conname::text COLLATE "C"`

// behindTable are the statements that follow CREATE TABLE: constraints that are not validated, what it says of
// single columns and of the whole.
const behindTable = `SELECT 'ALTER TABLE ' || $2::text || ' ADD CONSTRAINT ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::oid AND contype = 'c' AND NOT convalidated
	UNION ALL (SELECT 'ALTER TABLE ' || $2::text || ' ALTER COLUMN ' || quote_ident(a.attname) || x.clause FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid CROSS JOIN LATERAL (VALUES
		(CASE WHEN a.attstorage <> y.typstorage THEN ' SET STORAGE ' || CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END),
		(CASE WHEN a.attstattarget >= 0 THEN ' SET STATISTICS ' || a.attstattarget END),
		(CASE to_jsonb(a) ->> 'attcompression' WHEN 'p' THEN ' SET COMPRESSION pglz' WHEN 'l' THEN ' SET COMPRESSION lz4' END),
		(CASE WHEN a.attoptions IS NOT NULL THEN ' SET (' || array_to_string(a.attoptions, ', ') || ')' END)) AS x (clause)
		WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND x.clause IS NOT NULL ORDER BY a.attnum)`

// behindIndexes are those that follow the indexes.
const behindIndexes = `SELECT 'ALTER TABLE ' || $2::text || ' REPLICA IDENTITY ' || CASE c.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
		ELSE 'USING INDEX ' || (SELECT quote_ident(x.relname) FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisreplident) END
	FROM pg_class AS c WHERE c.oid = $1::oid AND c.relreplident <> 'd' AND (c.relreplident <> 'i' OR EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisreplident))
	UNION ALL SELECT 'ALTER TABLE ' || $2::text || ' CLUSTER ON ' || quote_ident(x.relname) FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = $1::oid AND i.indisclustered`

// table makes one table or partition, with what belongs to it alone.
func (m *maker) table(ctx context.Context, oid uint32, name string) error {
	lines, err := m.texts(ctx, columnLines, oid)
	if err != nil {
		return err
	}
	more, err := m.texts(ctx, constraintLines, oid, m.whole)
	if err != nil {
		return err
	}
	var tail string
	err = m.q.QueryRow(ctx, `SELECT CASE WHEN c.relkind = 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(c.oid) ELSE '' END
			|| CASE WHEN a.amname IS NOT NULL AND a.amname <> 'heap' THEN ' USING ' || quote_ident(a.amname) ELSE '' END
			|| coalesce(' WITH (' || (SELECT string_agg(x.o, ', ') FROM (SELECT unnest(c.reloptions) UNION ALL SELECT 'toast.' || unnest(t.reloptions)) AS x (o)) || ')', '')
		FROM pg_class AS c LEFT JOIN pg_am AS a ON a.oid = c.relam LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid WHERE c.oid = $1::oid`, oid).Scan(&tail)
	if err != nil {
		return err
	}
	m.add("CREATE TABLE %s (\n    %s\n)%s", name, strings.Join(append(lines, more...), ",\n    "), tail)
	if err := m.addAll(ctx, behindTable, oid, name); err != nil {
		return err
	}
	if !m.whole {
		if err := m.keys(ctx, oid, name); err != nil {
			return err
		}
	}
	if err := m.indexes(ctx, oid, name); err != nil {
		return err
	}
	if m.whole {
		return m.addAll(ctx, behindIndexes, oid, name)
	}
	identity, err := m.texts(ctx, behindIndexes, oid, name)
	for _, s := range identity {
		undo := " REPLICA IDENTITY DEFAULT"
		if strings.HasPrefix(s, "ALTER TABLE "+name+" CLUSTER ON ") {
			undo = " SET WITHOUT CLUSTER"
		}
		m.made.Constraints = append(m.made.Constraints, migrations.Behind{Make: s, Undo: "ALTER TABLE " + name + undo})
	}
	return err
}

// behind adds what may follow the rows: what finds them by key, and what rows of any moments fit into, before what is sure
// of the rows of one moment only.
func (m *maker) behind(anyRows bool, b migrations.Behind) {
	if anyRows {
		m.made.Indexes = append(m.made.Indexes, b)
	} else {
		m.made.Constraints = append(m.made.Constraints, b)
	}
}

// constraint is one that is made where it is not there yet. A foreign key that rows violate, at the monolith too then,
// stays NOT VALID.
func constraint(table, name, def string) migrations.Behind {
	return constraintAs(literal, table, name, def)
}

// constraintAs has its block quoted: where that changes no character, names in it can be replaced.
func constraintAs(quoted func(string) string, table, name, def string) migrations.Behind {
	add := fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s;", table, ident(name), def)
	if strings.HasPrefix(def, "FOREIGN KEY ") && !strings.HasSuffix(def, " NOT VALID") {
		add = fmt.Sprintf("BEGIN %s EXCEPTION WHEN foreign_key_violation THEN %s NOT VALID; RAISE WARNING USING MESSAGE = %s; END;",
			add, strings.TrimSuffix(add, ";"), literal("strangler: rows violate "+name+", which stays NOT VALID"))
	}
	return migrations.Behind{
		Make: fmt.Sprintf("DO %s", quoted(fmt.Sprintf("BEGIN IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s) THEN %s END IF; END",
			literal(table), literal(name), add))),
		Undo: "ALTER TABLE " + table + " DROP CONSTRAINT " + ident(name)}
}

// keys are the constraints with an index.
func (m *maker) keys(ctx context.Context, oid uint32, name string) error {
	rows, err := m.q.Query(ctx, `SELECT conname::text, pg_get_constraintdef(k.oid), x.relname::text FROM pg_constraint AS k JOIN pg_class AS x ON x.oid = k.conindid
		WHERE conrelid = $1::oid AND contype IN ('p', 'u', 'x') ORDER BY array_position('{p,u,x}', contype::text), conname::text COLLATE "C"`, oid)
	_, err = collect(rows, err, func(r pgx.Rows) (none struct{}, err error) {
		var called, def, index string
		if err := r.Scan(&called, &def, &index); err != nil {
			return none, err
		}
		b := constraint(name, called, def)
		b.Name = index
		m.behind(index == m.keyIndex, b)
		return none, nil
	})
	return err
}

// indexes are those without a constraint, and extended statistics. The server writes both with schemas;
// they are taken away where they are known to stand.
func (m *maker) indexes(ctx context.Context, oid uint32, name string) error {
	// A partition's indexes are made in the order of those above them: attaching it matches them in that order.
	rows, err := m.q.Query(ctx, `WITH RECURSIVE above AS (SELECT indexrelid AS own, indexrelid AS top, 0 AS depth FROM pg_index WHERE indrelid = $1::oid
			UNION ALL SELECT a.own, i.inhparent, a.depth + 1 FROM above AS a JOIN pg_inherits AS i ON i.inhrelid = a.top),
		place AS (SELECT DISTINCT ON (a.own) a.own, a.depth, c.relname::text AS top FROM above AS a JOIN pg_class AS c ON c.oid = a.top ORDER BY a.own, a.depth DESC)
		SELECT x.relname::text, i.indisunique, pg_get_indexdef(i.indexrelid), 'CREATE ' || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || 'INDEX ' || quote_ident(x.relname) || ' ON ',
			CASE WHEN c.relkind = 'p' THEN 'ONLY ' ELSE '' END || quote_ident(n.nspname) || '.' || quote_ident(c.relname) || ' ', $2::text || ' ', a.depth, a.top COLLATE "C"
		FROM pg_index AS i JOIN place AS a ON a.own = i.indexrelid JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_class AS c ON c.oid = i.indrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE i.indrelid = $1::oid AND i.indisvalid AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
		UNION ALL SELECT s.stxname::text, false, pg_get_statisticsobjdef(s.oid), 'CREATE STATISTICS ', quote_ident(n.nspname) || '.', '', -1, s.stxname::text COLLATE "C" FROM pg_statistic_ext AS s JOIN pg_namespace AS n ON n.oid = s.stxnamespace WHERE s.stxrelid = $1::oid
		ORDER BY 7 DESC, 8`, oid, name)
	type found struct {
		name                         string
		unique                       bool
		text, head, qualified, plain string
	}
	all, err := collect(rows, err, func(r pgx.Rows) (f found, err error) {
		err = r.Scan(&f.name, &f.unique, &f.text, &f.head, &f.qualified, &f.plain, nil, nil)
		return f, err
	})
	for _, f := range all {
		rest, ok := strings.CutPrefix(f.text, f.head+f.qualified)
		if !ok {
			return fmt.Errorf("%s does not begin with %s%s", f.text, f.head, f.qualified)
		}
		if m.whole {
			m.add("%s%s%s", f.head, f.plain, rest)
			continue
		}
		if f.head == "CREATE STATISTICS " {
			m.behind(true, migrations.Behind{Make: "CREATE STATISTICS IF NOT EXISTS " + rest, Undo: "DROP STATISTICS " + ident(f.name)})
			continue
		}
		// IF NOT EXISTS would take another table's index of that name for this one.
		there := fmt.Sprintf("SELECT FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = %s::regclass AND x.relname = %s", literal(name), literal(f.name))
		m.behind(!f.unique || f.name == m.keyIndex, migrations.Behind{
			Make: "DO " + literal(fmt.Sprintf("BEGIN IF NOT EXISTS (%s) THEN %s%s%s; END IF; END", there, f.head, f.plain, rest)),
			Undo: "DROP INDEX " + ident(f.name), Name: f.name})
	}
	return err
}

// sequences are those of defaults; an identity's comes with its column. One that more than this table's
// columns use is made where it is missing.
func (m *maker) sequences(ctx context.Context) error {
	rows, err := m.q.Query(ctx, `SELECT n.nspname::text, x.shared, 'CREATE SEQUENCE ' || CASE WHEN x.shared THEN 'IF NOT EXISTS ' ELSE '' END
			|| quote_ident(s.relname) || ' AS ' || format_type(q.seqtypid, NULL) || ' ' || `+sequenceOptions+`
		FROM pg_class AS s JOIN pg_sequence AS q ON q.seqrelid = s.oid JOIN pg_namespace AS n ON n.oid = s.relnamespace
		CROSS JOIN LATERAL (SELECT NOT EXISTS (SELECT FROM pg_depend AS o WHERE o.classid = 'pg_class'::regclass AND o.objid = s.oid AND o.deptype = 'a' AND o.refobjid = ANY ($1::oid[]))
				OR EXISTS (SELECT FROM pg_depend AS u JOIN pg_attrdef AS f ON f.oid = u.objid WHERE u.classid = 'pg_attrdef'::regclass AND u.refobjid = s.oid AND f.adrelid <> ALL ($1::oid[]))) AS x (shared)
		WHERE s.oid IN (SELECT d.refobjid FROM pg_depend AS d JOIN pg_attrdef AS f ON f.oid = d.objid WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND f.adrelid = ANY ($1::oid[])
			UNION SELECT d.objid FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a' AND d.refobjid = ANY ($1::oid[])
			UNION SELECT to_regclass(substring(pg_get_expr(adbin, adrelid) FROM '^nextval\(\(''(.*)''::text\)::regclass\)$')) FROM pg_attrdef WHERE adrelid = ANY ($1::oid[])) ORDER BY 3`, m.oids)
	_, err = collect(rows, err, func(r pgx.Rows) (none struct{}, err error) {
		var home, text string
		var shared bool
		err = r.Scan(&home, &shared, &text)
		if m.add("%s", text); shared {
			m.made.Homes[text] = home
		}
		return none, err
	})
	return err
}

// owned gives sequences to their columns, with which they are dropped.
func (m *maker) owned(ctx context.Context) error {
	return m.addAll(ctx, `SELECT 'ALTER SEQUENCE ' || quote_ident(s.relname) || ' OWNED BY ' || quote_ident(c.relname) || '.' || quote_ident(a.attname)
		FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_class AS c ON c.oid = d.refobjid JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
		WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a' AND d.refobjid = ANY ($1::oid[]) ORDER BY 1`, m.oids)
}

var attachment = regexp.MustCompile(`^ALTER TABLE (?:"(?:[^"]|"")+"|[^ "]+) ATTACH PARTITION ("(?:[^"]|"")+"|[^ "]+) `)

// attached are the partitions that the statements of ddl make, in the given schema.
func attached(statements []string, schema string) (out []relation) {
	for _, s := range statements {
		if m := attachment.FindStringSubmatch(s); m != nil {
			name := m[1]
			if strings.HasPrefix(name, `"`) {
				name = strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
			}
			out = append(out, relation{schema: schema, name: name})
		}
	}
	return out
}

// foreignKeys are those between this table and itself or the tables before it in the binding.
func (m *maker) foreignKeys(ctx context.Context) error {
	var before []uint32
	for _, oids := range m.moved[:m.at] {
		before = append(before, oids...)
	}
	rows, err := m.q.Query(ctx, `SELECT c.oid, quote_ident(c.relname), k.conname::text, pg_get_constraintdef(k.oid), p.oid, p.oid::regclass::text, n.nspname::text, p.relname::text, p.relnamespace <> c.relnamespace
		FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_class AS p ON p.oid = k.confrelid JOIN pg_namespace AS n ON n.oid = p.relnamespace
		WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = ANY ($1::oid[]) AND k.confrelid = ANY ($1::oid[] || $2::oid[]) OR k.conrelid = ANY ($2::oid[]) AND k.confrelid = ANY ($1::oid[]))
		ORDER BY c.relname::text COLLATE "C", k.conname::text COLLATE "C"`, m.oids, before)
	_, err = collect(rows, err, func(r pgx.Rows) (none struct{}, err error) {
		var table, name, def, shown string
		var child uint32
		var parent relation
		var away bool
		err = r.Scan(&child, &table, &name, &def, &parent.oid, &shown, &parent.schema, &parent.name, &away)
		quoted := literal
		if away && slices.ContainsFunc(m.moved, func(oids []uint32) bool { return len(oids) > 0 && oids[0] == parent.oid }) {
			def, quoted = strings.Replace(def, " REFERENCES "+shown+"(", refersTo(parent), 1), dollars
		}
		b := constraintAs(quoted, table, name, def)
		if of := slices.IndexFunc(m.moved, func(oids []uint32) bool { return slices.Contains(oids, child) }); of != m.at {
			b.Of = m.bound[of]
		}
		m.behind(false, b)
		return none, err
	})
	return err
}

func (m *maker) comments(ctx context.Context) error {
	rows, err := m.q.Query(ctx, `SELECT x.behind AND NOT $2::boolean, 'COMMENT ON ' || x.what || ' IS ' || quote_literal(d.description)
		FROM pg_description AS d CROSS JOIN LATERAL (
			SELECT false, 'TABLE ' || quote_ident(relname) FROM pg_class WHERE d.classoid = 'pg_class'::regclass AND oid = d.objoid AND d.objsubid = 0 AND oid = ANY ($1::oid[])
			UNION ALL SELECT false, 'COLUMN ' || quote_ident(c.relname) || '.' || quote_ident(a.attname) FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND NOT a.attisdropped
				WHERE d.classoid = 'pg_class'::regclass AND c.oid = d.objoid AND d.objsubid > 0 AND c.oid = ANY ($1::oid[])
			UNION ALL SELECT true, 'INDEX ' || quote_ident(c.relname) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE d.classoid = 'pg_class'::regclass AND i.indexrelid = d.objoid AND i.indisvalid AND i.indrelid = ANY ($1::oid[])
			UNION ALL SELECT k.contype <> 'c', 'CONSTRAINT ' || quote_ident(k.conname) || ' ON ' || quote_ident(c.relname) FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
				WHERE d.classoid = 'pg_constraint'::regclass AND k.oid = d.objoid AND k.contype IN ('p', 'u', 'x', 'c') AND k.conrelid = ANY ($1::oid[])) AS x (behind, what) ORDER BY 2`, m.oids, m.whole)
	_, err = collect(rows, err, func(r pgx.Rows) (none struct{}, err error) {
		var behind bool
		var text string
		err = r.Scan(&behind, &text)
		if behind {
			m.behind(false, migrations.Behind{Make: text})
		} else {
			m.statements = append(m.statements, text)
		}
		return none, err
	})
	return err
}
