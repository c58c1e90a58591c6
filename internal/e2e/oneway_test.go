package e2e

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// merged are orders of which two notes are one at the service, so that no way leads back.
var merged = strangler.Table{From: "orders", To: "orders", Values: map[string]map[string]string{"note": {"x": "z", "y": "z"}}, OneWay: true}

// TestNothingComesBack gives up the way back of one table, and keeps that of another.
func TestNothingComesBack(t *testing.T) { eachMapping(t, comesBackNot) }

func comesBackNot(t *testing.T, p *pair, to *kind) {
	ctx, old, fresh := t.Context(), p.open(t, p.shopDSN), to.open(t, p.deliveryDSN)
	refusals := map[string][]strangler.Table{
		"reverse: false gives the way back up": {{From: "customers", To: "customers"}, {From: "orders", To: "orders", Values: merged.Values}},
		"of which nothing does":                {{From: "customers", To: "customers", OneWay: true}, {From: "orders", To: "orders"}},
	}
	for says, tables := range refusals {
		_, _, err := plan(t, p.capability("billing", tables...))
		if r := (*strangler.Refusal)(nil); !errors.As(err, &r) || r.Check != "mapping" || !strings.Contains(r.Error(), says) {
			t.Errorf("got %v, want a refusal that says %q", err, says)
		}
	}

	c := p.capability("billing", strangler.Table{From: "customers", To: "customers"}, merged)
	made, found, err := plan(t, c)
	must(t, err)
	const loses = "a rollback loses what the service has written there"
	if notes := made.Notes.String(); !strings.Contains(notes, loses) {
		t.Errorf("the plan does not say what a rollback loses:\n%s", notes)
	}
	if len(found) == 0 || found[0].Check != "reverse" || !strings.Contains(found[0].What, loses) {
		t.Errorf("the check does not say what a rollback loses: %+v", found)
	}

	_, plain, err := plan(t, p.capability("billing", strangler.Table{From: "customers", To: "customers"}, strangler.Table{From: "orders", To: "orders"}))
	must(t, err)
	if len(found) != len(plain)+1 {
		t.Errorf("the check finds %+v, and without a mapping %+v", found, plain)
	}

	splits := startSplits(t, p, c)
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	run(t, old, "INSERT INTO orders (id, customer, note) VALUES (4, 2, 'z'), (5, 2, 'y'), (6, 2, 'w')")
	awaitCaughtUp(t, splits, c.Name)
	at := []string{`customer 1 | id 1 | note "z"`, `customer 1 | id 2 | note ∅`, `customer 2 | id 3 | note "z"`, `customer 2 | id 4 | note "z"`, `customer 2 | id 5 | note "z"`, `customer 2 | id 6 | note "w"`}
	if diff := cmp.Diff(at, enginetest.Plain(t, fresh, "orders")); diff != "" {
		t.Errorf("at the service:\n%s", diff)
	}
	verified(t, splits, c, 10)
	before := enginetest.Plain(t, old, "orders")

	_, err = splits.Cutover(ctx, c.Name, "test", "one way")
	must(t, err)
	run(t, fresh, "INSERT INTO orders (id, customer, note) VALUES (9, 1, 'x')")
	run(t, fresh, "UPDATE orders SET note = 'y' WHERE id = 1")
	run(t, fresh, "DELETE FROM orders WHERE id = 2")
	run(t, fresh, "UPDATE customers SET name = 'Anna' WHERE id = 1")
	awaitCaughtUp(t, splits, c.Name)
	verified(t, splits, c, 4) // the customers
	_, err = splits.Rollback(ctx, c.Name, "test", "one way")
	must(t, err)
	if diff := cmp.Diff(before, enginetest.Plain(t, old, "orders")); diff != "" {
		t.Errorf("of what comes not back, at the monolith:\n%s", diff)
	}
	if n := p.number(t, old, "SELECT COUNT(*) FROM customers WHERE name = 'Anna'"); n != 1 {
		t.Error("what comes back did not")
	}

	run(t, old, "INSERT INTO orders (id, customer, note) VALUES (7, 2, 'x')")
	awaitCaughtUp(t, splits, c.Name)
	_, err = splits.Cutover(ctx, c.Name, "test", "one way")
	if r := (*strangler.Refusal)(nil); !errors.As(err, &r) || r.Check != "verify" {
		t.Errorf("the sides are apart, and the cutover got %v", err)
	}
	v, err := splits.Verify(ctx, c.Name)
	must(t, err)
	if v.Mismatches != 3 {
		t.Errorf("verification: %+v, want the three rows that the service wrote", v)
	}
	v, err = splits.Repair(ctx, c.Name)
	must(t, err)
	if v.Mismatches != 0 || v.Repaired != 3 {
		t.Errorf("repair: %+v", v)
	}
	if diff := cmp.Diff(append(at, `customer 2 | id 7 | note "z"`), enginetest.Plain(t, fresh, "orders")); diff != "" {
		t.Errorf("at the service, behind the repair:\n%s", diff)
	}
	_, err = splits.Cutover(ctx, c.Name, "test", "one way")
	must(t, err)
}

// plan makes a capability's plan, and examines its databases.
func plan(t *testing.T, c strangler.Capability) (made migrations.Plan, found []migrations.Finding, err error) {
	t.Helper()
	planning, closeAll, err := migrations.NewPlanning(t.Context(), engines.Open, t.TempDir(), "control", c)
	must(t, err)
	defer func() { must(t, closeAll()) }()
	if made, err = planning.Make(t.Context()); err == nil {
		found, err = planning.Examine(t.Context())
	}
	return made, found, err
}
