package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/migrations"
)

const (
	capability = "accounts"
	table      = "pgbench_accounts"
)

// schema is that of pgbench's largest table, filled as pgbench fills it.
const (
	schema = "CREATE TABLE pgbench_accounts (aid integer NOT NULL PRIMARY KEY, bid integer, abalance integer, filler character(84))"
	fill   = "INSERT INTO pgbench_accounts SELECT i, i / 100000 + 1, 0, '' FROM generate_series(1, %d) AS i"
)

// rows is what STRANGLER_BENCH_ROWS asks for; two million by default.
func rows(t testing.TB) int {
	text := os.Getenv("STRANGLER_BENCH_ROWS")
	if text == "" {
		return 2_000_000
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// rig is a source with the table, and a target.
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
	}
	r.exec(r.source, "postgres", "CREATE ROLE strangler LOGIN SUPERUSER")
	r.exec(r.target, "postgres", "CREATE ROLE strangler LOGIN SUPERUSER")
	r.exec(r.source, "postgres", "CREATE DATABASE shop")
	r.exec(r.source, "shop", schema)
	r.exec(r.source, "shop", fmt.Sprintf(fill, rows(t)))
	r.exec(r.source, "shop", "VACUUM ANALYZE pgbench_accounts")
	return r
}

func (r *rig) exec(s *localdb.Server, database, sql string) {
	r.t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.DSN(database))
	must(r.t, err)
	defer c.Close(ctx)
	_, err = c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	must(r.t, err)
}

// fresh makes an empty target database, and writes both servers' caches out.
func (r *rig) fresh() {
	r.t.Helper()
	r.exec(r.target, "postgres", "DROP DATABASE IF EXISTS accounts WITH (FORCE)")
	r.exec(r.target, "postgres", "CREATE DATABASE accounts")
	r.exec(r.source, "postgres", "CHECKPOINT")
	r.exec(r.target, "postgres", "CHECKPOINT")
}

// pipe is what people do by hand: psql COPY into psql COPY, binary, the key in place.
func (r *rig) pipe() time.Duration {
	r.t.Helper()
	r.fresh()
	r.exec(r.target, "accounts", schema)
	began := time.Now()
	out := exec.Command("psql", "-X", r.source.DSN("shop"), "-c", "COPY pgbench_accounts TO STDOUT (FORMAT binary)")
	in := exec.Command("psql", "-X", r.target.DSN("accounts"), "-c", "COPY pgbench_accounts FROM STDIN (FORMAT binary)")
	var err error
	in.Stdin, err = out.StdoutPipe()
	must(r.t, err)
	out.Stderr, in.Stderr = os.Stderr, os.Stderr
	must(r.t, in.Start())
	must(r.t, out.Run())
	must(r.t, in.Wait())
	return time.Since(began)
}

// split copies the table by a split, from its start until it is syncing, capture and fences on.
func (r *rig) split() time.Duration {
	r.t.Helper()
	r.fresh()
	t, dir := r.t, r.t.TempDir()
	c := strangler.Capability{Name: capability, Tables: []strangler.Table{{From: table}},
		Legacy: strangler.Upstream{Database: r.source.DSN("shop")}, Service: strangler.Upstream{Database: r.target.DSN("accounts")}}
	store, err := control.Open(t.Context(), control.Config{DSN: "sqlite:" + filepath.Join(dir, "control.db")})
	must(t, err)
	must(t, store.Ensure(t.Context(), []strangler.Capability{c}))
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	splits, err := migrations.New(migrations.Config{Capabilities: []strangler.Capability{c}, Open: engines.Open, Dir: filepath.Join(dir, "migrations"), ControlID: store.ID(),
		Decisions: store, Records: store, Leases: store, Adopter: store, Gates: noProxies{}, Worker: "bench", Log: log})
	must(t, err)
	splits.Start(context.WithoutCancel(t.Context()))
	must(t, splits.Expand(t.Context(), capability))
	began := time.Now()
	must(t, splits.Copy(t.Context(), capability))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		rec, err := store.Split(t.Context(), capability)
		must(t, err)
		if rec.Phase == strangler.PhaseSyncing {
			break
		}
		if rec.Phase == strangler.PhaseStopped {
			t.Fatal(rec.Error)
		}
		<-tick.C
	}
	took := time.Since(began)
	var n int
	conn, err := pgx.Connect(t.Context(), r.target.DSN("accounts"))
	must(t, err)
	must(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM pgbench_accounts").Scan(&n))
	must(t, conn.Close(t.Context()))
	if n != rows(t) {
		t.Fatalf("%d rows of %d have come", n, rows(t))
	}
	must(t, splits.Cancel(t.Context(), capability))
	must(t, splits.Close())
	must(t, store.Close())
	return took
}

// noProxies are the gates of no proxy.
type noProxies struct{}

func (noProxies) Current(context.Context, string) error       { return nil }
func (noProxies) Closed(context.Context, string, int64) error { return nil }
func (noProxies) Released(context.Context, string) error      { return nil }
func (noProxies) Pause(string) time.Duration                  { return 0 }
func (noProxies) ResetPause(string)                           {}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
