package e2e

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// TestRowsThatReferAcrossTheCut are deleted along, lose their reference, or keep what they refer to, as on_delete says, though the
// key has another name and other rows of its table other values at the service.
func TestRowsThatReferAcrossTheCut(t *testing.T) { eachMapping(t, referAcross) }

func referAcross(t *testing.T, p *pair, to *kind) {
	ctx, old, fresh := t.Context(), p.open(t, p.shopDSN), to.open(t, p.deliveryDSN)
	for _, q := range []string{
		"CREATE TABLE bills (id BIGINT NOT NULL PRIMARY KEY, customer BIGINT, CONSTRAINT bills_customer FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE)",
		"CREATE TABLE visits (id BIGINT NOT NULL PRIMARY KEY, customer BIGINT, CONSTRAINT visits_customer FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE SET NULL)",
		"CREATE TABLE regions (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40))",
		"CREATE TABLE addresses (id BIGINT NOT NULL PRIMARY KEY, region BIGINT, CONSTRAINT addresses_region FOREIGN KEY (region) REFERENCES regions (id))",
		"INSERT INTO bills (id, customer) VALUES (1, 1), (2, 3), (3, 4)",
		"INSERT INTO visits (id, customer) VALUES (1, 1), (2, 3), (3, NULL)",
		"INSERT INTO regions (id, name) VALUES (1, 'north'), (2, 'south')",
		"INSERT INTO addresses (id, region) VALUES (1, 1), (2, NULL)",
	} {
		run(t, old, q)
	}
	before := p.schema(t, old)
	c := p.capability("billing", customers, strangler.Table{From: "addresses", To: "places", Columns: map[string]string{"region": "area"}})
	c.OnDelete = map[string]strangler.Delete{"bills(customer)": strangler.DeleteCascade, "visits(customer)": strangler.DeleteCascade, "addresses(region)": strangler.DeleteRestrict}
	made, _, err := plan(t, c)
	must(t, err)
	notes := made.Notes.String()
	for _, want := range []string{"ON DELETE CASCADE done to bills", "ON DELETE SET NULL done to visits", "deletes a row of regions to which rows of addresses refer", `on_delete: {"orders(customer)": cascade}`} {
		if !strings.Contains(notes, want) {
			t.Errorf("the plan does not say %q:\n%s", want, notes)
		}
	}
	splits := startSplits(t, p, c)
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	verified(t, splits, c, 6)
	must(t, splits.Close())
	other := c
	other.OnDelete = map[string]strangler.Delete{"bills(customer)": strangler.DeleteCascade, "visits(customer)": strangler.DeleteIgnore, "addresses(region)": strangler.DeleteRestrict}
	splits = startSplits(t, p, other)
	awaitCaughtUp(t, splits, c.Name)
	_, err = splits.Cutover(ctx, c.Name, "test", "on delete")
	if r := (*strangler.Refusal)(nil); !errors.As(err, &r) || r.Check != "on_delete" || !strings.Contains(r.Why, "visits(customer) is ignore in strangler.yaml") {
		t.Errorf("on_delete is not what the scripts were made for, and the cutover got %v", err)
	}
	must(t, splits.Close())
	splits = startSplits(t, p, c)
	awaitCaughtUp(t, splits, c.Name)
	_, err = splits.Cutover(ctx, c.Name, "test", "on delete")
	must(t, err)

	run(t, fresh, "UPDATE clients SET zz_name = 'Anna' WHERE number = 1")
	run(t, fresh, "DELETE FROM clients WHERE number IN (3, 4)")
	awaitCaughtUp(t, splits, c.Name)
	if diff := cmp.Diff([]string{"customer 1 | id 1"}, enginetest.Plain(t, old, "bills")); diff != "" {
		t.Errorf("bills:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"customer 1 | id 1", "customer ∅ | id 2", "customer ∅ | id 3"}, enginetest.Plain(t, old, "visits")); diff != "" {
		t.Errorf("visits:\n%s", diff)
	}

	if _, err := old.ExecContext(ctx, "DELETE FROM regions"); err == nil || !strings.Contains(err.Error(), "strangler: rows") {
		t.Errorf("a region to which the service refers: %v", err)
	}
	run(t, old, "DELETE FROM regions WHERE id = 2")
	run(t, fresh, "UPDATE places SET area = NULL WHERE id = 1")
	awaitCaughtUp(t, splits, c.Name)
	run(t, old, "DELETE FROM regions WHERE id = 1")

	_, err = splits.Rollback(ctx, c.Name, "test", "on delete")
	must(t, err)
	if st, err := splits.Status(ctx, c.Name); err != nil || st.Error != "" {
		t.Errorf("behind the rollback: %+v, %v", st, err)
	}
	must(t, splits.Cancel(ctx, c.Name))
	if diff := cmp.Diff(before, p.schema(t, old)); diff != "" {
		t.Errorf("cancel left something behind in the legacy database, or took it: %s", diff)
	}
	run(t, old, "DELETE FROM visits")
	run(t, old, "DELETE FROM orders")
	run(t, old, "DELETE FROM customers WHERE id = 1")
	if n := p.number(t, old, "SELECT COUNT(*) FROM bills"); n != 0 {
		t.Errorf("the key does not delete along any more: %d bills", n)
	}
}
