package postgres_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// TestTablesOfTheServicesOwnThatRefer has a service with a table beside those that move, whose rows refer to theirs. What was copied is
// taken away again, as long as none of its rows does.
func TestTablesOfTheServicesOwnThatRefer(t *testing.T) {
	tables := []string{"CREATE TABLE x (id integer PRIMARY KEY)", "CREATE TABLE y (id integer PRIMARY KEY, x integer NOT NULL REFERENCES x)"}
	p := enginetest.NewPair(t, lab{}, append(tables, "INSERT INTO x VALUES (1), (2)", "INSERT INTO y VALUES (1, 1), (2, 1)"), "x", "y")
	for _, q := range append(tables, "CREATE TABLE own (id integer PRIMARY KEY, x integer REFERENCES x, y integer REFERENCES y)") {
		p.Exec(p.Served, q)
	}
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	p.Exec(p.Served, "INSERT INTO own VALUES (1, 2, NULL)")
	err := p.Plan.To(t.Context(), migrations.StageFirst)
	if err == nil || !strings.Contains(err.Error(), "own_x_fkey") {
		t.Errorf("with a row that refers to one: %v", err)
	}
	if diff := cmp.Diff([]string{"id 1", "id 2"}, enginetest.Plain(t, p.Served, "x")); diff != "" {
		t.Errorf("what was refused has done something:\n%s", diff)
	}
	p.Exec(p.Served, "DELETE FROM own")
	p.To(migrations.StageNone)
	for _, table := range []string{"x", "y"} {
		if rows := enginetest.Plain(t, p.Served, table); len(rows) != 0 {
			t.Errorf("left in %s: %v", table, rows)
		}
	}
	if n := len(enginetest.Plain(t, p.Admin(strangler.Legacy), "y")); n != 2 {
		t.Errorf("the monolith has %d rows", n)
	}
}
