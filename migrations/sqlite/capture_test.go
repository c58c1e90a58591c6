package sqlite_test

import (
	"errors"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// replaced are statements after which both sides have to be alike, each in a database of its own.
var replaced = map[string]struct{ create, write []string }{
	"INSERT OR REPLACE over a secondary key": {
		[]string{"CREATE TABLE x (k TEXT NOT NULL PRIMARY KEY, a INTEGER UNIQUE, v INTEGER)", "INSERT INTO x VALUES ('one', 1, 0), ('two', 2, 0), ('three', NULL, 0)"},
		[]string{"INSERT OR REPLACE INTO x VALUES ('new', 1, 9)", "REPLACE INTO x VALUES ('new', 2, 8)", "REPLACE INTO x VALUES ('three', NULL, 7)"}},
	"UPDATE OR REPLACE over a secondary key": {
		[]string{"CREATE TABLE x (k INTEGER PRIMARY KEY, a INTEGER UNIQUE, b INTEGER, c INTEGER, UNIQUE (b, c))", "INSERT INTO x VALUES (1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 3, 3), (4, 4, 4, 4)"},
		[]string{"UPDATE OR REPLACE x SET a = 2 WHERE k = 1", "UPDATE OR REPLACE x SET b = 4, c = 4 WHERE k = 3", "UPDATE OR REPLACE x SET k = 3 WHERE k = 1"}},
	"NULL becomes the default": {
		[]string{"CREATE TABLE x (k INTEGER PRIMARY KEY, a TEXT NOT NULL DEFAULT 'it''s' UNIQUE, n INTEGER NOT NULL DEFAULT -5 UNIQUE, e TEXT NOT NULL DEFAULT (lower('ABC')) UNIQUE)",
			"INSERT INTO x VALUES (1, 'it''s', 1, 'e1'), (2, 'a2', -5, 'e2'), (3, 'a3', 3, 'abc')"},
		[]string{"INSERT OR REPLACE INTO x VALUES (10, NULL, 10, 'e10')", "INSERT OR REPLACE INTO x VALUES (11, 'a11', NULL, 'e11')", "INSERT OR REPLACE INTO x VALUES (12, 'a12', 12, NULL)",
			"UPDATE OR REPLACE x SET a = NULL WHERE k = 12"}},
	"a default that is a bare or double-quoted word": {
		[]string{"CREATE TABLE x (k INTEGER PRIMARY KEY, active TEXT NOT NULL DEFAULT active UNIQUE, q TEXT NOT NULL DEFAULT \"k\" UNIQUE, t INTEGER NOT NULL DEFAULT TRUE UNIQUE)",
			"INSERT INTO x VALUES (1, 'active', 'q1', 10), (2, 'a2', 'k', 20), (3, 'a3', 'q3', 1)"},
		[]string{"INSERT OR REPLACE INTO x VALUES (10, NULL, 'q10', 30)", "INSERT OR REPLACE INTO x VALUES (11, 'a11', NULL, 31)", "INSERT OR REPLACE INTO x VALUES (12, 'a12', 'q12', NULL)", "INSERT INTO x (k, t) VALUES (13, 99) ON CONFLICT DO NOTHING"}},
	"the table itself says REPLACE": {
		[]string{"CREATE TABLE x (k TEXT NOT NULL PRIMARY KEY ON CONFLICT REPLACE, a INTEGER UNIQUE ON CONFLICT REPLACE)", "INSERT INTO x VALUES ('one', 1), ('two', 2)"},
		[]string{"INSERT INTO x VALUES ('new', 1)", "UPDATE x SET a = 2 WHERE k = 'new'", "INSERT INTO x VALUES ('new', 7)"}},
	"over a rowid that is nobody's key": {
		[]string{"CREATE TABLE x (k TEXT NOT NULL PRIMARY KEY, v INTEGER)", "INSERT INTO x (rowid, k, v) VALUES (1, 'one', 0), (2, 'two', 0), (-1, 'minus', 0)"},
		[]string{"INSERT OR REPLACE INTO x (rowid, k, v) VALUES (1, 'new', 9)", "UPDATE OR REPLACE x SET rowid = 2 WHERE k = 'new'", "INSERT INTO x (k) VALUES ('plain')"}},
	"over a rowid in a table that has a column of that name": {
		[]string{"CREATE TABLE x (rowid TEXT NOT NULL PRIMARY KEY, v INTEGER)", "INSERT INTO x (_rowid_, rowid, v) VALUES (1, 'one', 0), (2, 'two', 0)"},
		[]string{"INSERT OR REPLACE INTO x (oid, rowid, v) VALUES (1, 'new', 9)"}},
	"a secondary key without case, a partial one, a generated one": {
		[]string{"CREATE TABLE x (k INTEGER PRIMARY KEY, a TEXT UNIQUE COLLATE NOCASE, p INTEGER, g INTEGER AS (p * 2) UNIQUE)", "CREATE UNIQUE INDEX part ON x (p) WHERE a IS NOT NULL",
			"INSERT INTO x (k, a, p) VALUES (1, 'abc', 1), (2, 'def', 2), (3, 'ghi', 3)"},
		[]string{"REPLACE INTO x (k, a, p) VALUES (9, 'ABC', 9)", "REPLACE INTO x (k, a, p) VALUES (8, 'xyz', 2)", "UPDATE OR REPLACE x SET p = 3 WHERE k = 9"}},
	"without rowid, the key without case": {
		[]string{"CREATE TABLE x (k TEXT COLLATE NOCASE PRIMARY KEY, a BLOB UNIQUE) WITHOUT ROWID", "INSERT INTO x VALUES ('one', x'01'), ('two', x'02')"},
		[]string{"REPLACE INTO x VALUES ('ONE', x'03')", "UPDATE x SET k = 'TWO' WHERE k = 'two'", "REPLACE INTO x VALUES ('three', x'02')"}},
	"affinities meet": {
		[]string{"CREATE TABLE x (k INTEGER PRIMARY KEY, t TEXT UNIQUE, n INTEGER UNIQUE)", "INSERT INTO x VALUES (1, '12', 1), (2, 'b', 34)"},
		[]string{"REPLACE INTO x VALUES (10, 12, 10)", "REPLACE INTO x VALUES (11, 'c', '34')"}},
	"IGNORE and upserts": {
		[]string{"CREATE TABLE x (k INTEGER PRIMARY KEY, a INTEGER UNIQUE, v INTEGER)", "INSERT INTO x VALUES (1, 1, 0), (2, 2, 0)"},
		[]string{"INSERT OR IGNORE INTO x VALUES (1, 7, 7), (3, 2, 7), (4, 4, 4)", "UPDATE OR IGNORE x SET a = 1", "INSERT INTO x VALUES (9, 2, 5) ON CONFLICT (a) DO UPDATE SET v = excluded.v, k = 90",
			"INSERT INTO x VALUES (1, 50, 5) ON CONFLICT DO NOTHING", "INSERT INTO x VALUES (4, 4, 5) ON CONFLICT (k) DO UPDATE SET v = 40"}},
	"cascades from a parent that stays": {
		[]string{"CREATE TABLE parent (id INTEGER PRIMARY KEY)", "CREATE TABLE x (k INTEGER PRIMARY KEY, p INTEGER REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE)",
			"INSERT INTO parent VALUES (1), (2)", "INSERT INTO x VALUES (1, 1), (2, 1), (3, 2)"},
		[]string{"DELETE FROM parent WHERE id = 1", "UPDATE parent SET id = 20 WHERE id = 2"}},
}

func TestCaptureMissesNoWayToWrite(t *testing.T) {
	for name, c := range replaced {
		for _, recursive := range []string{"OFF", "ON"} {
			t.Run(name+", recursive triggers "+recursive, func(t *testing.T) {
				t.Parallel()
				for _, batched := range []bool{false, true} {
					p := enginetest.Planned(t, lab{"wal"}, migrations.StageCapture, c.create, "x")
					p.Copy()
					exec(t, p.App, "PRAGMA recursive_triggers = "+recursive)
					for _, q := range c.write {
						exec(t, p.App, q)
						if !batched {
							p.Sync()
							p.Alike()
						}
					}
					p.Sync()
					p.Alike()
				}
			})
		}
	}
}

// TestAKeyWithoutCaseThatChangesItsCase is one row under two spellings of its key.
func TestAKeyWithoutCaseThatChangesItsCase(t *testing.T) {
	p := enginetest.Armed(t, lab{"wal"}, []string{"CREATE TABLE x (k TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, v INTEGER)", "INSERT INTO x VALUES ('a', 1)"}, "x")
	exec(t, p.App, "UPDATE x SET k = 'A'", "UPDATE x SET v = 2")
	if keys := p.Keys(0); len(keys) != 1 {
		t.Errorf("keys %v", keys)
	}
	var keys []migrations.Key
	for range 300 {
		keys = append(keys, migrations.Key{"a"}, migrations.Key{"A"})
	}
	rows := 0
	must(t, p.Legacy.Lookup(t.Context(), 0, keys, func(migrations.Row) error {
		rows++
		return nil
	}))
	if rows != 1 {
		t.Errorf("the one row is looked up %d times", rows)
	}
	p.Sync()
	p.Alike()
}

// TestIdsThatAreUsedAgain forgets an old batch behind a log that was emptied and filled again.
func TestIdsThatAreUsedAgain(t *testing.T) {
	p := enginetest.Armed(t, lab{"wal"}, []string{"CREATE TABLE x (k INTEGER PRIMARY KEY, v INTEGER)"}, "x")
	exec(t, p.App, "INSERT INTO x VALUES (1, 1)")
	old, err := p.Legacy.Read(t.Context(), "")
	must(t, err)
	must(t, old.Close())
	id := query(t, p.App, "SELECT id FROM strangler_log_x")
	exec(t, p.App, "DELETE FROM strangler_log_x", "UPDATE x SET v = 2")
	if again := query(t, p.App, "SELECT id FROM strangler_log_x"); again[0] != id[0] {
		t.Fatalf("the id %v was not used again: %v", id, again)
	}
	must(t, p.Legacy.Forget(t.Context(), old))
	if n := p.Pending(); n != 1 {
		t.Errorf("%d changes are left, want the new one", n)
	}
}

// TestASchemaThatDrifts changes a moved table while the stream runs, and once more behind a restart.
func TestASchemaThatDrifts(t *testing.T) {
	for name, drift := range map[string][]string{
		"a unique index more":                 {"CREATE UNIQUE INDEX late ON x (v)"},
		"a column more":                       {"ALTER TABLE x ADD COLUMN more TEXT"},
		"a column renamed, its place another": {"ALTER TABLE x RENAME COLUMN v TO a"},
		"a column less":                       {"ALTER TABLE x DROP COLUMN w"},
		"rebuilt, as object mappers do":       {"CREATE TABLE x_new (k INTEGER PRIMARY KEY, v INTEGER, w INTEGER)", "INSERT INTO x_new SELECT * FROM x", "DROP TABLE x", "ALTER TABLE x_new RENAME TO x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := enginetest.Armed(t, lab{"wal"}, []string{"CREATE TABLE x (k INTEGER PRIMARY KEY, v INTEGER, w INTEGER)", "INSERT INTO x VALUES (1, 10, 100)"}, "x")
			exec(t, p.App, "UPDATE x SET w = 101")
			p.Sync()
			exec(t, p.App, drift...)
			exec(t, p.App, "UPDATE x SET k = 7")
			_, err := p.Step()
			p.Wants(err, strangler.ErrStopped)
			d, err := sqliteOpen(t, p, strangler.Legacy)
			must(t, err)
			if _, err := d.Read(t.Context(), "1"); !errors.Is(err, strangler.ErrStopped) {
				t.Errorf("behind a restart: %v", err)
			}
		})
	}
	t.Run("at the follower", func(t *testing.T) {
		p := enginetest.Armed(t, lab{"wal"}, []string{"CREATE TABLE x (k INTEGER PRIMARY KEY, v INTEGER)", "INSERT INTO x VALUES (1, 10)"}, "x")
		exec(t, p.App, "UPDATE x SET v = 11")
		exec(t, p.Served, "ALTER TABLE x RENAME COLUMN v TO a")
		_, err := p.Step()
		p.Wants(err, strangler.ErrStopped)
	})
}

// TestNamesInAnotherCase binds tables as somebody wrote them, not as they were made.
func TestNamesInAnotherCase(t *testing.T) {
	p := enginetest.Armed(t, lab{"wal"}, []string{"CREATE TABLE Thing (Id INTEGER PRIMARY KEY, V INTEGER UNIQUE)", "INSERT INTO Thing VALUES (1, 1)"}, "tHING")
	exec(t, p.App, "UPDATE thing SET v = 2")
	p.Sync()
	p.Alike()
	p.CutOver()
	if _, err := p.App.ExecContext(t.Context(), "DELETE FROM thing"); err == nil {
		t.Error("the fence is open")
	}
	exec(t, p.Served, "INSERT INTO THING VALUES (2, 5)")
	p.CutOver()
	p.Alike()
	p.To(migrations.StageNone)
}

// TestTablesWhoseTriggersMightShareAName moves tables that are called like our triggers' endings.
func TestTablesWhoseTriggersMightShareAName(t *testing.T) {
	var ddl, tables []string
	for _, name := range []string{"x", "x_insert", "x_update", "x_delete", "x_replace", "x_replace_insert", "x_insert_replace", "log_x"} {
		ddl = append(ddl, "CREATE TABLE "+name+" (k INTEGER PRIMARY KEY, v INTEGER UNIQUE)", "INSERT INTO "+name+" VALUES (1, 1)")
		tables = append(tables, name)
	}
	p := enginetest.Armed(t, lab{"wal"}, ddl, tables...)
	for _, name := range tables {
		exec(t, p.App, "REPLACE INTO "+name+" VALUES (2, 1)")
	}
	p.Sync()
	p.Alike()
}
