package daemon_test

import (
	"database/sql"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/client"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/daemon"
)

// byHand is a daemon of two capabilities, delivery with a table that is synced, and search without.
type byHand struct {
	*client.Client
	t      *testing.T
	legacy *sql.DB
	closed *sql.Conn // has the service's database shut while it holds its lock
}

func startByHand(t *testing.T) *byHand {
	t.Helper()
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(up.Close)
	dir := t.TempDir()
	open := func(name string) *sql.DB {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, name)+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
		must(t, err)
		t.Cleanup(func() { must(t, db.Close()) })
		return db
	}
	b := &byHand{t: t, legacy: open("shop.db")}
	b.run("CREATE TABLE couriers (id integer PRIMARY KEY)")
	var err error
	b.closed, err = open("delivery.db").Conn(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, b.closed.Close()) })
	_, err = b.closed.ExecContext(t.Context(), "PRAGMA user_version = 1")
	must(t, err)
	cfg, err := config.Parse(filepath.Join(dir, "strangler.yaml"), []byte(`
proxy: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
legacy: {url: "`+up.URL+`", database: "sqlite:shop.db"}
capabilities:
  delivery:
    routes: [POST /couriers]
    service: {url: "`+up.URL+`", database: "sqlite:delivery.db"}
    tables: [couriers]
  search: {routes: [/search], service: {url: "`+up.URL+`"}}
`), func(string) (string, bool) { return "", false })
	must(t, err)
	d, err := daemon.Start(t.Context(), cfg, daemon.Options{Proxy: true, Worker: true})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	b.Client, err = client.New(client.Config{URL: d.AdminURL()})
	must(t, err)
	t.Cleanup(b.Close)
	b.await("the split to start", func() bool {
		_, err := b.Start(t.Context(), "delivery", ann)
		return err == nil
	})
	b.await("the copy", func() bool {
		s, err := b.SplitStatus(t.Context(), "delivery")
		return err == nil && s.Phase == strangler.PhaseSyncing
	})
	return b
}

var ann = admin.Order{Who: "ann"}

func (b *byHand) run(statement string) {
	b.t.Helper()
	_, err := b.legacy.ExecContext(b.t.Context(), statement)
	must(b.t, err)
}

func (b *byHand) await(what string, is func() bool) {
	b.t.Helper()
	tick, patience := time.NewTicker(10*time.Millisecond), time.NewTimer(time.Minute)
	defer tick.Stop()
	defer patience.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-patience.C:
			b.t.Fatalf("waiting for %s took more than a minute", what)
		}
	}
}

// lagging has the service fall behind, so that a cutover waits, while f runs.
func (b *byHand) lagging(f func()) {
	b.t.Helper()
	_, err := b.closed.ExecContext(b.t.Context(), "BEGIN IMMEDIATE")
	must(b.t, err)
	b.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO couriers SELECT i + (SELECT coalesce(max(id), 0) FROM couriers) FROM n")
	f()
	_, err = b.closed.ExecContext(b.t.Context(), "ROLLBACK")
	must(b.t, err)
}

// TestByHandIsDoneOrNot: a cutover by hand that somebody pauses, ends or turns back while it waits was not done, and whoever asked
// for it is told so, by whom, who owns, and what to do.
func TestByHandIsDoneOrNot(t *testing.T) {
	b, ctx := startByHand(t), t.Context()
	bob := admin.Order{Who: "bob"}
	b.lagging(func() {
		for _, c := range []struct {
			stop       func() error
			says, next string
		}{
			{func() error { _, err := b.AskRun(ctx, "delivery", "pause", bob); return err }, "is paused by bob; legacy owns", "strangler playbook continue delivery goes on"},
			{func() error { _, err := b.AskRun(ctx, "delivery", "abort", bob); return err }, "is aborted by bob; legacy owns", "strangler split cutover delivery begins anew"},
			{func() error {
				row, err := b.Rollback(ctx, "delivery", bob)
				if err == nil && (row.Owner() != strangler.Legacy || row.ID != 0) {
					t.Errorf("a rollback before any cutover says %+v", row)
				}
				return err
			}, "is rolled back by bob; legacy owns", "strangler split cutover delivery begins anew"},
		} {
			told := make(chan error, 1)
			go func() {
				_, err := b.Cutover(ctx, "delivery", ann)
				told <- err
			}()
			b.await("the cutover to wait", func() bool {
				run, err := b.RunStatus(ctx, "delivery")
				return err == nil && run.State == strangler.RunWaiting && strings.Contains(run.Waiting, "the lag to fall")
			})
			must(t, c.stop())
			if err := <-told; !errors.Is(err, strangler.ErrStopped) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.next) {
				t.Errorf("the cutover says %v, want %q and %q", err, c.says, c.next)
			}
			if run, err := b.RunStatus(ctx, "delivery"); err == nil && run.State == strangler.RunPaused {
				_, err = b.AskRun(ctx, "delivery", "abort", bob)
				must(t, err)
			}
		}
	})
	if row, err := b.Cutover(ctx, "delivery", ann); err != nil || row.Owner() != strangler.Service {
		t.Errorf("a cutover that nobody stops: %+v, %v", row, err)
	}
}

// TestByHandKeepsWhy: the audit has the reason of whoever hands over by hand.
func TestByHandKeepsWhy(t *testing.T) {
	b, ctx := startByHand(t), t.Context()
	newest := func() strangler.AuditEntry {
		t.Helper()
		history, err := b.History(ctx, "delivery")
		must(t, err)
		return history[len(history)-1]
	}
	_, err := b.Cutover(ctx, "delivery", admin.Order{Who: "ann", Why: "load tests passed"})
	must(t, err)
	if e := newest(); e.Who != "ann" || !strings.HasPrefix(e.To, "extracted") || !strings.Contains(e.Why, "step cutover: load tests passed") {
		t.Errorf("of the cutover the audit has %+v", e)
	}
	_, err = b.Rollback(ctx, "delivery", admin.Order{Who: "bob", Why: "p99 went up"})
	must(t, err)
	if e := newest(); e.Who != "bob" || !strings.HasPrefix(e.To, "legacy") || !strings.Contains(e.Why, "undoing step cutover: p99 went up") {
		t.Errorf("of the rollback the audit has %+v", e)
	}
}

// TestByHandWithoutTables is refused before anything is recorded, and says by what such a capability moves.
func TestByHandWithoutTables(t *testing.T) {
	b, ctx := startByHand(t), t.Context()
	o := admin.Order{Who: "ann", Confirm: "search"}
	for next, err := range map[string]error{
		"strangler toggle set search extracted": second(b.Cutover(ctx, "search", o)),
		"strangler toggle set search legacy":    second(b.Rollback(ctx, "search", o)),
		"strangler playbook run search":         second(b.Complete(ctx, "search", o)),
	} {
		var r *strangler.Refusal
		if !errors.As(err, &r) || r.Check != "tables" || !strings.Contains(strings.Join(r.Next, "; "), next) {
			t.Errorf("want a refusal that names %q, have %v", next, err)
		}
	}
	if run, err := b.RunStatus(ctx, "search"); !errors.Is(err, strangler.ErrNotFound) {
		t.Errorf("it was recorded: %+v, %v", run, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestByHandCompletesByName: the API drops the monolith's tables for whoever gives the capability's name, and for nobody else.
func TestByHandCompletesByName(t *testing.T) {
	b, ctx := startByHand(t), t.Context()
	_, err := b.Cutover(ctx, "delivery", ann)
	must(t, err)
	for _, name := range []string{"", "search"} {
		var r *strangler.Refusal
		if _, err := b.Complete(ctx, "delivery", admin.Order{Who: "ann", Confirm: name}); !errors.As(err, &r) || r.Check != "confirmation" || !strings.Contains(strings.Join(r.Next, ""), "strangler split complete delivery --confirm delivery") {
			t.Errorf("complete by the name %q: %v", name, err)
		}
	}
	if s, err := b.SplitStatus(ctx, "delivery"); err != nil || s.Phase != strangler.PhaseReversed {
		t.Errorf("a refused complete: %+v, %v", s, err)
	}
	if s, err := b.Complete(ctx, "delivery", admin.Order{Who: "ann", Confirm: "delivery"}); err != nil || s.Phase != strangler.PhaseComplete {
		t.Errorf("complete by its name: %+v, %v", s, err)
	}
}
