package sqlite_test

import (
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// family are the tables that foreign keys of the tests below lead to; "moved" moves, the others stay.
var family = []string{
	"CREATE TABLE moved (id INTEGER PRIMARY KEY)",
	"CREATE TABLE stays (id INTEGER PRIMARY KEY, a TEXT, b TEXT, UNIQUE (a, b))",
	`CREATE TABLE "stays, (too)" ("the )id" INTEGER PRIMARY KEY)`,
}

var cutTexts = map[string]string{
	"a clause of a column":         "CREATE TABLE child (id INTEGER PRIMARY KEY, s INTEGER REFERENCES stays(id), m INTEGER REFERENCES moved(id))",
	"every action":                 "CREATE TABLE child (id INTEGER PRIMARY KEY, s INTEGER NOT NULL REFERENCES stays (id) ON DELETE SET NULL ON UPDATE NO ACTION MATCH FULL NOT DEFERRABLE INITIALLY IMMEDIATE UNIQUE, m INT REFERENCES moved ON DELETE SET DEFAULT ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED)",
	"table constraints":            "CREATE TABLE child (id INTEGER PRIMARY KEY, x TEXT, y TEXT, m INTEGER, FOREIGN KEY (x, y) REFERENCES stays (a, b) ON DELETE CASCADE, CHECK (x <> 'REFERENCES stays(id)'), FOREIGN KEY (m) REFERENCES moved (id) ON DELETE RESTRICT)",
	"named constraints":            "CREATE TABLE child (id INTEGER CONSTRAINT pk PRIMARY KEY, s INTEGER CONSTRAINT to_stays REFERENCES stays(id) CONSTRAINT positive CHECK (s > 0), m INTEGER, CONSTRAINT one UNIQUE (s, m), CONSTRAINT two FOREIGN KEY (s) REFERENCES stays (id), CONSTRAINT three FOREIGN KEY (m) REFERENCES moved (id))",
	"no comma between constraints": "CREATE TABLE child (id INTEGER PRIMARY KEY, s INTEGER, m INTEGER, FOREIGN KEY (s) REFERENCES stays (id) ON DELETE SET NULL UNIQUE (m) CONSTRAINT late FOREIGN KEY (m) REFERENCES moved (id) CHECK (m > 0))",
	"a line comment before the clause": `CREATE TABLE child (id INTEGER PRIMARY KEY,
		s INTEGER -- who stays, (and REFERENCES nobody
			REFERENCES stays(id) -- behind it
		, m INTEGER REFERENCES moved(id) -- this moves
	)`,
	"a line comment before the comma": `CREATE TABLE child (id INTEGER PRIMARY KEY, m INTEGER REFERENCES moved(id), s INTEGER -- the last
		, FOREIGN KEY (s) REFERENCES stays(id))`,
	"a line comment before the end": `CREATE TABLE child (id INTEGER PRIMARY KEY, m INTEGER REFERENCES moved(id), s INTEGER, -- now come keys
		FOREIGN KEY (s) REFERENCES stays(id) -- the end
	)`,
	"block comments instead of spaces":  "CREATE TABLE child (id INTEGER PRIMARY KEY, s INTEGER/*,*/REFERENCES/*(*/stays(id)/*)*/NOT/**/NULL, m INTEGER REFERENCES moved(id))",
	"no space behind the clause":        "CREATE TABLE child (id INTEGER PRIMARY KEY, s INTEGER REFERENCES stays(id)NOT NULL, m INTEGER REFERENCES moved(id)NOT NULL)",
	"every kind of quotes":              "CREATE TABLE \"child\" (`id` INTEGER PRIMARY KEY, [s, (] INTEGER REFERENCES [stays](`id`), \"a \"\"b\" INTEGER REFERENCES \"stays, (too)\"(\"the )id\") ON DELETE CASCADE, 'm' INTEGER REFERENCES 'moved'(\"id\"))",
	"parentheses in literals":           "CREATE TABLE child (id INTEGER PRIMARY KEY, s INTEGER DEFAULT '(' REFERENCES stays(id), t TEXT DEFAULT ')) REFERENCES stays(id', u INTEGER DEFAULT (1 + (2)) REFERENCES stays(id), m INTEGER REFERENCES moved(id))",
	"without a list of columns":         "CREATE TABLE child (id INTEGER PRIMARY KEY, s REFERENCES stays, m REFERENCES moved)",
	"two clauses on a column":           "CREATE TABLE child (id INTEGER PRIMARY KEY, m INTEGER REFERENCES moved(id) REFERENCES stays(id) ON DELETE CASCADE)",
	"deferrable apart from its clause":  "CREATE TABLE child (id INTEGER PRIMARY KEY, m INTEGER REFERENCES moved(id), s INTEGER REFERENCES stays(id) NOT NULL DEFERRABLE INITIALLY DEFERRED)",
	"generated, strict, without rowid":  "CREATE TABLE child (id INTEGER PRIMARY KEY, s INTEGER REFERENCES stays(id), g INTEGER GENERATED ALWAYS AS (s + 1) STORED, m INTEGER REFERENCES moved(id)) STRICT, WITHOUT ROWID",
	"small letters and other case":      "create table child (id integer primary key, s integer references STAYS(ID) on delete cascade, m integer references MOVED(ID))",
	"if not exists, and a name like it": "CREATE TABLE IF NOT EXISTS child (id INTEGER PRIMARY KEY, \"references\" INTEGER REFERENCES stays(id), [foreign] TEXT COLLATE NOCASE DEFAULT 'x' REFERENCES stays(a), m INTEGER REFERENCES moved(id), UNIQUE (\"references\", [foreign]))",
	"to itself":                         "CREATE TABLE child (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES child(id), s INTEGER REFERENCES stays(id), m INTEGER REFERENCES moved(id))",
}

// shape is what SQLite makes of the text of table child, without the foreign keys that are to be cut.
func shape(t *testing.T, db *sql.DB, cut bool) []string {
	t.Helper()
	fks := "SELECT \"table\", \"from\", \"to\", on_update, on_delete, match FROM pragma_foreign_key_list('child')"
	if cut {
		fks += " WHERE lower(\"table\") NOT LIKE 'stays%'"
	}
	out := query(t, db, fks+" ORDER BY 1, 2, 3")
	out = append(out, query(t, db, "SELECT * FROM pragma_table_xinfo('child')")...)
	out = append(out, query(t, db, "SELECT name, \"unique\", origin, partial FROM pragma_index_list('child') ORDER BY 1")...)
	return append(out, query(t, db, "SELECT type, wr, strict FROM pragma_table_list('child')")...)
}

func TestForeignKeysAreCutAndRestoredToTheLetter(t *testing.T) {
	for name, text := range cutTexts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := enginetest.NewPair(t, lab{"wal"}, append(slices.Clone(family), text), "child", "moved")
			stored := func() string { return query(t, p.App, "SELECT sql FROM sqlite_schema WHERE name = 'child'")[0] }
			before, want := stored(), shape(t, p.App, true)
			p.Write()
			p.To(migrations.StageArmed)
			for side, db := range map[string]*sql.DB{"legacy": p.App, "service": p.Served} {
				if diff := cmp.Diff(want, shape(t, db, false)); diff != "" {
					t.Errorf("%s, - original minus the cut, + cut:\n%s", side, diff)
				}
				if got := query(t, db, "PRAGMA integrity_check"); got[0] != "ok" {
					t.Errorf("%s: %v", side, got)
				}
			}
			if cut := stored(); !subsequence(cut, before) {
				t.Errorf("more than taking away was done:\n%s\n%s", before, cut)
			}
			for _, comment := range []string{"-- who stays", "-- behind it", "-- this moves", "-- the last", "-- the end"} {
				if strings.Contains(before, comment) && !strings.Contains(stored(), comment) {
					t.Errorf("the comment %q went with the key: %s", comment, stored())
				}
			}
			fresh := lab{"wal"}.Connect(t, p.LegacyDSN)
			if diff := cmp.Diff(want, shape(t, fresh, false)); diff != "" {
				t.Errorf("a new connection:\n%s", diff)
			}
			p.To(migrations.StageCapture)
			if after := stored(); after != before {
				t.Errorf("restored as\n%s\nwas\n%s", after, before)
			}
		})
	}
}

// subsequence reports whether short comes of long by taking away, but for spaces.
func subsequence(short, long string) bool {
	for _, r := range strings.Join(strings.Fields(short), "") {
		at := strings.IndexRune(long, r)
		if at < 0 {
			return false
		}
		long = long[at+len(string(r)):]
	}
	return true
}

// TestOtherConnectionsSeeTheCut keeps a connection that has read the schema before.
func TestOtherConnectionsSeeTheCut(t *testing.T) {
	p := enginetest.NewPair(t, lab{"wal"}, append(slices.Clone(family), cutTexts["a clause of a column"]), "child", "moved")
	p.Write()
	p.To(migrations.StageCapture)
	old := lab{"wal"}.Connect(t, p.LegacyDSN)
	orphan := "INSERT INTO child (s) VALUES (404)"
	for range 2 {
		if _, err := old.ExecContext(t.Context(), orphan); err == nil {
			t.Fatal("the foreign key is not enforced before the cut")
		}
		p.To(migrations.StageArmed)
		exec(t, old, orphan, "DELETE FROM child")
		if _, err := old.ExecContext(t.Context(), "INSERT INTO child (m) VALUES (404)"); err == nil {
			t.Error("a foreign key that does not cross is gone")
		}
		p.To(migrations.StageCapture)
	}
}

func TestATableAlteredSinceThePlanIsNotCut(t *testing.T) {
	p := enginetest.NewPair(t, lab{"wal"}, append(slices.Clone(family), "CREATE TABLE child (id INTEGER PRIMARY KEY, m INTEGER REFERENCES moved(id))"), "moved")
	p.Write()
	p.To(migrations.StageCapture)
	exec(t, p.App, "ALTER TABLE child ADD COLUMN more TEXT")
	schema := lab{}.Speech().Schema
	before := schema(t, p.App)
	err := p.Plan.To(t.Context(), migrations.StageArmed)
	if err == nil || !strings.Contains(err.Error(), "was changed since the plan") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, schema(t, p.App)); diff != "" {
		t.Errorf("the script that refused changed something:\n%s", diff)
	}
	if v, dirty, err := p.Legacy.Version(t.Context()); v != uint(migrations.StageCapture) || dirty || err != nil {
		t.Errorf("version %d, dirty %v, %v", v, dirty, err)
	}
}
