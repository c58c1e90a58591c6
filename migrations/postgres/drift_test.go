package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// drift is a change of a table that a split is under way of, and what takes it back.
type drift struct{ name, change, back string }

// drifts forbid that rows go on as they were planned.
var drifts = []drift{
	{"column added", "ALTER TABLE x ADD more integer", "ALTER TABLE x DROP more"},
	{"column added with a default", "ALTER TABLE x ADD more integer NOT NULL DEFAULT 7", "ALTER TABLE x DROP more"},
	{"column renamed", "ALTER TABLE x RENAME a TO b", "ALTER TABLE x RENAME b TO a"},
	{"columns that change their names", "ALTER TABLE x RENAME n TO m; ALTER TABLE x RENAME a TO n; ALTER TABLE x RENAME m TO a", "ALTER TABLE x RENAME n TO m; ALTER TABLE x RENAME a TO n; ALTER TABLE x RENAME m TO a"},
	{"type changed", "ALTER TABLE x ALTER w TYPE bigint", "ALTER TABLE x ALTER w TYPE integer"},
	{"length changed", "ALTER TABLE x ALTER a TYPE varchar(90)", "ALTER TABLE x ALTER a TYPE varchar(40)"},
	{"generated column made an ordinary one", "ALTER TABLE x ALTER g DROP EXPRESSION", "ALTER TABLE x DROP g; ALTER TABLE x ADD g integer GENERATED ALWAYS AS (n + 1) STORED"},
	{"table renamed", "ALTER TABLE x RENAME TO y", "ALTER TABLE y RENAME TO x"},
	{"table in another schema", "CREATE SCHEMA aside; ALTER TABLE x SET SCHEMA aside", "ALTER TABLE aside.x SET SCHEMA public; DROP SCHEMA aside"},
	{"another key", "ALTER TABLE x DROP CONSTRAINT x_pkey, ADD CONSTRAINT x_pkey PRIMARY KEY (id, at)", "ALTER TABLE x DROP CONSTRAINT x_pkey, ADD CONSTRAINT x_pkey PRIMARY KEY (id)"},
	{"key dropped", "ALTER TABLE x DROP CONSTRAINT x_pkey", "ALTER TABLE x ADD CONSTRAINT x_pkey PRIMARY KEY (id)"},
}

var drifting = []string{
	"CREATE TABLE x (id integer CONSTRAINT x_pkey PRIMARY KEY, at integer NOT NULL DEFAULT 1, a varchar(40), n integer, w integer, g integer GENERATED ALWAYS AS (n + 1) STORED)",
	"CREATE TABLE calm (id integer PRIMARY KEY, v text)",
	"INSERT INTO x (id, a, n) VALUES (1, 'a', 1), (2, 'b', 2)",
}

// TestDrift changes a table at either side, whoever owns. Nothing is applied, the owner takes writes, the error says
// which table it is and what to do, and once the change is taken back everything arrives.
func TestDrift(t *testing.T) {
	for _, c := range drifts {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := enginetest.Armed(t, lab{}, drifting, "x", "calm")
			for _, owner := range []strangler.Side{strangler.Legacy, strangler.Service} {
				app := p.App
				if owner == strangler.Service {
					p.CutOver()
					app = p.Served
				}
				for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
					p.Exec(app, "UPDATE x SET n = n + 1")
					p.Exec(app, "INSERT INTO calm VALUES ((SELECT count(*) FROM calm), 'before')")
					p.Exec(p.Admin(side), c.change)
					p.Exec(app, "INSERT INTO calm VALUES ((SELECT count(*) FROM calm), 'while')")
					before := image(t, p.Admin(owner.Other()), "calm")
					_, err := p.Step()
					if !errors.Is(err, strangler.ErrStopped) || !strings.Contains(err.Error(), string(side)) || !strings.Contains(err.Error(), "x") || !strings.Contains(err.Error(), "strangler split start delivery") {
						t.Errorf("changed at %s, owned by %s: %v", side, owner, err)
					}
					if diff := cmp.Diff(before, image(t, p.Admin(owner.Other()), "calm")); diff != "" {
						t.Errorf("something was applied:\n%s", diff)
					}
					p.Exec(p.Admin(side), c.back)
					p.Sync()
					p.Alike()
				}
			}
		})
	}
}
