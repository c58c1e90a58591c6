package e2e

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// noProxies are the gates of a system whose writers all bypass the proxy: only the fence stops them.
type noProxies struct{}

func (noProxies) Current(context.Context, string) error       { return nil }
func (noProxies) Closed(context.Context, string, int64) error { return nil }
func (noProxies) Released(context.Context, string) error      { return nil }
func (noProxies) Pause(string) time.Duration                  { return 0 }
func (noProxies) ResetPause(string)                           {}

// TestChinook moves the invoices and their lines out of a database that nobody here made, while a writer
// beside the proxy works on it all the time, cuts over, writes at the new owner, rolls back, and compares
// row by row. Of what else stands in the database, nothing changes.
func TestChinook(t *testing.T) { eachKind(t, moveChinook) }

func moveChinook(t *testing.T, k *kind) {
	ctx, p := t.Context(), k.pair(t)
	old, fresh := p.opened(t)
	k.loadChinook(t, old)
	before, rails := k.schema(t, old), k.image(t, old, "schema_migrations", "version")
	c := p.capability("billing", strangler.Table{From: k.speak("invoice")}, strangler.Table{From: k.speak("invoice_line")})
	splits := startSplits(t, p, c)
	quantity := k.number(t, old, "SELECT sum(quantity) FROM invoice_line")

	beside := newInvoiceWriter(k, old, 1_000_000)
	beside.start(ctx)
	defer beside.stop()
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	beside.await(50)
	k.writersNamed(t, splits, c.Name)
	v, err := splits.Verify(ctx, c.Name)
	must(t, err)
	if v.Mismatches != 0 || v.Rows < 2000 {
		t.Fatalf("verification: %+v", v)
	}
	row, err := splits.Cutover(ctx, c.Name, "test", "chinook")
	must(t, err)
	if row.State != strangler.Committed || row.To != strangler.Service {
		t.Fatalf("cutover: %+v", row)
	}
	beside.awaitRefused(20)
	for _, q := range append([]string{
		"INSERT INTO invoice (invoice_id, customer_id, invoice_date, total) VALUES (900001, 1, '2026-01-01', 1)",
		"UPDATE invoice SET total = 0", "DELETE FROM invoice_line",
	}, k.refused...) {
		if _, err := old.ExecContext(ctx, k.speak(q)); err == nil || !strings.Contains(err.Error(), "strangler: billing is owned by its service") {
			t.Errorf("%s at the fenced legacy database: %v", q, err)
		}
	}

	at := newInvoiceWriter(k, fresh, 500_000_000)
	at.start(ctx)
	defer at.stop()
	at.await(50)
	row, err = splits.Rollback(ctx, c.Name, "test", "chinook")
	must(t, err)
	if row.State != strangler.Committed || row.To != strangler.Legacy {
		t.Fatalf("rollback: %+v", row)
	}
	at.awaitRefused(20)
	at.stop()
	beside.await(50)
	beside.stop()
	k.run(t, old, "INSERT INTO invoice (invoice_id, customer_id, invoice_date, total) VALUES (900002, 1, '2026-01-02', 2)")
	awaitCaughtUp(t, splits, c.Name)
	k.equalTables(t, old, fresh, "invoice", "invoice_id")
	k.equalTables(t, old, fresh, "invoice_line", "invoice_line_id")
	beside.check(t, old)
	at.check(t, old)
	if now := k.number(t, old, "SELECT sum(quantity) FROM invoice_line"); now != quantity+beside.lines+at.lines {
		t.Errorf("the lines' quantities were raised %d times, and %d + %d were acknowledged", now-quantity, beside.lines, at.lines)
	}
	t.Logf("beside the proxy %d writes were acknowledged and %d refused; at the service %d and %d", beside.done, beside.refused, at.done, at.refused)
	if left := k.loose(t, old); len(left) > 0 {
		t.Errorf("rows that violate foreign keys, or keys that nobody has checked, after the rollback: %v", left)
	}

	must(t, splits.Cancel(ctx, c.Name))
	if diff := cmp.Diff(before, k.schema(t, old)); diff != "" {
		t.Errorf("cancel left something behind in the legacy database, or took it: %s", diff)
	}
	if left := k.schema(t, fresh); len(left) > 0 {
		t.Errorf("cancel left something behind in the service's database: %s", left)
	}
	if diff := cmp.Diff(rails, k.image(t, old, "schema_migrations", "version")); diff != "" {
		t.Errorf("the application's own schema_migrations has changed: %s", diff)
	}
}

// loadChinook fills a database, and puts beside it the version table of the application's own migrations.
func (k *kind) loadChinook(t *testing.T, db *sql.DB) {
	t.Helper()
	dir := os.Getenv("STRANGLER_CHINOOK")
	if dir == "" {
		t.Fatal("STRANGLER_CHINOOK is not set; `make test` sets it where the data is at hand")
	}
	b, err := os.ReadFile(filepath.Join(dir, k.chinook))
	must(t, err)
	k.load(t, db, strings.TrimPrefix(string(b), "\ufeff"))
	run(t, db, "CREATE TABLE schema_migrations (version varchar(40) PRIMARY KEY)")
	run(t, db, "INSERT INTO schema_migrations VALUES ('20140211123456'), ('20260102030405')")
}

func startSplits(t *testing.T, p *pair, c strangler.Capability) *migrations.Splits {
	t.Helper()
	return startSplitsOver(t, p, c, engines.Open, nil)
}

// startSplitsOver does so with another Open, and with Config.Fault.
func startSplitsOver(t *testing.T, p *pair, c strangler.Capability, open migrations.Open, fault func(string) error) *migrations.Splits {
	t.Helper()
	return startAll(t, p, []strangler.Capability{c}, open, fault)
}

func startAll(t *testing.T, p *pair, cs []strangler.Capability, open migrations.Open, fault func(string) error) *migrations.Splits {
	t.Helper()
	store, err := control.Open(t.Context(), control.Config{DSN: p.controlDSN})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	must(t, store.Ensure(t.Context(), cs))
	splits, err := migrations.New(migrations.Config{
		Capabilities: cs, Open: open, Dir: filepath.Join(p.dir, "migrations"), ControlID: store.ID(),
		Decisions: store, Records: store, Leases: store, Adopter: store, Gates: noProxies{}, Worker: "test",
		Bounds: migrations.Bounds{Chunk: 97, Part: 1}, Fault: fault, Log: testLog(t),
	})
	must(t, err)
	splits.Start(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { must(t, splits.Close()) })
	return splits
}

// TestChinookComplete goes past the point of no return: the monolith has nothing left of the tables, the
// service has them as its own, and nothing of Strangler stays in either database.
func TestChinookComplete(t *testing.T) { eachKind(t, completeChinook) }

func completeChinook(t *testing.T, k *kind) {
	ctx, p := t.Context(), k.pair(t)
	old, fresh := p.opened(t)
	k.loadChinook(t, old)
	before, rails := k.image(t, old, k.speak("invoice_line"), k.speak("invoice_line_id")), k.image(t, old, "schema_migrations", "version")
	c := p.capability("billing", strangler.Table{From: k.speak("invoice")}, strangler.Table{From: k.speak("invoice_line"), To: k.speak("line")})
	splits := startSplits(t, p, c)
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	if _, err := splits.Cutover(ctx, c.Name, "test", "not yet verified"); !errors.Is(err, strangler.ErrRefused) {
		t.Fatalf("a cutover without a verification: %v", err)
	}
	if err := splits.Complete(ctx, c.Name, "test"); !errors.Is(err, strangler.ErrRefused) {
		t.Fatalf("complete while the monolith owns: %v", err)
	}
	_, err := splits.Verify(ctx, c.Name)
	must(t, err)
	_, err = splits.Cutover(ctx, c.Name, "test", "chinook")
	must(t, err)
	if err := splits.Cancel(ctx, c.Name); !errors.Is(err, strangler.ErrRefused) {
		t.Fatalf("cancel while the service owns: %v", err)
	}
	must(t, splits.Complete(ctx, c.Name, "test"))
	if _, err := splits.Rollback(ctx, c.Name, "test", "too late"); err == nil {
		t.Fatal("a rollback behind the point of no return went through")
	}
	for name, db := range map[string]*sql.DB{"legacy": old, "service": fresh} {
		strange := func(line string) bool { return strings.Contains(line, "strangler_") }
		if left := slices.DeleteFunc(k.schema(t, db), func(line string) bool { return !strange(line) }); len(left) > 0 {
			t.Errorf("complete left in the %s database: %v", name, left)
		}
	}
	gone := strings.ToLower(k.speak("invoice"))
	for _, line := range k.schema(t, old) {
		if strings.Contains(strings.ToLower(line), gone) {
			t.Errorf("complete left in the legacy database: %s", line)
		}
	}
	if diff := cmp.Diff(before, k.image(t, fresh, k.speak("line"), k.speak("invoice_line_id"))); diff != "" {
		t.Errorf("the lines at the service are not those that the monolith had: %s", diff)
	}
	if diff := cmp.Diff(rails, k.image(t, old, "schema_migrations", "version")); diff != "" {
		t.Errorf("the application's own schema_migrations has changed: %s", diff)
	}
	k.run(t, fresh, "DELETE FROM line WHERE invoice_line_id = 1")
}
