package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
	"github.com/strangler-fig/strangler/migrations/sqlite"
)

func sqliteOpen(t *testing.T, p *enginetest.Pair, side strangler.Side) (migrations.Database, error) {
	t.Helper()
	dsn := map[strangler.Side]string{strangler.Legacy: p.LegacyDSN, strangler.Service: p.ServiceDSN}[side]
	b := migrations.Binding{Capability: p.Capability.Name, Side: side, DSN: dsn, ControlID: "store-1"}
	for _, table := range p.Capability.Tables {
		b.Tables = append(b.Tables, table.From)
	}
	d, err := sqlite.Open(context.Background(), b)
	if err == nil {
		t.Cleanup(func() { must(t, d.Close()) })
	}
	return d, err
}

var fencedTables = []string{
	"CREATE TABLE parent (id INTEGER PRIMARY KEY)",
	"CREATE TABLE x (k INTEGER PRIMARY KEY, a INTEGER UNIQUE, p INTEGER REFERENCES parent ON DELETE CASCADE ON UPDATE SET NULL)",
	"INSERT INTO parent VALUES (1), (2)", "INSERT INTO x VALUES (1, 1, 1), (2, 2, 2)",
}

// TestAClosedFenceAndEveryWayToWrite tries what other engines do not have.
func TestAClosedFenceAndEveryWayToWrite(t *testing.T) {
	for _, journal := range []string{"wal", "delete"} {
		p := enginetest.Planned(t, lab{journal}, migrations.StageCapture, fencedTables, "x")
		before := image(t, p.App, "x")
		exec(t, p.App, "PRAGMA recursive_triggers = ON")
		must(t, p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
		for _, q := range []string{
			"INSERT OR IGNORE INTO x VALUES (9, 9, NULL)", "INSERT OR REPLACE INTO x VALUES (9, 1, NULL)", "REPLACE INTO x VALUES (1, 5, NULL)", "INSERT OR FAIL INTO x VALUES (9, 9, NULL)",
			"INSERT OR ROLLBACK INTO x VALUES (9, 9, NULL)", "INSERT INTO x DEFAULT VALUES", "UPDATE OR IGNORE x SET a = 9 WHERE k = 1", "UPDATE OR REPLACE x SET a = 2 WHERE k = 1",
			"INSERT INTO x VALUES (1, 7, NULL) ON CONFLICT (k) DO UPDATE SET a = 7", "INSERT INTO x VALUES (1, 7, NULL) ON CONFLICT DO NOTHING", "UPDATE x SET k = k", "DELETE FROM x RETURNING k",
			"DELETE FROM parent WHERE id = 1", "UPDATE parent SET id = 3 WHERE id = 2", "PRAGMA ignore_check_constraints = ON; DELETE FROM x",
		} {
			p.Refused(p.App, q)
			if after := image(t, p.App, "x"); strings.Join(before, "\n") != strings.Join(after, "\n") {
				t.Fatalf("%s, journal %s: changed\n%v", q, journal, after)
			}
		}
	}
}

// TestAStaleSnapshotDoesNotWriteThroughTheFence begins to read before the fence is closed, and writes
// behind it.
func TestAStaleSnapshotDoesNotWriteThroughTheFence(t *testing.T) {
	p := enginetest.Planned(t, lab{"wal"}, migrations.StageCapture, fencedTables, "x")
	tx, err := p.App.BeginTx(t.Context(), nil)
	must(t, err)
	var n int
	must(t, tx.QueryRowContext(t.Context(), "SELECT count(*) FROM x").Scan(&n))
	must(t, p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO x VALUES (9, 9, NULL)"); err == nil {
		t.Error("a write passed the closed fence from an old snapshot")
	}
	must(t, tx.Rollback())
	p.Refused(p.App, "INSERT INTO x VALUES (9, 9, NULL)")
	if left := p.Pending(); left != 0 {
		t.Errorf("%d changes were recorded", left)
	}
}

// TestAnInterruptedBeginLeavesNoTransaction cancels calls at every instant of their beginning.
func TestAnInterruptedBeginLeavesNoTransaction(t *testing.T) {
	p := enginetest.Planned(t, lab{"wal"}, migrations.StageCapture, fencedTables, "x")
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = p.Legacy.Mend(ctx)
			_ = p.Legacy.Lookup(ctx, 0, []migrations.Key{{int64(1)}}, func(migrations.Row) error { return nil })
		}()
		cancel()
		<-done
	}
	must(t, p.Legacy.SetFence(t.Context(), 1, migrations.FenceClosed))
	must(t, p.Legacy.Lookup(t.Context(), 0, []migrations.Key{{int64(1)}}, func(migrations.Row) error { return nil }))
}

func TestOpenRefusesWhatIsNotThere(t *testing.T) {
	b := migrations.Binding{Capability: "delivery", Side: strangler.Legacy, DSN: "sqlite:" + filepath.Join(t.TempDir(), "none.db")}
	if _, err := sqlite.Open(t.Context(), b); !errors.Is(err, strangler.ErrRefused) {
		t.Errorf("a file that is missing: %v", err)
	}
	b.DSN = "postgres://localhost/x"
	if _, err := sqlite.Open(t.Context(), b); !errors.Is(err, strangler.ErrConfig) {
		t.Errorf("another engine's DSN: %v", err)
	}
}

// TestATableThatDoesNotFitForSQLitesOwnReasons has the right columns and the right key by name.
func TestATableThatDoesNotFitForSQLitesOwnReasons(t *testing.T) {
	for name, there := range map[string]string{
		"a key of another collation": "CREATE TABLE x (k TEXT NOT NULL PRIMARY KEY, v INTEGER)",
		"strict":                     "CREATE TABLE x (k TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, v INTEGER) STRICT",
	} {
		p := enginetest.NewPair(t, lab{"wal"}, []string{"CREATE TABLE x (k TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, v INTEGER)"}, "x")
		exec(t, p.Served, there)
		var r *strangler.Refusal
		if _, err := p.Plan.Make(t.Context()); !errors.As(err, &r) || r.Check != "fit" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
