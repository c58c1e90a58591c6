package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

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

// TestChinook moves Invoice and InvoiceLine out of a database that nobody here made, while a writer
// works on it directly, cuts over, writes at the new owner, rolls back, and compares row by row.
func TestChinook(t *testing.T) {
	script := chinook(t, "Chinook_Sqlite.sql")
	ctx, dir := t.Context(), t.TempDir()
	legacy, service := filepath.Join(dir, "chinook.db"), filepath.Join(dir, "billing.db")
	old, fresh := openSQLite(t, legacy), openSQLite(t, service)
	run(t, old, "PRAGMA journal_mode = WAL")
	run(t, fresh, "PRAGMA journal_mode = WAL")
	run(t, old, script)

	c := strangler.Capability{
		Name:    "billing",
		Legacy:  strangler.Upstream{Database: "sqlite:" + legacy},
		Service: strangler.Upstream{Database: "sqlite:" + service},
		Tables:  []strangler.Table{{From: "Invoice"}, {From: "InvoiceLine"}},
	}
	splits := startSplits(t, dir, c)

	writer := newInvoiceWriter(old)
	writer.start(ctx, old)

	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	v, err := splits.Verify(ctx, c.Name)
	must(t, err)
	if v.Mismatches != 0 || v.Rows < 2000 {
		t.Fatalf("verification: %+v", v)
	}
	row, err := splits.Cutover(ctx, c.Name, "test", "chinook")
	must(t, err)
	if row.State != strangler.Committed {
		t.Fatalf("cutover: %+v", row)
	}
	writer.stop()
	if writer.refused == 0 || writer.done == 0 {
		t.Fatalf("the writer beside the proxy wrote %d times and was refused %d times; both have to happen", writer.done, writer.refused)
	}
	for _, q := range []string{
		"INSERT INTO Invoice (InvoiceId, CustomerId, InvoiceDate, Total) VALUES (900001, 1, '2026-01-01', 1)",
		"UPDATE Invoice SET Total = 0", "DELETE FROM InvoiceLine", "UPDATE OR IGNORE Invoice SET Total = 0",
		"INSERT OR REPLACE INTO InvoiceLine (InvoiceLineId, InvoiceId, TrackId, UnitPrice, Quantity) VALUES (1, 1, 1, 1, 1)",
	} {
		if _, err := old.ExecContext(ctx, q); err == nil || !strings.Contains(err.Error(), "strangler: billing is owned by its service") {
			t.Fatalf("%s at the fenced legacy database: %v", q, err)
		}
	}

	writer = newInvoiceWriter(fresh)
	writer.start(ctx, fresh)
	writer.await(50)
	row, err = splits.Rollback(ctx, c.Name, "test", "chinook")
	must(t, err)
	if row.State != strangler.Committed || row.To != strangler.Legacy {
		t.Fatalf("rollback: %+v", row)
	}
	writer.stop()
	run(t, old, "INSERT INTO Invoice (InvoiceId, CustomerId, InvoiceDate, Total) VALUES (900002, 1, '2026-01-02', 2)")
	awaitCaughtUp(t, splits, c.Name)
	equalTables(t, old, fresh, "Invoice", "InvoiceId")
	equalTables(t, old, fresh, "InvoiceLine", "InvoiceLineId")
	writer.check(t, old)
	if rows := queryInt(t, old, "SELECT count(*) FROM pragma_foreign_key_list('Invoice')"); rows != 1 {
		t.Fatalf("the rollback restored %d foreign keys of Invoice, 1 was there", rows)
	}
	if rows := queryInt(t, old, "SELECT count(*) FROM pragma_foreign_key_check"); rows != 0 {
		t.Fatalf("%d rows violate foreign keys after the rollback", rows)
	}

	before := schema(t, openScript(t, script))
	must(t, splits.Cancel(ctx, c.Name))
	if after := schema(t, old); after != before {
		t.Fatalf("cancel left something behind in the legacy database:\n%s\nwas:\n%s", after, before)
	}
	if left := schema(t, fresh); left != "" {
		t.Fatalf("cancel left something behind in the service's database: %s", left)
	}
}

func startSplits(t *testing.T, dir string, c strangler.Capability) *migrations.Splits {
	t.Helper()
	store, err := control.Open(t.Context(), control.Config{DSN: "sqlite:" + filepath.Join(dir, "control.db")})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	must(t, store.Ensure(t.Context(), []strangler.Capability{c}))
	splits, err := migrations.New(migrations.Config{
		Capabilities: []strangler.Capability{c}, Open: engines.Open, Dir: filepath.Join(dir, "migrations"), ControlID: store.ID(),
		Decisions: store, Records: store, Leases: store, Adopter: store, Gates: noProxies{}, Worker: "test",
		Bounds: migrations.Bounds{Chunk: 97}, Log: testLog(t),
	})
	must(t, err)
	splits.Start(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { must(t, splits.Close()) })
	return splits
}

// invoiceWriter inserts, updates and deletes at one database, and remembers what was acknowledged.
type invoiceWriter struct {
	mu            sync.Mutex
	wrote         *sync.Cond
	invoices      map[int64]string // acknowledged total, "" when deleted
	done, refused int
	cancel        context.CancelFunc
	wg            sync.WaitGroup
}

func newInvoiceWriter(*sql.DB) *invoiceWriter {
	w := &invoiceWriter{invoices: map[int64]string{}}
	w.wrote = sync.NewCond(&w.mu)
	return w
}

func (w *invoiceWriter) start(ctx context.Context, db *sql.DB) {
	ctx, w.cancel = context.WithCancel(ctx)
	base := rand.Int64N(1<<40) + 1_000_000
	w.wg.Go(func() {
		for i := int64(0); ctx.Err() == nil; i++ {
			id, total := base+i, fmt.Sprint(i)
			w.write(ctx, db, id, total, "INSERT INTO Invoice (InvoiceId, CustomerId, InvoiceDate, Total) VALUES (?, 1 + ? % 59, '2026-01-01 00:00:00', ?)", id, i, total)
			w.write(ctx, db, 0, "", "UPDATE InvoiceLine SET Quantity = Quantity + 1 WHERE InvoiceLineId = 1 + ? % 2000", i)
			if i%3 == 0 {
				w.write(ctx, db, base+i/2, total+".5", "UPDATE Invoice SET Total = ? WHERE InvoiceId = ?", total+".5", base+i/2)
			}
			if i%7 == 6 {
				w.write(ctx, db, base+i/2, "", "DELETE FROM Invoice WHERE InvoiceId = ?", base+i/2)
			}
		}
	})
}

func (w *invoiceWriter) write(ctx context.Context, db *sql.DB, id int64, total, query string, args ...any) {
	res, err := db.ExecContext(ctx, query, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.done++
		if n, _ := res.RowsAffected(); id != 0 && n == 1 {
			w.invoices[id] = total
		}
	case strings.Contains(err.Error(), "strangler:"):
		w.refused++
	}
	w.wrote.Broadcast()
}

func (w *invoiceWriter) await(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.done < n {
		w.wrote.Wait()
	}
}

func (w *invoiceWriter) stop() { w.cancel(); w.wg.Wait() }

// check finds every acknowledged write.
func (w *invoiceWriter) check(t *testing.T, db *sql.DB) {
	t.Helper()
	for id, total := range w.invoices {
		var got sql.NullString
		err := db.QueryRow("SELECT CAST(Total AS TEXT) FROM Invoice WHERE InvoiceId = ?", id).Scan(&got)
		if total == "" && err == sql.ErrNoRows || err == nil && got.String == total {
			continue
		}
		t.Errorf("invoice %d: acknowledged %q, found %q (%v)", id, total, got.String, err)
	}
}

func chinook(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("STRANGLER_CHINOOK")
	if dir == "" {
		t.Fatal("STRANGLER_CHINOOK is not set; `make test` sets it where the data is at hand")
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	return strings.TrimPrefix(string(b), "\ufeff")
}

// TestChinookComplete goes past the point of no return: the monolith has nothing left of the tables, the
// service has them as its own, and nothing of Strangler stays in either database.
func TestChinookComplete(t *testing.T) {
	script := chinook(t, "Chinook_Sqlite.sql")
	ctx, dir := t.Context(), t.TempDir()
	legacy, service := filepath.Join(dir, "chinook.db"), filepath.Join(dir, "billing.db")
	old, fresh := openSQLite(t, legacy), openSQLite(t, service)
	run(t, old, "PRAGMA journal_mode = WAL")
	run(t, old, script)
	before := queryRows(t, old, "SELECT * FROM InvoiceLine ORDER BY InvoiceLineId")
	c := strangler.Capability{
		Name: "billing", Legacy: strangler.Upstream{Database: "sqlite:" + legacy}, Service: strangler.Upstream{Database: "sqlite:" + service},
		Tables: []strangler.Table{{From: "Invoice"}, {From: "InvoiceLine", To: "Line"}},
	}
	splits := startSplits(t, dir, c)
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
		if left := queryRows(t, db, "SELECT name FROM sqlite_schema WHERE name LIKE '%strangler%'"); len(left) > 0 {
			t.Errorf("complete left in the %s database: %v", name, left)
		}
	}
	if left := queryRows(t, old, "SELECT name FROM sqlite_schema WHERE tbl_name LIKE 'Invoice%'"); len(left) > 0 {
		t.Errorf("complete left tables in the legacy database: %v", left)
	}
	if after := queryRows(t, fresh, "SELECT * FROM Line ORDER BY InvoiceLineId"); len(after) != len(before) || after[7] != before[7] {
		t.Errorf("the service has %d lines, the monolith had %d", len(after), len(before))
	}
	run(t, fresh, "DELETE FROM Line WHERE InvoiceLineId = 1")
}
