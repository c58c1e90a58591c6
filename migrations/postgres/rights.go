package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// Phases, in the words of Finding.
const (
	toPlan     = "plan"
	toCopy     = "copy"
	toCutOver  = "cutover"
	toComplete = "complete"
)

// rights are what Strangler's role needs at one side: no more than that, as long as the statements are run
// in their order.
type rights struct {
	*examination
	masters []master
	heirs   bool // the tables are given to the owner of the service's database, who then may make them
}

// master is a role whose membership is needed: an owner may do what no GRANT on its tables allows.
type master struct {
	oid   uint32
	name  string // quoted where it has to be
	phase string
	why   string
}

// grants says of each right that is needed whether the role has it.
func (x *examination) grants(ctx context.Context) error {
	r := &rights{examination: x}
	for _, f := range []func(context.Context) error{r.owners, r.heir, r.memberships, r.schemas, r.create, r.replica, r.parents, r.sequences, r.statistics} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	x.add(migrations.Finding{Phase: toComplete, Check: "grant", What: fmt.Sprintf("to complete, %s needs no more than to copy", x.me), Fine: true})
	return nil
}

// say adds one right.
func (r *rights) say(phase, statement, why string, has bool) {
	f := migrations.Finding{Phase: phase, Check: "grant", What: statement + ": there, " + why, Fine: true}
	if !has {
		f.What, f.Fine, f.Forbids, f.Next = statement+": missing, "+why, false, true, []string{statement}
	}
	r.add(f)
}

// master adds a role, once.
func (r *rights) master(phase string, oid uint32, name, why string) {
	if name != r.me && !slices.ContainsFunc(r.masters, func(m master) bool { return m.oid == oid }) {
		r.masters = append(r.masters, master{oid, name, phase, why})
	}
}

// owners are those of the moved tables and their partitions, and of staying tables that refer to them.
func (r *rights) owners(ctx context.Context) error {
	children := []uint32{}
	for _, k := range r.crossing {
		if !slices.Contains(r.oids, k.table.oid) {
			children = append(children, k.table.oid)
		}
	}
	for _, of := range []struct {
		phase, why string
		oids       []uint32
	}{
		{toCopy, "to fence and record its tables (ALTER TABLE and CREATE TRIGGER are the owner's)", r.oids},
		{toCutOver, "to drop its tables' foreign keys to the moved ones, and to put them back", children},
	} {
		rows, err := r.q.Query(ctx, `SELECT DISTINCT o.oid, quote_ident(o.rolname) FROM pg_class AS c JOIN pg_roles AS o ON o.oid = c.relowner WHERE c.oid = ANY ($1::oid[]) ORDER BY 2`, of.oids)
		_, err = collect(rows, err, func(rows pgx.Rows) (_ struct{}, err error) {
			var oid uint32
			var name string
			err = rows.Scan(&oid, &name)
			r.master(of.phase, oid, name, of.why)
			return struct{}{}, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// homes are the schemas of the tables that are to be made.
func (r *rights) homes() (out []string) {
	for i, bound := range r.d.b.Tables {
		if schema, _ := split(bound); schema != "" && r.tables[i] == nil && r.d.b.Side == strangler.Service {
			out = append(out, schema)
		}
	}
	return out
}

// heir is the owner of the service's database, to whom the tables are given that are made there.
func (r *rights) heir(ctx context.Context) error {
	if r.d.b.Side != strangler.Service || !slices.Contains(r.tables, nil) {
		return nil
	}
	var oid uint32
	var name string
	var super bool
	var statements []string
	err := r.q.QueryRow(ctx, `SELECT o.oid, quote_ident(o.rolname), o.rolsuper, ARRAY(SELECT format('GRANT CREATE ON SCHEMA %I TO %I', n.nspname, o.rolname) FROM pg_namespace AS n
				WHERE (n.nspname = current_schema() OR n.nspname = ANY ($1::text[])) AND NOT has_schema_privilege(o.oid, n.oid, 'CREATE') ORDER BY 1)
		FROM pg_database AS b JOIN pg_roles AS o ON o.oid = b.datdba WHERE b.datname = current_database()`, r.homes()).Scan(&oid, &name, &super, &statements)
	switch {
	case err != nil:
		return err
	case name == r.me || super:
		r.add(migrations.Finding{Phase: toCopy, Check: "owner", What: fmt.Sprintf("the tables that are made in the service's database will belong to %s, since the database belongs to %s: the service gets no rights on them", r.me, name),
			Next: []string{"ALTER DATABASE " + ident(databaseName(r)) + " OWNER TO the service's role, with GRANT of that role TO " + r.me,
				fmt.Sprintf("ALTER DEFAULT PRIVILEGES FOR ROLE %s GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO the service's role, and likewise USAGE ON SEQUENCES", r.me)}})
		return nil
	}
	r.heirs = true
	for _, s := range statements {
		r.say(toCopy, s, "so that the service's tables can be given to it", false)
	}
	r.master(toCopy, oid, name, "to give it the tables that are made in its database")
	return nil
}

func databaseName(r *rights) string { return r.d.pool.Config().ConnConfig.Database }

// memberships lists each role that is not reached through another.
func (r *rights) memberships(ctx context.Context) error {
	var needed []master
	for _, m := range r.masters {
		reached := false
		for _, other := range r.masters {
			var has bool
			if err := r.q.QueryRow(ctx, "SELECT pg_has_role($1::oid, $2::oid, 'USAGE')", other.oid, m.oid).Scan(&has); err != nil {
				return err
			}
			reached = reached || has && other.oid != m.oid
		}
		if !reached {
			needed = append(needed, m)
		}
	}
	for _, m := range needed {
		var has, member, super bool
		var version int
		err := r.q.QueryRow(ctx, `SELECT pg_has_role(current_user, $1::oid, 'USAGE'), pg_has_role(current_user, $1::oid, 'MEMBER'), (SELECT rolsuper FROM pg_roles WHERE oid = $1::oid), current_setting('server_version_num')::integer`, m.oid).Scan(&has, &member, &super, &version)
		if err != nil {
			return err
		}
		statement := fmt.Sprintf("GRANT %s TO %s", m.name, r.me)
		switch {
		case member && !has && version >= 160000:
			statement += " WITH INHERIT TRUE"
		case member && !has:
			statement = fmt.Sprintf("ALTER ROLE %s INHERIT", r.me)
		}
		r.say(m.phase, statement, m.why, has)
		if super && !has {
			r.add(migrations.Finding{Phase: m.phase, Check: "owner", What: fmt.Sprintf("%s is a superuser, and a member of it may do anything: better give the tables an owner of their own", m.name), Next: []string{"ALTER TABLE … OWNER TO …"}})
		}
	}
	return nil
}

// masterOIDs are the roles whose rights come with their membership.
func (r *rights) masterOIDs() []uint32 {
	out := make([]uint32, len(r.masters))
	for i, m := range r.masters {
		out[i] = m.oid
	}
	return out
}

// each says every row of a query: statement, whether the role has it. Left out is what a master may do.
func (r *rights) each(ctx context.Context, phase, why, query string, args ...any) error {
	rows, err := r.q.Query(ctx, query, args...)
	_, err = collect(rows, err, func(rows pgx.Rows) (_ struct{}, err error) {
		var statement string
		var has bool
		err = rows.Scan(&statement, &has)
		r.say(phase, statement, why, has)
		return struct{}{}, err
	})
	return err
}

// schemas are those of the tables, and of all that has to be named.
func (r *rights) schemas(ctx context.Context) error {
	const usage = `SELECT DISTINCT format('GRANT USAGE ON SCHEMA %I TO %I', n.nspname, current_user), has_schema_privilege(n.oid, 'USAGE') FROM pg_namespace AS n
		WHERE NOT EXISTS (SELECT FROM unnest($2::oid[]) AS m (oid) WHERE has_schema_privilege(m.oid, n.oid, 'USAGE')) AND `
	masters := r.masterOIDs()
	if r.d.b.Side == strangler.Legacy {
		if err := r.each(ctx, toPlan, "to read how the tables are made", nearSchemas+`SELECT DISTINCT format('GRANT USAGE ON SCHEMA %I TO %I', n.nspname, current_user), has_schema_privilege(n.oid, 'USAGE') FROM schemas AS n
			WHERE NOT EXISTS (SELECT FROM unnest($3::oid[]) AS m (oid) WHERE has_schema_privilege(m.oid, n.oid, 'USAGE')) ORDER BY 1`, r.oids, r.oids, masters); err != nil {
			return err
		}
	} else {
		var types []uint32
		for _, t := range r.tables {
			if t != nil {
				for _, c := range t.key() {
					types = append(types, c.oid)
				}
			}
		}
		if err := r.each(ctx, toPlan, "to reach the tables and the types of their keys", usage+`(n.nspname = current_schema() OR n.nspname = ANY ($4::text[]) OR n.nspname <> 'pg_catalog' AND n.oid IN (SELECT relnamespace FROM pg_class WHERE oid = ANY ($1::oid[])
			UNION SELECT coalesce(e.typnamespace, y.typnamespace) FROM pg_type AS y LEFT JOIN pg_type AS e ON e.oid = y.typelem AND y.typcategory = 'A' WHERE y.oid = ANY ($3::oid[]))) ORDER BY 1`, r.oids, masters, types, r.homes()); err != nil {
			return err
		}
	}
	var across []uint32
	for _, k := range r.crossing {
		across = append(across, k.table.oid, k.parent.oid)
	}
	return r.each(ctx, toCutOver, "to reach the tables that foreign keys lead to", usage+`n.oid IN (SELECT relnamespace FROM pg_class WHERE oid = ANY ($1::oid[]) AND oid <> ALL ($3::oid[]))
		AND n.oid NOT IN (SELECT relnamespace FROM pg_class WHERE oid = ANY ($3::oid[])) ORDER BY 1`, across, masters, r.oids)
}

// create is for Strangler's own tables and functions, and for tables that are to be made.
func (r *rights) create(ctx context.Context) error {
	const create = `SELECT format('GRANT CREATE ON SCHEMA %I TO %I', n.nspname, current_user), has_schema_privilege(n.oid, 'CREATE') FROM pg_namespace AS n
		WHERE NOT EXISTS (SELECT FROM unnest($1::oid[]) AS m (oid) WHERE has_schema_privilege(m.oid, n.oid, 'CREATE')) AND `
	if err := r.each(ctx, toCopy, "for Strangler's own tables and functions", create+"n.nspname = current_schema()", r.masterOIDs()); err != nil || r.heirs {
		return err
	}
	return r.each(ctx, toCopy, "for the tables that are made there", create+"n.nspname = ANY ($2::text[]) AND n.nspname <> current_schema() ORDER BY 1", r.masterOIDs(), r.homes())
}

// parents stay, and rows that move refer to them: they are locked while the foreign key goes, it is put back,
// and orphans are looked for. PostgreSQL lets nobody lock a table who may not write it.
func (r *rights) parents(ctx context.Context) error {
	var parents, kept []uint32
	for _, k := range r.crossing {
		if !slices.Contains(r.oids, k.parent.oid) {
			parents = append(parents, k.parent.oid)
		}
	}
	for _, k := range r.d.restricted(r.crossing) {
		kept = append(kept, k.parent.oid)
	}
	if err := r.each(ctx, toCutOver, "to keep its rows from being deleted to which rows of the service refer (on_delete: restrict)", `SELECT format('GRANT TRIGGER ON TABLE %I.%I TO %I', n.nspname, c.relname, current_user), has_table_privilege(c.oid, 'TRIGGER')
		FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE c.oid = ANY ($1::oid[]) AND NOT EXISTS (SELECT FROM unnest($2::oid[]) AS m (oid) WHERE has_table_privilege(m.oid, c.oid, 'TRIGGER')) ORDER BY 1`, kept, r.masterOIDs()); err != nil {
		return err
	}
	return r.each(ctx, toCutOver, "to lock it and drop foreign keys to it, to put them back after a rollback, and to look for orphans", `SELECT format('GRANT %s ON TABLE %I.%I TO %I', string_agg(p.name, ', ' ORDER BY p.name), n.nspname, c.relname, current_user), bool_and(has_table_privilege(c.oid, p.tests))
		FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace CROSS JOIN (VALUES ('REFERENCES', 'REFERENCES'), ('SELECT', 'SELECT'), ('UPDATE', 'UPDATE, DELETE, TRUNCATE')) AS p (name, tests)
		WHERE c.oid = ANY ($1::oid[]) AND NOT EXISTS (SELECT FROM unnest($2::oid[]) AS m (oid) WHERE has_table_privilege(m.oid, c.oid, p.tests)) GROUP BY n.nspname, c.relname ORDER BY 1`, parents, r.masterOIDs())
}

// sequences that do not come with the tables' owner are read at one side, and set ahead at the other.
func (r *rights) sequences(ctx context.Context) error {
	var names []string
	for _, t := range r.tables {
		if t == nil {
			continue
		}
		for _, c := range t.columns {
			if c.sequence != "" {
				names = append(names, c.sequence)
			}
		}
	}
	return r.each(ctx, toCutOver, "to read how far it is, and to set it ahead of the other side's", `SELECT format('GRANT %s ON SEQUENCE %I.%I TO %I', string_agg(p.name, ', ' ORDER BY p.name DESC), n.nspname, c.relname, current_user), bool_and(has_sequence_privilege(c.oid, p.tests))
		FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace CROSS JOIN (VALUES ('USAGE', 'USAGE, SELECT'), ('UPDATE', 'UPDATE')) AS p (name, tests)
		WHERE c.relkind = 'S' AND quote_ident(n.nspname) || '.' || quote_ident(c.relname) = ANY ($1::text[])
		AND NOT EXISTS (SELECT FROM unnest($2::oid[]) AS m (oid) WHERE has_sequence_privilege(m.oid, c.oid, p.tests)) GROUP BY n.nspname, c.relname ORDER BY 1`, names, r.masterOIDs())
}

// statistics of others' sessions are not needed, but say ahead of a cutover who would hold it up.
func (r *rights) statistics(ctx context.Context) error {
	var has bool
	if err := r.q.QueryRow(ctx, "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')").Scan(&has); err != nil {
		return err
	}
	statement := "GRANT pg_read_all_stats TO " + r.me
	if has {
		r.say(toCutOver, statement, "so that transactions which hold up a cutover are seen before it", true)
		return nil
	}
	r.add(migrations.Finding{Phase: toCutOver, Check: "grant", What: statement + ": missing; without it, other roles' long transactions are not seen before they hold up a cutover, which then gives up and is tried again", Next: []string{statement}})
	return nil
}
