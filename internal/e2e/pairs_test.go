package e2e

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/invariant"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// TestChinookBetweenKinds moves the invoices and their lines to another kind of database while a writer works on them,
// writes there, brings them back, and compares value by value.
func TestChinookBetweenKinds(t *testing.T) {
	for _, from := range kinds {
		for _, to := range kinds {
			if from != to {
				t.Run(fmt.Sprintf("%s to %s", from.dialect, to.dialect), func(t *testing.T) {
					t.Parallel()
					moveBetween(t, from, to)
				})
			}
		}
	}
}

func moveBetween(t *testing.T, from, to *kind) {
	ctx, p, other := t.Context(), from.pair(t), to.pair(t)
	p.serviceDSN, p.deliveryDSN = other.serviceDSN, other.deliveryDSN
	old, fresh := from.open(t, p.shopDSN), to.open(t, p.deliveryDSN)
	from.loadChinook(t, old)
	before, empty := from.schema(t, old), to.schema(t, fresh)
	invoice, line := from.speak("invoice"), from.speak("invoice_line")
	c := p.capability("billing", strangler.Table{From: invoice}, strangler.Table{From: line})
	splits := startSplits(t, p, c)

	beside := newInvoiceWriter(from, old, 1_000_000)
	beside.start(ctx)
	defer beside.stop()
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	beside.await(50)
	v, err := splits.Verify(ctx, c.Name)
	must(t, err)
	if v.Mismatches != 0 || v.Rows < 2000 {
		t.Fatalf("verification: %+v", v)
	}
	_, err = splits.Cutover(ctx, c.Name, "test", "chinook")
	must(t, err)
	beside.awaitRefused(20)
	beside.stop()

	total, quantity, id := to.quoted(from.speak("total")), to.quoted(from.speak("quantity")), to.quoted(from.speak("invoice_id"))
	run(t, fresh, fmt.Sprintf("UPDATE %s SET %s = 12345678.05 WHERE %s %% 7 = 0", to.quoted(invoice), total, id))
	run(t, fresh, fmt.Sprintf("UPDATE %s SET %s = NULL, %s = 'ünïcödé \\ \"' WHERE %s %% 7 = 1", to.quoted(invoice), to.quoted(from.speak("billing_city")), to.quoted(from.speak("billing_address")), id))
	run(t, fresh, fmt.Sprintf("UPDATE %s SET %s = %[2]s + 1", to.quoted(line), quantity))
	run(t, fresh, fmt.Sprintf("DELETE FROM %s WHERE %s %% 5 = 0", to.quoted(line), id))
	await(t, "the rollback", func() bool { // until the many rows are applied, and compared, it is refused
		_, err = splits.Rollback(ctx, c.Name, "test", "chinook")
		if st, errStatus := splits.Status(ctx, c.Name); errStatus != nil || st.Phase == strangler.PhaseStopped {
			t.Fatalf("%v %s", errStatus, st.Error)
		}
		return !errors.Is(err, strangler.ErrRefused)
	})
	must(t, err)
	from.run(t, old, "INSERT INTO invoice (invoice_id, customer_id, invoice_date, total) VALUES (900002, 1, '2026-01-02 10:00:00', 2.50)")
	awaitCaughtUp(t, splits, c.Name)
	for _, table := range []string{invoice, line} {
		here, there := enginetest.Plain(t, old, from.quoted(table)), enginetest.Plain(t, fresh, to.quoted(table))
		if diff := cmp.Diff(here, there); diff != "" || len(here) < 300 {
			t.Errorf("%s, %d rows at the monolith and %d at the service:\n%.2000s", table, len(here), len(there), diff)
		}
	}
	if left := from.loose(t, old); len(left) > 0 {
		t.Errorf("rows that violate foreign keys, or keys that nobody has checked, after the rollback: %v", left)
	}

	must(t, splits.Cancel(ctx, c.Name))
	if diff := cmp.Diff(before, from.schema(t, old)); diff != "" {
		t.Errorf("cancel left something behind in the legacy database, or took it: %s", diff)
	}
	if diff := cmp.Diff(empty, to.schema(t, fresh)); diff != "" {
		t.Errorf("cancel left something behind in the service's database: %s", diff)
	}
}

func (k *kind) quoted(name string) string {
	if k.dialect == invariant.MySQL {
		return "`" + name + "`"
	}
	return `"` + name + `"`
}
