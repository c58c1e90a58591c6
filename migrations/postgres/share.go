package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// A shared table is one of which only a Share moves. Its columns are those that move, and what selects rows of it selects
// from its share. Its fence and its capture look at rows, since a statement does not say which ones it changes.

// shared reports whether only a part of the table moves.
func (t *table) shared() bool { return len(t.stays) > 0 || t.where != "" }

// leave takes the columns that stay out of those that travel.
func (t *table) leave(s migrations.Share) {
	t.where = s.Where
	key := t.keyNames()
	stays := func(c column) bool { return slices.Contains(s.Stays, c.Name) && !slices.Contains(key, c.Name) }
	for _, c := range t.columns {
		if stays(c) {
			t.stays = append(t.stays, c)
		}
	}
	t.columns = slices.DeleteFunc(t.columns, stays)
	t.setKey(key)
}

// keeping reports whether one of the columns stays.
func (t *table) keeping(names []string) bool {
	return slices.ContainsFunc(t.stays, func(c column) bool { return slices.Contains(names, c.Name) })
}

// from is what rows are selected from, as t. The planner looks through the query of a share, so that a range of keys is still
// found by the key's index.
func (t *table) from() string {
	if !t.shared() {
		return t.full() + " AS t"
	}
	return "(SELECT " + t.selectList("t") + " FROM " + t.full() + " AS t WHERE " + t.inside() + ") AS t"
}

// inside is the condition of the share, for the columns of a row. It has lines of its own: it may end in a comment.
func (t *table) inside() string {
	if t.where == "" {
		return "true"
	}
	return "(\n" + t.where + "\n)"
}

// valued are the columns that move, but for the key.
func (t *table) valued() (out []column) {
	for i, c := range t.columns {
		if !slices.Contains(t.keyAt, i) {
			out = append(out, c)
		}
	}
	return out
}

// unlessShared is what a trigger for rows does first: it ends where the change is not one of the share. Values are compared
// as they are stored, whatever their type and its collation take for equal. A column's name may be that of a variable.
func (t *table) unlessShared() string {
	in := func(row string) string {
		if t.where == "" {
			return "true"
		}
		return "EXISTS (SELECT FROM (SELECT " + row + ".*) AS t WHERE " + t.inside() + ")"
	}
	values := func(row string) string { return "ROW(" + t.selectList(row) + ")::record" }
	differ := values("OLD") + " OPERATOR(pg_catalog.*<>) " + values("NEW")
	change := differ
	if t.where != "" {
		change = fmt.Sprintf("CASE WHEN %[1]s THEN NOT %[2]s OR %[3]s ELSE %[2]s END", in("OLD"), in("NEW"), differ)
	}
	return fmt.Sprintf(`  IF TG_OP = 'INSERT' THEN
    IF NOT %s THEN
      RETURN NULL;
    END IF;
  ELSIF TG_OP = 'DELETE' THEN
    IF NOT %s THEN
      RETURN NULL;
    END IF;
  ELSIF NOT (%s) THEN
    RETURN NULL;
  END IF;
`, in("NEW"), in("OLD"), change)
}

// rowVariables is how a function says that a name is a column's before it is a variable's.
const rowVariables = "\n#variable_conflict use_column"

// shareTrigger is the fence's for the rows of a shared table. It fires behind the change, when triggers of the monolith's
// and generated columns have made the row what it will be.
func (d *Database) shareTrigger(t *table) trigger {
	return trigger{name: d.shareName(), function: hashed("strangler_share_"+d.b.Capability, d.named(t.bound)), kind: forRow | onInsert | onDelete | onUpdate, path: d.path,
		event: "AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW",
		body: fmt.Sprintf("%s\nBEGIN\n  IF %s THEN\n    RETURN NULL;\n  END IF;\n%s  RAISE EXCEPTION USING MESSAGE = %s, ERRCODE = 'object_not_in_prerequisite_state';\nEND\n",
			rowVariables, d.pass(), t.unlessShared(), literal(d.refusal()))}
}

func (d *Database) shareName() string { return short("strangler_share_" + d.b.Capability) }

// fenceTriggers are those that a table's fence is made of. Of a shared table's, that for statements refuses TRUNCATE.
func (d *Database) fenceTriggers(t *table) []trigger {
	g := d.fenceTrigger()
	if !t.shared() {
		return []trigger{g}
	}
	g.kind, g.event = before|onTruncate, "BEFORE TRUNCATE ON %s FOR EACH STATEMENT"
	return []trigger{g, d.shareTrigger(t)}
}

// sharing reports whether the binding has a table of which only a part moves.
func (d *Database) sharing() bool {
	return slices.ContainsFunc(d.b.Shares, func(s migrations.Share) bool { return !s.Whole() })
}

// pathOf is the search_path of a session, as functions that evaluate a condition need it: names in it are found as
// they are in queries.
func pathOf(ctx context.Context, q querier) (path string, err error) {
	err = q.QueryRow(ctx, "SELECT concat_ws(', ', 'pg_catalog', (SELECT string_agg(quote_ident(s.name), ', ' ORDER BY s.at) FROM unnest(current_schemas(false)) WITH ORDINALITY AS s (name, at) WHERE s.name <> 'pg_catalog'), 'pg_temp')").Scan(&path)
	return path, err
}

// crosses reports whether a foreign key leads over the cut. A row that stays, whoever has what moves of it, is there for those
// that refer to it, and a column that stays is the monolith's; but a table that stays in part must not refer to one that will
// be gone.
func (d *Database) crosses(x crossing, moving []uint32) bool {
	child, parent := d.shareOf(x.table), d.shareOf(x.parent)
	goes := slices.Contains(moving, x.table.oid) && slices.ContainsFunc(x.columns, func(c string) bool { return !slices.Contains(child.Stays, c) })
	target := slices.Contains(moving, x.parent.oid)
	switch {
	case len(parent.Stays) > 0 && parent.Where != "":
		return false
	case goes && target:
		return !child.Whole() && parent.Whole()
	}
	return goes != target
}

// shareOf is what moves of a relation.
func (d *Database) shareOf(r relation) migrations.Share {
	for i, bound := range d.b.Tables {
		if d.binds(bound, r) {
			return d.b.Share(i)
		}
	}
	return migrations.Share{}
}

// binds reports whether a bound name is that of a relation.
func (d *Database) binds(bound string, r relation) bool {
	schema, name := split(bound)
	if schema == "" {
		return r.name == name && (r.schema == d.schema || ident(r.schema) == d.schema)
	}
	return r.name == name && r.schema == schema
}

// share finds what forbids that only a part of a table moves.
func (in *inspection) share(ctx context.Context, t *table) error {
	if !t.shared() {
		return nil
	}
	for _, c := range t.valued() {
		if len(t.stays) > 0 && c.identity == "a" {
			in.problem("mapping", fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s SET GENERATED BY DEFAULT", t.full(), ident(c.Name)),
				"column %s of %s is GENERATED ALWAYS, and cannot be written in a row of which other columns stay", c.Name, t.bound)
		}
	}
	if t.where == "" {
		return nil
	}
	_, err := in.apart(ctx, "SELECT FROM "+t.full()+" AS t WHERE "+t.inside()+" LIMIT 0")
	switch {
	case code(err) == insufficientPrivilege: // Examine says so
		return nil
	case code(err) != "":
		in.problem("mapping", "correct it in strangler.yaml", "the condition %q of table %s: %s", t.where, t.bound, err)
		return nil
	case err != nil || len(t.stays) == 0:
		return err
	}
	given := map[string]string{}
	for _, c := range t.valued() {
		if c.Default && c.dflt != "" && c.sequence == "" {
			given[c.Name] = c.dflt
		}
	}
	values := list(slices.Concat(t.columns, t.stays), func(c column) string {
		v, ok := given[c.Name]
		if !ok {
			v = "NULL"
		}
		return fmt.Sprintf("(%s)::%s AS %s", v, c.typed, ident(c.Name))
	})
	within, err := in.apart(ctx, "SELECT FROM (SELECT "+values+") AS t WHERE "+t.inside())
	if err == nil && within {
		in.problem("mapping", "correct it in strangler.yaml", "a row of %s that the service gives up would still be one of its rows: with their defaults in the columns that move, it is within %q", t.bound, t.where)
	}
	if code(err) != "" {
		err = nil // it is found where a row is given up
	}
	return err
}

// apart runs a query that may fail in a transaction of its own, which only reads, and says whether it finds a row.
func (in *inspection) apart(ctx context.Context, ask string) (some bool, err error) {
	err = in.d.reading(ctx, func(q querier) error {
		rows, err := q.Query(ctx, ask)
		if err != nil {
			return err
		}
		defer rows.Close()
		some = rows.Next()
		return rows.Err()
	})
	return some, err
}

const insufficientPrivilege = "42501"

// shares says of the whole binding what forbids its shares.
func (in *inspection) shares(context.Context) error {
	if in.d.sharing() && in.d.b.Capture == strangler.CaptureLogical {
		in.problem("capture", "capture: triggers", "%s cannot be captured by logical decoding: %s", in.d.b.Capability, whySharing)
	}
	return nil
}

const whySharing = "of a table only a part moves, and a replication slot tells of all of it"

// The writes of a shared table, for its rowBuffer.

// giveUp takes rows out of a share: where columns stay, and a condition tells its rows, those that move get their defaults.
// what limits the rows, which are t; every of them has to be outside then.
func (b *rowBuffer) giveUp(ctx context.Context, what string, p parameters) error {
	t := b.table
	mine := " AS t WHERE " + what + " AND " + t.inside()
	if len(t.stays) == 0 || t.where == "" {
		_, err := b.tx.Exec(ctx, "DELETE FROM "+t.full()+mine, p...)
		return passing(err)
	}
	if set := t.valued(); len(set) > 0 {
		if _, err := b.tx.Exec(ctx, "UPDATE "+t.full()+" AS t SET "+list(set, func(c column) string { return ident(c.Name) + " = DEFAULT" })+" WHERE "+what+" AND "+t.inside(), p...); err != nil {
			return passing(err)
		}
	}
	var some bool
	if err := b.tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+t.full()+mine+")", p...).Scan(&some); err != nil {
		return err
	}
	if some {
		return fmt.Errorf("%w: a row of %s that is given up is still within %q", migrations.ErrMisfit, t.bound, t.where)
	}
	return nil
}

// collect takes a row to be written.
func (b *rowBuffer) collect(ctx context.Context, r migrations.Row) error {
	if len(b.table.stays) > 0 {
		key := string(migrations.Encode(b.table.keyOf(r)))
		if b.keys[key] {
			if err := b.flush(ctx); err != nil {
				return err
			}
		}
		if b.keys == nil {
			b.keys = map[string]bool{}
		}
		b.keys[key] = true
	}
	b.rows = append(b.rows, r)
	return nil
}

// bring writes rows of a share. Where columns stay, a row that stands is written in place: what stays of it may be written
// by the monolith meanwhile.
func (b *rowBuffer) bring(ctx context.Context, rows []migrations.Row) error {
	t := b.table
	keys := make([]migrations.Key, len(rows))
	for i, r := range rows {
		keys[i] = t.keyOf(r)
	}
	if len(t.stays) == 0 {
		var text []byte
		for _, r := range rows {
			text = appendCopy(text, r)
		}
		if err := b.copyIn(ctx, text); err != nil {
			return err
		}
	} else if err := b.inPlace(ctx, rows); err != nil {
		return passing(err)
	}
	if t.where == "" {
		return nil
	}
	var p parameters
	ask := "SELECT concat_ws(', ', " + list(t.key(), func(c column) string { return "t." + ident(c.Name) + "::text" }) + ") FROM " + t.full() + " AS t WHERE " + t.anyOf(p.keyArrays(t.key(), keys)) + " AND " + t.inside() + " IS NOT TRUE LIMIT 1"
	var key string
	switch err := b.tx.QueryRow(ctx, ask, p...).Scan(&key); {
	case err == nil:
		return fmt.Errorf("%w: the row (%s) of %s is not within %q, so it is not the service's to write", migrations.ErrMisfit, key, t.bound, t.where)
	case !errors.Is(err, pgx.ErrNoRows):
		return err
	}
	return nil
}

func (b *rowBuffer) inPlace(ctx context.Context, rows []migrations.Row) error {
	t := b.table
	set := t.valued()
	if t.spelled() {
		set = t.columns // what is equal may be written differently
	}
	same := fmt.Sprintf("(%s) = (%s)", t.keyList("t"), t.keyList("g"))
	var p parameters
	given := p.rowArrays(t.columns, rows)
	stands := "SELECT count(*) FROM " + t.full() + " AS t JOIN (" + given + ") AS g ON " + same
	if len(set) > 0 {
		stands = "WITH x AS (UPDATE " + t.full() + " AS t SET " + list(set, func(c column) string { return ident(c.Name) + " = g." + ident(c.Name) }) + " FROM (" + given + ") AS g WHERE " + same + " RETURNING 1) SELECT count(*) FROM x"
	}
	var n int
	if err := b.tx.QueryRow(ctx, stands, p...).Scan(&n); err != nil || n == len(rows) {
		return err
	}
	_, err := b.tx.Exec(ctx, "INSERT INTO "+t.full()+" ("+t.columnNames()+") OVERRIDING SYSTEM VALUE SELECT "+t.selectList("g")+" FROM ("+given+") AS g WHERE NOT EXISTS (SELECT FROM "+t.full()+" AS t WHERE "+same+")", p...)
	return err
}

// rowArrays appends one array for each column, and returns what selects the rows from them.
func (p *parameters) rowArrays(columns []column, rows []migrations.Row) string {
	var arrays, names, casts []string
	for j, c := range columns {
		vs := make([]*string, len(rows))
		for i, r := range rows {
			if r[j] != nil {
				v := text(r[j])
				vs[i] = &v
			}
		}
		*p = append(*p, vs)
		arrays, names = append(arrays, fmt.Sprintf("$%d::text[]", len(*p))), append(names, fmt.Sprintf("t%d", j))
		casts = append(casts, fmt.Sprintf("t%d::%s AS %s", j, c.typed, ident(c.Name)))
	}
	return fmt.Sprintf("SELECT %s FROM unnest(%s) AS given (%s)", strings.Join(casts, ", "), strings.Join(arrays, ", "), strings.Join(names, ", "))
}
