//go:build !race

package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	driver "modernc.org/sqlite"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// crowded are the SQLite files that may not grow beyond so many pages, by their paths.
var crowded sync.Map

func init() {
	driver.RegisterConnectionHook(func(c driver.ExecQuerierContext, dsn string) error {
		path, _, _ := strings.Cut(strings.TrimPrefix(dsn, "file:"), "?")
		pages, ok := crowded.Load(path)
		if !ok {
			return nil
		}
		_, err := c.ExecContext(context.Background(), fmt.Sprintf("PRAGMA max_page_count = %d", pages), nil)
		return err
	})
}

// ballast is what takes the room of a SQLite file.
type ballast struct {
	t  *testing.T
	db *sql.DB
}

// fill takes what room there is.
func (b ballast) fill() {
	b.t.Helper()
	for {
		_, err := b.db.Exec("INSERT INTO ballast VALUES (zeroblob(12000))")
		var e *driver.Error
		if errors.As(err, &e) && e.Code() == 13 { // SQLITE_FULL
			return
		}
		must(b.t, err)
	}
}

// drop gives back what so many rows of it took.
func (b ballast) drop(rows int) {
	b.t.Helper()
	run(b.t, b.db, "DELETE FROM ballast WHERE rowid IN (SELECT rowid FROM ballast LIMIT ?)", rows)
}

// TestAFullFileIsWaitedFor fills the service's SQLite file before the scripts, in the copy and while the service
// follows. Each time it is said, nothing else changes, the monolith goes on, and with room the split does by itself.
func TestAFullFileIsWaitedFor(t *testing.T) {
	t.Parallel()
	ctx, p := t.Context(), sqlite.pair(t)
	crowded.Store(strings.TrimPrefix(p.serviceDSN, "sqlite:"), 4000) // the writer fills 400 in two minutes, which a loaded machine takes
	old, fresh := p.opened(t)
	for _, q := range smallTables {
		sqlite.run(t, old, strings.ReplaceAll(q, "AUTO_KEY", sqlite.autoKey))
	}
	sqlite.run(t, old, "UPDATE line SET text = hex(zeroblob(2000))") // of one page each
	run(t, fresh, "CREATE TABLE ballast (x)")
	room := ballast{t, fresh}

	c := p.capability("billing", strangler.Table{From: sqlite.speak("invoice")}, strangler.Table{From: sqlite.speak("line")})
	store, err := control.Open(ctx, control.Config{DSN: p.controlDSN})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	must(t, store.Ensure(ctx, []strangler.Capability{c}))
	splits, err := migrations.New(migrations.Config{Capabilities: []strangler.Capability{c}, Open: engines.Open, Dir: filepath.Join(p.dir, "migrations"), ControlID: store.ID(),
		Decisions: store, Records: store, Leases: store, Adopter: store, Gates: noProxies{}, Worker: "test", Bounds: migrations.Bounds{Chunk: 40, Part: 1, Lag: 1 << 40, Dirty: 1 << 20}, Log: testLog(t)})
	must(t, err)
	splits.Start(context.WithoutCancel(ctx))
	t.Cleanup(func() { must(t, splits.Close()) })
	w := newRowWriter(sqlite, old, fresh)
	w.start(ctx)
	t.Cleanup(w.stop)
	saysFull := func(phase strangler.Phase) {
		t.Helper()
		await(t, "a word of the full database", func() bool {
			st, err := splits.Status(ctx, c.Name)
			must(t, err)
			if st.Phase != phase || st.Owner != strangler.Legacy {
				t.Fatalf("the split is %s, owned by %s: %s", st.Phase, st.Owner, st.Error)
			}
			return strings.Contains(st.Error, "the service database of billing is full") && strings.Contains(st.Error, "Nothing was lost") && strings.Contains(st.Error, "Make room")
		})
		w.await(20)
	}
	saysNothing := func() {
		t.Helper()
		await(t, "an end of the word of the full database", func() bool {
			st, err := splits.Status(ctx, c.Name)
			must(t, err)
			return st.Error == ""
		})
	}

	room.fill()
	before := sqlite.schema(t, fresh)
	if err := splits.Copy(ctx, c.Name); !errors.Is(err, migrations.ErrFull) || !strings.Contains(err.Error(), "changed nothing; make room") {
		t.Fatalf("with a full file the scripts say: %v", err)
	}
	w.await(20)
	if diff := cmp.Diff(before, sqlite.schema(t, fresh), cmpopts.IgnoreSliceElements(func(s string) bool { return strings.Contains(s, "strangler_billing_scripts") })); diff != "" {
		t.Errorf("the script that found no room left, beside golang-migrate's own table:\n%s", diff)
	}
	room.drop(40) // 120 pages, and the lines alone take 300
	must(t, splits.Copy(ctx, c.Name))
	saysFull(strangler.PhaseCopying)
	room.drop(1 << 20)
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	saysNothing()
	_, err = splits.Verify(ctx, c.Name)
	must(t, err)

	room.fill()
	saysFull(strangler.PhaseSyncing)
	refused := func(what string, err error) {
		t.Helper()
		if r := (*strangler.Refusal)(nil); !errors.As(err, &r) || r.Check != "room" {
			t.Errorf("with a full file %s says: %v", what, err)
		}
	}
	_, err = splits.Verify(ctx, c.Name)
	refused("a verification", err)
	_, err = splits.Cutover(ctx, c.Name, "test", "full")
	refused("a cutover", err)
	saysFull(strangler.PhaseSyncing)
	room.drop(1 << 20)
	saysNothing()
	_, err = splits.Verify(ctx, c.Name)
	must(t, err)
	_, err = splits.Cutover(ctx, c.Name, "test", "room again")
	must(t, err)
	w.await(20)
	w.stop()
	awaitCaughtUp(t, splits, c.Name)
	sqlite.equalTables(t, old, fresh, "invoice", "id")
	sqlite.equalTables(t, old, fresh, "line", "invoice")
	w.check(t, fresh)
}
