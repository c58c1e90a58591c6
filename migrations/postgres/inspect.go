package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// inspection is one reading of a side's catalog.
type inspection struct {
	d       *Database
	q       querier
	current string // current schema; empty: the role has none
	tables  []*table
	oids    []uint32 // tables that are there, and their partitions
	s       migrations.Schema
}

// Inspect describes the bound tables and what around them forbids a split. It reads the catalog as a role
// without any rights can; Problems says nothing of rights, Examine does.
func (d *Database) Inspect(ctx context.Context) (migrations.Schema, error) {
	in := &inspection{d: d, s: migrations.Schema{Engine: "postgres"}}
	fence, err := d.Fence(ctx)
	if err != nil {
		return in.s, err
	}
	if fence.Installed && fence.ControlID != d.b.ControlID {
		in.problem("control", "use the control store that it belongs to, or: strangler split adopt "+d.b.Capability,
			"the %s database belongs to another control store (%s, ours is %s)", d.b.Side, fence.ControlID, d.b.ControlID)
	}
	switch shared, err := d.pooled(ctx); {
	case err != nil:
		return in.s, fmt.Errorf("look for a pooler: %w", err)
	case shared: // what else it says may be of somebody else's session
		in.s.Problems = append(in.s.Problems, d.behindPooler())
		return in.s, nil
	}
	err = d.reading(ctx, func(q querier) error {
		in.q = q
		if err := in.find(ctx); err != nil {
			return err
		}
		for _, t := range in.tables {
			if t == nil {
				continue
			}
			if err := in.judge(ctx, t, fence); err != nil {
				return fmt.Errorf("table %s: %w", t.bound, err)
			}
		}
		return in.notes(ctx)
	})
	for _, f := range []func(context.Context) error{in.cut, in.links, in.shares, in.describeAll, in.capture} {
		if err == nil {
			err = f(ctx)
		}
	}
	if err != nil {
		return in.s, fmt.Errorf("inspect the %s database of %s: %w", d.b.Side, d.b.Capability, err)
	}
	return in.s, nil
}

// reading runs f in one read-only snapshot.
func (d *Database) reading(ctx context.Context, f func(q querier) error) error {
	return pgx.BeginTxFunc(ctx, d.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error { return f(tx) })
}

func (in *inspection) problem(check, next, format string, args ...any) {
	in.s.Problems = append(in.s.Problems, migrations.Problem{Check: check, What: fmt.Sprintf(format, args...), Next: next})
}

func (in *inspection) note(next, format string, args ...any) {
	in.s.Notes = append(in.s.Notes, migrations.Note{What: fmt.Sprintf(format, args...), Next: next})
}

// find describes the bound tables. One that the service does not have yet is no problem.
func (in *inspection) find(ctx context.Context) error {
	d := in.d
	if err := in.q.QueryRow(ctx, "SELECT coalesce(current_schema()::text, '')").Scan(&in.current); err != nil {
		return err
	}
	for i, bound := range d.b.Tables {
		t, err := d.describe(ctx, in.q, i)
		if err != nil {
			return err
		}
		in.tables = append(in.tables, t)
		schema, _ := split(bound)
		switch {
		case t != nil && slices.Contains(in.oids, t.oid):
			in.problem("table", "name it once in strangler.yaml", "the table %s is named twice in the %s database", bound, d.b.Side)
		case t != nil:
			in.oids = append(in.oids, t.oid)
			below, err := partitions(ctx, in.q, t.oid)
			if err != nil {
				return err
			}
			for _, p := range below {
				in.oids = append(in.oids, p.oid)
			}
		case schema == "" && in.current == "":
			in.problem("table", "set the role's search_path, or give it USAGE on the first schema of it", "no schema of the search_path is there in the %s database for the role %s, so %s has no place", d.b.Side, d.role, bound)
		case d.b.Side == strangler.Legacy:
			in.problem("table", "correct its name in strangler.yaml; a name without a schema is looked for in "+in.current, "the %s database has no table %s", d.b.Side, bound)
		case schema != "":
			var there bool
			if err := in.q.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1::text)", schema).Scan(&there); err != nil {
				return err
			}
			if !there {
				in.problem("table", "CREATE SCHEMA "+ident(schema), "the %s database has no schema %s for the table %s", d.b.Side, schema, bound)
			}
		}
	}
	return nil
}

// describeAll puts the tables into the schema, each with the statements that make it.
func (in *inspection) describeAll(ctx context.Context) error {
	for i, t := range in.tables {
		if t == nil {
			in.s.Tables = append(in.s.Tables, migrations.Table{Name: in.d.b.Tables[i]})
			continue
		}
		mt := t.described()
		if len(in.s.Problems) == 0 {
			write := in.d.ddl
			if in.d.b.Common {
				write = in.common
			}
			if err := write(ctx, t, &mt); err != nil {
				return fmt.Errorf("write down how table %s is made: %w", t.bound, err)
			}
		}
		in.s.Tables = append(in.s.Tables, mt)
	}
	return nil
}

var kinds = map[string]string{"v": "a view", "m": "a materialized view", "f": "a foreign table"}

// judge finds what forbids that one table moves.
func (in *inspection) judge(ctx context.Context, t *table, fence migrations.Fence) error {
	switch {
	case kinds[t.kind] != "":
		in.problem("table", "leave it in the monolith", "%s is %s, and only tables move", t.bound, kinds[t.kind])
		return nil
	case t.partition:
		in.problem("table", "name the whole partitioned table in strangler.yaml", "%s is a partition of another table", t.bound)
	case t.inherits:
		in.problem("table", "take it out of the inheritance (ALTER TABLE … NO INHERIT), or use declarative partitions", "%s has a parent or children by inheritance", t.bound)
	case t.persistence != "p":
		in.problem("table", "ALTER TABLE "+t.full()+" SET LOGGED", "%s is unlogged or temporary: a crash empties it", t.bound)
	}
	switch {
	case len(t.keyAt) > 0:
	case t.unusable != "":
		in.problem("key", "give it a primary key that is not deferrable, or a unique index over columns that are NOT NULL", "table %s has a primary key that cannot be used: %s", t.bound, t.unusable)
	default:
		in.problem("key", "give it a primary key, or a unique index that is not partial and not deferrable, over columns that are NOT NULL and not generated", "table %s has no usable key", t.bound)
	}
	if t.forced {
		in.problem("rowsecurity", "ALTER TABLE "+t.full()+" NO FORCE ROW LEVEL SECURITY", "table %s has row level security that binds its owner too, so rows may be hidden from Strangler", t.bound)
	}
	for _, f := range []func(context.Context, *table) error{in.parts, in.visible, in.triggers, in.rules, in.subscriptions, in.types, in.deferred, in.share} {
		if err := f(ctx, t); err != nil {
			return err
		}
	}
	if in.d.b.Side == strangler.Service && !fence.Installed {
		return in.empty(ctx, t)
	}
	return nil
}

// family is a table and its partitions.
const family = `(WITH RECURSIVE f AS (SELECT $1::oid AS oid UNION ALL SELECT i.inhrelid FROM f JOIN pg_inherits AS i ON i.inhparent = f.oid) SELECT oid FROM f)`

// each runs a query whose rows are texts.
func (in *inspection) each(ctx context.Context, query string, arg any, n int, f func(s []string)) error {
	rows, err := in.q.Query(ctx, query, arg)
	all, err := collect(rows, err, func(r pgx.Rows) ([]string, error) {
		texts, dest := make([]string, n), make([]any, n)
		for i := range texts {
			dest[i] = &texts[i]
		}
		err := r.Scan(dest...)
		return texts, err
	})
	for _, s := range all {
		f(s)
	}
	return err
}

func (in *inspection) parts(ctx context.Context, t *table) error {
	return in.each(ctx, `SELECT oid::regclass::text FROM pg_class WHERE oid IN `+family+` AND oid <> $1::oid AND (relkind NOT IN ('r', 'p') OR relpersistence <> 'p') ORDER BY 1`, t.oid, 1, func(s []string) {
		in.problem("table", "make it an ordinary partition, or detach it", "the partition %s of %s is a foreign or an unlogged table", s[0], t.bound)
	})
}

// visible refuses policies that would hide rows from this role without a word.
func (in *inspection) visible(ctx context.Context, t *table) error {
	return in.each(ctx, `SELECT current_user::text WHERE row_security_active($1::oid)`, t.oid, 1, func(s []string) {
		if !t.forced {
			in.problem("rowsecurity", fmt.Sprintf("GRANT %s TO %s", ident(t.owner), ident(s[0])), "table %s has row level security, which hides rows from the role %s", t.bound, s[0])
		}
	})
}

func (in *inspection) triggers(ctx context.Context, t *table) error {
	return in.each(ctx, `SELECT tgname::text, tgrelid::regclass::text, pg_get_triggerdef(oid, true) FROM pg_trigger
		WHERE tgrelid IN `+family+` AND NOT tgisinternal AND tgenabled IN ('A', 'R') AND tgname NOT LIKE 'strangler\_%' ORDER BY 1, 2`, t.oid, 3, func(s []string) {
		in.problem("trigger", fmt.Sprintf("ALTER TABLE %s ENABLE TRIGGER %s, so that it does not act on applied rows", s[1], ident(s[0])),
			"table %s has the trigger %s, which is enabled ALWAYS or for replicas and would act a second time on rows that Strangler applies", t.bound, s[0])
	})
}

func (in *inspection) rules(ctx context.Context, t *table) error {
	return in.each(ctx, `SELECT rulename::text, ev_class::regclass::text FROM pg_rewrite WHERE ev_class IN `+family+` AND ev_enabled <> 'D' AND ev_type <> '1' ORDER BY 1, 2`, t.oid, 2, func(s []string) {
		in.problem("rule", fmt.Sprintf("replace it by a trigger: DROP RULE %s ON %s", ident(s[0]), s[1]), "table %s has the rule %s, which rewrites what is written to it", t.bound, s[0])
	})
}

func (in *inspection) subscriptions(ctx context.Context, t *table) error {
	return in.each(ctx, `SELECT srrelid::regclass::text FROM pg_subscription_rel WHERE srrelid IN `+family+` ORDER BY 1`, t.oid, 1, func(s []string) {
		in.problem("subscription", "drop the subscription, or take the table out of the publication behind it", "table %s receives rows by a subscription of PostgreSQL (%s), which passes by every fence", t.bound, s[0])
	})
}

// deferred finds constraints that the applier's session would not check: their triggers are off in it.
func (in *inspection) deferred(ctx context.Context, t *table) error {
	if in.d.b.Side == strangler.Legacy {
		return nil // its rows have passed them
	}
	return in.each(ctx, `SELECT conname::text, conrelid::regclass::text FROM pg_constraint WHERE conrelid = $1::oid AND contype IN ('p', 'u', 'x') AND condeferrable ORDER BY 1`, t.oid, 2, func(s []string) {
		in.problem("index", fmt.Sprintf("make it anew, NOT DEFERRABLE, or drop it: ALTER TABLE %s DROP CONSTRAINT %s", s[1], ident(s[0])), "the service's table %s has the deferrable constraint %s, which is not checked for rows that Strangler applies", t.bound, s[0])
	})
}

// empty refuses a service's table with rows. What this role may not read, the script that fences it finds.
func (in *inspection) empty(ctx context.Context, t *table) error {
	var may, some bool
	if err := in.q.QueryRow(ctx, "SELECT has_table_privilege($1::oid, 'SELECT') AND has_schema_privilege($2::text, 'USAGE')", t.oid, t.schema).Scan(&may); err != nil || !may {
		return err
	}
	if err := in.q.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+t.full()+")").Scan(&some); err != nil {
		return err
	}
	if some {
		in.problem("rows", "empty it, or name another table in strangler.yaml", "the service's table %s already has rows", t.bound)
	}
	return nil
}

// Identity is the cluster and the database in it, the same for a primary and its copies.
func (d *Database) Identity(ctx context.Context) (string, error) {
	var id string
	err := d.pool.QueryRow(ctx, "SELECT format('postgres:%s/%s', s.system_identifier, b.oid) FROM pg_control_system() AS s, pg_database AS b WHERE b.datname = current_database()").Scan(&id)
	if err != nil {
		return "", fmt.Errorf("the identity of the %s database of %s: %w", d.b.Side, d.b.Capability, err)
	}
	return id, nil
}
