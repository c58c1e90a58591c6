package bench

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
)

// schema is that of pgbench's largest table, filled as pgbench fills it.
const (
	schema = "CREATE TABLE pgbench_accounts (aid integer NOT NULL PRIMARY KEY, bid integer, abalance integer, filler character(84))"
	fill   = "INSERT INTO pgbench_accounts SELECT i, (i - 1) / 100000 + 1, 0, '' FROM generate_series(%d, %d) AS i"
)

// The application's databases, at the source and at the target.
const (
	shop     = "shop"
	accounts = "accounts"
)

// rig is two servers that wait for their disks, with the roles that a team has: the application owns its databases, and
// Strangler's role is a member of it.
type rig struct {
	t              testing.TB
	source, target *localdb.Server
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t}
	for _, s := range []**localdb.Server{&r.source, &r.target} {
		server, err := localdb.Postgres(t.Context(), localdb.Config{Durable: true, Settings: map[string]string{"shared_buffers": "256MB", "max_wal_size": "4GB"}})
		must(t, err)
		t.Cleanup(func() { must(t, server.Close()) })
		*s = server
		must(t, server.Role(t.Context(), "app"))
		must(t, server.Role(t.Context(), "strangler", "REPLICATION", "IN ROLE app"))
		r.exec(server, "postgres", "GRANT SET ON PARAMETER session_replication_role TO strangler")
	}
	must(t, r.source.Create(t.Context(), shop, "app"))
	r.app(r.source, shop, schema)
	found.machine.server(t, r.source)
	return r
}

// fill brings the table from so many rows to so many.
func (r *rig) fill(from, to int) {
	r.t.Helper()
	r.app(r.source, shop, fmt.Sprintf(fill, from+1, to))
	r.exec(r.source, shop, "VACUUM ANALYZE pgbench_accounts")
}

// exec runs SQL as the superuser, app as the application.
func (r *rig) exec(s *localdb.Server, database, sql string) { r.t.Helper(); r.as(s.DSN(database), sql) }
func (r *rig) app(s *localdb.Server, database, sql string) {
	r.t.Helper()
	r.as(s.As("app", database), sql)
}

func (r *rig) as(dsn, sql string) {
	r.t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, dsn)
	must(r.t, err)
	defer c.Close(ctx)
	_, err = c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	must(r.t, err)
}

// number is the one number that a query selects.
func (r *rig) number(s *localdb.Server, database, query string) (n int64) {
	r.t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.DSN(database))
	must(r.t, err)
	defer c.Close(ctx)
	must(r.t, c.QueryRow(ctx, query).Scan(&n))
	return n
}

// fresh makes an empty target database, and writes both servers' caches out.
func (r *rig) fresh() {
	r.t.Helper()
	if r.number(r.target, "postgres", "SELECT count(*) FROM pg_database WHERE datname = 'accounts'") > 0 {
		must(r.t, r.target.Drop(context.Background(), accounts))
	}
	must(r.t, r.target.Create(context.Background(), accounts, "app"))
	r.exec(r.source, "postgres", "CHECKPOINT")
	r.exec(r.target, "postgres", "CHECKPOINT")
}

// move is the split between the two.
func (r *rig) move(capture strangler.Capture) move {
	return move{capture: capture, legacy: r.source.As("strangler", shop), service: r.target.As("strangler", accounts)}
}

// same fails where the two sides do not hold the same rows.
func (r *rig) same() {
	r.t.Helper()
	const sums = "SELECT count(*) * 1000003 + coalesce(sum(abalance::bigint * aid), 0)::bigint FROM pgbench_accounts"
	if a, b := r.number(r.source, shop, sums), r.number(r.target, accounts, sums); a != b {
		r.t.Fatalf("the two sides differ: %d and %d", a, b)
	}
}
