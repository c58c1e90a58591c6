package sqlite_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
	"github.com/strangler-fig/strangler/migrations/sqlite"
)

// sharedWrites are statements of the monolith's that change what stays, or what goes, of table "x y".
var sharedWrites = map[string]struct {
	create      []string
	share       migrations.Share
	stays, goes []string
}{
	"names in quotes, without rowid, a key of two without case, an alias of the table's name": {
		[]string{`CREATE TABLE "x y" ("a ""b" TEXT COLLATE NOCASE, "order" INTEGER, "my where" TEXT COLLATE NOCASE, "stay's" TEXT, PRIMARY KEY ("a ""b", "order")) WITHOUT ROWID`,
			`INSERT INTO "x y" VALUES ('k', 1, 'In', 's'), ('k', 2, 'out', 's')`},
		migrations.Share{Stays: []string{"stay's"}, Where: `"x y"."my where" = 'in' -- whatever the case`},
		[]string{`UPDATE "x y" SET "stay's" = 'z'`, `UPDATE "x y" SET "order" = 9 WHERE "order" = 2`, `DELETE FROM "x y" WHERE "order" = 9`},
		[]string{`UPDATE "x y" SET "a ""b" = 'K' WHERE "order" = 1`, `UPDATE "x y" SET "my where" = 'IN' WHERE "order" = 1`, `DELETE FROM "x y" WHERE "order" = 1`, `INSERT INTO "x y" VALUES ('n', 3, 'IN', NULL)`},
	},
	"a condition that needs the columns' affinities": {
		[]string{`CREATE TABLE "x y" (id INTEGER PRIMARY KEY, n NUMERIC, r REAL, t TEXT, g TEXT AS (t || '!'))`, `INSERT INTO "x y" (id, n, r, t) VALUES (1, 1.5, 2, '7'), (2, 2.5, 2, '7')`},
		migrations.Share{Where: `n = '1.50' AND t = 7 AND r = '2' AND g = '7!' AND id < '100'`},
		[]string{`UPDATE "x y" SET n = 3 WHERE id = 2`, `INSERT INTO "x y" (n, r, t) VALUES (1.5, 2, '8')`, `UPDATE "x y" SET n = '1.5' WHERE id = 1`, `INSERT INTO "x y" (id, n, r, t) VALUES (100, 1.5, 2, '7')`},
		[]string{`UPDATE "x y" SET n = 2 WHERE id = 1`, `UPDATE "x y" SET n = 1.5 WHERE id = 2`, `INSERT INTO "x y" (n, r, t) VALUES ('1.5', '2', 7)`, `DELETE FROM "x y" WHERE id = 1`},
	},
	"a number's type, and bytes": {
		[]string{`CREATE TABLE "x y" (id INTEGER PRIMARY KEY, v COLLATE NOCASE, s)`, `INSERT INTO "x y" VALUES (1, 1, 's'), (2, CAST(x'610062' AS TEXT), 's'), (3, 'bell', 's'), (4, 0.1, 's'), (5, x'61', 's')`},
		migrations.Share{Stays: []string{"s"}},
		[]string{`UPDATE "x y" SET v = v, s = 'new'`, `UPDATE "x y" SET v = 1 WHERE id = 1`},
		[]string{`UPDATE "x y" SET v = 1.0 WHERE id = 1`, `UPDATE "x y" SET v = CAST(x'610063' AS TEXT) WHERE id = 2`, `UPDATE "x y" SET v = 'BELL' WHERE id = 3`,
			`UPDATE "x y" SET v = 0.10000000000000002 WHERE id = 4`, `UPDATE "x y" SET v = 'a' WHERE id = 5`, `UPDATE "x y" SET v = '1' WHERE id = 1`},
	},
	"REPLACE, IGNORE and upserts": {
		[]string{`CREATE TABLE "x y" (id INTEGER PRIMARY KEY, k TEXT, u INTEGER UNIQUE, s TEXT)`, `INSERT INTO "x y" VALUES (1, 'in', 1, 's'), (2, 'out', 2, 's'), (-1, 'in', -1, 's')`},
		migrations.Share{Stays: []string{"u", "s"}, Where: "k = 'in'"},
		[]string{`INSERT INTO "x y" (id, s) VALUES (1, 'new') ON CONFLICT (id) DO UPDATE SET s = excluded.s`, `INSERT OR IGNORE INTO "x y" (id, s) VALUES (1, 'ignored')`,
			`REPLACE INTO "x y" VALUES (2, 'out', 22, 's')`, `INSERT OR REPLACE INTO "x y" (k, u) VALUES ('out', 22)`, `INSERT INTO "x y" (u, s) VALUES (1, 'upsert') ON CONFLICT (u) DO UPDATE SET s = excluded.s`, `UPDATE OR IGNORE "x y" SET u = 1`},
		[]string{`REPLACE INTO "x y" (id, s) VALUES (1, 'new')`, `REPLACE INTO "x y" (id, u) VALUES (9, 1)`, `UPDATE OR REPLACE "x y" SET u = 1 WHERE id = 2`, `UPDATE OR REPLACE "x y" SET id = 1 WHERE id = 2`},
	},
	"a condition on what stays": {
		[]string{`CREATE TABLE "x y" (id INTEGER PRIMARY KEY, v, s, g AS (s + 1))`, `INSERT INTO "x y" VALUES (1, 'v', 1), (2, 'v', 2)`},
		migrations.Share{Stays: []string{"s"}, Where: "s > 1 AND g > 2 AND v IS NOT NULL"},
		[]string{`UPDATE "x y" SET s = 0 WHERE id = 1`, `UPDATE "x y" SET s = 3 WHERE id = 2`},
		[]string{`UPDATE "x y" SET s = 2 WHERE id = 1`, `UPDATE "x y" SET s = 1 WHERE id = 2`},
	},
	"rows that refer to each other": {
		[]string{`CREATE TABLE "x y" (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES "x y" ON DELETE CASCADE ON UPDATE CASCADE, k TEXT)`, `INSERT INTO "x y" VALUES (1, NULL, 'in'), (2, 1, 'out'), (3, 2, 'out'), (4, NULL, 'out'), (5, 4, 'in')`},
		migrations.Share{Where: "k = 'in'"},
		[]string{`UPDATE "x y" SET id = 30 WHERE id = 3`, `DELETE FROM "x y" WHERE id = 30`},
		[]string{`DELETE FROM "x y" WHERE id = 1`, `UPDATE "x y" SET id = 10 WHERE id = 1`, `DELETE FROM "x y" WHERE id = 4`},
	},
}

// sharing opens a monolith's database with a share, recording, and its fence open.
func sharing(t *testing.T, create []string, share migrations.Share) (migrations.Database, *sql.DB) {
	t.Helper()
	dsn := lab{"wal"}.Fresh(t)
	db := lab{}.Connect(t, dsn)
	for _, q := range create {
		exec(t, db, q)
	}
	d, err := sqlite.Open(t.Context(), migrations.Binding{Capability: "cap", Side: strangler.Legacy, DSN: dsn, ControlID: "c", Tables: []string{"x y"}, Shares: []migrations.Share{share}, Common: true})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	s, err := d.Inspect(t.Context())
	must(t, err)
	for _, p := range s.Problems {
		t.Errorf("refused: %s", p.What)
	}
	scripts, err := d.OwnerScripts(t.Context(), s)
	must(t, err)
	for _, s := range scripts {
		if s.Stage <= migrations.StageCapture {
			exec(t, db, s.Up)
		}
	}
	return d, db
}

func TestSharedWrites(t *testing.T) {
	for name, c := range sharedWrites {
		for _, recursive := range []string{"OFF", "ON"} {
			t.Run(name+", recursive triggers "+recursive, func(t *testing.T) {
				for _, q := range c.goes { // each is refused closed, and recorded open
					d, db := sharing(t, c.create, c.share)
					exec(t, db, "PRAGMA recursive_triggers = "+recursive)
					before := image(t, db, "x y")
					must(t, d.SetFence(t.Context(), 1, migrations.FenceClosed))
					if _, err := db.ExecContext(t.Context(), q); err == nil || !strings.Contains(err.Error(), "strangler: cap") {
						t.Errorf("%s: got %v, want the fence's refusal", q, err)
					}
					if diff := cmp.Diff(before, image(t, db, "x y")); diff != "" {
						t.Errorf("%s, refused, changed something:\n%s", q, diff)
					}
					must(t, d.SetFence(t.Context(), 2, migrations.FenceOpen))
					exec(t, db, q)
					if n, err := d.Pending(t.Context()); err != nil || n == 0 {
						t.Errorf("%s was not recorded: %v", q, err)
					}
				}
				d, db := sharing(t, c.create, c.share)
				exec(t, db, "PRAGMA recursive_triggers = "+recursive)
				must(t, d.SetFence(t.Context(), 1, migrations.FenceClosed))
				for _, q := range c.stays {
					exec(t, db, q)
					if n, err := d.Pending(t.Context()); err != nil || n != 0 {
						t.Errorf("%s was recorded: %d, %v", q, n, err)
					}
				}
			})
		}
	}
}

// A shared table is cut from what its columns that move refer to, and from nothing else.
func TestSharedForeignKeys(t *testing.T) {
	create := []string{
		"CREATE TABLE other (id INTEGER PRIMARY KEY)",
		`CREATE TABLE "x y" (id INTEGER PRIMARY KEY, "a b" INTEGER REFERENCES other(id), mine INTEGER REFERENCES other, s INTEGER, m INTEGER, v, FOREIGN KEY (s) REFERENCES other (id), FOREIGN KEY ("m") REFERENCES other (id))`,
		`CREATE TABLE child (id INTEGER PRIMARY KEY, x INTEGER REFERENCES "x y"(id))`,
	}
	dsn := lab{"wal"}.Fresh(t)
	db := lab{}.Connect(t, dsn)
	for _, q := range create {
		exec(t, db, q)
	}
	d, err := sqlite.Open(t.Context(), migrations.Binding{Capability: "cap", Side: strangler.Legacy, DSN: dsn, ControlID: "c", Tables: []string{"X Y"}, Shares: []migrations.Share{{Stays: []string{"a b", "s"}, Where: "v IS NOT NULL"}}, Common: true})
	must(t, err)
	defer d.Close()
	s, err := d.Inspect(t.Context())
	must(t, err)
	scripts, err := d.OwnerScripts(t.Context(), s)
	must(t, err)
	for _, s := range scripts {
		if s.Stage <= migrations.StageArmed {
			exec(t, db, s.Up)
		}
	}
	fresh := lab{}.Connect(t, dsn)
	want := []string{"a b", "s"}
	if diff := cmp.Diff(want, query(t, fresh, `SELECT "from" FROM pragma_foreign_key_list('x y') ORDER BY 1`)); diff != "" {
		t.Errorf("the keys that are left:\n%s", diff)
	}
	if got := query(t, fresh, "SELECT count(*) FROM pragma_foreign_key_list('child')"); got[0] != "1" {
		t.Error("the key to the table is cut")
	}
	if len(s.Crossing) != 2 {
		t.Errorf("crossing are %v", s.Crossing)
	}
}

// What makes a share costs no reader the index of its key.
func TestSharedReadsUseTheKey(t *testing.T) {
	_, db := sharing(t, []string{`CREATE TABLE "x y" (id TEXT NOT NULL PRIMARY KEY, v, s)`}, migrations.Share{Stays: []string{"s"}, Where: "v IS NOT NULL"})
	for _, q := range []string{
		`SELECT +t."v" FROM (SELECT "id", "v" FROM "x y" WHERE (` + "\nv IS NOT NULL\n" + `)) AS t WHERE 1 AND (t."id") > ('a') AND (t."id") <= ('b') ORDER BY t."id"`,
		`SELECT +t."v" FROM (SELECT 'a' AS k0 UNION SELECT 'b') AS k CROSS JOIN (SELECT "id", "v" FROM "x y" WHERE (` + "\nv IS NOT NULL\n" + `)) AS t ON t."id" = k.k0`,
	} {
		rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+q)
		must(t, err)
		var plan []string
		for rows.Next() {
			var id, parent, x int
			var detail string
			must(t, rows.Scan(&id, &parent, &x, &detail))
			plan = append(plan, detail)
		}
		must(t, rows.Close())
		all := strings.Join(plan, "; ")
		if !strings.Contains(all, "SEARCH x y USING INDEX") || strings.Contains(all, "TEMP B-TREE FOR ORDER") {
			t.Errorf("%s: %s", q, all)
		}
	}
}

// What a share's triggers need beside them is put back with the fence.
func TestSharedFenceIsMendedWhole(t *testing.T) {
	p := enginetest.Shared(t, lab{"wal"}, sharedJobs, strangler.Table{From: "jobs", To: "jobs", Where: "courier IS NOT NULL"})
	p.Exec(p.Admin(strangler.Legacy), "DROP TABLE strangler_beside_jobs")
	if _, err := p.App.ExecContext(t.Context(), "UPDATE jobs SET total = 1 WHERE id = 1"); err == nil {
		t.Fatal("the triggers do not need it")
	}
	if _, err := p.Legacy.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Exec(lab{}.Connect(t, p.LegacyDSN), "UPDATE jobs SET total = 1 WHERE id = 1")
	p.Sync()
}
