package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
	"github.com/strangler-fig/strangler/migrations/sqlite"
)

// TestConformanceInCommonForm is what keys and values in common form may change.
func TestConformanceInCommonForm(t *testing.T) {
	enginetest.Run(t, common{lab{"wal"}}, "capture", "repair", "ranges", "plan")
}

// common is a lab whose sides take each other for another kind of database.
type common struct{ lab }

func (common) Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	b.Common = true
	return sqlite.Open(ctx, b)
}

// Speech leaves out the keys that other kinds of database do not have, and a default, which does not go to one.
func (l common) Speech() enginetest.Speech {
	s := l.lab.Speech()
	s.Edges = nil
	s.Keys = slices.DeleteFunc(slices.Clone(s.Keys), func(k enginetest.Sample) bool {
		return slices.Contains([]string{"mixed storage classes", "blobs", "real numbers", "dates", "a unique index that cannot hold NULL"}, k.Name)
	})
	s.Keys = append(s.Keys,
		key("only blobs", []string{"CREATE TABLE %s (k BLOB NOT NULL PRIMARY KEY, v INTEGER) WITHOUT ROWID"}, texts("x''", "x'00'", "x'0000'", "x'ff'", "x'61'")),
		key("only dates", []string{"CREATE TABLE %s (k DATE TEXT NOT NULL PRIMARY KEY, v INTEGER)"}, texts("'2024-01-02'", "'0001-01-01'", "'9999-12-31'")),
		key("moments as they are written", []string{"CREATE TABLE %s (k DATETIME NOT NULL PRIMARY KEY, v INTEGER)"}, texts("'2024-01-02'", "'2024-01-01 10:00:00'", "'2024-01-01T10:00:00Z'")),
		key("UUIDs", []string{"CREATE TABLE %s (k UUID TEXT NOT NULL, j INTEGER NOT NULL, v INTEGER, PRIMARY KEY (k, j))"},
			[]string{"INSERT INTO %s VALUES ('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 1, 0), ('00000000-0000-0000-0000-000000000000', -1, 0)"}))
	return s
}

// kinds has a declared type of every kind, as a column with its type, and values of it in their common form.
var kinds = []struct{ name, declared, kind, values string }{
	{"i", "INTEGER", "integer 8", "0, -1, 9223372036854775807, -9223372036854775808, NULL"},
	{"small", "tinyint", "integer 8", "1"},
	{"flag", "BOOLEAN", "boolean", "0, 1, NULL"},
	{"price", "DECIMAL TEXT(30, 10)", "decimal 30 10", "'0', '-0.0000000001', '12345678901234567890.0123456789', NULL"},
	{"big", "DECIMAL TEXT", "decimal", "'NaN', '100000000000000000000000000000000000000000.5'"},
	{"n", "NUMERIC(10, 2)", "decimal", "0, -1, 0.1, 123.45, 1e300, 9223372036854775807, NULL"},
	{"r", "DOUBLE PRECISION", "float 8", "0.1, 1.5, 1e308, -1e308, 5e-324, 9e999, -9e999, 3.0, NULL"},
	{"t", "TEXT", "text", "'', 'it''s', ' 12', '12', 'ünïcödé 😀', CAST(x'610062' AS TEXT), NULL"},
	{"v", "varchar(3) COLLATE NOCASE", "text", "'longer than it says'"},
	{"b", "BLOB", "bytes", "x'', x'00ff80', zeroblob(1000), NULL"},
	{"d", "DATE TEXT", "date", "'2024-02-29', '0001-01-01', '9999-12-31', NULL"},
	{"tm", "TIME TEXT(3)", "time 3", "'00:00:00', '23:59:59.999', NULL"},
	{"ts", "timestamp text", "timestamp 6", "'2024-02-29 12:34:56', '1970-01-01 00:00:00.000001', NULL"},
	{"u", "UUID TEXT", "uuid", "'6ba7b810-9dad-11d1-80b4-00c04fd430c8', NULL"},
	{"j", "JSON TEXT", "json", "'{\"a\":[1,\"<ü>\",null]}', '5', '\"5\"', NULL"},
	{"js", "JSON", "json", "'{\"a\":1}', 5, 0.5, '\"5\"', NULL"},
	{"dt", "DATETIME", "text", "'2024-02-29 12:34:56+02:00', 'yesterday', '', NULL"},
	{"g", "GUID", "text", "'{6BA7B810}'"},
	{"bare", "", "", "NULL"},
	{"odd", "GEOMETRY", "", "NULL"},
}

// allKinds makes table x with a column of every kind, and a row for each of their values.
func allKinds() (create string, insert []string) {
	columns := "id INTEGER PRIMARY KEY"
	for _, k := range kinds {
		if k.kind != "" {
			columns += ", " + k.name + " " + k.declared
			for _, v := range strings.Split(k.values, ", ") {
				insert = append(insert, fmt.Sprintf("INSERT INTO x (%s) VALUES (%s)", k.name, v))
			}
		}
	}
	return "CREATE TABLE x (" + columns + ")", insert
}

func TestKindsOfDeclaredTypes(t *testing.T) {
	columns := "id INTEGER PRIMARY KEY"
	want := map[string]string{"id": "integer 8 generated"}
	for _, k := range kinds {
		columns += ", " + k.name + " " + k.declared
		want[k.name] = k.kind
	}
	p := enginetest.NewPair(t, common{lab{"wal"}}, nil, "x")
	p.Exec(p.Served, "CREATE TABLE x ("+columns+")")
	s, err := p.Service.Inspect(t.Context())
	must(t, err)
	got := map[string]string{}
	for _, c := range s.Tables[0].Columns {
		k := string(c.Kind)
		for _, n := range []int{c.Size, c.Scale} {
			if n > 0 {
				k += fmt.Sprintf(" %d", n)
			}
		}
		if c.Auto {
			k += " generated"
		}
		got[c.Name] = k
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestEveryKindArrives goes by the copy and by the stream, there and back.
func TestEveryKindArrives(t *testing.T) {
	create, insert := allKinds()
	p := enginetest.Armed(t, common{lab{"wal"}}, append([]string{create}, insert...), "x")
	if form, err := p.Legacy.Form(t.Context(), 0); err != nil || form != "" {
		t.Errorf("rows that nobody looks into have the form %q, %v", form, err)
	}
	before := commonRows(t, p.Legacy)
	if len(before) != len(insert) {
		t.Errorf("%d rows, want %d", len(before), len(insert))
	}
	alike := func() {
		t.Helper()
		if diff := cmp.Diff(commonRows(t, p.Legacy), commonRows(t, p.Service)); diff != "" {
			t.Errorf("- legacy, + service:\n%s", diff)
		}
	}
	alike()
	for _, app := range []*sql.DB{p.App, p.Served} {
		exec(t, app, "UPDATE x SET id = id + 1000")
		p.Sync()
		alike()
		exec(t, app, "UPDATE x SET id = id - 1000")
		p.Sync()
		alike()
		p.CutOver()
	}
	if diff := cmp.Diff(before, commonRows(t, p.Legacy)); diff != "" {
		t.Errorf("- before, + after:\n%s", diff)
	}
}

// commonRows are the rows of the first table in their common form.
func commonRows(t *testing.T, d migrations.Database) (out []migrations.Row) {
	t.Helper()
	must(t, d.Range(t.Context(), 0, migrations.Range{}, func(r migrations.Row) error {
		out = append(out, r)
		return nil
	}))
	return out
}

// TestEveryKindArrivesInTheServicesOwnTable has columns that SQLite stores numbers in.
func TestEveryKindArrivesInTheServicesOwnTable(t *testing.T) {
	create, insert := allKinds()
	p := enginetest.NewPair(t, common{lab{"wal"}}, append([]string{create}, insert...), "x")
	exec(t, p.Served, create)
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	p.Copy()
	p.Alike()
}

// TestWhatIsReadInAnotherForm reads values that may stand in several ways.
func TestWhatIsReadInAnotherForm(t *testing.T) {
	for name, c := range map[string]struct {
		declared, stored string
		want             migrations.Value
	}{
		"zeros":               {"DECIMAL TEXT(10, 2)", "'007.50'", "7.5"},
		"no more than zeros":  {"DECIMAL TEXT(10, 2)", "'-0.000'", "0"},
		"only behind a point": {"DECIMAL TEXT(2, 4)", "'0.0012'", "0.0012"},
		"thousands":           {"DECIMAL TEXT(2, -3)", "'99000'", "99000"},
		"a whole number":      {"NUMERIC", "12", "12"},
		"a real number":       {"NUMERIC", "1e21", "1000000000000000000000"},
		"no end":              {"NUMERIC", "-9e999", "-Infinity"},
		"a document":          {"JSON TEXT", `'{ "b": 1.0, "a": [] }'`, `{"a":[],"b":1}`},
		"a document of SQL":   {"JSON", "5.0", "5"},
		"part of a second":    {"TIME TEXT(3)", "'10:00:00.500000'", "10:00:00.5"},
		"a whole second":      {"TIMESTAMP TEXT(0)", "'2024-01-01 10:00:00.000'", "2024-01-01 10:00:00"},
		"text as it is":       {"DATETIME", "'2024-01-01T10:00:00.000Z'", "2024-01-01T10:00:00.000Z"},
	} {
		t.Run(name, func(t *testing.T) {
			p := enginetest.NewPair(t, common{lab{"wal"}}, []string{"CREATE TABLE x (id INTEGER PRIMARY KEY, v " + c.declared + ")", "INSERT INTO x VALUES (1, " + c.stored + ")"}, "x")
			if diff := cmp.Diff([]migrations.Row{{int64(1), c.want}}, commonRows(t, p.Legacy)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestWhatIsNotOfItsKind stops whoever reads it, by its column's name.
func TestWhatIsNotOfItsKind(t *testing.T) {
	for declared, values := range map[string][]string{
		"INTEGER":             {"'x'", "1.5", "x'01'"},
		"BOOLEAN":             {"2", "'true'", "0.5"},
		"DECIMAL TEXT(4, 2)":  {"'100'", "'0.123'", "'many'", "x'31'"},
		"DECIMAL TEXT(2, 4)":  {"'0.01'"},
		"DECIMAL TEXT(2, -3)": {"'99100'", "'100000'"},
		"NUMERIC":             {"'many'", "x'31'"},
		"REAL":                {"'x'", "x'01'"},
		"TEXT":                {"x'61'"},
		"BLOB":                {"'a'", "1"},
		"DATE TEXT":           {"'2024-1-1'", "'2024-01-01 00:00:00'", "'infinite'"},
		"TIME TEXT(3)":        {"'10:00'", "'10:00:00.1234'"},
		"TIMESTAMP TEXT":      {"'2024-01-01T10:00:00'", "'2024-01-01 10:00:00Z'", "'2024-01-01 10:00:00.0000001'"},
		"UUID TEXT":           {"'6BA7B810-9dad-11d1-80b4-00c04fd430c8'", "'6ba7b8109dad11d180b400c04fd430c8'"},
		"JSON TEXT":           {"'{'", "''"},
		"JSON":                {"9e999", "x'01'"},
		"DATETIME":            {"1700000000", "2460370.5", "x'01'"},
	} {
		for _, v := range values {
			t.Run(declared+" "+v, func(t *testing.T) {
				p := enginetest.NewPair(t, common{lab{"wal"}}, []string{"CREATE TABLE x (id INTEGER PRIMARY KEY, odd " + declared + ")", "INSERT INTO x VALUES (1, " + v + ")"}, "x")
				err := p.Legacy.Range(t.Context(), 0, migrations.Range{}, func(migrations.Row) error { return nil })
				p.Wants(err, migrations.ErrMisfit)
				if !strings.Contains(err.Error(), "column odd") {
					t.Errorf("%v does not name the column", err)
				}
			})
		}
	}
}

// TestWhatSQLiteWouldChange is not written.
func TestWhatSQLiteWouldChange(t *testing.T) {
	p := enginetest.NewPair(t, common{lab{"wal"}}, []string{"CREATE TABLE x (id INTEGER PRIMARY KEY, f REAL, j JSON TEXT, n DECIMAL TEXT, s TEXT)"}, "x")
	exec(t, p.Served, "CREATE TABLE x (id INTEGER PRIMARY KEY, f REAL, j JSON, n NUMERIC, s DATETIME)")
	p.Write()
	p.To(migrations.StageArmed)
	p.Raise()
	insert := func(r migrations.Row) error { // by name: f, id, j, n, s
		return p.Apply(func(a migrations.Apply) error { return a.Insert(t.Context(), 0, r) })
	}
	for name, r := range map[string]migrations.Row{
		"no number":            {math.NaN(), int64(1), nil, nil, nil},
		"less than zero":       {math.Copysign(0, -1), int64(1), nil, nil, nil},
		"digits of a decimal":  {nil, int64(1), nil, "12345678901234567890", nil},
		"digits of a fraction": {nil, int64(1), nil, "0.12345678901234567891", nil},
		"digits in a document": {nil, int64(1), "12345678901234567890", nil, nil},
		"text like a number":   {nil, int64(1), nil, nil, "2024"},
		"text with spaces":     {nil, int64(1), nil, nil, " .5e3\n"},
	} {
		if err := insert(r); !errors.Is(err, migrations.ErrMisfit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	kept := migrations.Row{math.Inf(-1), int64(1), `"12"`, "0.1", "2024-"}
	must(t, insert(kept))
	if diff := cmp.Diff([]migrations.Row{kept}, commonRows(t, p.Service)); diff != "" {
		t.Error(diff)
	}
}

// TestAKeyOfManySpellings is one row at one side, and at the other as many as it has had spellings.
func TestAKeyOfManySpellings(t *testing.T) {
	const loose, exact = "CREATE TABLE x (k TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, v INTEGER)", "CREATE TABLE x (k TEXT NOT NULL PRIMARY KEY, v INTEGER)"
	armed := func(t *testing.T, legacy, service string) *enginetest.Pair {
		p := enginetest.NewPair(t, common{lab{"wal"}}, []string{legacy, "INSERT INTO x VALUES ('abc', 1)"}, "x")
		exec(t, p.Served, service)
		p.Write()
		p.To(migrations.StageArmed)
		p.Raise()
		p.Copy()
		return p
	}
	t.Run("loose at the owner", func(t *testing.T) {
		p := armed(t, loose, exact)
		exec(t, p.App, "UPDATE x SET k = 'Abc'", "UPDATE x SET k = 'ABC', v = 2")
		if diff := cmp.Diff(map[string]bool{`"abc"`: true, `"Abc"`: true, `"ABC"`: true}, p.Keys(0)); diff != "" {
			t.Error(diff)
		}
		p.Sync()
		p.Alike()
		for k, want := range map[string]int{"ABC": 1, "abc": 0} {
			n := 0
			must(t, p.Legacy.Lookup(t.Context(), 0, []migrations.Key{{k}}, func(migrations.Row) error { n++; return nil }))
			if n != want {
				t.Errorf("%s finds %d rows", k, n)
			}
		}
	})
	t.Run("loose at the follower", func(t *testing.T) {
		p := armed(t, exact, loose)
		exec(t, p.App, "INSERT INTO x VALUES ('Abc', 2)", "DELETE FROM x WHERE k = 'Abc'")
		p.Sync()
		p.Alike()
		exec(t, p.App, "UPDATE x SET k = 'ABC'")
		p.Sync()
		p.Alike()
	})
}

// TestATableForAnotherKindOfDatabase says what goes there, and what does not.
func TestATableForAnotherKindOfDatabase(t *testing.T) {
	p := enginetest.NewPair(t, common{lab{"wal"}}, []string{
		"CREATE TABLE boss (ID INTEGER PRIMARY KEY, name TEXT UNIQUE)",
		"CREATE TABLE stays (id INTEGER PRIMARY KEY)",
		`CREATE TABLE "a b" (z INTEGER NOT NULL, k TEXT COLLATE NOCASE NOT NULL, a INTEGER DEFAULT 5 CHECK (a > 0), g INTEGER AS (a * 2) UNIQUE, boss INTEGER REFERENCES boss(id) ON DELETE CASCADE,
			name TEXT REFERENCES boss(name), own TEXT, loose INTEGER REFERENCES boss(name), s INTEGER REFERENCES stays, top INTEGER REFERENCES BOSS, PRIMARY KEY (k, z), UNIQUE (a, boss), UNIQUE (boss, a))`,
		`CREATE INDEX by_own ON "a b" (own)`, `CREATE UNIQUE INDEX some ON "a b" (own) WHERE own > ''`,
	}, "a b→c d", "boss→chief")
	s, err := p.Legacy.Inspect(t.Context())
	must(t, err)
	type shape struct {
		key        []string
		uniques    [][]string
		references []migrations.Reference
		ddl        []string
	}
	got := shape{s.Tables[0].Key, s.Tables[0].Uniques, s.Tables[0].References, s.Tables[0].DDL}
	want := shape{[]string{"k", "z"}, [][]string{{"a", "boss"}}, []migrations.Reference{
		{Name: "a b_fkey1", Columns: []string{"top"}, Targets: []string{"ID"}, Parent: 1},
		{Name: "a b_fkey2", Columns: []string{"name"}, Targets: []string{"name"}, Parent: 1},
		{Name: "a b_fkey3", Columns: []string{"boss"}, Targets: []string{"ID"}, Parent: 1, OnDelete: "CASCADE"},
	}, nil}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(shape{})); diff != "" {
		t.Error(diff)
	}
	note := "the service's table a b is made without the index by_own, some, sqlite_autoindex_a b_1; the default of a; the generated column g; the collation of k; its checks; the foreign key of loose"
	if !slices.Contains(s.Notes, migrations.Note{What: note, Next: migrations.NextLeftOut}) {
		t.Errorf("notes %q\nwant %q", s.Notes, note)
	}

	p.Write()
	p.To(migrations.StageFirst)
	made := query(t, p.Served, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name IN ('c d', 'chief') ORDER BY name")
	if diff := cmp.Diff([]string{`CREATE TABLE "c d" (
    "z" INTEGER NOT NULL,
    "k" TEXT NOT NULL,
    "a" INTEGER,
    "boss" INTEGER,
    "name" TEXT,
    "own" TEXT,
    "loose" INTEGER,
    "s" INTEGER,
    "top" INTEGER,
    PRIMARY KEY ("k", "z"),
    UNIQUE ("a", "boss"),
    CONSTRAINT "a b_fkey1" FOREIGN KEY ("top") REFERENCES "chief" ("ID"),
    CONSTRAINT "a b_fkey2" FOREIGN KEY ("name") REFERENCES "chief" ("name"),
    CONSTRAINT "a b_fkey3" FOREIGN KEY ("boss") REFERENCES "chief" ("ID") ON DELETE CASCADE
)`, `CREATE TABLE "chief" (
    "ID" INTEGER PRIMARY KEY AUTOINCREMENT,
    "name" TEXT,
    UNIQUE ("name")
)`}, made); diff != "" {
		t.Error(diff)
	}
}

// TestATableOfAnotherKindOfDatabase is made so that it takes every row of the one that it is made of.
func TestATableOfAnotherKindOfDatabase(t *testing.T) {
	number := func(name string, at int) migrations.Column {
		return migrations.Column{Name: name, Kind: migrations.KindInteger, Size: 4, At: at, NotNull: true}
	}
	parent := migrations.Table{Name: "public.parent", Key: []string{"id"}, Uniques: [][]string{{"a", "b"}}, Columns: []migrations.Column{
		{Name: "a", Kind: migrations.KindInteger, Size: 2, At: 3}, {Name: "b", Kind: migrations.KindUUID, At: 2}, {Name: "id", Kind: migrations.KindInteger, Size: 8, At: 1, Auto: true, NotNull: true}}}
	child := migrations.Table{Name: `public."child"`, Key: []string{"z", "k"}, Columns: []migrations.Column{
		{Name: "bits", Kind: migrations.KindBytes, Size: 16, At: 12}, {Name: "bo", Kind: migrations.KindBoolean, At: 11}, {Name: "d", Kind: migrations.KindDate, At: 10},
		{Name: "de", Kind: migrations.KindDecimal, Size: 3, Scale: -2, At: 9}, {Name: "f", Kind: migrations.KindFloat, Size: 4, At: 8}, {Name: "j", Kind: migrations.KindJSON, At: 7},
		{Name: "k", Kind: migrations.KindText, Size: 40, At: 6, NotNull: true, Auto: true}, {Name: "many", Kind: migrations.KindDecimal, At: 5},
		{Name: "t", Kind: migrations.KindTime, At: 4}, {Name: "ts", Kind: migrations.KindTimestamp, Size: 3, At: 3}, {Name: "u", Kind: migrations.KindUUID, At: 2}, number("z", 1)},
		References: []migrations.Reference{{Name: "up", Columns: []string{"z"}, Targets: []string{"id"}, Parent: 0}, {Name: "both", Columns: []string{"u", "z"}, Targets: []string{"b", "a"}, Parent: 0},
			{Name: "to what may come twice", Columns: []string{"z"}, Targets: []string{"a"}, Parent: 0}}}
	plain := migrations.Table{Name: "public.plain", Key: []string{"id"}, Columns: []migrations.Column{number("id", 1)}}
	from := migrations.Schema{Engine: "postgres", Tables: []migrations.Table{parent, child, plain}}

	p := enginetest.NewPair(t, common{lab{"wal"}}, nil, "parent", "child", "plain")
	scripts, err := p.Service.FollowerScripts(t.Context(), from)
	must(t, err)
	exec(t, p.Served, scripts[0].Up)
	made, err := p.Service.Inspect(t.Context())
	must(t, err)
	for i, table := range from.Tables {
		if wrong := migrations.FitsKinds(table, made.Tables[i]); len(wrong) > 0 {
			t.Errorf("%s: %v", table.Name, wrong)
		}
	}
	if diff := cmp.Diff([]string{"z", "u", "ts", "t", "many", "k", "j", "f", "de", "d", "bo", "bits"}, query(t, p.Served, "SELECT name FROM pragma_table_info('child') ORDER BY cid")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"both", "up"}, slices.Sorted(slices.Values(named(made.Tables[1].References, from.Tables[1].References)))); diff != "" {
		t.Error(diff)
	}
	exec(t, p.Served, "INSERT INTO parent (a, b) VALUES (5, 'x')", "INSERT INTO parent (id, a, b) VALUES (5, 6, 'x')", "INSERT INTO plain VALUES (3)",
		"INSERT INTO child (z, k, u) VALUES (5, 'k', 'x')", "DELETE FROM child", "DELETE FROM parent", "INSERT INTO parent (b) VALUES ('new')")
	if ids := query(t, p.Served, "SELECT id FROM parent"); !slices.Equal(ids, []string{"6"}) {
		t.Errorf("the generated key is %v", ids)
	}
}

// named are the names, in another list, of references that lead over the same columns.
func named(found, in []migrations.Reference) (out []string) {
	for _, f := range found {
		for _, r := range in {
			if f.Parent == r.Parent && slices.Equal(f.Columns, r.Columns) && slices.Equal(f.Targets, r.Targets) {
				out = append(out, r.Name)
			}
		}
	}
	return out
}

// TestAServicesTableFitsByKinds whatever its types are called.
func TestAServicesTableFitsByKinds(t *testing.T) {
	for there, refusal := range map[string]string{
		"CREATE TABLE x (flag BOOL, amount NUMERIC, name VARCHAR(3), id BIGINT NOT NULL PRIMARY KEY)":                              "",
		"CREATE TABLE x (flag INTEGER, amount NUMERIC, name VARCHAR(3), id INTEGER PRIMARY KEY)":                                   "column flag is INTEGER (integer of 8) there and BOOLEAN (boolean) in the monolith",
		"CREATE TABLE x (flag BOOLEAN, amount DECIMAL TEXT(10, 1), name TEXT, id INTEGER PRIMARY KEY, more TEXT)":                  "column amount is DECIMAL TEXT(10, 1) (decimal of 10 digits, 1 behind the point) there and DECIMAL TEXT(10, 2) (decimal of 10 digits, 2 behind the point) in the monolith; it has a column more: more",
		"CREATE TABLE x (flag BOOLEAN, amount NUMERIC, name TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (id, name))":           "column name refuses NULL, the monolith's does not; its key is (id, name), the monolith's (id)",
		"CREATE TABLE x (flag BOOLEAN, amount NUMERIC, name TEXT GENERATED ALWAYS AS (flag || '') STORED, id INTEGER PRIMARY KEY)": "it has no column name that takes values",
	} {
		p := enginetest.NewPair(t, common{lab{"wal"}}, []string{"CREATE TABLE x (id INTEGER PRIMARY KEY, flag BOOLEAN, amount DECIMAL TEXT(10, 2), name TEXT)"}, "x")
		exec(t, p.Served, there)
		_, err := p.Plan.Make(t.Context())
		var r *strangler.Refusal
		switch {
		case refusal == "":
			must(t, err)
		case !errors.As(err, &r) || r.Check != "fit" || r.Why != "the service's table x does not take the monolith's rows: "+refusal:
			t.Errorf("%s:\n%v\nwant %s", there, err, refusal)
		}
	}
}

// TestKeysThatOnlyTheOtherSideGenerates go on behind those of a table that knows no AUTOINCREMENT.
func TestKeysThatOnlyTheOtherSideGenerates(t *testing.T) {
	p := enginetest.Armed(t, common{lab{"wal"}}, []string{"CREATE TABLE x (id INTEGER PRIMARY KEY, v INTEGER)", "CREATE TABLE y (id INTEGER PRIMARY KEY)", "INSERT INTO x VALUES (7, 1), (-3, 1)", "INSERT INTO y VALUES (-5)"}, "x", "y")
	next, err := p.Legacy.Sequences(t.Context())
	must(t, err)
	if diff := cmp.Diff([]int64{7, 0}, next); diff != "" {
		t.Error(diff)
	}
	must(t, p.Apply(func(a migrations.Apply) error { return a.SetSequences(t.Context(), []int64{100, 0}) }))
	p.CutOver()
	exec(t, p.Served, "INSERT INTO x (v) VALUES (2)", "INSERT INTO x (id, v) VALUES (50, 3)")
	if ids := query(t, p.Served, "SELECT id FROM x ORDER BY id"); !slices.Equal(ids, []string{"-3", "7", "50", "101"}) {
		t.Errorf("keys %v", ids)
	}
}

// SQLite does not see to what a type declares; where the rows keep to it, the service's table may have it.
func TestBoundsThatTheRowsKeep(t *testing.T) {
	p := enginetest.NewPair(t, common{lab{"wal"}}, []string{
		"CREATE TABLE x (id INTEGER PRIMARY KEY, kept VARCHAR(5), long NVARCHAR(5), price NUMERIC(6,2), fine DECIMAL(6,2), large DECIMAL(6,2), odd VARCHAR(0), plain TEXT, bare CHAR(7))",
		"INSERT INTO x (kept, long, price, fine, large) VALUES ('ünïcö', 'longer', 9999.99, 0.125, 10000), ('', NULL, -0.1, 1, 1), (NULL, '', 3, 2.5, 0)"}, "x")
	s, err := p.Legacy.Inspect(t.Context())
	must(t, err)
	got := map[string]string{}
	for _, c := range s.Tables[0].Columns {
		got[c.Name] = fmt.Sprintf("%s %d %d", c.Kind, c.Size, c.Scale)
	}
	want := map[string]string{"id": "integer 8 0", "kept": "text 5 0", "long": "text 0 0", "price": "decimal 6 2", "fine": "decimal 0 0", "large": "decimal 0 0", "odd": "text 0 0", "plain": "text 0 0", "bare": "text 7 0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
