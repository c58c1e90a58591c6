//go:build torture && !race

package e2e

import (
	"testing"

	"github.com/strangler-fig/strangler"
)

// TestTortureRollbackBehindManyWrites takes a capability back after its service has written for long: every row was
// changed several times, many are new, and many are gone. The monolith's rows are the service's in the end.
func TestTortureRollbackBehindManyWrites(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) {
		const count = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) "
		ctx, p := t.Context(), k.pair(t)
		old, fresh := p.opened(t)
		k.run(t, old, "CREATE TABLE invoice (id INTEGER PRIMARY KEY, code VARCHAR(20) UNIQUE, total INTEGER)")
		k.run(t, old, "INSERT INTO invoice "+count+"SELECT i, 'c' || i, 0 FROM n")
		c := p.capability("billing", strangler.Table{From: "invoice"})
		splits := startSplits(t, p, c)
		must(t, splits.Copy(ctx, c.Name))
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
		_, err := splits.Verify(ctx, c.Name)
		must(t, err)
		_, err = splits.Cutover(ctx, c.Name, "test", "out")
		must(t, err)
		for range 2 * rounds() {
			k.run(t, fresh, "UPDATE invoice SET total = total + 1")
			k.run(t, fresh, "DELETE FROM invoice WHERE id % 7 = 3")
			k.run(t, fresh, "INSERT INTO invoice "+count+"SELECT i, 'n' || i, total FROM n JOIN (SELECT max(total) AS total FROM invoice) AS m ON true WHERE i % 7 = 3")
		}
		await(t, "the comparison", func() bool {
			st, err := splits.Status(ctx, c.Name)
			must(t, err)
			return st.Lag.Changes+st.Uncompared == 0
		})
		_, err = splits.Rollback(ctx, c.Name, "test", "back")
		must(t, err)
		k.equalTables(t, old, fresh, "invoice", "id")
		if n := k.number(t, old, "SELECT count(*) FROM invoice WHERE code LIKE 'n%'"); n == 0 {
			t.Error("nothing of what the service wrote came back")
		}
		k.run(t, old, "UPDATE invoice SET total = total + 1")
		awaitCaughtUp(t, splits, c.Name)
		v, err := splits.Verify(ctx, c.Name)
		must(t, err)
		if v.Mismatches != 0 || v.Rows != 40_000 {
			t.Errorf("%+v", v)
		}
	})
}
