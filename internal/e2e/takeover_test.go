package e2e

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/engines"
)

// TestAHandOverWaitsForTheTakeover asks a worker for one that has begun and could not yet take over: it does so
// first, and does not take a side for the owner's that is none.
func TestAHandOverWaitsForTheTakeover(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) {
		ctx, p := t.Context(), k.pair(t)
		old, _ := p.opened(t)
		for _, q := range []string{"CREATE TABLE invoice (id INTEGER PRIMARY KEY, total INTEGER)", "INSERT INTO invoice VALUES (1, 0)"} {
			k.run(t, old, q)
		}
		c := p.capability("billing", strangler.Table{From: "invoice"})
		first := startSplits(t, p, c)
		must(t, first.Copy(ctx, c.Name))
		awaitPhase(t, first, c.Name, strangler.PhaseSyncing)
		_, err := first.Verify(ctx, c.Name)
		must(t, err)
		must(t, first.Close())

		var broken atomic.Int64
		second := startSplitsOver(t, p, c, engines.Open, func(point string) error {
			if point == "term.before" && broken.Add(1) <= 1 {
				return errors.New("broken by the test")
			}
			return nil
		})
		await(t, "a takeover that fails", func() bool { return broken.Load() > 0 })
		row, err := second.Cutover(ctx, c.Name, "test", "at once")
		if err != nil || row.State != strangler.Committed || row.To != strangler.Service {
			t.Errorf("the cutover: %+v, %v", row, err)
		}
	})
}
