package e2e

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/engines"
)

// TestCapabilitiesLeaveOneAfterAnother takes capabilities out of one database. One that has nothing to do with another may
// come and go while that one is out. Two that refer to each other leave one after the other: the second is not planned, and,
// planned before, not handed over, until the first is complete or back. What is cancelled leaves the monolith's schema to
// the letter, what is complete has nothing left there.
func TestCapabilitiesLeaveOneAfterAnother(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) {
		ctx, p := t.Context(), k.pair(t)
		old, fresh := p.opened(t)
		k.loadChinook(t, old)
		original := k.schema(t, old)
		elsewhere := func(name string, tables ...strangler.Table) (strangler.Capability, *sql.DB) {
			other := k.pair(t) // for its service's database
			c := p.capability(name, tables...)
			c.Service.Database = other.serviceDSN
			_, db := other.opened(t)
			return c, db
		}
		billing := p.capability("billing", strangler.Table{From: k.speak("invoice")}, strangler.Table{From: k.speak("invoice_line")})
		crm, people := elsewhere("crm", strangler.Table{From: k.speak("customer")})
		genres, _ := elsewhere("genres", strangler.Table{From: k.speak("genre")})
		splits := startAll(t, p, []strangler.Capability{billing, crm, genres}, engines.Open, nil)
		follow := func(c strangler.Capability) {
			t.Helper()
			must(t, splits.Copy(ctx, c.Name))
			awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
			v, err := splits.Verify(ctx, c.Name)
			must(t, err)
			if v.Mismatches > 0 {
				t.Fatalf("%s: %+v", c.Name, v)
			}
		}
		handOver := func(c strangler.Capability) {
			t.Helper()
			_, err := splits.Cutover(ctx, c.Name, "test", "it leaves")
			must(t, err)
		}
		comeBack := func(c strangler.Capability) {
			t.Helper()
			_, err := splits.Rollback(ctx, c.Name, "test", "it comes back")
			must(t, err)
		}
		stands := func(what string, want []string) {
			t.Helper()
			if diff := cmp.Diff(want, k.schema(t, old)); diff != "" {
				t.Errorf("%s: %s", what, diff)
			}
		}

		follow(billing)
		handOver(billing)
		var told *strangler.Refusal
		if err := splits.Copy(ctx, crm.Name); !errors.As(err, &told) || told.Check != "linked" {
			t.Errorf("a split of what refers to one that is out: %v", err)
		}
		without := k.schema(t, old)
		follow(genres)
		handOver(genres)
		k.run(t, fresh, "UPDATE invoice SET total = total + 1 WHERE invoice_id = 1")
		comeBack(genres)
		must(t, splits.Cancel(ctx, genres.Name))
		stands("another one came back and was cancelled while the first is out", without)

		comeBack(billing)
		follow(crm)
		handOver(billing)
		if _, err := splits.Cutover(ctx, crm.Name, "test", "too early"); err == nil || !strings.Contains(err.Error(), "they leave one after the other") {
			t.Errorf("a cutover of what refers to one that is out: %v", err)
		}
		comeBack(billing)
		handOver(crm)
		if _, err := splits.Cutover(ctx, billing.Name, "test", "too early"); err == nil || !strings.Contains(err.Error(), "they leave one after the other") {
			t.Errorf("a cutover of what the one that is out refers to: %v", err)
		}
		k.run(t, people, "UPDATE customer SET company = 'new' WHERE customer_id = 1")
		comeBack(crm)
		for _, c := range []strangler.Capability{crm, billing} {
			must(t, splits.Cancel(ctx, c.Name))
		}
		stands("all were cancelled", original)
		if n := k.number(t, old, "SELECT count(*) FROM customer WHERE company = 'new' AND customer_id = 1"); n != 1 {
			t.Error("what the service wrote is not in the monolith")
		}

		must(t, os.RemoveAll(filepath.Join(p.dir, "migrations", crm.Name))) // it was planned when it still referred to the first
		for _, c := range []strangler.Capability{billing, crm} {
			follow(c)
			handOver(c)
			must(t, splits.Complete(ctx, c.Name, "test"))
		}
		for _, line := range k.schema(t, old) {
			for _, name := range []string{k.speak("customer"), k.speak("invoice"), "strangler_"} {
				if strings.Contains(strings.ToLower(line), strings.ToLower(name)) {
					t.Errorf("left in the monolith's database: %s", line)
				}
			}
		}
		for _, db := range []*sql.DB{fresh, people} {
			for _, line := range k.schema(t, db) {
				if strings.Contains(line, "strangler_") {
					t.Errorf("left in a service's database: %s", line)
				}
			}
		}
	})
}
