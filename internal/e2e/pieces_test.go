package e2e

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// rides are taken apart: what is to be driven, when it was, and what was paid, which stays.
var rides = strangler.Table{From: "rides", To: "trips", Drop: []string{"fare"}, Where: "driver IS NOT NULL", Pieces: []strangler.Table{
	{From: "rides", To: "trips", Columns: map[string]string{"id": "number", "driver": "who"}, Values: map[string]map[string]string{"state": {"1": "10"}}, Drop: []string{"fare", "began", "ended", "stars"}, Where: "driver IS NOT NULL"},
	{From: "rides", To: "times", Drop: []string{"fare", "driver", "state", "stars"}, Where: "driver IS NOT NULL"},
	{From: "rides", To: "ratings", Columns: map[string]string{"stars": "given"}, Drop: []string{"fare", "driver", "state", "began", "ended"}, Where: "driver IS NOT NULL", Set: map[string]string{"source": "shop"}},
}}

// TestOneTableGoesToSeveral takes a table apart, beside one that goes as it is, and puts it together again.
func TestOneTableGoesToSeveral(t *testing.T) { eachMapping(t, goesToSeveral) }

func goesToSeveral(t *testing.T, p *pair, to *kind) {
	ctx, old, fresh := t.Context(), p.open(t, p.shopDSN), to.open(t, p.deliveryDSN)
	for _, q := range []string{
		"CREATE TABLE rides (id BIGINT NOT NULL PRIMARY KEY, driver VARCHAR(20), state BIGINT, began VARCHAR(20), ended VARCHAR(20), stars BIGINT, fare BIGINT)",
		"CREATE TABLE stops (id BIGINT NOT NULL PRIMARY KEY, ride BIGINT NOT NULL, CONSTRAINT stops_ride FOREIGN KEY (ride) REFERENCES rides (id))",
		"INSERT INTO rides (id, driver, state, began, ended, stars, fare) VALUES (1, 'Ann', 1, NULL, NULL, NULL, 100), (2, 'Bob', 2, '8:00', NULL, NULL, 200), (3, 'Cyd', 3, '9:00', '9:30', 5, 300), (4, NULL, 0, NULL, NULL, NULL, 400)",
		"INSERT INTO stops (id, ride) VALUES (1, 2), (2, 3)",
	} {
		run(t, old, q)
	}
	before, empty := p.schema(t, old), to.schema(t, fresh)
	c := p.capability("rides", rides, strangler.Table{From: "stops", To: "stops"})
	made, _, err := plan(t, c)
	must(t, err)
	if notes := made.Notes.String(); !strings.Contains(notes, "trips has a row for each, the others where any of the columns that they alone have is not NULL") {
		t.Errorf("the plan does not say it:\n%s", notes)
	}
	splits := startSplits(t, p, c)
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	run(t, old, "INSERT INTO rides (id, driver, state, began, fare) VALUES (5, 'Dee', 1, '10:00', 500), (6, 'Eve', 9, NULL, 600)")
	run(t, old, "UPDATE rides SET began = '8:05', ended = '8:10', stars = 1 WHERE id = 2")
	run(t, old, "UPDATE rides SET stars = NULL WHERE id = 3")
	run(t, old, "UPDATE rides SET driver = 'Fay' WHERE id = 4")
	run(t, old, "UPDATE rides SET driver = NULL WHERE id = 5")
	awaitCaughtUp(t, splits, c.Name)
	there := func() []string {
		var all []string
		for _, table := range []string{"trips", "times", "ratings", "stops"} {
			for _, row := range enginetest.Plain(t, fresh, table) {
				all = append(all, table+" | "+row)
			}
		}
		return all
	}
	want := []string{
		`trips | number 1 | state 10 | who "Ann"`, `trips | number 2 | state 2 | who "Bob"`, `trips | number 3 | state 3 | who "Cyd"`, `trips | number 4 | state 0 | who "Fay"`, `trips | number 6 | state 9 | who "Eve"`,
		`times | began "8:05" | ended "8:10" | id 2`, `times | began "9:00" | ended "9:30" | id 3`,
		`ratings | given 1 | id 2 | source "shop"`, `stops | id 1 | ride 2`, `stops | id 2 | ride 3`,
	}
	if diff := cmp.Diff(want, there()); diff != "" {
		t.Errorf("at the service:\n%s", diff)
	}
	verified(t, splits, c, 7)
	_, err = splits.Cutover(ctx, c.Name, "test", "parts")
	must(t, err)

	if _, err := fresh.ExecContext(ctx, "INSERT INTO times (id, began) VALUES (99, '1:00')"); err == nil {
		t.Error("the service has the times of a ride that it does not have")
	}
	run(t, fresh, "INSERT INTO trips (number, who, state) VALUES (7, 'Gil', 10)")
	run(t, fresh, "INSERT INTO times (id, began) VALUES (7, '11:00')")
	run(t, fresh, "UPDATE times SET ended = '8:20' WHERE id = 2")
	run(t, fresh, "DELETE FROM ratings WHERE id = 2")
	run(t, fresh, "INSERT INTO ratings (id, given, source) VALUES (3, 4, 'shop')")
	run(t, fresh, "DELETE FROM trips WHERE number = 6")
	run(t, fresh, "UPDATE trips SET state = 10 WHERE number = 4")
	run(t, old, "UPDATE rides SET fare = fare + 1 WHERE driver IS NOT NULL")
	awaitCaughtUp(t, splits, c.Name)
	verified(t, splits, c, 7)
	rows := []string{
		`began ∅ | driver "Ann" | ended ∅ | fare 101 | id 1 | stars ∅ | state 1`, `began "8:05" | driver "Bob" | ended "8:20" | fare 201 | id 2 | stars ∅ | state 2`, `began "9:00" | driver "Cyd" | ended "9:30" | fare 301 | id 3 | stars 4 | state 3`,
		`began ∅ | driver "Fay" | ended ∅ | fare 401 | id 4 | stars ∅ | state 1`, `began "11:00" | driver "Gil" | ended ∅ | fare ∅ | id 7 | stars ∅ | state 1`,
	}
	slices.Sort(rows)
	mine := "(SELECT * FROM rides WHERE id <> 5 AND id <> 6) AS r"
	if diff := cmp.Diff(rows, enginetest.Plain(t, old, mine)); diff != "" {
		t.Errorf("at the monolith, while the service owns:\n%s", diff)
	}
	_, err = splits.Rollback(ctx, c.Name, "test", "parts")
	must(t, err)
	if diff := cmp.Diff(rows, enginetest.Plain(t, old, mine)); diff != "" {
		t.Errorf("back at the monolith:\n%s", diff)
	}
	run(t, old, "UPDATE rides SET stars = 2, ended = '12:00' WHERE id = 7")
	run(t, old, "DELETE FROM rides WHERE id = 1")
	awaitCaughtUp(t, splits, c.Name)
	verified(t, splits, c, 6)
	_, err = splits.Cutover(ctx, c.Name, "test", "parts")
	must(t, err)
	run(t, fresh, "DELETE FROM ratings WHERE id = 7")
	run(t, fresh, "DELETE FROM times WHERE id = 7")
	run(t, fresh, "DELETE FROM trips WHERE number = 7")
	awaitCaughtUp(t, splits, c.Name)
	if n := p.number(t, old, "SELECT COUNT(*) FROM rides WHERE id = 7 AND driver IS NOT NULL"); n != 0 {
		t.Error("a ride that the service has deleted is still there")
	}
	_, err = splits.Rollback(ctx, c.Name, "test", "parts")
	must(t, err)
	must(t, splits.Cancel(ctx, c.Name))
	if diff := cmp.Diff(before, p.schema(t, old)); diff != "" {
		t.Errorf("cancel left something behind in the legacy database, or took it: %s", diff)
	}
	if diff := cmp.Diff(empty, to.schema(t, fresh)); diff != "" {
		t.Errorf("cancel left something behind in the service's database: %s", diff)
	}
}

// TestPiecesThatCannotBe are refused by the plan, by column.
func TestPiecesThatCannotBe(t *testing.T) { eachMapping(t, piecesRefused) }

func piecesRefused(t *testing.T, p *pair, to *kind) {
	to.open(t, p.deliveryDSN)
	part := func(name string, drop ...string) strangler.Table {
		return strangler.Table{From: "customers", To: name, Drop: drop}
	}
	for says, parts := range map[string][]strangler.Table{
		"column zip of customers would be in a and in b": {part("a", "kind"), part("b", "name", "state")},
		"c would have nothing of customers but the key":  {part("a"), part("c", "name", "state", "kind", "zip")},
		"b drops id, which is part of the key":           {part("a", "zip"), part("b", "id", "name", "state", "kind")},
		"customers has no column zap to be left out":     {part("a", "zip", "zap"), part("b", "name", "state", "kind")},
	} {
		_, _, err := plan(t, p.capability("billing", strangler.Table{From: "customers", To: "a", Pieces: parts}))
		if r := (*strangler.Refusal)(nil); !errors.As(err, &r) || r.Check != "mapping" || !strings.Contains(r.Error(), says) {
			t.Errorf("got %v, want a refusal that says %q", err, says)
		}
	}
	run(t, p.open(t, p.shopDSN), "CREATE UNIQUE INDEX customers_of ON customers (name, zip)")
	made, _, err := plan(t, p.capability("billing", strangler.Table{From: "customers", To: "a", Pieces: []strangler.Table{part("a", "zip"), part("b", "name", "state", "kind")}}))
	must(t, err)
	if notes := made.Notes.String(); !strings.Contains(notes, "the unique key (name, zip) of customers is not made at the service") {
		t.Errorf("the plan does not say it:\n%s", notes)
	}
}

// TestWhatHasNoPlaceAtOneTable has the service write what the monolith's one table cannot hold: it stops the split, and goes on once it
// is gone.
func TestWhatHasNoPlaceAtOneTable(t *testing.T) { eachMapping(t, noPlace) }

func noPlace(t *testing.T, p *pair, to *kind) {
	ctx, fresh := t.Context(), to.open(t, p.deliveryDSN)
	run(t, fresh, "CREATE TABLE people (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL, state BIGINT, kind VARCHAR(10))") // the service's own,
	run(t, fresh, "CREATE TABLE places (id BIGINT NOT NULL PRIMARY KEY, zip VARCHAR(10))")                                           // which do not refer to each other
	c := p.capability("billing", strangler.Table{From: "customers", To: "people", Pieces: []strangler.Table{{From: "customers", To: "people", Drop: []string{"zip"}}, {From: "customers", To: "places", Drop: []string{"name", "state", "kind"}}}},
		strangler.Table{From: "orders", To: "orders"})
	splits := startSplits(t, p, c)
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseSyncing)
	verified(t, splits, c, 7)
	_, err := splits.Cutover(ctx, c.Name, "test", "parts")
	must(t, err)
	run(t, fresh, "INSERT INTO places (id, zip) VALUES (9, '99')")
	var st strangler.SplitStatus
	await(t, "the stop", func() bool {
		st, err = splits.Status(ctx, c.Name)
		must(t, err)
		return st.Phase == strangler.PhaseStopped
	})
	if !strings.Contains(st.Error, "places has a row with the key") || !strings.Contains(st.Error, "people has none") {
		t.Errorf("it stopped, and says %q", st.Error)
	}
	run(t, fresh, "INSERT INTO people (id, name) VALUES (9, 'Zoe')")
	must(t, splits.Copy(ctx, c.Name))
	awaitPhase(t, splits, c.Name, strangler.PhaseReversed)
	awaitCaughtUp(t, splits, c.Name)
	if diff := cmp.Diff([]string{`id 9 | kind ∅ | name "Zoe" | state ∅ | zip 99`}, enginetest.Plain(t, p.open(t, p.shopDSN), "(SELECT * FROM customers WHERE id = 9) AS c")); diff != "" {
		t.Error(diff)
	}
	verified(t, splits, c, 8)
	if to != postgres { // which alone tells of it
		return
	}
	run(t, fresh, "TRUNCATE places")
	run(t, fresh, "INSERT INTO places (id, zip) VALUES (2, 'new')")
	run(t, fresh, "DELETE FROM people WHERE id = 4")
	awaitCaughtUp(t, splits, c.Name)
	verified(t, splits, c, 7)
	if n := p.number(t, p.open(t, p.shopDSN), "SELECT COUNT(*) FROM customers WHERE zip IS NOT NULL AND zip <> 'new'"); n != 0 {
		t.Errorf("%d customers have what the service has emptied", n)
	}
}
