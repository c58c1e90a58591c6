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

// remark is a query whose rows are what a person should know, n texts each, and how it is said. $1 is the
// tables that move, with their partitions.
type remark struct {
	query string
	n     int
	say   func(in *inspection, s []string)
}

// says makes a note of the texts; next, what to do about it, takes them by their numbers.
func says(format, next string) func(in *inspection, s []string) {
	return func(in *inspection, s []string) {
		args := make([]any, len(s))
		for i, v := range s {
			args[i] = v
		}
		advice := next
		if strings.Contains(next, "%") {
			advice = fmt.Sprintf(next, args...)
		}
		in.note(advice, format, args...)
	}
}

const notOurs = ` NOT LIKE 'strangler\_%'`

// remarks are for both sides.
var remarks = []remark{
	{`SELECT DISTINCT t.tgname::text, t.tgrelid::regclass::text FROM pg_trigger AS t WHERE t.tgrelid = ANY ($1::oid[]) AND NOT t.tgisinternal AND t.tgenabled = 'O' AND t.tgname` + notOurs + `
		AND NOT EXISTS (SELECT FROM pg_inherits AS i JOIN pg_trigger AS p ON p.tgrelid = i.inhparent AND p.tgname = t.tgname WHERE i.inhrelid = t.tgrelid) ORDER BY 2, 1`, 2,
		says("the trigger %s on %s stays, and acts on what applications write there; rows that Strangler applies do not fire it, and the other side's table does not get it",
			"where the service needs what it does, make it there too")},
	{`SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.oid = ANY ($1::oid[]) AND c.relrowsecurity AND NOT c.relforcerowsecurity ORDER BY 1`, 1,
		says("%s has row level security; its policies are not made at the other side",
			"where the service needs its policies, make them there")},
	{`SELECT p.pubname::text, string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text) FROM pg_publication AS p JOIN LATERAL pg_get_publication_tables(p.pubname) AS t ON true JOIN pg_class AS c ON c.oid = t.relid
		WHERE c.oid = ANY ($1::oid[]) AND p.pubname` + notOurs + ` GROUP BY p.pubname ORDER BY 1`, 2,
		says("the publication %s sends on what happens to %s, and so also what Strangler applies there",
			"where its subscribers should not get that, take them out of it: ALTER PUBLICATION %[1]s DROP TABLE %[2]s")},
	{`SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.oid = ANY ($1::oid[]) AND c.relkind = 'r' AND 'autovacuum_enabled=false' = ANY (replace(c.reloptions::text, 'autovacuum_enabled=off', 'autovacuum_enabled=false')::text[]) ORDER BY 1`, 1,
		says("autovacuum is disabled on %s: every row that is applied again leaves a dead one behind",
			"ALTER TABLE %[1]s RESET (autovacuum_enabled)")},
	{`SELECT e.evtname::text, e.evtevent::text FROM pg_event_trigger AS e WHERE e.evtenabled <> 'D' AND e.evtname` + notOurs + ` AND $1::oid[] IS NOT NULL
		AND NOT EXISTS (SELECT FROM pg_depend AS x WHERE x.classid = 'pg_event_trigger'::regclass AND x.objid = e.oid AND x.deptype = 'e') ORDER BY 1`, 2,
		says("the event trigger %s (%s) sees the scripts, and every closing and opening of a fence; it must not refuse them",
			"see that it lets Strangler's role pass, or: ALTER EVENT TRIGGER %[1]s DISABLE")},
}

// ownerRemarks are for the monolith's side.
var ownerRemarks = []remark{
	{`SELECT DISTINCT v.kind || ' ' || v.name, r.oid::regclass::text FROM pg_depend AS d JOIN pg_class AS r ON r.oid = d.refobjid
		CROSS JOIN LATERAL (SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, c.oid::regclass::text FROM pg_rewrite AS w JOIN pg_class AS c ON c.oid = w.ev_class AND c.relkind IN ('v', 'm') WHERE d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
			UNION ALL SELECT 'function', p.oid::regprocedure::text FROM pg_proc AS p WHERE d.classid = 'pg_proc'::regclass AND p.oid = d.objid) AS v (kind, name)
		WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($1::oid[]) ORDER BY 1, 2`, 2,
		says("the %s depends on %s: it keeps working until `complete` drops the table, which is refused as long as it stands",
			"before complete, drop it, or have it read elsewhere")},
	{`SELECT s.oid::regclass::text, string_agg(DISTINCT f.adrelid::regclass::text, ', ') FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.refobjid AND s.relkind = 'S' JOIN pg_attrdef AS f ON f.oid = d.objid
		WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND f.adrelid <> ALL ($1::oid[]) AND EXISTS (SELECT FROM pg_depend AS o LEFT JOIN pg_attrdef AS g ON g.oid = o.objid
			WHERE o.classid = 'pg_class'::regclass AND o.objid = s.oid AND o.deptype = 'a' AND o.refobjid = ANY ($1::oid[]) OR o.classid = 'pg_attrdef'::regclass AND o.refobjid = s.oid AND g.adrelid = ANY ($1::oid[])) GROUP BY s.oid ORDER BY 1`, 2,
		says("the sequence %s also gives numbers to %s, which stays: from the cutover on both sides hand them out independently",
			"give what stays a sequence of its own, or let the numbers of both sides be told apart")},
	{`SELECT DISTINCT s.oid::regclass::text, f.adrelid::regclass::text FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.refobjid AND s.relkind = 'S' JOIN pg_attrdef AS f ON f.oid = d.objid
		WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND f.adrelid = ANY ($1::oid[])
		AND NOT EXISTS (SELECT FROM pg_depend AS o WHERE o.classid = 'pg_class'::regclass AND o.objid = s.oid AND o.deptype = 'a') ORDER BY 1`, 2,
		says("the sequence %s of %s belongs to no column: `complete` leaves it behind",
			"behind complete: DROP SEQUENCE %[1]s")},
	{`SELECT c.oid::regclass::text, string_agg(DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee)::text END, ', ') FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS g
		WHERE c.oid = ANY ($1::oid[]) AND g.grantee <> c.relowner GROUP BY c.oid ORDER BY 1`, 2,
		says("rights on %s were granted to %s; the service's table does not get them",
			"where the service's users need them, grant them there")},
}

// makerRemarks are of what the service's scripts make of a PostgreSQL database's tables alone.
var makerRemarks = []remark{
	{`SELECT DISTINCT p.oid::regprocedure::text, c.oid::regclass::text FROM (
			SELECT f.adrelid AS rel, 'pg_attrdef'::regclass AS classid, f.oid FROM pg_attrdef AS f UNION ALL SELECT k.conrelid, 'pg_constraint'::regclass, k.oid FROM pg_constraint AS k
			UNION ALL SELECT i.indrelid, 'pg_class'::regclass, i.indexrelid FROM pg_index AS i) AS x JOIN pg_class AS c ON c.oid = x.rel
		JOIN pg_depend AS d ON d.classid = x.classid AND d.objid = x.oid AND d.refclassid = 'pg_proc'::regclass JOIN pg_proc AS p ON p.oid = d.refobjid
		WHERE x.rel = ANY ($1::oid[]) AND p.pronamespace <> 'pg_catalog'::regnamespace AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e') ORDER BY 1, 2`, 2,
		says("the function %s is used by a default, a check or an index of %s, and the scripts do not make it",
			"make it in the service's database before its scripts run")},
	{usedTypes + `SELECT DISTINCT quote_ident(x.extname), u.attrelid::regclass::text FROM used AS u JOIN pg_depend AS e ON e.classid = 'pg_type'::regclass AND e.objid = u.oid AND e.deptype = 'e' JOIN pg_extension AS x ON x.oid = e.refobjid ORDER BY 1, 2`, 2,
		says("the extension %s gives %s a type: the service's scripts make it where it is missing, for which their role needs the right",
			"CREATE EXTENSION %[1]s in the service's database, as who may")},
}

// notes are what a person should know before the scripts run.
func (in *inspection) notes(ctx context.Context) error {
	all := remarks
	if in.d.b.Side == strangler.Legacy {
		all = slices.Concat(ownerRemarks, remarks)
		if !in.d.b.Common {
			all = slices.Concat(ownerRemarks, makerRemarks, remarks)
		}
	}
	for _, r := range all {
		if err := in.each(ctx, r.query, in.oids, r.n, func(s []string) { r.say(in, s) }); err != nil {
			return err
		}
	}
	if in.d.b.Side == strangler.Legacy {
		return in.strangers(ctx)
	}
	return nil
}

// strangers are triggers of staying tables whose function speaks of a table that moves: what they write there
// does not come through the proxy, and is refused once the service owns.
func (in *inspection) strangers(ctx context.Context) error {
	type found struct{ trigger, table, function, body string }
	rows, err := in.q.Query(ctx, `SELECT t.tgname::text, t.tgrelid::regclass::text, p.proname::text, coalesce(p.prosrc, '') FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid JOIN pg_class AS c ON c.oid = t.tgrelid
		WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgrelid <> ALL ($1::oid[]) AND t.tgname`+notOurs+` AND c.relname`+notOurs+` ORDER BY 2, 1`, in.oids)
	all, err := collect(rows, err, func(r pgx.Rows) (f found, err error) {
		err = r.Scan(&f.trigger, &f.table, &f.function, &f.body)
		return f, err
	})
	if err != nil {
		return fmt.Errorf("triggers of tables that stay: %w", err)
	}
	for _, f := range all {
		for _, t := range in.tables {
			if t != nil && speaksOf(f.body, t.name) {
				in.note(migrations.NextHidden, "the trigger %s on %s, which stays, runs %s(), whose text speaks of %s: if it writes there, that is refused once the service owns", f.trigger, f.table, f.function, t.bound)
			}
		}
	}
	return nil
}

// speaksOf reports whether a function's text has a word.
func speaksOf(body, word string) bool {
	pattern, err := regexp.Compile(`(?i)(^|[^\pL\pN_])` + regexp.QuoteMeta(word) + `($|[^\pL\pN_])`)
	return err == nil && pattern.MatchString(strings.ToValidUTF8(body, ""))
}
