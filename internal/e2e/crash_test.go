//go:build !race

package e2e

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	client "github.com/go-sql-driver/mysql"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/migrations"
)

// TestMariaDBServersCrash kills each side's server in the copy, while the service follows, and in steps of a cutover,
// forward and back, and starts it again while the worker and a writer beside the proxy go on. What TestServerCrashesLoseNothing
// does on PostgreSQL.
func TestMariaDBServersCrash(t *testing.T) {
	ctx := t.Context()
	servers := map[strangler.Side]*localdb.Server{}
	sessions := map[strangler.Side]*sql.DB{}
	c := strangler.Capability{Name: "billing", Capture: mysql.capture(), Tables: []strangler.Table{{From: "invoice"}, {From: "line"}}}
	for side, dsn := range map[strangler.Side]*string{strangler.Legacy: &c.Legacy.Database, strangler.Service: &c.Service.Database} {
		s, err := localdb.MariaDB(ctx, localdb.Config{Durable: true, Settings: map[string]string{"binlog_row_metadata": "FULL"}})
		must(t, err)
		t.Cleanup(func() { must(t, s.Close()) })
		must(t, errors.Join(s.Role(ctx, "shop"), s.Role(ctx, "strangler", "GRANT ALL ON shop.* TO strangler@'%'", "GRANT PROCESS, REPLICATION SLAVE ON *.* TO strangler@'%'"), s.Create(ctx, "shop", "shop")))
		servers[side], sessions[side], *dsn = s, openMySQL(t, s.As("shop", "shop")), s.As("strangler", "shop")
	}
	for _, q := range smallTables {
		run(t, sessions[strangler.Legacy], strings.ReplaceAll(q, "AUTO_KEY", mysql.autoKey))
	}

	var mu sync.Mutex
	var restarts sync.WaitGroup
	var at string // the point at which the next crash is to come; empty: none is
	var victim strangler.Side
	var failed error
	crash := func(side strangler.Side) {
		err := servers[side].Kill()
		restarts.Go(func() {
			err := errors.Join(err, servers[side].Restart(context.WithoutCancel(ctx)))
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	arm := func(point string, side strangler.Side) {
		mu.Lock()
		defer mu.Unlock()
		at, victim = point, side
	}
	hook := func(p string) error {
		mu.Lock()
		now := at != "" && p == at
		side := victim
		if now {
			at = ""
		}
		mu.Unlock()
		if now {
			crash(side)
		}
		return nil
	}
	came := func() {
		t.Helper()
		restarts.Wait()
		mu.Lock()
		defer mu.Unlock()
		if at != "" {
			t.Errorf("the crash at %s never came", at)
		}
		at = ""
		must(t, failed)
	}

	dir := t.TempDir()
	store, err := control.Open(ctx, control.Config{DSN: "sqlite:" + filepath.Join(dir, "control.db"), Fault: hook})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	must(t, store.Ensure(ctx, []strangler.Capability{c}))
	splits, err := migrations.New(migrations.Config{Capabilities: []strangler.Capability{c}, Open: engines.Open, Dir: filepath.Join(dir, "migrations"), ControlID: store.ID(),
		Decisions: store, Records: store, Leases: store, Adopter: store, Gates: noProxies{}, Worker: "test", Bounds: migrations.Bounds{Chunk: 40, Part: 1}, Fault: hook, Log: testLog(t)})
	must(t, err)
	splits.Start(context.WithoutCancel(ctx))
	t.Cleanup(func() { must(t, splits.Close()) })
	w := newRowWriter(mysql, sessions[strangler.Legacy], sessions[strangler.Service])
	w.lost = func(err error) bool {
		var told *client.MySQLError
		var network net.Error
		return errors.Is(err, driver.ErrBadConn) || errors.Is(err, client.ErrInvalidConn) || errors.As(err, &network) || errors.As(err, &told) && told.Number == 1053
	}
	w.start(ctx)
	again := func(what string, f func() error) {
		t.Helper()
		var last error
		defer func() {
			if last != nil {
				t.Logf("%s: %v", what, last)
			}
		}()
		await(t, what, func() bool {
			mu.Lock()
			err := failed
			mu.Unlock()
			must(t, err) // no server, no hand over
			last = f()
			return last == nil
		})
	}

	arm("position.after", strangler.Service)
	again("the copy", func() error { return splits.Copy(ctx, c.Name) })
	await(t, "the crash", func() bool { mu.Lock(); defer mu.Unlock(); return at == "" })
	came()
	arm("position.before", strangler.Legacy)
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	await(t, "the crash", func() bool { mu.Lock(); defer mu.Unlock(); return at == "" })
	came()
	crash(strangler.Legacy) // while the service follows
	crash(strangler.Service)
	restarts.Wait()
	w.await(20)
	again("verify", func() error { _, err := splits.Verify(ctx, c.Name); return err })
	for i, point := range []string{"fence.after", "fence.before", "term.after", "decide.after", "decide.before"} {
		for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
			arm(point, side)
			to, hand := strangler.Service, splits.Cutover
			if now, err := store.Toggle(ctx, c.Name); err == nil && now.Owner == strangler.Service {
				to, hand = strangler.Legacy, splits.Rollback
			}
			again(fmt.Sprintf("hand over %d to %s, %s crashing at %s", i, to, side, point), func() error {
				if now, err := store.Toggle(ctx, c.Name); err == nil && now.Owner == to && !now.Gated {
					return nil
				}
				_, err := hand(ctx, c.Name, "test", "crash")
				return err
			})
			came()
			w.await(10)
		}
	}
	w.stop()
	awaitCaughtUp(t, splits, c.Name)
	for _, table := range []string{"invoice", "line"} {
		mysql.equalTables(t, sessions[strangler.Legacy], sessions[strangler.Service], table, map[string]string{"invoice": "id", "line": "invoice"}[table])
	}
	now, err := store.Toggle(ctx, c.Name)
	must(t, err)
	w.check(t, sessions[now.Owner])
}
