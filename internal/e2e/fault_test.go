//go:build !race

package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// TestFaults breaks every durable statement of a move forward and back both ways: not done, and done
// but reported failed. What a person or the playbook would do is done: the same again. At the end both
// sides are equal and hold everything that the writer was told of. Here it is each statement's first
// time; TestTortureFaults goes on.
func TestFaults(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) { breakEach(t, k, 1) })
}

// smallTables are the tables of the moves with faults: one that stays, two that move.
var smallTables = []string{
	"CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)",
	"CREATE TABLE invoice (id AUTO_KEY, customer INTEGER REFERENCES customer (id), total INTEGER, code TEXT UNIQUE)",
	"CREATE TABLE line (invoice INTEGER NOT NULL REFERENCES invoice (id), n INTEGER NOT NULL, text TEXT, PRIMARY KEY (invoice, n))",
	"INSERT INTO customer VALUES (1, 'c')",
	"INSERT INTO invoice WITH RECURSIVE k (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < 300) SELECT i, 1, i, 'c' || i FROM k",
	"INSERT INTO line SELECT id, 1, 'x' FROM invoice",
}

// breakEach breaks up to n occurrences of each statement, each in a move of its own.
func breakEach(t *testing.T, k *kind, times int) {
	count := map[string]int{}
	moveWithFault(t, k, "nothing", func(point string) error { count[point]++; return nil })
	places := 0
	for _, point := range []string{"fence", "term", "position", "forget", "script", "prepare", "decide", "release", "next-term", "save-split"} {
		for _, when := range []string{".before", ".after"} {
			if count[point+when] == 0 {
				t.Errorf("a whole move never came by %s%s", point, when)
			}
			for n := 1; n <= min(count[point+when], times); n++ {
				places++
				left := n
				moveWithFault(t, k, fmt.Sprintf("%s%s:%d", point, when, n), func(p string) error {
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
func moveWithFault(t *testing.T, k *kind, name string, fault func(string) error) {
	t.Run(name, func(t *testing.T) {
		ctx, p := t.Context(), k.pair(t)
		old, fresh := p.opened(t)
		for _, q := range smallTables {
			k.run(t, old, strings.ReplaceAll(q, "AUTO_KEY", k.autoKey))
		}
		c := p.capability("billing", strangler.Table{From: k.speak("invoice")}, strangler.Table{From: k.speak("line")})
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
		store, err := control.Open(ctx, control.Config{DSN: p.controlDSN, Fault: hook})
		must(t, err)
		t.Cleanup(func() { must(t, store.Close()) })
		must(t, store.Ensure(ctx, []strangler.Capability{c}))
		splits, err := migrations.New(migrations.Config{Capabilities: []strangler.Capability{c}, Open: engines.Open, Dir: filepath.Join(p.dir, "migrations"), ControlID: store.ID(),
			Decisions: store, Records: store, Leases: store, Adopter: store, Gates: noProxies{}, Worker: "test", Bounds: migrations.Bounds{Chunk: 40, Part: 1}, Fault: hook, Log: testLog(t)})
		must(t, err)
		mu.Lock()
		armed = true
		mu.Unlock()
		splits.Start(context.WithoutCancel(ctx))
		t.Cleanup(func() { must(t, splits.Close()) })

		w := newRowWriter(k, old, fresh)
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
		k.equalTables(t, old, fresh, "invoice", "id")
		k.equalTables(t, old, fresh, "line", "invoice")
		w.check(t, old)
	})
}
