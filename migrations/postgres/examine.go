package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var _ migrations.Examiner = (*Database)(nil)

const (
	// oldest is the oldest server that the statements are written for.
	oldest = 130000
	// longOpen is the age from which on a transaction is reported.
	longOpen = time.Minute
	// shortWait is a timeout below which applications may notice a fence that closes.
	shortWait = 2 * time.Second
)

// examination is one look at a side's server, role and sessions.
type examination struct {
	d        *Database
	q        querier
	role     string // current_user
	me       string // the same, quoted where it has to be
	tables   []*table
	oids     []uint32 // of tables and partitions that are there
	crossing []crossing
	found    []migrations.Finding
}

func (x *examination) add(f migrations.Finding) { x.found = append(x.found, f) }

// Examine says what the role may and may not do here, phase by phase, and what of the server, its settings
// and its sessions would get in the way. It changes nothing. Behind a pooler in transaction mode it says no
// more than that.
func (d *Database) Examine(ctx context.Context) ([]migrations.Finding, error) {
	x := &examination{d: d}
	shared, err := d.pooled(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for a pooler: %w", err)
	}
	if shared {
		p := d.behindPooler()
		return []migrations.Finding{{Check: p.Check, What: p.What, Next: []string{p.Next}, Forbids: true}}, nil
	}
	x.add(migrations.Finding{Check: "pooler", What: fmt.Sprintf("the address of the %s database leads to sessions of its own", d.b.Side), Fine: true})
	err = d.reading(ctx, func(q querier) error {
		x.q = q
		if err := x.look(ctx); err != nil {
			return err
		}
		for _, f := range []func(context.Context) error{x.server, x.shared, x.grants, x.timeouts, x.autovacuum, x.durability, x.decoding, x.throttle, x.holders, x.writers} {
			if err := f(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	return x.found, err
}

// look reads what the examination is about.
func (x *examination) look(ctx context.Context) (err error) {
	if err := x.q.QueryRow(ctx, "SELECT current_user::text, quote_ident(current_user)").Scan(&x.role, &x.me); err != nil {
		return err
	}
	for _, bound := range x.d.b.Tables {
		t, err := describe(ctx, x.q, bound)
		if err != nil {
			return err
		}
		x.tables = append(x.tables, t)
	}
	if x.oids, err = x.d.moving(ctx, x.q); err != nil || x.d.b.Side == strangler.Service {
		return err
	}
	x.crossing, err = x.d.crossing(ctx)
	return err
}

func (x *examination) server(ctx context.Context) error {
	var version int
	var name string
	var standby, super bool
	err := x.q.QueryRow(ctx, "SELECT current_setting('server_version_num')::integer, current_setting('server_version'), pg_is_in_recovery(), rolsuper FROM pg_roles WHERE rolname = current_user").Scan(&version, &name, &standby, &super)
	if err != nil {
		return err
	}
	switch {
	case version < oldest:
		x.add(migrations.Finding{Check: "server", What: "the server is PostgreSQL " + name, Next: []string{fmt.Sprintf("upgrade it to PostgreSQL %d or later", oldest/10000)}, Forbids: true})
	case standby:
		x.add(migrations.Finding{Check: "server", What: "the address leads to a standby, which takes no writes", Next: []string{"name the primary's address in strangler.yaml"}, Forbids: true})
	default:
		x.add(migrations.Finding{Check: "server", What: "PostgreSQL " + name, Fine: true})
	}
	if super {
		x.add(migrations.Finding{Check: "role", What: fmt.Sprintf("%s is a superuser: it has every right that is listed, and all others", x.me), Next: []string{"ALTER ROLE " + x.me + " NOSUPERUSER, then GRANT what is missing"}})
	}
	return nil
}

// interactive are programs of people, who may well use Strangler's role.
var interactive = []string{"psql", "pg_dump", "pgAdmin", "DBeaver", "DataGrip", "pgcli"}

// shared looks for signs that applications use Strangler's role: the fence could not tell them from it. The
// tables of a service that Strangler has made may be its own.
func (x *examination) shared(ctx context.Context) error {
	at, _, err := x.d.Version(ctx)
	if err != nil {
		return err
	}
	if x.d.b.Side == strangler.Legacy || at == 0 {
		for _, t := range x.tables {
			if t != nil && t.owner == x.role {
				x.add(migrations.Finding{Check: "role", What: fmt.Sprintf("%s owns the table %s, so it is the application's role", x.me, t.bound), Forbids: true, Next: newRole(x.d, t.owner)})
				return nil
			}
		}
	}
	rows, err := x.q.Query(ctx, `SELECT application_name, string_agg(DISTINCT coalesce(host(client_addr), 'a socket'), ', ') FROM pg_stat_activity
		WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid() AND application_name NOT LIKE 'strangler%' GROUP BY 1 ORDER BY 1`)
	type session struct{ application, from string }
	all, err := collect(rows, err, func(r pgx.Rows) (s session, err error) { return s, r.Scan(&s.application, &s.from) })
	if err != nil {
		return err
	}
	for _, s := range all {
		human := false
		for _, name := range interactive {
			human = human || strings.HasPrefix(s.application, name)
		}
		switch {
		case s.application == "":
			x.add(migrations.Finding{Check: "role", What: fmt.Sprintf("somebody without an application name has a session as %s from %s; if that is an application, the role is shared", x.me, s.from), Next: newRole(x.d, x.role)})
		case !human:
			x.add(migrations.Finding{Check: "role", What: fmt.Sprintf("the application %q has a session as %s from %s: the role is shared, and the fence could not tell them apart", s.application, x.me, s.from), Forbids: true, Next: newRole(x.d, x.role)})
		}
	}
	return nil
}

func newRole(d *Database, application string) []string {
	return []string{fmt.Sprintf("CREATE ROLE strangler LOGIN PASSWORD '…'; GRANT %s TO strangler; then name it in the %s side's `database`", ident(application), d.b.Side)}
}

func (x *examination) holders(ctx context.Context) error { return x.holdersOf(ctx, longOpen) }

// holdersOf names transactions that a cutover may have to wait for: prepared ones, and those open for an age.
func (x *examination) holdersOf(ctx context.Context, age time.Duration) error {
	rows, err := x.q.Query(ctx, `SELECT format('the transaction %L of %I was prepared %s s ago, and keeps its locks until it is ended', gid, owner, extract(epoch FROM clock_timestamp() - prepared)::bigint), format('COMMIT PREPARED %L', gid), format('ROLLBACK PREPARED %L', gid)
		FROM pg_prepared_xacts WHERE database = current_database()
		UNION ALL SELECT format('process %s (%s, %s) has been in a transaction for %s s', pid, coalesce(usename, backend_type), coalesce(nullif(application_name, ''), 'no application name'), extract(epoch FROM clock_timestamp() - xact_start)::bigint), 'let it end', format('SELECT pg_terminate_backend(%s)', pid)
		FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start <= clock_timestamp() - $1::bigint * interval '1 ms' AND NOT (usename = current_user AND application_name LIKE 'strangler%')`, age.Milliseconds())
	type holder struct{ what, end, kill string }
	all, err := collect(rows, err, func(r pgx.Rows) (h holder, err error) { return h, r.Scan(&h.what, &h.end, &h.kill) })
	for _, h := range all {
		x.add(migrations.Finding{Phase: toCutOver, Check: "transactions", What: h.what + "; where it has written to the moved tables, a cutover is refused as long as it stands", Next: []string{h.end, h.kill}})
	}
	return err
}
