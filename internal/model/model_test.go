package model

import (
	"flag"
	"fmt"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(localdbtest.Main(m)) }

// runsPerEngine is how many runs the ordinary tests make, unless -rapid.checks says otherwise.
const runsPerEngine = 5

// actions is how many actions a run has on the average, unless -rapid.steps says otherwise.
const actions = 22

func TestModelSQLite(t *testing.T) { check(t, across(atSQLite, atSQLite), runsPerEngine) }

func TestModelPostgres(t *testing.T) { check(t, across(atPostgres, atPostgres), runsPerEngine) }

func TestModelMySQL(t *testing.T) { check(t, across(atMySQL, atMySQL), runsPerEngine) }

// check makes runs with one engine.
func check(t *testing.T, engine newStand, runs int) {
	byDefault(t, "rapid.checks", fmt.Sprint(runs))
	byDefault(t, "rapid.steps", fmt.Sprint(actions))
	byDefault(t, "rapid.nofailfile", "true")
	s, tr := engine(t), newTrace(t)
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t, s, tr)
		t.Repeat(m.actions(s.speech))
		m.conclude(t)
	})
}

// byDefault sets a flag that the command line does not.
func byDefault(t *testing.T, name, value string) {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if given {
		return
	}
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
}
