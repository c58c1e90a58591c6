package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// mappings are the kinds of database at the two sides, each once at either. Those between two of a kind are for `make torture`.
var mappings = [][2]*kind{{sqlite, postgres}, {postgres, mysql}, {mysql, sqlite}}

func eachMapping(t *testing.T, test func(t *testing.T, p *pair, to *kind)) {
	for _, k := range mappings {
		t.Run(fmt.Sprintf("%s to %s", k[0].dialect, k[1].dialect), func(t *testing.T) {
			t.Parallel()
			p := between(t, k)
			old := p.open(t, p.shopDSN)
			run(t, old, "CREATE TABLE customers (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL, state BIGINT, kind VARCHAR(10), zip VARCHAR(10))")
			run(t, old, "CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY, customer BIGINT NOT NULL, note VARCHAR(40), CONSTRAINT orders_customer FOREIGN KEY (customer) REFERENCES customers (id))")
			run(t, old, "INSERT INTO customers (id, name, state, kind, zip) VALUES (1, 'Ann', 1, 'A', '10115'), (2, 'Bob', 2, 'B', NULL), (3, 'Cyd', 3, 'C', ''), (4, 'Dee', NULL, NULL, '1')")
			run(t, old, "INSERT INTO orders (id, customer, note) VALUES (1, 1, 'x'), (2, 1, NULL), (3, 2, 'y')")
			test(t, p, k[1])
		})
	}
}

// between is a pair of databases, each of its kind.
func between(t *testing.T, k [2]*kind) *pair {
	t.Helper()
	p := k[0].pair(t)
	if k[0] != k[1] {
		other := k[1].pair(t)
		p.serviceDSN, p.deliveryDSN = other.serviceDSN, other.deliveryDSN
	}
	return p
}

// customers have other names, in another order, and other codes at the service.
var customers = strangler.Table{From: "customers", To: "clients", Columns: map[string]string{"id": "number", "name": "zz_name", "zip": "a_code"},
	Values: map[string]map[string]string{"state": {"1": "10", "2": "20"}, "kind": {"A": "private", "B": "A"}}, Set: map[string]string{"origin": "shop", "tenant": "7"}}

var ordersOf = strangler.Table{From: "orders", To: "orders", Columns: map[string]string{"customer": "client"}}

func TestMapping(t *testing.T) { eachMapping(t, moveMapped) }

func moveMapped(t *testing.T, p *pair, to *kind) {
	ctx, old, fresh := t.Context(), p.open(t, p.shopDSN), to.open(t, p.deliveryDSN)
	before, empty := p.schema(t, old), to.schema(t, fresh)
	c := p.capability("billing", customers, ordersOf)
	splits := startSplits(t, p, c)
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	run(t, old, "INSERT INTO customers (id, name, state, kind, zip) VALUES (5, 'Eve', 2, 'A', '5')")
	run(t, old, "UPDATE customers SET kind = 'B', state = 1 WHERE id = 3")
	run(t, old, "UPDATE orders SET customer = 5 WHERE id = 2")
	awaitCaughtUp(t, splits, c.Name)
	want := []string{
		`a_code "" | kind "A" | number 3 | origin "shop" | state 10 | tenant 7 | zz_name "Cyd"`, `a_code 1 | kind ∅ | number 4 | origin "shop" | state ∅ | tenant 7 | zz_name "Dee"`, `a_code 10115 | kind "private" | number 1 | origin "shop" | state 10 | tenant 7 | zz_name "Ann"`,
		`a_code 5 | kind "private" | number 5 | origin "shop" | state 20 | tenant 7 | zz_name "Eve"`, `a_code ∅ | kind "A" | number 2 | origin "shop" | state 20 | tenant 7 | zz_name "Bob"`,
	}
	if diff := cmp.Diff(want, enginetest.Plain(t, fresh, "clients")); diff != "" {
		t.Errorf("at the service:\n%s", diff)
	}
	if diff := cmp.Diff([]string{`client 1 | id 1 | note "x"`, `client 2 | id 3 | note "y"`, `client 5 | id 2 | note ∅`}, enginetest.Plain(t, fresh, "orders")); diff != "" {
		t.Errorf("orders at the service:\n%s", diff)
	}
	v, err := splits.Verify(ctx, c.Name)
	must(t, err)
	if v.Mismatches != 0 || v.Rows != 8 {
		t.Errorf("verification: %+v", v)
	}
	_, err = splits.Cutover(ctx, c.Name, "test", "mapping")
	must(t, err)
	run(t, fresh, "UPDATE clients SET zz_name = 'Anna', kind = 'A', state = 20 WHERE number = 1")
	run(t, fresh, "INSERT INTO clients (number, zz_name, state, kind, origin, tenant) VALUES (6, 'Fay', 7, 'private', 'shop', 7)")
	run(t, fresh, "UPDATE orders SET client = 6 WHERE id = 1")
	run(t, fresh, "DELETE FROM clients WHERE number = 4")
	awaitCaughtUp(t, splits, c.Name)
	_, err = splits.Rollback(ctx, c.Name, "test", "mapping")
	must(t, err)
	want = []string{
		`id 1 | kind "B" | name "Anna" | state 2 | zip 10115`, `id 2 | kind "B" | name "Bob" | state 2 | zip ∅`, `id 3 | kind "B" | name "Cyd" | state 1 | zip ""`,
		`id 5 | kind "A" | name "Eve" | state 2 | zip 5`, `id 6 | kind "A" | name "Fay" | state 7 | zip ∅`,
	}
	if diff := cmp.Diff(want, enginetest.Plain(t, old, "customers")); diff != "" {
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

// TestMappingThatCannotBeRead has a value that is what another one is turned into.
func TestMappingThatCannotBeRead(t *testing.T) {
	eachMapping(t, func(t *testing.T, p *pair, to *kind) {
		to.open(t, p.deliveryDSN)
		old, c := p.open(t, p.shopDSN), p.capability("billing", customers, ordersOf)
		splits := startSplits(t, p, c)
		must(t, splits.Copy(t.Context(), c.Name))
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
		run(t, old, "UPDATE customers SET kind = 'private' WHERE id = 1")
		var st strangler.SplitStatus
		await(t, "the stop", func() (stopped bool) {
			var err error
			st, err = splits.Status(t.Context(), c.Name)
			must(t, err)
			return st.Phase == strangler.PhaseStopped
		})
		if !strings.Contains(st.Error, "private stands for A") || !strings.Contains(st.Error, "change the value at the owner") {
			t.Errorf("it stopped, and says %q", st.Error)
		}
		run(t, old, "UPDATE customers SET kind = 'A' WHERE id = 1")
		must(t, splits.Copy(t.Context(), c.Name))
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	})
}

// TestMappingOfAColumnThatTheServiceHas has it write there what the monolith has no place for.
func TestMappingOfAColumnThatTheServiceHas(t *testing.T) {
	eachMapping(t, func(t *testing.T, p *pair, to *kind) {
		fresh, c := to.open(t, p.deliveryDSN), p.capability("billing", customers, ordersOf)
		splits := startSplits(t, p, c)
		must(t, splits.Copy(t.Context(), c.Name))
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
		verified(t, splits, c, 7)
		_, err := splits.Cutover(t.Context(), c.Name, "test", "mapping")
		must(t, err)
		run(t, fresh, "UPDATE clients SET tenant = 8 WHERE number = 1")
		var st strangler.SplitStatus
		await(t, "the stop", func() (stopped bool) {
			var err error
			st, err = splits.Status(t.Context(), c.Name)
			must(t, err)
			return st.Phase == strangler.PhaseStopped
		})
		if !strings.Contains(st.Error, "column tenant is 8") {
			t.Errorf("it stopped, and says %q", st.Error)
		}
		run(t, fresh, "UPDATE clients SET tenant = 7 WHERE number = 1")
		must(t, splits.Copy(t.Context(), c.Name))
		awaitPhase(t, splits, c.Name, strangler.PhaseReversed)
		_, err = splits.Rollback(t.Context(), c.Name, "test", "mapping")
		must(t, err)
	})
}

// A mapping that is changed on the way stops the split before a row goes by it.
func TestMappingThatChanges(t *testing.T) {
	eachMapping(t, func(t *testing.T, p *pair, to *kind) {
		fresh, old, c := to.open(t, p.deliveryDSN), p.open(t, p.shopDSN), p.capability("billing", customers, ordersOf)
		splits := startSplits(t, p, c)
		must(t, splits.Copy(t.Context(), c.Name))
		awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
		must(t, splits.Close())
		before := enginetest.Plain(t, fresh, "clients")
		run(t, old, "UPDATE customers SET name = 'X', kind = 'B' WHERE id = 1")

		swapped := customers
		swapped.Columns = map[string]string{"id": "number", "name": "a_code", "zip": "zz_name"}
		other := startSplits(t, p, p.capability("billing", swapped, ordersOf))
		var st strangler.SplitStatus
		await(t, "the stop", func() (stopped bool) {
			var err error
			st, err = other.Status(t.Context(), c.Name)
			must(t, err)
			return st.Phase == strangler.PhaseStopped
		})
		if !strings.Contains(st.Error, "the mapping of customers") {
			t.Errorf("it stopped, and says %q", st.Error)
		}
		if diff := cmp.Diff(before, enginetest.Plain(t, fresh, "clients")); diff != "" {
			t.Errorf("something was applied:\n%s", diff)
		}
		must(t, other.Close())

		again := startSplits(t, p, c)
		must(t, again.Copy(t.Context(), c.Name))
		awaitPhase(t, again, c.Name, strangler.PhaseSyncing)
		awaitCaughtUp(t, again, c.Name)
		if now := enginetest.Plain(t, fresh, "clients"); !slices.Contains(now, `a_code 10115 | kind "A" | number 1 | origin "shop" | state 10 | tenant 7 | zz_name "X"`) {
			t.Errorf("at the service: %v", now)
		}
	})
}

// A mapping that does not fit the table, or cannot be inverted, is refused before anything is made.
func TestMappingsThatCannotBe(t *testing.T) {
	for says, m := range map[string]strangler.Table{
		`is to be "kind" at the service, where`:       {Set: map[string]string{"kind": "x"}},
		"customers has no column nome":                {Columns: map[string]string{"nome": "x"}},
		"are both to be kind":                         {Columns: map[string]string{"name": "kind"}},
		"are both to be Kind at the service":          {Columns: map[string]string{"name": "Kind"}},
		"the column name of customers has no name":    {Columns: map[string]string{"name": ""}},
		"A and B would both be x":                     {Values: map[string]map[string]string{"kind": {"A": "x", "B": "x"}}},
		"part of the key":                             {Values: map[string]map[string]string{"id": {"1": "2"}}},
		`"one" is not a whole number`:                 {Values: map[string]map[string]string{"state": {"1": "one"}}},
		"customers has no column status whose values": {Values: map[string]map[string]string{"status": {"1": "2"}}},
	} {
		t.Run(says, func(t *testing.T) {
			p := sqlite.pair(t)
			p.open(t, p.deliveryDSN)
			run(t, p.open(t, p.shopDSN), "CREATE TABLE customers (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL, state BIGINT, kind VARCHAR(10))")
			m.From, m.To = "customers", "clients"
			c := p.capability("billing", m)
			splits := startSplits(t, p, c)
			if err := splits.Copy(t.Context(), c.Name); !errors.Is(err, strangler.ErrRefused) || !strings.Contains(err.Error(), says) {
				t.Errorf("got %v, want %q", err, says)
			}
		})
	}
}

// TestAnotherColumnInTheNextPlan has a table get a column between two plans, under one daemon.
func TestAnotherColumnInTheNextPlan(t *testing.T) { eachMapping(t, planAgain) }

func planAgain(t *testing.T, p *pair, to *kind) {
	ctx, old, fresh := t.Context(), p.open(t, p.shopDSN), to.open(t, p.deliveryDSN)
	whole := strangler.Table{From: "customers", To: "clients", Pieces: []strangler.Table{
		{From: "customers", To: "clients", Columns: map[string]string{"id": "number"}, Drop: []string{"zip"}},
		{From: "customers", To: "zips", Drop: []string{"name", "state", "kind"}},
	}}
	c := p.capability("billing", whole, ordersOf)
	splits := startSplits(t, p, c)
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	must(t, splits.Cancel(ctx, c.Name))
	run(t, old, "ALTER TABLE orders ADD COLUMN extra VARCHAR(10)")
	must(t, os.RemoveAll(filepath.Join(p.dir, "migrations", c.Name))) // the next one writes the scripts anew
	run(t, old, "UPDATE orders SET extra = 'x' WHERE id = 1")
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	run(t, old, "UPDATE orders SET extra = 'y' WHERE id = 2")
	awaitCaughtUp(t, splits, c.Name)
	verified(t, splits, c, 7)
	if diff := cmp.Diff([]string{`client 1 | extra "x" | id 1 | note "x"`, `client 1 | extra "y" | id 2 | note ∅`, `client 2 | extra ∅ | id 3 | note "y"`}, enginetest.Plain(t, fresh, "orders")); diff != "" {
		t.Error(diff)
	}
}
