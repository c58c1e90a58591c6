package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// deliveries are what of the monolith's orders belongs to their delivery.
var deliveries = strangler.Table{From: "orders", To: "deliveries", Columns: map[string]string{"id": "order_no", "state": "status", "note": "instructions"},
	Values: map[string]map[string]string{"state": {"sent": "shipped"}}, Drop: []string{"customer", "total"}, Where: "courier IS NOT NULL"}

// eachSplit makes a monolith in which deliveries are a part of orders, for kinds of database at both sides.
func eachSplit(t *testing.T, test func(t *testing.T, p *pair, to *kind)) {
	for _, k := range mappings {
		t.Run(fmt.Sprintf("%s to %s", k[0].dialect, k[1].dialect), func(t *testing.T) {
			t.Parallel()
			p := between(t, k)
			old := p.open(t, p.shopDSN)
			for _, q := range []string{
				"CREATE TABLE couriers (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL)",
				"CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY, customer VARCHAR(40) NOT NULL, total BIGINT NOT NULL, state VARCHAR(10), courier BIGINT, note VARCHAR(40), CONSTRAINT orders_courier FOREIGN KEY (courier) REFERENCES couriers (id))",
				"CREATE TABLE order_items (id BIGINT NOT NULL PRIMARY KEY, of_order BIGINT NOT NULL, CONSTRAINT items_order FOREIGN KEY (of_order) REFERENCES orders (id))",
				"INSERT INTO couriers (id, name) VALUES (7, 'Kim'), (8, 'Lou')",
				"INSERT INTO orders (id, customer, total, state, courier, note) VALUES (1, 'Ann', 10, 'sent', 7, 'bell'), (2, 'Bob', 20, NULL, NULL, NULL), (3, 'Cyd', 30, 'done', 8, NULL), (4, 'Dee', 40, 'new', NULL, 'x')",
				"INSERT INTO order_items (id, of_order) VALUES (1, 1), (2, 2), (3, 3)",
			} {
				run(t, old, q)
			}
			test(t, p, k[1])
		})
	}
}

var couriersOf = strangler.Table{From: "couriers", To: "couriers"}

// TestPartOfATable splits a table: some of its columns and rows go, and come back; the monolith goes on with the others all
// the while, and both go on when the split is over.
func TestPartOfATable(t *testing.T) { eachSplit(t, moveDeliveries) }

func moveDeliveries(t *testing.T, p *pair, to *kind) {
	ctx, old, fresh := t.Context(), p.open(t, p.shopDSN), to.open(t, p.deliveryDSN)
	before, empty := p.schema(t, old), to.schema(t, fresh)
	c := p.capability("delivery", couriersOf, deliveries)
	splits := startSplits(t, p, c)
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	run(t, old, "UPDATE orders SET courier = 8, state = 'sent' WHERE id = 2")
	run(t, old, "UPDATE orders SET courier = NULL WHERE id = 3")
	run(t, old, "UPDATE orders SET total = 11 WHERE id = 1")
	awaitCaughtUp(t, splits, c.Name)
	want := []string{`courier 7 | instructions "bell" | order_no 1 | status "shipped"`, `courier 8 | instructions ∅ | order_no 2 | status "shipped"`}
	if diff := cmp.Diff(want, enginetest.Plain(t, fresh, "deliveries")); diff != "" {
		t.Errorf("at the service:\n%s", diff)
	}
	verified(t, splits, c, 4)

	_, err := splits.Cutover(ctx, c.Name, "test", "part")
	must(t, err)
	for _, q := range []string{"UPDATE orders SET state = 'done' WHERE id = 1", "UPDATE orders SET courier = 7 WHERE id = 4", "INSERT INTO orders (id, customer, total, courier) VALUES (9, 'Zoe', 90, 7)"} {
		if _, err := old.ExecContext(ctx, q); err == nil || !strings.Contains(err.Error(), "is owned by its service") {
			t.Errorf("%s: got %v, want the fence's refusal", q, err)
		}
	}
	const rounds = 100
	var sides sync.WaitGroup
	writes := func(db *sql.DB, query string) {
		if err := persist(db, query); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	sides.Go(func() {
		for i := range rounds {
			writes(old, "UPDATE orders SET total = total + 1 WHERE id = 1")
			writes(old, fmt.Sprintf("INSERT INTO orders (id, customer, total) VALUES (%d, 'new', 0)", 100+i))
		}
	})
	sides.Go(func() {
		for i := range rounds {
			writes(fresh, fmt.Sprintf("UPDATE deliveries SET instructions = 'n%d' WHERE order_no = 1", i))
		}
		writes(fresh, "INSERT INTO deliveries (order_no, courier, status) VALUES (4, 7, 'shipped')")
		writes(fresh, "DELETE FROM deliveries WHERE order_no = 2")
	})
	sides.Wait()
	awaitCaughtUp(t, splits, c.Name)
	orders := []string{
		`courier 7 | customer "Ann" | id 1 | note "n99" | state "sent" | total 111`, `courier 7 | customer "Dee" | id 4 | note ∅ | state "sent" | total 40`,
		`courier ∅ | customer "Bob" | id 2 | note ∅ | state ∅ | total 20`, `courier ∅ | customer "Cyd" | id 3 | note ∅ | state "done" | total 30`,
	}
	const ours = "(SELECT * FROM orders WHERE id < 100) AS x"
	if diff := cmp.Diff(orders, enginetest.Plain(t, old, ours)); diff != "" {
		t.Errorf("while the service owns, at the monolith:\n%s", diff)
	}
	if n := p.number(t, old, "SELECT COUNT(*) FROM orders"); n != 4+rounds {
		t.Errorf("the monolith has %d orders, want %d", n, 4+rounds)
	}
	verified(t, splits, c, 4)

	_, err = splits.Rollback(ctx, c.Name, "test", "part")
	must(t, err)
	run(t, old, "UPDATE orders SET courier = 8, total = 112 WHERE id = 1")
	awaitCaughtUp(t, splits, c.Name)
	orders[0] = `courier 7 | customer "Dee" | id 4 | note ∅ | state "sent" | total 40`
	orders[1] = `courier 8 | customer "Ann" | id 1 | note "n99" | state "sent" | total 112`
	if diff := cmp.Diff(orders, enginetest.Plain(t, old, ours)); diff != "" {
		t.Errorf("back at the monolith:\n%s", diff)
	}
	must(t, splits.Cancel(ctx, c.Name))
	if diff := cmp.Diff(before, p.schema(t, old)); diff != "" {
		t.Errorf("cancel left something behind in the legacy database, or took it: %s", diff)
	}
	if diff := cmp.Diff(empty, to.schema(t, fresh)); diff != "" {
		t.Errorf("cancel left something behind in the service's database: %s", diff)
	}
}

func verified(t *testing.T, splits interface {
	Verify(context.Context, string) (strangler.Verification, error)
}, c strangler.Capability, rows int64) {
	t.Helper()
	v, err := splits.Verify(t.Context(), c.Name)
	must(t, err)
	if v.Mismatches != 0 || v.Rows != rows {
		t.Errorf("verification: %+v", v)
	}
}

// What stays of a table outlives the split.
func TestPartOfATableIsLeft(t *testing.T) { eachSplit(t, leaveOrders) }

func leaveOrders(t *testing.T, p *pair, to *kind) {
	ctx, old, fresh := t.Context(), p.open(t, p.shopDSN), to.open(t, p.deliveryDSN)
	c := p.capability("delivery", couriersOf, deliveries)
	splits := startSplits(t, p, c)
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	verified(t, splits, c, 4)
	_, err := splits.Cutover(ctx, c.Name, "test", "part")
	must(t, err)
	run(t, fresh, "UPDATE deliveries SET instructions = 'last' WHERE order_no = 1")
	awaitCaughtUp(t, splits, c.Name)
	must(t, splits.Complete(ctx, c.Name, "test"))
	if got := enginetest.Plain(t, old, "(SELECT * FROM orders WHERE id = 1) AS x")[0]; got != `courier 7 | customer "Ann" | id 1 | note "last" | state "sent" | total 10` {
		t.Errorf("the monolith's order is %s", got)
	}
	run(t, old, "INSERT INTO orders (id, customer, total, courier) VALUES (9, 'Zoe', 90, 7)")
	run(t, old, "UPDATE orders SET note = 'mine'")
	run(t, fresh, "DELETE FROM deliveries")
	for _, s := range []string{fmt.Sprint(p.schema(t, old)), fmt.Sprint(to.schema(t, fresh))} {
		if strings.Contains(s, "strangler") {
			t.Errorf("something of Strangler's is left: %s", s)
		}
	}
	if _, err := old.ExecContext(ctx, "SELECT 1 FROM couriers"); err == nil {
		t.Error("the monolith still has couriers, all of which went")
	}
}

// Where all rows go and a column stays, the service makes and deletes the monolith's rows, and what it changes keeps what stays.
func TestAColumnThatStays(t *testing.T) { eachSplit(t, keepSecrets) }

func keepSecrets(t *testing.T, p *pair, to *kind) {
	ctx, old, fresh := t.Context(), p.open(t, p.shopDSN), to.open(t, p.deliveryDSN)
	run(t, old, "CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, body VARCHAR(40), secret VARCHAR(40))")
	run(t, old, "INSERT INTO notes (id, body, secret) VALUES (1, 'one', 's1'), (2, 'two', 's2'), (3, 'three', 's3')")
	c := p.capability("notes", strangler.Table{From: "notes", To: "notes", Drop: []string{"secret"}})
	splits := startSplits(t, p, c)
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	verified(t, splits, c, 3)
	_, err := splits.Cutover(ctx, c.Name, "test", "column")
	must(t, err)
	run(t, old, "UPDATE notes SET secret = 'mine' WHERE id = 3")
	if _, err := old.ExecContext(ctx, "DELETE FROM notes WHERE id = 3"); err == nil {
		t.Error("the monolith deletes a row of the service's")
	}
	run(t, fresh, "UPDATE notes SET body = 'ONE' WHERE id = 1")
	run(t, fresh, "DELETE FROM notes WHERE id = 2")
	run(t, fresh, "INSERT INTO notes (id, body) VALUES (9, 'nine')")
	awaitCaughtUp(t, splits, c.Name)
	_, err = splits.Rollback(ctx, c.Name, "test", "column")
	must(t, err)
	want := []string{`body "ONE" | id 1 | secret "s1"`, `body "nine" | id 9 | secret ∅`, `body "three" | id 3 | secret "mine"`}
	if diff := cmp.Diff(want, enginetest.Plain(t, old, "notes")); diff != "" {
		t.Errorf("back at the monolith:\n%s", diff)
	}
}
