package enginetest

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler/migrations"
)

// Lab is an engine as the suite needs it.
type Lab interface {
	// Open is the engine's migrations.Open.
	Open(ctx context.Context, b migrations.Binding) (migrations.Database, error)
	// Fresh makes an empty database that ends with the test, and returns its DSN.
	Fresh(t *testing.T) string
	// Connect opens an application's session: one connection, with foreign keys enforced. It ends with
	// the test.
	Connect(t *testing.T, dsn string) *sql.DB
	// Admin opens the session of somebody who may do anything, Strangler's own tables included: where
	// there are no roles, an application's. It ends with the test.
	Admin(t *testing.T, dsn string) *sql.DB
	// Speech is the engine's SQL where it differs from the others'.
	Speech() Speech
}

// Speech is what the suite cannot say in SQL that every engine understands.
type Speech struct {
	Quote   func(name string) string
	AutoKey string // column type of a generated key, as in "id " + AutoKey
	// Schema is every object of the database with its definition, one a line, in a stable order.
	Schema func(t *testing.T, db *sql.DB) []string
	// Image is every row of a table with the exact value and type of each column, in a stable order.
	Image   func(t *testing.T, db *sql.DB, table string) []string
	Edges   []Sample  // tables whose values are hard to carry over unchanged
	Keys    []Sample  // tables whose keys are hard to order and to compare
	Refused []Refusal // tables that cannot move, for reasons of this engine alone
	Tampers []Tamper  // what breaks a fence or a capture behind Strangler's back
	// Obstacle makes what stands in the way of the script that arms the owner's capture, and drops it.
	Obstacle [2]string
	// Piecemeal: each CREATE and DROP commits by itself, so that a script runs again over what one before it has done.
	Piecemeal bool
	// Streamed: changes are in a log of the database's own, whose positions move by themselves, and are not counted
	// before they are read.
	Streamed bool
	// Unseen: where the applier deletes a row that stays, no foreign key acts.
	Unseen bool
	// Older puts a follower's position back by one batch, as a restore does; empty: it is a number.
	Older string
}

// Sample is a table with rows. Its statements use %s for the table's quoted name, which is the sample's. All
// samples of a kind stand in one database.
type Sample struct {
	Name   string // short enough for a table's, and without a dot
	Create []string
	Insert []string
	Touch  string // an UPDATE that changes every row but no key; for Keys
}

func (s Sample) create(lab Lab) []string { return s.named(lab, s.Create) }
func (s Sample) insert(lab Lab) []string { return s.named(lab, s.Insert) }
func (s Sample) touch(lab Lab) string    { return s.named(lab, []string{s.Touch})[0] }

func (s Sample) named(lab Lab, statements []string) (out []string) {
	for _, q := range statements {
		out = append(out, strings.ReplaceAll(q, "%s", lab.Speech().Quote(s.Name)))
	}
	return out
}

// tables are the statements that make the samples' tables, and their names.
func tables(lab Lab, samples []Sample) (ddl, names []string) {
	for _, s := range samples {
		ddl, names = append(ddl, s.create(lab)...), append(names, s.Name)
	}
	return ddl, names
}

// filled are the same, with their rows.
func filled(lab Lab, samples []Sample) (ddl, names []string) {
	ddl, names = tables(lab, samples)
	for _, s := range samples {
		ddl = append(ddl, s.insert(lab)...)
	}
	return ddl, names
}

// Refusal is a schema that the plan refuses.
type Refusal struct {
	Name   string
	Check  string
	Create []string
	Table  string
}

// Tamper is one statement that takes away what Strangler relies on at a table.
type Tamper struct {
	Name      string
	Statement func(table string) string
	Fence     bool // it breaks the fence, so Mend puts it back; otherwise the capture
}

// Run runs the suite, or the named groups of it. The tests are independent of each other and run in
// parallel.
func Run(t *testing.T, lab Lab, groups ...string) {
	for _, group := range []struct {
		name  string
		rules []rule
	}{
		{"fence", fenceRules}, {"terms", termRules}, {"capture", captureRules}, {"apply", applyRules}, {"repair", repairRules},
		{"progress", progressRules}, {"ranges", rangeRules}, {"plan", planRules}, {"scripts", scriptRules}, {"shares", shareRules}, {"deletes", deleteRules},
	} {
		if len(groups) > 0 && !slices.Contains(groups, group.name) {
			continue
		}
		for _, r := range group.rules {
			t.Run(group.name+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				r.test(t, lab)
			})
		}
	}
}

type rule struct {
	name string
	test func(t *testing.T, lab Lab)
}
