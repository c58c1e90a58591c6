package enginetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var planRules = []rule{
	{"what cannot move is refused, by the check that says why", planRefuses},
	{"a service's table that does not fit is refused", planMisfit},
	{"a service's table with another key is refused", planMisfitKey},
	{"a service's table that fits is used", planFits},
	{"a service's table with rows is refused", planRows},
	{"another control store's database is refused", planForeignControl},
	{"one database for both sides is refused", planOneDatabase},
	{"everything that is wrong is said at once", planSaysAll},
	{"crossing foreign keys are named, and orphans found", planCrossing},
	{"names that need quoting work all the way", planQuoting},
	{"planning changes nothing", planChangesNothing},
}

// refusedBy fails unless planning is refused by the check, with nothing changed.
func refusedBy(p *Pair, check string) *strangler.Refusal {
	p.t.Helper()
	before := schemas(p)
	plan, err := p.Plan.Make(p.t.Context())
	var r *strangler.Refusal
	if !errors.As(err, &r) || r.Check != check {
		p.t.Fatalf("got %v with %d files, want a refusal by %q", err, len(plan.Files), check)
	}
	if len(r.Next) == 0 || r.Next[0] == "" || r.Why == "" {
		p.t.Errorf("the refusal does not say why and what to do: %+v", r)
	}
	if diff := cmp.Diff(before, schemas(p)); diff != "" {
		p.t.Errorf("a refused plan changed something:\n%s", diff)
	}
	return r
}

func schemas(p *Pair) [2][]string {
	p.t.Helper()
	return [2][]string{p.lab.Speech().Schema(p.t, p.App), p.lab.Speech().Schema(p.t, p.Served)}
}

func planRefuses(t *testing.T, lab Lab) {
	common := []Refusal{
		{Name: "no key", Check: "key", Create: []string{"CREATE TABLE x (a INTEGER NOT NULL, b INTEGER)"}, Table: "x"},
		{Name: "nullable unique", Check: "key", Create: []string{"CREATE TABLE x (a INTEGER UNIQUE, b INTEGER)"}, Table: "x"},
		{Name: "view", Check: "table", Create: []string{"CREATE TABLE y (a INTEGER NOT NULL PRIMARY KEY)", "CREATE VIEW x AS SELECT a FROM y"}, Table: "x"},
		{Name: "missing", Check: "table", Create: nil, Table: "x"},
	}
	for _, r := range append(common, lab.Speech().Refused...) {
		t.Run(r.Name, func(t *testing.T) {
			p := NewPair(t, lab, r.Create, r.Table)
			if why := refusedBy(p, r.Check).Why; !strings.Contains(why, r.Table) {
				t.Errorf("%q does not name %s", why, r.Table)
			}
		})
	}
}

const fitting = "CREATE TABLE x (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(40), n INTEGER)"

func planMisfit(t *testing.T, lab Lab) {
	for name, there := range map[string]string{
		"a column less": "CREATE TABLE x (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(40))",
		"a column more": "CREATE TABLE x (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(40), n INTEGER, more INTEGER)",
		"another type":  "CREATE TABLE x (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(40), n VARCHAR(40))",
		"another key":   "CREATE TABLE x (id INTEGER NOT NULL, name VARCHAR(40), n INTEGER NOT NULL PRIMARY KEY)",
		"a longer key":  "CREATE TABLE x (id INTEGER NOT NULL, name VARCHAR(40) NOT NULL, n INTEGER, PRIMARY KEY (id, name))",
		"refuses NULL":  "CREATE TABLE x (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL, n INTEGER)",
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPair(t, lab, []string{fitting}, "x")
			p.Exec(p.Served, there)
			refusedBy(p, "fit")
		})
	}
}

func planMisfitKey(t *testing.T, lab Lab) {
	for name, key := range map[string]string{"another order": "b, a", "a column less": "a"} {
		t.Run(name, func(t *testing.T) {
			p := NewPair(t, lab, []string{"CREATE TABLE x (a INTEGER NOT NULL, b INTEGER NOT NULL, PRIMARY KEY (a, b))"}, "x")
			p.Exec(p.Served, "CREATE TABLE x (a INTEGER NOT NULL, b INTEGER NOT NULL, PRIMARY KEY ("+key+"))")
			refusedBy(p, "fit")
		})
	}
}

func planFits(t *testing.T, lab Lab) {
	p := NewPair(t, lab, []string{fitting, "INSERT INTO x (id, name, n) VALUES (1, 'a', 2), (2, NULL, 3)"}, "x")
	p.Exec(p.Served, "CREATE TABLE x (n INTEGER, name VARCHAR(40), id INTEGER NOT NULL PRIMARY KEY)") // another order
	before := schemas(p)
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	row := func(where string) (id, n int64) {
		p.must(p.Served.QueryRowContext(t.Context(), "SELECT id, n FROM x WHERE "+where).Scan(&id, &n))
		return id, n
	}
	if id, n := row("name = 'a'"); id != 1 || n != 2 {
		t.Errorf("the row arrived as id %d, n %d", id, n)
	}
	if id, n := row("name IS NULL"); id != 2 || n != 3 {
		t.Errorf("the row arrived as id %d, n %d", id, n)
	}
	p.To(migrations.StageNone)
	p.sweep()
	if diff := cmp.Diff(before, schemas(p)); diff != "" {
		t.Errorf("the service's own table was not left as it was:\n%s", diff)
	}
}

func planRows(t *testing.T, lab Lab) {
	p := NewPair(t, lab, []string{fitting}, "x")
	p.Exec(p.Served, fitting)
	p.Write()
	p.Exec(p.Served, "INSERT INTO x (id) VALUES (1)")
	refusedBy(p, "rows")
	before := schemas(p) // rows that came behind the plan are found by the script
	p.To(migrations.StageFirst)
	if err := p.Plan.To(t.Context(), migrations.StageCapture); err == nil || !strings.Contains(err.Error(), "already has rows") {
		t.Errorf("got %v", err)
	}
	p.must(p.Plan.To(t.Context(), migrations.StageNone))
	p.sweep()
	if diff := cmp.Diff(before, schemas(p)); diff != "" {
		t.Errorf("the refused script left something:\n%s", diff)
	}
}

func planForeignControl(t *testing.T, lab Lab) {
	p := Planned(t, lab, migrations.StageCapture, Couriers, Moved...)
	p.Plan = p.planning("store-2")
	why := refusedBy(p, "control").Why
	for _, want := range []string{controlID, "store-2"} {
		if !strings.Contains(why, want) {
			t.Errorf("%q does not name %s", why, want)
		}
	}
}

func planOneDatabase(t *testing.T, lab Lab) {
	p := NewPair(t, lab, Couriers, Moved...)
	p.Capability.Service.Database = p.LegacyDSN
	p.Plan = p.planning(controlID)
	refusedBy(p, "databases")
}

func planSaysAll(t *testing.T, lab Lab) {
	p := NewPair(t, lab, []string{"CREATE TABLE keyless (a INTEGER)"}, "absent", "keyless")
	r := refusedBy(p, "table")
	if !strings.Contains(r.Why, "keyless") || !strings.Contains(r.Why, "absent") || len(r.Next) != 2 {
		t.Errorf("got %+v", r)
	}
}

func planCrossing(t *testing.T, lab Lab) {
	p := NewPair(t, lab, Couriers, Moved...)
	s, err := p.Legacy.Inspect(t.Context())
	p.must(err)
	var got []string
	for _, f := range s.Crossing {
		got = append(got, f.Table+"."+strings.Join(f.Columns, ",")+" → "+f.Parent)
	}
	if diff := cmp.Diff([]string{"couriers.zone → zones", "orders.courier → couriers"}, got); diff != "" {
		t.Errorf("crossing:\n%s", diff)
	}
	notes := p.Write().Notes.String()
	for _, want := range []string{"couriers(zone) → zones crosses the cut and is dropped before the cutover; a rollback restores it. Meanwhile the monolith may delete", "orders(courier) → couriers crosses the cut and is dropped before the cutover; a rollback restores it. Meanwhile the service may delete"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not speak of %s:\n%s", want, notes)
		}
	}
	p.To(migrations.StageArmed)
	p.Exec(p.App, "UPDATE couriers SET zone = 404 WHERE id = 3") // the crossing key is cut
	p.Exec(p.App, "INSERT INTO orders (id, courier) VALUES (9, 405)")
	for _, stage := range []migrations.Stage{migrations.StageArmed, migrations.StageCapture} { // cut, and restored
		p.To(stage)
		orphans, err := p.Plan.Orphans(t.Context())
		p.must(err)
		if all := strings.Join(orphans, "\n"); len(orphans) != 2 || !strings.Contains(all, "zones") || !strings.Contains(all, "orders") {
			t.Errorf("at stage %d, orphans: %v", stage, orphans)
		}
	}
	if _, err := p.App.ExecContext(t.Context(), "INSERT INTO orders (id, courier) VALUES (10, 406)"); err == nil {
		t.Error("the crossing foreign key was not restored")
	}
}

func planQuoting(t *testing.T, lab Lab) {
	q := lab.Speech().Quote
	for _, name := range []string{"order", "two words", `a"quote`, "it's", "Ünïcödé", "semi;colon", "per%cent", "back`tick", "-- dash"} {
		t.Run(name, func(t *testing.T) {
			other := name + " child"
			ddl := []string{
				"CREATE TABLE " + q("stays "+name) + " (" + q("the id") + " INTEGER NOT NULL PRIMARY KEY)",
				"CREATE TABLE " + q(name) + " (" + q(name+" id") + " INTEGER NOT NULL, " + q("select") + " INTEGER NOT NULL, " + q("a "+name) + " VARCHAR(40), " + q("u "+name) + " INTEGER UNIQUE, " +
					"PRIMARY KEY (" + q(name+" id") + ", " + q("select") + "), CONSTRAINT " + q("fk "+name) + " FOREIGN KEY (" + q("select") + ") REFERENCES " + q("stays "+name) + " (" + q("the id") + "))",
				"CREATE TABLE " + q(other) + " (" + q("from") + " INTEGER NOT NULL PRIMARY KEY)",
				"CREATE INDEX " + q("index "+name) + " ON " + q(name) + " (" + q("a "+name) + ")",
				"INSERT INTO " + q("stays "+name) + " VALUES (1), (2), (9)",
				"INSERT INTO " + q(name) + " VALUES (1, 1, 'x', 7), (2, 2, 'y', 8)",
			}
			p := NewPair(t, lab, ddl, name, other)
			before := schemas(p)
			p.Write()
			p.To(migrations.StageArmed)
			p.Raise()
			p.Copy()
			p.Exec(p.App, "UPDATE "+q(name)+" SET "+q("a "+name)+" = 'z', "+q("select")+" = 9 WHERE "+q(name+" id")+" = 1")
			p.Exec(p.App, "INSERT INTO "+q(other)+" VALUES (5)")
			p.Sync()
			p.Alike()
			p.CutOver()
			p.Refused(p.App, "DELETE FROM "+q(name))
			p.Exec(p.Served, "DELETE FROM "+q(name)+" WHERE "+q("u "+name)+" = 8")
			p.CutOver()
			p.Alike()
			p.To(migrations.StageNone)
			p.sweep()
			if diff := cmp.Diff(before, schemas(p)); diff != "" {
				t.Errorf("not as it was:\n%s", diff)
			}
		})
	}
}

func planChangesNothing(t *testing.T, lab Lab) {
	p := NewPair(t, lab, Couriers, Moved...)
	before := schemas(p)
	p.Write()
	p.Write() // until a script has run, the plan may be written anew
	if diff := cmp.Diff(before, schemas(p)); diff != "" {
		t.Errorf("planning changed something:\n%s", diff)
	}
	for _, d := range []migrations.Database{p.Legacy, p.Service} {
		if v, dirty, err := d.Version(t.Context()); v != 0 || dirty || err != nil {
			t.Errorf("version %d, dirty %v, %v", v, dirty, err)
		}
	}
}

func (p *Pair) sweep() {
	p.t.Helper()
	p.must(p.Legacy.Sweep(p.t.Context()))
	p.must(p.Service.Sweep(p.t.Context()))
}
