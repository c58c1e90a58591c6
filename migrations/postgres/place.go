package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// split parts a bound name into schema and name; the schema is empty where none is given. Either may be quoted as in SQL,
// and has to be where it contains a dot.
func split(bound string) (schema, name string) {
	first, rest := unquote(bound)
	if rest == "" {
		return "", first
	}
	name, more := unquote(rest[1:])
	if more != "" {
		name = rest[1:] // a name with a dot in it
	}
	return first, name
}

// unquote takes the first identifier from a text; what is left begins with a dot, or is empty.
func unquote(text string) (name, rest string) {
	if m := quotedName.FindStringSubmatch(text); m != nil {
		return strings.ReplaceAll(m[1], `""`, `"`), text[len(m[1])+2:]
	}
	if at := strings.Index(text, "."); at > 0 {
		return text[:at], text[at:]
	}
	return text, ""
}

// places says where the service gets what the monolith has. What stands in the schema of a moved table is made in the
// schema of that table, everything else in the first of the service's search_path.
type places struct {
	from    migrations.Schema
	own     []string            // the service's search_path as it was when the plan was made
	tables  []string            // of each bound table, the schema at the service
	schemas map[string]string   // of moved tables at the monolith: those at the service, the first table's where there are several
	named   map[string][]string // where types, collations and sequences of one name are made
	taken   map[string]string   // what the plan makes: for which table
}

func (d *Database) places(ctx context.Context, from migrations.Schema) (*places, error) {
	at := &places{from: from, schemas: map[string]string{}, named: map[string][]string{}, taken: map[string]string{}}
	var extensions []string
	for _, t := range from.Tables {
		for _, text := range t.DDL {
			if c := makes(text); c.kind == "extension" {
				extensions = append(extensions, c.name)
			}
		}
	}
	err := d.pool.QueryRow(ctx, `SELECT current_schemas(false)::text[] || ARRAY(SELECT DISTINCT n.nspname::text FROM pg_extension AS x JOIN pg_namespace AS n ON n.oid = x.extnamespace WHERE quote_ident(x.extname) = ANY ($1::text[])
		AND n.nspname <> 'pg_catalog' ORDER BY 1)`, extensions).Scan(&at.own)
	if err != nil {
		return nil, fmt.Errorf("schemas of the %s database: %w", d.b.Side, err)
	}
	for i, bound := range d.b.Tables {
		schema, _ := split(bound)
		if schema == "" {
			schema = at.own[0]
		}
		at.tables = append(at.tables, schema)
		if home := from.Tables[i].Schema; at.schemas[home] == "" {
			at.schemas[home] = schema
		}
	}
	for _, t := range from.Tables {
		for _, text := range t.DDL {
			if c := makes(text); c.bare() != "" && !slices.Contains(at.named[c.bare()], at.place(t, text)) {
				at.named[c.bare()] = append(at.named[c.bare()], at.place(t, text))
			}
		}
	}
	return at, nil
}

// place is the schema in which a statement makes what other tables may use too.
func (at *places) place(t migrations.Table, text string) string {
	if schema, ok := at.schemas[t.Homes[text]]; ok {
		return schema
	}
	return at.own[0]
}

// path is along which a table's names are found: its own schema, what its types are in, all others of the plan.
func (at *places) path(i int) []string {
	path := []string{at.tables[i]}
	for _, text := range at.from.Tables[i].DDL {
		if _, shared := at.from.Tables[i].Homes[text]; shared {
			path = append(path, at.place(at.from.Tables[i], text))
		}
	}
	return unique(slices.Concat(path, at.own, at.tables))
}

// along is the path of a statement. What it makes for other tables too is not looked for where another of that name is
// made.
func (at *places) along(i int, text string) []string {
	path := at.path(i)
	if _, shared := at.from.Tables[i].Homes[text]; !shared {
		return path
	}
	place := at.place(at.from.Tables[i], text)
	others := at.named[makes(text).bare()]
	path = slices.DeleteFunc(path, func(s string) bool { return s != place && slices.Contains(others, s) })
	return unique(append([]string{place}, path...))
}

func unique(in []string) (out []string) {
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// take refuses a plan that would make two things of one name, or that names a schema of the monolith which the service has
// under another name.
func (at *places) take(i int, t migrations.Table) error {
	_, name := split(t.Name)
	names := []string{name}
	for _, p := range attached(t.DDL, "") {
		names = append(names, p.name)
	}
	for _, b := range slices.Concat(t.Indexes, t.Constraints) {
		if b.Name != "" {
			names = append(names, b.Name)
		}
	}
	for _, n := range names {
		full := relation{schema: at.tables[i], name: n}.full()
		if other, taken := at.taken[full]; taken {
			return strangler.Refuse("table", fmt.Sprintf("%s and %s both have something named %s, and the schema %s of the service's database takes one of that name", other, t.Name, n, at.tables[i]),
				"name another schema for one of them (to: schema.table), or rename it in the monolith")
		}
		at.taken[full] = t.Name
	}
	for _, text := range t.DDL {
		c, home := makes(text), t.Homes[text]
		if c.name != c.bareName() && at.place(t, text) != home {
			return strangler.Refuse("type", fmt.Sprintf("%s uses the %s %s, beside another one of that name in its own schema, and the service has no moved table in a schema %s", t.Name, c.kind, c.name, home), "rename the "+c.kind+" in the monolith")
		}
	}
	return nil
}

// refersTo is how a foreign key names a table of another schema.
func refersTo(r relation) string { return " REFERENCES " + r.full() + "(" }

// located is what follows the rows, with the path on which its names are found.
type located struct {
	migrations.Behind
	path []string
}

func (at *places) locate(i int, all []migrations.Behind) (out []located) {
	for _, b := range all {
		of := i
		if b.Of != "" {
			of = slices.IndexFunc(at.from.Tables, func(t migrations.Table) bool { return t.Name == b.Of })
		}
		for j, t := range at.from.Tables {
			_, name := split(t.Name)
			old := refersTo(relation{schema: t.Schema, name: name})
			if to := refersTo(relation{schema: at.tables[j], name: name}); strings.Contains(b.Make, old) {
				b.Make = strings.ReplaceAll(b.Make, old, to)
				break
			}
		}
		out = append(out, located{b, at.path(of)})
	}
	return out
}

// companion is an object that a table's statements make beside it where it is missing.
type companion struct {
	kind   string
	name   string // quoted where it has to be; with its schema where that was needed in the monolith
	schema string // in which it is made
}

// makes is what a statement of ddl makes beside the table, if it does, without the schema.
func makes(text string) (c companion) {
	if x := madeObject.FindStringSubmatch(text); x != nil {
		c = companion{kind: x[1], name: x[2]}
	} else if x := madeExtension.FindStringSubmatch(text); x != nil {
		c = companion{kind: strings.ToLower(x[1]), name: x[2]}
	}
	return c
}

// bareName is the quoted name without a schema.
func (c companion) bareName() string {
	if x := lastName.FindString(c.name); x != "" {
		return x
	}
	return c.name
}

// bare tells objects apart that are looked for by name; empty for one that stands in no schema.
func (c companion) bare() string {
	switch c.kind {
	case "", "extension":
		return ""
	case "domain":
		return "type " + c.bareName()
	}
	return c.kind + " " + c.bareName()
}

// full is good under any search_path.
func (c companion) full() string {
	if c.kind == "extension" {
		return c.name
	}
	return ident(c.schema) + "." + c.bareName()
}

// companions are the types, collations, extensions and shared sequences that the statements of a table would make
// in this database, in their order: those that are not there now.
func (d *Database) companions(ctx context.Context, at *places, i int) (out []companion, err error) {
	for _, text := range at.from.Tables[i].DDL {
		c := makes(text)
		c.schema = at.place(at.from.Tables[i], text)
		name := c.name
		if c.kind == "sequence" {
			name = c.full()
		}
		test := map[string]string{
			"type": "to_regtype($1::text) IS NOT NULL", "domain": "to_regtype($1::text) IS NOT NULL", "sequence": "to_regclass($1::text) IS NOT NULL",
			"collation": "EXISTS (SELECT FROM pg_collation WHERE quote_ident(collname) = $1::text AND pg_collation_is_visible(oid))",
			"extension": "EXISTS (SELECT FROM pg_extension WHERE quote_ident(extname) = $1::text)",
		}[c.kind]
		if test == "" || slices.Contains(out, c) {
			continue
		}
		var there bool
		err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SELECT set_config('search_path', $1::text, true)", list(at.along(i, text), ident)); err != nil {
				return err
			}
			return tx.QueryRow(ctx, "SELECT "+test, name).Scan(&there)
		})
		if err != nil {
			return nil, fmt.Errorf("look for the %s %s: %w", c.kind, c.name, err)
		}
		if !there {
			out = append(out, c)
		}
	}
	return out, nil
}

// drop takes it away behind the tables, but for what something else has come to use by then.
func (c companion) drop() string {
	return "DO " + dollars(fmt.Sprintf("\nBEGIN\n  DROP %s IF EXISTS %s;\nEXCEPTION WHEN dependent_objects_still_exist THEN\n  NULL;\nEND\n", strings.ToUpper(c.kind), c.full()))
}

// give makes it a role's own; empty where that is not done.
func (c companion) give(role string) string {
	if c.kind == "extension" {
		return ""
	}
	return fmt.Sprintf("ALTER %s %s OWNER TO %s", strings.ToUpper(c.kind), c.full(), ident(role))
}
