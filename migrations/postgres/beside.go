package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// maxTexts bounds how many functions and jobs are read that may write the tables.
const maxTexts = 500

// writers are who writes the tables, or may, and what the database does by itself.
func (x *examination) writers(ctx context.Context) error {
	if x.d.b.Side != strangler.Legacy || len(x.oids) == 0 {
		return nil
	}
	var refusal *strangler.Refusal
	all, err := x.d.Writers(ctx)
	recorded := err == nil && len(all) > 0
	if err != nil && !errors.As(err, &refusal) {
		return err
	}
	if !recorded {
		if all, err = x.sessions(ctx); err != nil {
			return err
		}
	}
	for _, f := range migrations.Beside(x.d.b.Capability, all, recorded) {
		x.add(f)
	}
	var found []migrations.Finding
	for _, source := range hiding {
		more, err := x.hidden(ctx, source)
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	for _, f := range migrations.FewHidden(found) {
		x.add(f)
	}
	return nil
}

// sessions are those of others who may write a table, with their number for Writes. Addresses of other roles' take pg_read_all_stats.
func (x *examination) sessions(ctx context.Context) ([]strangler.Writer, error) {
	rows, err := x.q.Query(ctx, `SELECT usename::text, coalesce(application_name, ''), coalesce(host(client_addr), ''), count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL AND usename <> current_user AND coalesce(backend_type, 'client backend') = 'client backend'
		AND EXISTS (SELECT FROM pg_class AS c WHERE c.oid = ANY ($1::oid[]) AND (has_table_privilege(usesysid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') OR has_any_column_privilege(usesysid, c.oid, 'INSERT, UPDATE')))
		GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 1000`, x.oids)
	return collect(rows, err, func(r pgx.Rows) (w strangler.Writer, err error) {
		return w, r.Scan(&w.User, &w.Application, &w.Address, &w.Writes)
	})
}

// hiding are what may write tables by itself: a query of its name and its text, one that is made where a relation is there and may be
// read. $1 is the tables that move, $2 words of which the text has one. Of triggers the plan tells.
var hiding = []struct{ relation, query string }{
	{"", `SELECT format('the %s %s', CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, p.oid::regprocedure), p.prosrc FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
		WHERE p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.proname` + notOurs + `
		AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e') AND $1::oid[] IS NOT NULL
		AND EXISTS (SELECT FROM unnest($2::text[]) AS w WHERE strpos(lower(p.prosrc), lower(w)) > 0)`},
	{"", `SELECT DISTINCT format('the rule %I of %s, which stays,', w.rulename, w.ev_class::regclass), pg_get_ruledef(w.oid) FROM pg_rewrite AS w JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
		WHERE w.ev_type <> '1' AND w.ev_enabled <> 'D' AND w.ev_class <> ALL ($1::oid[]) AND d.refobjid = ANY ($1::oid[]) AND $2::text[] IS NOT NULL`},
	{"cron.job", `SELECT format('the job %s of pg_cron (%s, as %I)', jobid, schedule, username), command FROM cron.job WHERE active AND database = current_database() AND $1::oid[] IS NOT NULL
		AND EXISTS (SELECT FROM unnest($2::text[]) AS w WHERE strpos(lower(command), lower(w)) > 0)`},
}

// hidden reads one of them.
func (x *examination) hidden(ctx context.Context, source struct{ relation, query string }) ([]migrations.Finding, error) {
	if source.relation != "" {
		var readable bool
		schema, name, _ := strings.Cut(source.relation, ".")
		err := x.q.QueryRow(ctx, `SELECT coalesce((SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1::text AND c.relname = $2::text), false)`, schema, name).Scan(&readable)
		if err != nil || !readable {
			return nil, err
		}
	}
	var words []string
	for _, t := range x.tables {
		if t != nil {
			words = append(words, t.name)
		}
	}
	type text struct{ what, body string }
	rows, err := x.q.Query(ctx, fmt.Sprintf("SELECT what, coalesce(body, '') FROM (%s) AS s (what, body) ORDER BY 1 LIMIT %d", source.query, maxTexts), x.oids, words)
	all, err := collect(rows, err, func(r pgx.Rows) (t text, err error) { return t, r.Scan(&t.what, &t.body) })
	if err != nil {
		return nil, fmt.Errorf("look for what writes the tables by itself: %w", err)
	}
	var out []migrations.Finding
	for _, s := range all {
		var written []string
		for _, t := range x.tables {
			if t != nil && migrations.WrittenBy(s.body, t.name) {
				written = append(written, t.bound)
			}
		}
		if len(written) > 0 {
			out = append(out, migrations.Hidden(s.what, written))
		}
	}
	return out, nil
}
