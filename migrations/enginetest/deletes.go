package enginetest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var deleteRules = []rule{
	{"on_delete that cannot be is refused at plan", deleteRefuses},
	{"restrict: the monolith keeps a row to which the service's rows refer", deleteRestrict},
	{"cascade: the monolith's rows follow the service's by the key's own action", deleteCascade},
	{"cascade: a key that is only written otherwise is not gone", deleteSpelled},
	{"cascade: an action that is refused holds the batch up, and nothing of it is written", deleteHeld},
	{"cascade: what goes along goes further, or it is refused at plan", deleteFurther},
}

// dispatch is Couriers with foreign keys that have actions, and one to a column that is not the key.
var dispatch = []string{
	"CREATE TABLE zones (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(40))",
	`CREATE TABLE couriers (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL, badge INTEGER, zone INTEGER,
		CONSTRAINT couriers_badge UNIQUE (badge), CONSTRAINT couriers_zone FOREIGN KEY (zone) REFERENCES zones (id))`,
	"CREATE TABLE shifts (courier INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (courier, at))",
	`CREATE TABLE orders (id INTEGER NOT NULL PRIMARY KEY, courier INTEGER, helper INTEGER,
		CONSTRAINT orders_courier FOREIGN KEY (courier) REFERENCES couriers (id) ON DELETE CASCADE,
		CONSTRAINT orders_helper FOREIGN KEY (helper) REFERENCES couriers (id) ON DELETE SET NULL)`,
	"CREATE TABLE claims (id INTEGER NOT NULL PRIMARY KEY, at INTEGER, courier INTEGER, CONSTRAINT claims_shift FOREIGN KEY (courier, at) REFERENCES shifts (courier, at) ON DELETE CASCADE)",
	"CREATE TABLE badges (id INTEGER NOT NULL PRIMARY KEY, badge INTEGER, CONSTRAINT badges_badge FOREIGN KEY (badge) REFERENCES couriers (badge) ON DELETE CASCADE)",
	"CREATE TABLE fines (id INTEGER NOT NULL PRIMARY KEY, courier INTEGER, CONSTRAINT fines_courier FOREIGN KEY (courier) REFERENCES couriers (id))",
	"INSERT INTO zones (id, name) VALUES (1, 'north'), (2, 'south'), (3, 'west')",
	"INSERT INTO couriers (id, name, badge, zone) VALUES (1, 'Ann', 10, 1), (2, 'Bob', 20, 1), (3, 'Cyd', NULL, NULL), (4, 'Dee', 40, NULL)",
	"INSERT INTO shifts (courier, at) VALUES (1, 7), (1, 8), (2, 7)",
	"INSERT INTO orders (id, courier, helper) VALUES (1, 1, 2), (2, 2, 1), (3, 3, 4), (4, NULL, 3)",
	"INSERT INTO claims (id, at, courier) VALUES (1, 7, 1), (2, 8, 1), (3, 7, 2), (4, NULL, 1)",
	"INSERT INTO badges (id, badge) VALUES (1, 10)",
}

// deleting is a Pair with a policy, before its plan.
func deleting(t *testing.T, lab Lab, ddl []string, policy map[string]strangler.Delete) *Pair {
	t.Helper()
	p := NewPair(t, lab, ddl, "couriers", "shifts")
	p.Capability.OnDelete = policy
	p.Plan = p.planning(controlID)
	return p
}

// out plans it, copies, and hands the writes to the service.
func (p *Pair) out() {
	p.t.Helper()
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	p.CutOver()
}

// kept fails unless the statement is refused by Strangler's trigger.
func (p *Pair) kept(query string) {
	p.t.Helper()
	if _, err := p.App.ExecContext(p.t.Context(), query); err == nil || !strings.Contains(err.Error(), "strangler: rows") || !strings.Contains(err.Error(), capability) {
		p.t.Errorf("%s: got %v, want a refusal", query, err)
	}
}

func deleteRefuses(t *testing.T, lab Lab) {
	for name, c := range map[string]struct {
		key  string
		is   strangler.Delete
		want string
	}{
		"no such key":                   {"orders(courrier)", strangler.DeleteCascade, "orders(courier)"},
		"the service cannot look":       {"orders(courier)", strangler.DeleteRestrict, "has nothing of orders"},
		"the monolith may not":          {"couriers(zone)", strangler.DeleteCascade, "not its to delete"},
		"a key that does nothing":       {"fines(courier)", strangler.DeleteCascade, "nothing else would be right"},
		"what refers to another column": {"badges(badge)", strangler.DeleteCascade, "whose key is (id)"},
	} {
		t.Run(name, func(t *testing.T) {
			p := deleting(t, lab, dispatch, map[string]strangler.Delete{c.key: c.is})
			if r := refusedBy(p, "on_delete"); !strings.Contains(r.Why+strings.Join(r.Next, ""), c.want) || !strings.Contains(r.Why, c.key) {
				t.Errorf("%+v does not say %q", r, c.want)
			}
		})
	}
}

func deleteRestrict(t *testing.T, lab Lab) {
	p := deleting(t, lab, dispatch, map[string]strangler.Delete{"couriers(zone)": strangler.DeleteRestrict})
	before := schemas(p)
	notes := p.Write().Notes.String()
	if !strings.Contains(notes, "a trigger refuses when the monolith deletes a row of zones to which rows of couriers refer") {
		t.Errorf("the plan does not say it:\n%s", notes)
	}
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	for range 2 { // armed, and out
		p.kept("DELETE FROM zones WHERE id = 1")
		p.kept("DELETE FROM zones")
		p.kept("UPDATE zones SET id = 9 WHERE id = 1")
		p.Exec(p.App, "UPDATE zones SET name = 'upper' WHERE id = 1")
		if p.Owner == strangler.Legacy {
			p.CutOver()
		}
	}
	p.Exec(p.Served, "UPDATE couriers SET zone = 2 WHERE id IN (1, 2)")
	p.Sync()
	p.Exec(p.App, "DELETE FROM zones WHERE id = 1")
	p.kept("DELETE FROM zones WHERE id = 2")
	p.CutOver()
	p.To(migrations.StageCapture) // the key is back
	if _, err := p.App.ExecContext(t.Context(), "DELETE FROM zones WHERE id = 2"); err == nil || strings.Contains(err.Error(), "strangler") {
		t.Errorf("got %v, want the foreign key's own refusal", err)
	}
	p.To(migrations.StageNone)
	p.must(p.Legacy.Sweep(t.Context()))
	p.must(p.Service.Sweep(t.Context()))
	if diff := cmp.Diff(before, schemas(p)); diff != "" {
		t.Errorf("something is left behind, or gone:\n%s", diff)
	}

	p = deleting(t, lab, dispatch, map[string]strangler.Delete{"couriers(zone)": strangler.DeleteRestrict})
	p.out()
	p.To(migrations.StageComplete)
	p.must(p.Legacy.Sweep(t.Context()))
	p.Exec(p.App, "DELETE FROM zones WHERE id = 1")
	if all := strings.Join(p.lab.Speech().Schema(t, p.App), "\n"); strings.Contains(all, "strangler") {
		t.Errorf("complete left something behind:\n%s", all)
	}
}

func deleteCascade(t *testing.T, lab Lab) {
	p := deleting(t, lab, dispatch, map[string]strangler.Delete{"orders(courier)": strangler.DeleteCascade, "orders(helper)": strangler.DeleteCascade, "claims(courier, at)": strangler.DeleteCascade})
	p.out()
	shown := func() []string { return p.shown(p.App, "orders", "claims") }
	all := shown()
	p.Exec(p.Served, "UPDATE couriers SET name = 'Anna' WHERE id = 1") // goes and comes in one batch
	p.Exec(p.Served, "DELETE FROM couriers WHERE id = 3")
	p.Exec(p.Served, "INSERT INTO couriers (id, name) VALUES (3, 'Cid')")
	p.Sync()
	if diff := cmp.Diff(all, shown()); diff != "" {
		t.Errorf("nothing is gone for good, and yet:\n%s", diff)
	}
	p.Exec(p.Served, "DELETE FROM couriers WHERE id = 2")
	p.Exec(p.Served, "DELETE FROM shifts WHERE courier = 1 AND at = 8")
	p.Exec(p.Served, "DELETE FROM couriers WHERE id = 3")
	crash := errors.New("the worker ends between the two commits")
	if _, err := p.step(func() error { return crash }); !errors.Is(err, crash) {
		t.Fatalf("got %v", err)
	}
	p.Exec(p.App, "INSERT INTO orders (id, courier, helper) VALUES (5, 1, 4)")
	p.Sync()
	p.Exec(p.Served, "DELETE FROM couriers WHERE id = 4")
	p.Sync()
	want := []string{"orders: 1, 1, NULL", "orders: 4, NULL, NULL", "orders: 5, 1, NULL", "claims: 1, 7, 1", "claims: 3, 7, 2", "claims: 4, NULL, 1"}
	var got []string
	for _, q := range []struct{ table, ask string }{{"orders", "SELECT id, courier, helper FROM orders ORDER BY id"}, {"claims", "SELECT id, at, courier FROM claims ORDER BY id"}} {
		got = append(got, triples(p, q.table, q.ask)...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("- wanted, + there:\n%s", diff)
	}
	p.Alike()
	p.CutOver()
	p.To(migrations.StageCapture)
	orphans, err := p.Plan.Orphans(t.Context())
	if p.must(err); len(orphans) > 0 {
		t.Errorf("orphans: %v", orphans)
	}
	p.Exec(p.App, "DELETE FROM couriers WHERE id = 1") // by the key, which is back
	if got := triples(p, "orders", "SELECT id, courier, helper FROM orders ORDER BY id"); len(got) != 1 {
		t.Errorf("the key does not do what it did: %v", got)
	}
}

// triples are rows of three columns.
func triples(p *Pair, table, ask string) (out []string) {
	p.t.Helper()
	rows, err := p.App.QueryContext(p.t.Context(), ask)
	p.must(err)
	defer rows.Close()
	for rows.Next() {
		var v [3]*string
		p.must(rows.Scan(&v[0], &v[1], &v[2]))
		line := make([]string, len(v))
		for i, s := range v {
			if line[i] = "NULL"; s != nil {
				line[i] = *s
			}
		}
		out = append(out, table+": "+strings.Join(line, ", "))
	}
	p.must(rows.Err())
	return out
}

func deleteSpelled(t *testing.T, lab Lab) {
	p := NewPair(t, lab, []string{
		"CREATE TABLE codes (code VARCHAR(10) NOT NULL PRIMARY KEY)",
		"CREATE TABLE uses (id INTEGER NOT NULL PRIMARY KEY, code VARCHAR(10), CONSTRAINT uses_code FOREIGN KEY (code) REFERENCES codes (code) ON DELETE CASCADE)",
		"INSERT INTO codes (code) VALUES ('abc'), ('xyz')",
		"INSERT INTO uses (id, code) VALUES (1, 'abc'), (2, 'xyz')",
	}, "codes")
	p.Capability.OnDelete = map[string]strangler.Delete{"uses(code)": strangler.DeleteCascade}
	p.Plan = p.planning(controlID)
	p.out()
	p.Exec(p.Served, "UPDATE codes SET code = 'ABC' WHERE code = 'abc'")
	p.Sync()
	var parents, children int
	p.must(p.App.QueryRowContext(t.Context(), "SELECT (SELECT COUNT(*) FROM codes WHERE code = 'abc'), (SELECT COUNT(*) FROM uses WHERE id = 1)").Scan(&parents, &children))
	if parents != children {
		t.Errorf("%d codes are abc to the monolith's database, and %d rows refer to it", parents, children)
	}
}

func deleteHeld(t *testing.T, lab Lab) {
	// What refuses is a CHECK, or another key: MariaDB has no CHECK of a column that a key sets to NULL, and SQLite's plan refuses
	// to delete rows to which others refer.
	ddl, key := slices.Concat(dispatch, []string{
		"CREATE TABLE holds (id INTEGER NOT NULL PRIMARY KEY, orders INTEGER, CONSTRAINT holds_orders FOREIGN KEY (orders) REFERENCES orders (id))",
		"INSERT INTO holds (id, orders) VALUES (1, 3)",
	}), "orders(courier)"
	if lab.Speech().Unseen {
		ddl, key = slices.Clone(dispatch), "orders(helper)"
		for i, q := range ddl {
			ddl[i] = strings.Replace(q, "helper INTEGER,", "helper INTEGER CHECK (helper IS NOT NULL OR id <> 3),", 1)
		}
	}
	p := deleting(t, lab, ddl, map[string]strangler.Delete{key: strangler.DeleteCascade})
	p.out()
	p.Exec(p.Served, "DELETE FROM couriers WHERE id IN (3, 4)")
	p.Exec(p.Served, "INSERT INTO couriers (id, name) VALUES (5, 'Eve')")
	before := p.shown(p.App, "orders", "couriers")
	_, err := p.Step()
	if err == nil || !strings.Contains(err.Error(), key) {
		t.Fatalf("got %v, want what forbids it", err)
	}
	if diff := cmp.Diff(before, p.shown(p.App, "orders", "couriers")); diff != "" {
		t.Errorf("a part of the batch is written:\n%s", diff)
	}
	if !lab.Speech().Unseen {
		p.Exec(p.App, "DELETE FROM holds")
	}
	p.Exec(p.App, "UPDATE orders SET helper = 1 WHERE id = 3")
	p.Sync()
	p.Alike()
}

func deleteFurther(t *testing.T, lab Lab) {
	parts := []string{
		"CREATE TABLE parts (id INTEGER NOT NULL PRIMARY KEY, orders INTEGER, CONSTRAINT parts_orders FOREIGN KEY (orders) REFERENCES orders (id) ON DELETE CASCADE)",
		"INSERT INTO parts (id, orders) VALUES (1, 1), (2, 2), (3, 2)",
	}
	p := deleting(t, lab, slices.Concat(dispatch, parts), map[string]strangler.Delete{"orders(courier)": strangler.DeleteCascade})
	if lab.Speech().Unseen {
		refusedBy(p, "on_delete")
		return
	}
	p.out()
	p.Exec(p.Served, "DELETE FROM couriers WHERE id = 2")
	p.Sync()
	if got := p.shown(p.App, "parts"); len(got) != 1 {
		t.Errorf("parts: %v", got)
	}
}
