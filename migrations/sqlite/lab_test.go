package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
	"github.com/strangler-fig/strangler/migrations/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) { enginetest.Run(t, lab{"wal"}) }

// TestConformanceInRollbackJournal is what may wait for a lock, in the journal mode in which readers and writers block
// each other.
func TestConformanceInRollbackJournal(t *testing.T) {
	enginetest.Run(t, lab{"delete"}, "fence", "terms", "capture", "progress")
}

// lab makes databases in one journal mode.
type lab struct{ journal string }

func (lab) Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	return sqlite.Open(ctx, b)
}

func (l lab) Fresh(t *testing.T) string {
	t.Helper()
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "a b?c%20#.db")
	db := l.Connect(t, dsn)
	exec(t, db, "PRAGMA journal_mode = "+l.journal)
	exec(t, db, "PRAGMA user_version = 1") // the file begins to exist
	return dsn
}

func (lab) Connect(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	u := url.URL{Scheme: "file", OmitHost: true, Path: strings.TrimPrefix(dsn, "sqlite:"), RawQuery: "_pragma=busy_timeout(20000)&_pragma=foreign_keys(1)&_pragma=synchronous(0)"}
	db, err := sql.Open("sqlite", u.String())
	must(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func (l lab) Admin(t *testing.T, dsn string) *sql.DB { return l.Connect(t, dsn) }

func (lab) Speech() enginetest.Speech {
	return enginetest.Speech{
		Quote:   quote,
		AutoKey: "INTEGER PRIMARY KEY AUTOINCREMENT",
		Schema: func(t *testing.T, db *sql.DB) []string {
			return query(t, db, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name <> 'sqlite_sequence' ORDER BY type, name")
		},
		Image:   image,
		Edges:   edges,
		Keys:    keys,
		Refused: refused,
		Tampers: tampers,
		Unseen:  true,

		Obstacle: [2]string{"CREATE TABLE strangler_log_couriers (x INTEGER)", "DROP TABLE strangler_log_couriers"},
	}
}

// image reads every column that is not hidden, by name, with its type and its literal.
func image(t *testing.T, db *sql.DB, table string) []string {
	t.Helper()
	var out []string
	for _, c := range query(t, db, "SELECT name FROM pragma_table_xinfo("+literal(table)+") ORDER BY name") {
		out = append(out, fmt.Sprintf("'%s ' || typeof(%s) || ' ' || CASE typeof(%[2]s) WHEN 'text' THEN hex(%[2]s) ELSE quote(%[2]s) END", strings.ReplaceAll(c, "'", "''"), quote(c)))
	}
	return query(t, db, "SELECT "+strings.Join(out, " || ' | ' || ")+" AS image FROM "+quote(table)+" ORDER BY image")
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

var edges = []enginetest.Sample{
	{
		Name:   "every storage class in every affinity",
		Create: []string{"CREATE TABLE %s (id INTEGER PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB, n NUMERIC, none)"},
		Insert: each("i, r, t, b, n, none",
			"NULL", "''", "x''", "0", "1", "-1", "9223372036854775807", "-9223372036854775808", "9007199254740993",
			"0.1", "1.5", "-0.0", "1e308", "-1e308", "5e-324", "9e999", "-9e999", "1e15", "3.0", "'abc'", "'12'", "' 12'", "'1e3'", "'0x10'", "'9223372036854775808'",
			"x'00ff80'", "CAST(x'610062' AS TEXT)", "CAST(x'ff80c3' AS TEXT)", "CAST(x'00' AS TEXT)", "x'3132'", "'ünïcödé 😀'", "'it''s; -- \"'"),
	},
	{
		Name:   "declared types that drivers like to convert",
		Create: []string{"CREATE TABLE %s (id INTEGER PRIMARY KEY, d DATE, dt DATETIME, ts TIMESTAMP, bo BOOLEAN, tm TIME, de DECIMAL(10,2), js JSON, tn TIMESTAMPTZ)"},
		Insert: each("d, dt, ts, bo, tm, de, js, tn",
			"'2024-02-29'", "'2024-02-29 12:34:56.789'", "'2024-02-29T12:34:56Z'", "'2024-02-29 12:34:56+02:00'", "'true'", "'yes'", "1", "0", "2", "1709210096", "1709210096123", "2460370.5", "'not a date'", "''", "NULL", "x'01'"),
	},
	{
		Name:   "one mebibyte",
		Create: []string{"CREATE TABLE %s (id INTEGER PRIMARY KEY, t TEXT, b BLOB)"},
		Insert: []string{"INSERT INTO %s (t, b) VALUES (replace(hex(zeroblob(524288)), '00', 'aü'), CAST(replace(hex(zeroblob(262144)), '00', 'ff80') AS BLOB)), (hex(zeroblob(524288)), zeroblob(1048576))"},
	},
	{
		Name:   "strict",
		Create: []string{"CREATE TABLE %s (id INTEGER PRIMARY KEY, i INT, r REAL, t TEXT, b BLOB, a ANY) STRICT"},
		Insert: []string{"INSERT INTO %s (i, r, t, b, a) VALUES (1, 2.0, '3', x'04', '5'), (NULL, NULL, NULL, NULL, NULL), (-1, 9e999, '', x'', 5.5), (0, -0.0, 'x', x'00', x'05'), (7, 7, '007', x'07', '007')"},
	},
	{
		Name: "generated columns of both kinds",
		Create: []string{"CREATE TABLE %s (v INTEGER GENERATED ALWAYS AS (a * 2) VIRTUAL, id INTEGER PRIMARY KEY, a INTEGER, s TEXT GENERATED ALWAYS AS (a || '!') STORED, z INTEGER)",
			"CREATE INDEX made ON %s (v)"},
		Insert: []string{"INSERT INTO %s (a, z) VALUES (1, 2), (NULL, 3), (-5, NULL)"},
	},
	{
		Name:   "without rowid",
		Create: []string{"CREATE TABLE %s (z TEXT, k TEXT, a INTEGER, PRIMARY KEY (k, a)) WITHOUT ROWID"},
		Insert: []string{"INSERT INTO %s (z, k, a) VALUES ('1', 'x', 1), (NULL, 'x', 2), ('', '', 0)"},
	},
}

// each inserts one row for every value, in all columns.
func each(columns string, values ...string) (out []string) {
	n := strings.Count(columns, ",") + 1
	for _, v := range values {
		out = append(out, "INSERT INTO %s ("+columns+") VALUES ("+strings.TrimSuffix(strings.Repeat(v+", ", n), ", ")+")")
	}
	return out
}

func texts(values ...string) (out []string) {
	for _, v := range values {
		out = append(out, "INSERT INTO %s (k, v) VALUES ("+v+", 0)")
	}
	return out
}

var keys = []enginetest.Sample{
	key("negative integers", []string{"CREATE TABLE %s (k INTEGER PRIMARY KEY, v INTEGER)"},
		texts("0", "-1", "5", "-9223372036854775808", "9223372036854775807", "-7", "3")),
	key("binary text", []string{"CREATE TABLE %s (k TEXT NOT NULL PRIMARY KEY, v INTEGER)"},
		texts("'b'", "'B'", "'a'", "'A'", "''", "'a '", "'ä'", "'Z'", "'10'", "'9'", "'ab'")),
	key("text without case", []string{"CREATE TABLE %s (k TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, v INTEGER)"},
		texts("'b'", "'C'", "'a'", "'D'", "''", "'Ä'", "'ä'", "'_'", "'aB'", "'Z'")),
	key("text without trailing spaces", []string{"CREATE TABLE %s (k TEXT COLLATE RTRIM NOT NULL PRIMARY KEY, v INTEGER)"},
		texts("'b'", "'a  '", "'ab'", "'a b '", "'  '", "'c'")),
	key("an index with a collation of its own", []string{"CREATE TABLE %s (k TEXT NOT NULL, v INTEGER)", "CREATE UNIQUE INDEX by_key ON %s (k COLLATE NOCASE)"},
		texts("'b'", "'C'", "'a'", "'D'", "'_'", "'E'", "'f'")),
	key("a column without case under a binary index", []string{"CREATE TABLE %s (k TEXT COLLATE NOCASE NOT NULL, v INTEGER, PRIMARY KEY (k COLLATE BINARY))"},
		texts("'b'", "'B'", "'a'", "'A'", "'_'", "'c'", "'C'")),
	key("mixed storage classes", []string{"CREATE TABLE %s (k NOT NULL PRIMARY KEY, v INTEGER)"},
		texts("1", "2.5", "'1'", "x'31'", "-4", "9007199254740993", "9007199254740992.0", "''", "x''", "1e300", "'x'")),
	key("composite", []string{"CREATE TABLE %s (v INTEGER, k TEXT NOT NULL, j INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (k, j))"},
		[]string{"INSERT INTO %s (k, j, v) VALUES ('a', 2, 0), ('a', -1, 0), ('B', 5, 0), ('b', 1, 0), ('a', 10, 0), ('', 0, 0), ('b', 0, 0)"}),
	key("composite of mixed collations, descending", []string{"CREATE TABLE %s (v INTEGER, k TEXT COLLATE NOCASE NOT NULL, j TEXT NOT NULL, PRIMARY KEY (k DESC, j)) WITHOUT ROWID"},
		[]string{"INSERT INTO %s (k, j, v) VALUES ('a', 'x', 0), ('A', 'X', 0), ('B', 'x', 0), ('b', 'y', 0), ('C', '', 0), ('a', 'y', 0)"}),
	key("blobs", []string{"CREATE TABLE %s (k BLOB NOT NULL PRIMARY KEY, v INTEGER) WITHOUT ROWID"},
		texts("x''", "x'00'", "x'0000'", "x'ff'", "x'61'", "'a'")),
	key("real numbers", []string{"CREATE TABLE %s (k REAL NOT NULL PRIMARY KEY, v INTEGER)"},
		texts("0.1", "-0.5", "3", "1e308", "-9e999", "9e999", "'x'")),
	key("a unique index that cannot hold NULL", []string{"CREATE TABLE %s (v INTEGER, k TEXT NOT NULL, j INTEGER NOT NULL DEFAULT 1, UNIQUE (v, j))", "CREATE UNIQUE INDEX by_k ON %s (k, j)"},
		[]string{"INSERT INTO %s (k, v) VALUES ('a', 1), ('c', 2), ('b', 3)"}),
	key("dates", []string{"CREATE TABLE %s (k DATETIME NOT NULL PRIMARY KEY, v INTEGER)"},
		texts("'2024-01-02'", "'2024-01-01 10:00:00'", "1700000000", "'2024-01-01T10:00:00Z'", "1.5")),
}

// key is a sample whose rows have a key k and a value v.
func key(name string, create, insert []string) enginetest.Sample {
	return enginetest.Sample{Name: name, Create: create, Insert: insert, Touch: "UPDATE %s SET v = v + 10"}
}

var refused = []enginetest.Refusal{
	refuse("nullable primary key", "key", "CREATE TABLE x (a TEXT PRIMARY KEY)"),
	refuse("nullable primary key, and the word rowid", "key", "CREATE TABLE x (a TEXT PRIMARY KEY, rowid TEXT DEFAULT 'without rowid')"),
	refuse("descending integer key, which may be NULL", "key", "CREATE TABLE x (a INTEGER PRIMARY KEY DESC)"),
	refuse("partial unique index", "key", "CREATE TABLE x (a INTEGER NOT NULL)", "CREATE UNIQUE INDEX x_a ON x (a) WHERE a > 0"),
	refuse("generated key", "key", "CREATE TABLE x (a INTEGER, b INTEGER NOT NULL AS (a + 1) UNIQUE)"),
	refuse("trigger", "trigger", "CREATE TABLE x (a INTEGER PRIMARY KEY)", "CREATE TRIGGER mine AFTER INSERT ON x BEGIN SELECT 1; END"),
	refuse("unique index on an expression", "index", "CREATE TABLE x (a INTEGER PRIMARY KEY, b TEXT)", "CREATE UNIQUE INDEX x_b ON x (lower(b))"),
	refuse("virtual table", "table", "CREATE VIRTUAL TABLE x USING fts5(a)"),
}

func refuse(name, check string, create ...string) enginetest.Refusal {
	return enginetest.Refusal{Name: name, Check: check, Create: create, Table: "x"}
}

var tampers = []enginetest.Tamper{
	{Name: "fence trigger dropped", Statement: func(t string) string { return "DROP TRIGGER " + quote("strangler_fence_"+t+"_update") }, Fence: true},
	{Name: "all fence triggers renamed away by a rebuild of the table", Statement: func(t string) string {
		return fmt.Sprintf("DROP TRIGGER %s; DROP TRIGGER %s; DROP TRIGGER %s", quote("strangler_fence_"+t+"_update"), quote("strangler_fence_"+t+"_insert"), quote("strangler_fence_"+t+"_delete"))
	}, Fence: true},
	{Name: "fence trigger weakened", Statement: func(t string) string {
		name := quote("strangler_fence_" + t + "_delete")
		return fmt.Sprintf("DROP TRIGGER %s; CREATE TRIGGER %[1]s BEFORE DELETE ON %s WHEN 0 BEGIN SELECT 1; END", name, quote(t))
	}, Fence: true},
	{Name: "capture trigger dropped", Statement: func(t string) string { return "DROP TRIGGER IF EXISTS " + quote("strangler_log_"+t+"_insert") }, Fence: false},
	{Name: "capture trigger weakened", Statement: func(t string) string {
		name := quote("strangler_log_" + t + "_delete")
		return fmt.Sprintf("DROP TRIGGER %s; CREATE TRIGGER %[1]s AFTER DELETE ON %s WHEN 0 BEGIN SELECT 1; END", name, quote(t))
	}, Fence: false},
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := db.ExecContext(context.Background(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// query returns each row as text, its columns separated by bars.
func query(t *testing.T, db *sql.DB, q string) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	must(t, err)
	for rows.Next() {
		vs, ps := make([]sql.NullString, len(cols)), make([]any, len(cols))
		for i := range vs {
			ps[i] = &vs[i]
		}
		must(t, rows.Scan(ps...))
		line := make([]string, len(vs))
		for i, v := range vs {
			line[i] = v.String
		}
		out = append(out, strings.Join(line, " | "))
	}
	must(t, rows.Err())
	return out
}
