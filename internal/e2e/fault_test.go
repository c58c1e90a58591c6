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
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// TestFaults breaks every durable statement of a move forward and back both ways: not done, and done
// but reported failed. What a person or the playbook would do is done: the same again. At the end both
// sides are equal and hold everything that the writer was told of. Here it is each statement's first
// time; TestTortureFaults goes on.
func TestFaults(t *testing.T) { breakEach(t, 1) }

// breakEach breaks up to n occurrences of each statement, each in a move of its own.
func breakEach(t *testing.T, times int) {
	count := map[string]int{}
	moveWithFault(t, "nothing", func(point string) error { count[point]++; return nil })
	places := 0
	for _, point := range []string{"fence", "term", "position", "forget", "script", "prepare", "decide", "release", "next-term", "save-split"} {
		for _, when := range []string{".before", ".after"} {
			if count[point+when] == 0 {
				t.Errorf("a whole move never came by %s%s", point, when)
			}
			for n := 1; n <= min(count[point+when], times); n++ {
				places++
				left := n
				moveWithFault(t, fmt.Sprintf("%s%s:%d", point, when, n), func(p string) error {
					if p != point+when {
						return nil
					}
					if left--; left == 0 {
						return errors.New("broken by the test")
					}
					return nil
				})
			}
		}
	}
	t.Logf("%d statements broken", places)
}

// moveWithFault copies two small tables, cuts over and rolls back, while a writer beside the proxy works
// at whichever side takes its writes.
func moveWithFault(t *testing.T, name string, fault func(string) error) {
	t.Run(name, func(t *testing.T) {
		ctx, dir := t.Context(), t.TempDir()
		legacy, service := filepath.Join(dir, "old.db"), filepath.Join(dir, "new.db")
		old, fresh := openSQLite(t, legacy), openSQLite(t, service)
		run(t, fresh, "PRAGMA journal_mode = WAL")
		run(t, old, `PRAGMA journal_mode = WAL;
			CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);
			CREATE TABLE invoice (id INTEGER PRIMARY KEY AUTOINCREMENT, customer INTEGER REFERENCES customer (id), total INTEGER, code TEXT UNIQUE);
			CREATE TABLE line (invoice INTEGER NOT NULL REFERENCES invoice (id), n INTEGER NOT NULL, text TEXT, PRIMARY KEY (invoice, n));
			INSERT INTO customer VALUES (1, 'c');
			WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < 300) INSERT INTO invoice SELECT i, 1, i, 'c' || i FROM k;
			INSERT INTO line SELECT id, 1, 'x' FROM invoice;`)
		c := strangler.Capability{Name: "billing", Legacy: strangler.Upstream{Database: "sqlite:" + legacy}, Service: strangler.Upstream{Database: "sqlite:" + service},
			Tables: []strangler.Table{{From: "invoice"}, {From: "line"}}}
		var mu sync.Mutex
		armed := false
		hook := func(p string) error {
			mu.Lock()
			defer mu.Unlock()
			if !armed {
				return nil
			}
			return fault(p)
		}
		store, err := control.Open(ctx, control.Config{DSN: "sqlite:" + filepath.Join(dir, "control.db"), Fault: hook})
		must(t, err)
		t.Cleanup(func() { must(t, store.Close()) })
		must(t, store.Ensure(ctx, []strangler.Capability{c}))
		splits, err := migrations.New(migrations.Config{Capabilities: []strangler.Capability{c}, Open: engines.Open, Dir: filepath.Join(dir, "migrations"), ControlID: store.ID(),
			Decisions: store, Records: store, Leases: store, Adopter: store, Gates: noProxies{}, Worker: "test", Bounds: migrations.Bounds{Chunk: 40}, Fault: hook, Log: testLog(t)})
		must(t, err)
		mu.Lock()
		armed = true
		mu.Unlock()
		splits.Start(context.WithoutCancel(ctx))
		t.Cleanup(func() { must(t, splits.Close()) })

		w := newRowWriter(old, fresh)
		w.start(ctx)
		again := func(what string, f func() error) {
			t.Helper()
			await(t, what, func() bool {
				err := f()
				if err != nil && testing.Verbose() {
					t.Logf("%s: %v", what, err)
				}
				return err == nil
			})
		}
		again("copy", func() error { return splits.Copy(ctx, c.Name) })
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
		again("verify", func() error { _, err := splits.Verify(ctx, c.Name); return err })
		owned := func(side strangler.Side, f func() error) {
			again("the hand over to "+string(side), func() error {
				if t, err := store.Toggle(ctx, c.Name); err == nil && t.Owner == side && !t.Gated {
					return nil
				}
				return f()
			})
		}
		owned(strangler.Service, func() error { _, err := splits.Cutover(ctx, c.Name, "test", "fault"); return err })
		w.await(20)
		owned(strangler.Legacy, func() error { _, err := splits.Rollback(ctx, c.Name, "test", "fault"); return err })
		w.await(20)
		w.stop()
		awaitCaughtUp(t, splits, c.Name)
		equalTables(t, old, fresh, "invoice", "id")
		equalTables(t, old, fresh, "line", "invoice")
		w.check(t, old)
	})
}

// rowWriter writes at legacy, and where that refuses at the service, as a seam would.
type rowWriter struct {
	sides  []*sql.DB
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	wrote  *sync.Cond
	acked  map[int64]int64 // total by id; -1 when deleted
	done   int
}

func newRowWriter(sides ...*sql.DB) *rowWriter {
	w := &rowWriter{sides: sides, acked: map[int64]int64{}}
	w.wrote = sync.NewCond(&w.mu)
	return w
}

func (w *rowWriter) start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.wg.Go(func() {
		pace := time.NewTicker(3 * time.Millisecond) // SQLite's one lock is not handed out fairly
		defer pace.Stop()
		for i := int64(0); ctx.Err() == nil; i++ {
			<-pace.C
			id := 1000 + i
			w.do(id, i, "INSERT INTO invoice (id, customer, total, code) VALUES (?, 1, ?, ?)", id, i, fmt.Sprint("n", i))
			w.do(0, 0, "INSERT INTO line (invoice, n, text) VALUES (?, 1, ?)", id, fmt.Sprint("line ", i))
			w.do(id-1, i+5, "UPDATE invoice SET total = ? WHERE id = ?", i+5, id-1)
			w.do(0, 0, "UPDATE invoice SET code = CASE id WHEN 1 THEN 'c' || (?1 + 1) ELSE 'c' || ?1 END WHERE id = 1", i%2*100000)
			if i%5 == 4 {
				w.do(0, 0, "DELETE FROM line WHERE invoice = ?", id-3)
				w.do(id-3, -1, "DELETE FROM invoice WHERE id = ?", id-3)
			}
		}
	})
}

func (w *rowWriter) do(id, total int64, query string, args ...any) {
	for _, db := range w.sides {
		res, err := db.Exec(query, args...)
		if err != nil {
			if strings.Contains(err.Error(), "strangler:") || strings.Contains(err.Error(), "no such table") {
				continue
			}
			return
		}
		w.mu.Lock()
		if n, err := res.RowsAffected(); err == nil && n == 1 {
			w.done++
			if id != 0 {
				w.acked[id] = total
			}
		}
		w.wrote.Broadcast()
		w.mu.Unlock()
		return
	}
}

func (w *rowWriter) await(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for goal := w.done + n; w.done < goal; {
		w.wrote.Wait()
	}
}

func (w *rowWriter) stop() { w.cancel(); w.wg.Wait() }

func (w *rowWriter) check(t *testing.T, db *sql.DB) {
	t.Helper()
	for id, total := range w.acked {
		var got int64
		err := db.QueryRow("SELECT total FROM invoice WHERE id = ?", id).Scan(&got)
		if total < 0 && errors.Is(err, sql.ErrNoRows) || err == nil && got == total {
			continue
		}
		t.Errorf("invoice %d: acknowledged %d, found %d (%v)", id, total, got, err)
	}
}
