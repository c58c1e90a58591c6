package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	client "github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
	"github.com/strangler-fig/strangler/migrations/mysql"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(localdbtest.Main(m)) }

func TestConformance(t *testing.T) { enginetest.Run(t, lab{}) }

// lab makes databases as a team has them: the application has a user of its own, and Strangler another one.
type lab struct{}

func (lab) Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	return mysql.Open(ctx, b)
}

const (
	application = "app"
	role        = "strangler"
	root        = "root"
)

var (
	prepareOnce sync.Once
	prepareErr  error
	copies      atomic.Int64
)

func (l lab) Fresh(t *testing.T) string {
	t.Helper()
	s := localdbtest.SharedMariaDB(t)
	prepareOnce.Do(func() {
		prepareErr = errors.Join(
			s.Role(context.Background(), application, "GRANT ALL ON `lab\\_%`.* TO app@'%'"),
			s.Role(context.Background(), role, "GRANT ALL ON `lab\\_%`.* TO strangler@'%'", "GRANT PROCESS ON *.* TO strangler@'%'"))
	})
	must(t, prepareErr)
	return l.fresh(t, s)
}

func (lab) fresh(t *testing.T, s *localdb.Server) string {
	t.Helper()
	name := fmt.Sprintf("lab_%d", copies.Add(1))
	must(t, s.Create(t.Context(), name, ""))
	t.Cleanup(func() { must(t, s.Drop(context.Background(), name)) })
	return s.As(role, name)
}

func exec(t *testing.T, db *sql.DB, q string) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), q); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

func (l lab) Connect(t *testing.T, dsn string) *sql.DB { return l.session(t, application, dsn) }

func (l lab) Admin(t *testing.T, dsn string) *sql.DB { return l.session(t, root, dsn) }

// session is one connection of a user to the database that a DSN names.
func (lab) session(t *testing.T, user, dsn string) *sql.DB {
	t.Helper()
	u, err := url.Parse(dsn)
	must(t, err)
	password, _ := u.User.Password()
	c := client.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName, c.MultiStatements = user, password, "tcp", u.Host, strings.TrimPrefix(u.Path, "/"), true
	connector, err := client.NewConnector(c)
	must(t, err)
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func (lab) Speech() enginetest.Speech {
	return enginetest.Speech{
		Quote:     quote,
		AutoKey:   "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY",
		Schema:    schema,
		Image:     image,
		Edges:     edges,
		Keys:      keys,
		Refused:   refused,
		Tampers:   tampers,
		Piecemeal: true,

		Obstacle: [2]string{"CREATE TABLE strangler_log_couriers (x INTEGER)", "DROP TABLE strangler_log_couriers"},
	}
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// query returns each row, its columns joined.
func query(t *testing.T, db *sql.DB, q string) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), q)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	must(t, err)
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		dest := make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		must(t, rows.Scan(dest...))
		var line []string
		for _, v := range values {
			if v.Valid {
				line = append(line, v.String)
			} else {
				line = append(line, "NULL")
			}
		}
		out = append(out, strings.Join(line, " | "))
	}
	must(t, rows.Err())
	return out
}

// image reads every column, as bytes and with its type.
func image(t *testing.T, db *sql.DB, table string) []string {
	t.Helper()
	var out []string
	for _, c := range query(t, db, "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = "+literal(table)+" ORDER BY 1") {
		kind := query(t, db, "SELECT COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = "+literal(table)+" AND COLUMN_NAME = "+literal(c))[0]
		value := "COALESCE(HEX(" + quote(c) + "), 'NULL')"
		if strings.HasPrefix(kind, "float") || strings.HasPrefix(kind, "double") || strings.HasPrefix(kind, "decimal") {
			value = "COALESCE(CAST(" + quote(c) + " + 0e0 AS CHAR), 'NULL'), ' ', COALESCE(CAST(" + quote(c) + " AS CHAR), 'NULL')"
		}
		if strings.HasPrefix(kind, "timestamp") || strings.HasPrefix(kind, "date") || strings.HasPrefix(kind, "time") {
			value = "COALESCE(CAST(" + quote(c) + " AS CHAR), 'NULL')"
		}
		out = append(out, fmt.Sprintf("CONCAT(%s, %s)", literal(c+" "+kind+" "), value))
	}
	lines := query(t, db, "SELECT "+strings.Join(out, ", ")+" FROM "+quote(table))
	slices.Sort(lines)
	return lines
}

func schema(t *testing.T, db *sql.DB) (out []string) {
	t.Helper()
	for _, name := range query(t, db, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1") {
		line := query(t, db, "SHOW CREATE TABLE "+quote(name))[0]
		for _, part := range strings.Split(line, "\n") {
			if at := strings.Index(part, " AUTO_INCREMENT="); at > 0 && strings.HasPrefix(part, ")") {
				part = ")"
			}
			out = append(out, name+": "+part)
		}
	}
	for _, q := range []string{
		"SELECT 'trigger', TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() ORDER BY 2",
		"SELECT 'routine', ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() ORDER BY 2",
	} {
		out = append(out, query(t, db, q)...)
	}
	return out
}

var tampers = []enginetest.Tamper{
	{Name: "fence trigger dropped", Statement: func(t string) string { return "DROP TRIGGER IF EXISTS " + quote("strangler_fence_"+t+"_update") }, Fence: true},
	{Name: "fence triggers dropped", Statement: func(t string) string {
		return fmt.Sprintf("DROP TRIGGER IF EXISTS %s; DROP TRIGGER IF EXISTS %s; DROP TRIGGER IF EXISTS %s", quote("strangler_fence_"+t+"_update"), quote("strangler_fence_"+t+"_insert"), quote("strangler_fence_"+t+"_delete"))
	}, Fence: true},
	{Name: "fence trigger replaced", Statement: func(t string) string {
		return fmt.Sprintf("CREATE OR REPLACE TRIGGER %s BEFORE UPDATE ON %s FOR EACH ROW SET @nothing = 1", quote("strangler_fence_"+t+"_update"), quote(t))
	}, Fence: true},
	{Name: "capture trigger dropped", Statement: func(t string) string { return "DROP TRIGGER IF EXISTS " + quote("strangler_log_"+t+"_update") }},
	{Name: "capture of what goes along dropped", Statement: func(t string) string { return "DROP TRIGGER IF EXISTS " + quote("strangler_log_"+t+"_delete_along") }},
}

func refuse(name, check string, create ...string) enginetest.Refusal {
	return enginetest.Refusal{Name: name, Check: check, Create: create, Table: "x"}
}

var refused = []enginetest.Refusal{
	refuse("key of a beginning", "key", "CREATE TABLE x (a TEXT NOT NULL, PRIMARY KEY (a(10)))"),
	refuse("key of an enum", "key", "CREATE TABLE x (a ENUM ('b', 'a') NOT NULL PRIMARY KEY)"),
	refuse("key without an order", "key", "CREATE TABLE x (a TEXT NOT NULL UNIQUE)"),
	refuse("key of a float", "key", "CREATE TABLE x (a FLOAT NOT NULL PRIMARY KEY)"),
	refuse("generated key", "key", "CREATE TABLE x (a INTEGER, b INTEGER AS (a + 1) STORED UNIQUE)"),
	refuse("trigger", "trigger", "CREATE TABLE x (a INTEGER NOT NULL PRIMARY KEY)", "CREATE TRIGGER mine AFTER INSERT ON x FOR EACH ROW SET @x = 1"),
	refuse("without transactions", "engine", "CREATE TABLE x (a INTEGER NOT NULL PRIMARY KEY) ENGINE=Aria"),
	refuse("cascade from a table that stays", "cascade", "CREATE TABLE y (a INTEGER NOT NULL PRIMARY KEY)", "CREATE TABLE x (a INTEGER NOT NULL PRIMARY KEY, b INTEGER, FOREIGN KEY (b) REFERENCES y (a) ON DELETE SET NULL)"),
	refuse("cascade that goes round", "cascade", "CREATE TABLE x (a INTEGER NOT NULL PRIMARY KEY, b INTEGER, FOREIGN KEY (b) REFERENCES x (a) ON DELETE CASCADE)"),
	refuse("system versions", "table", "CREATE TABLE x (a INTEGER NOT NULL PRIMARY KEY) WITH SYSTEM VERSIONING"),
	refuse("sequence", "default", "CREATE SEQUENCE s", "CREATE TABLE x (a INTEGER NOT NULL PRIMARY KEY DEFAULT NEXTVAL(s))"),
}

func sample(name, columns string, insert ...string) enginetest.Sample {
	s := enginetest.Sample{Name: name, Create: []string{"CREATE TABLE %s (" + columns + ")"}}
	for _, values := range insert {
		s.Insert = append(s.Insert, "INSERT INTO %s VALUES "+values)
	}
	return s
}

func keyed(name, columns string, insert ...string) enginetest.Sample {
	s := sample(name, columns, insert...)
	s.Touch = "UPDATE %s SET v = v + 10"
	return s
}

const lenient = "SET SESSION sql_mode = ''"

var edges = []enginetest.Sample{
	sample("ints", "id INTEGER NOT NULL PRIMARY KEY, t TINYINT, tu TINYINT UNSIGNED, s SMALLINT, m MEDIUMINT UNSIGNED, b BIGINT, bu BIGINT UNSIGNED, flag BOOLEAN, bits BIT(64), bit1 BIT(1), z INTEGER(8) ZEROFILL, y YEAR",
		"(1, -128, 255, -32768, 16777215, -9223372036854775808, 18446744073709551615, 1, b'1111111111111111111111111111111111111111111111111111111111111111', b'1', 42, 2155), (2, 127, 0, 32767, 0, 9223372036854775807, 9223372036854775808, 0, b'0', b'0', 0, 1901), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"),
	sample("numbers", "id INTEGER NOT NULL PRIMARY KEY, d DECIMAL(65, 30), n DECIMAL(38, 0), f FLOAT, g DOUBLE, du DECIMAL(5, 2) UNSIGNED",
		"(1, 12345678901234567890123456789012345.123456789012345678901234567890, 99999999999999999999999999999999999999, 0.1, 0.1, 999.99), (2, -0.000000000000000000000000000001, -99999999999999999999999999999999999999, 3.4e38, 1.7976931348623157e308, 0), (3, 0, 0, 16777217, 2.2250738585072014e-308, 0.01), (4, NULL, NULL, -1e-38, 0.30000000000000004, NULL)"),
	sample("texts", "id INTEGER NOT NULL PRIMARY KEY, c CHAR(20), v VARCHAR(200), t TEXT, l LONGTEXT, latin VARCHAR(20) CHARACTER SET latin1, wide VARCHAR(20) CHARACTER SET utf16, three VARCHAR(20) CHARACTER SET utf8mb3, j JSON, e ENUM ('a', 'b,c', 'it''s', ''), s SET ('x', 'y', 'z')",
		`(1, 'padded   ', 'trailing  ', 'quote '' double " back \\ slash', 'line\nbreak\ttab\rreturn', 'caf\u00e9', 'wide', 'three', '{"a": [1, 2.50, null]}', 'b,c', 'x,z')`, "(2, '', '', '', '', '', '', '', '[]', 'it''s', ''), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
		"(4, _utf8mb4 x'F09F8C8A', _utf8mb4 x'F09F8C8AE282AC', x'001A0A0D', REPEAT('long ', 50000), x'E9A4', _utf8mb4 x'E282AC', _utf8mb4 x'E282AC', '\"\\\\u00e9\"', '', 'x,y,z')"),
	sample("bytes", "id INTEGER NOT NULL PRIMARY KEY, b BINARY(8), v VARBINARY(300), l LONGBLOB, g GEOMETRY, p POINT",
		"(1, x'00FF', x'0001020A0D1A22275C7F80FEFF', REPEAT(x'00FF27', 30000), ST_GeomFromText('LINESTRING(0 0, 1 1, 2 0)', 4326), POINT(1, 2)), (2, '', '', '', NULL, NULL), (3, NULL, NULL, NULL, NULL, NULL)"),
	{Name: "moments", Create: []string{"CREATE TABLE %s (id INTEGER NOT NULL PRIMARY KEY, d DATE, t TIME(6), dt DATETIME(6), ts TIMESTAMP(6) NULL, d0 DATETIME, t0 TIME, ts0 TIMESTAMP NULL)"},
		Insert: []string{lenient, "INSERT INTO %s VALUES (1, '2024-02-29', '838:59:59.000000', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999999', '1000-01-01', '-838:59:59', '1970-01-02 00:00:01'), (2, '0000-00-00', '-00:00:00.000001', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '2024-00-00', '00:00:00', '0000-00-00 00:00:00'), (3, '2024-02-31', '12:00:00.1', '2024-03-10 02:30:00.1', '2024-11-03 01:30:00.5', '0001-01-01', '01:02:03', '2024-03-31 02:30:00'), (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"}},
	{Name: "generated", Create: []string{"CREATE TABLE %s (id INTEGER NOT NULL PRIMARY KEY, a INTEGER, b INTEGER AS (a + 1) VIRTUAL, c INTEGER AS (a * 2) STORED, INDEX (b))"},
		Insert: []string{"INSERT INTO %s (id, a) VALUES (1, 1), (2, NULL)"}},
	{Name: "zero", Create: []string{"CREATE TABLE %s (id INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY, v INTEGER)"}, Insert: []string{"SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'", "INSERT INTO %s VALUES (0, 1), (-1, 2), (5, 3)"}},
	sample("checked", "id INTEGER NOT NULL PRIMARY KEY, v INTEGER CHECK (v > 0), w VARCHAR(10) DEFAULT 'it''s' COMMENT 'line\\nbreak, `tick`', KEY k (w(3)), FULLTEXT KEY f (w)", "(1, 1, 'a'), (2, NULL, NULL)"),
	{Name: "parted", Create: []string{"CREATE TABLE %s (id INTEGER NOT NULL, d DATE NOT NULL, v INTEGER, PRIMARY KEY (id, d)) PARTITION BY RANGE (YEAR(d)) (PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN MAXVALUE)"},
		Insert: []string{"INSERT INTO %s VALUES (1, '2019-01-01', 1), (2, '2021-01-01', 2)"}},
}

var keys = []enginetest.Sample{
	keyed("int", "k INTEGER NOT NULL PRIMARY KEY, v INTEGER", "(0, 0), (-5, 1), (2147483647, 2), (-2147483648, 3), (10, 4), (9, 5)"),
	keyed("unsigned", "k BIGINT UNSIGNED NOT NULL PRIMARY KEY, v INTEGER", "(18446744073709551615, 0), (9223372036854775808, 1), (9223372036854775807, 2), (1, 3), (9007199254740993, 4), (9007199254740992, 5)"),
	keyed("decimal", "k DECIMAL(38, 10) NOT NULL PRIMARY KEY, v INTEGER", "(12345678901234567890.1234567891, 0), (12345678901234567890.1234567890, 1), (-1, 2), (0.5, 3), (0, 4)"),
	keyed("double", "k DOUBLE NOT NULL PRIMARY KEY, v INTEGER", "(0.1, 0), (0.30000000000000004, 1), (-1e300, 2), (1e-300, 3)"),
	{Name: "nocase", Create: []string{"CREATE TABLE %s (k VARCHAR(40) NOT NULL PRIMARY KEY, v INTEGER) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"},
		Insert: []string{"INSERT INTO %s VALUES ('a', 0), ('B', 1), ('Ç', 2), ('d ', 3), ('E', 4), ('', 5)"}, Touch: "UPDATE %s SET v = v + 10"},
	keyed("bin", "k VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, v INTEGER", `('a', 0), ('A', 1), ('ä', 2), ('b', 3), ('', 4), ('it''s', 5), ('back\\slash', 6), ('100%', 7), ('_', 8)`),
	keyed("latin", "k VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_german2_ci NOT NULL PRIMARY KEY, v INTEGER", "('a', 0), ('B', 1), (_utf8mb4'ä', 2), ('z', 3), (_utf8mb4'ß', 4)"),
	keyed("bytes", "k VARBINARY(40) NOT NULL PRIMARY KEY, v INTEGER", "(x'00', 0), (x'', 1), (x'FF', 2), (x'C3A4', 3), (x'275C', 4), (x'0000', 5)"),
	keyed("uuid", "k BINARY(16) NOT NULL PRIMARY KEY, v INTEGER", "(x'00112233445566778899AABBCCDDEEFF', 0), (x'FF112233445566778899AABBCCDDEEFF', 1), (x'7F112233445566778899AABBCCDDEE00', 2)"),
	keyed("uuids", "k UUID NOT NULL PRIMARY KEY, v INTEGER", "('00112233-4455-6677-8899-aabbccddeeff', 0), ('ff112233-4455-6677-8899-aabbccddeeff', 1), ('00112233-4455-6677-0099-aabbccddeeff', 2), ('01112233-4455-1677-8899-aabbccddee00', 3)"),
	keyed("dates", "k DATETIME(6) NOT NULL PRIMARY KEY, v INTEGER", "('2024-01-01 00:00:00.000001', 0), ('2024-01-01', 1), ('1000-01-01', 2), ('9999-12-31 23:59:59.999999', 3)"),
	keyed("stamps", "k TIMESTAMP NOT NULL PRIMARY KEY, v INTEGER", "('2024-01-01 00:00:00', 0), ('2024-03-31 04:30:00', 1), ('1971-01-01', 2)"),
	keyed("times", "k TIME(3) NOT NULL PRIMARY KEY, v INTEGER", "('-838:59:59', 0), ('00:00:00', 1), ('-00:00:00.001', 2), ('100:00:00', 3)"),
	keyed("several", "a INTEGER NOT NULL, b VARCHAR(10) NOT NULL, c DATE NOT NULL, v INTEGER, PRIMARY KEY (b, a, c)", "(1, 'a', '2024-01-01', 0), (1, 'a', '2024-01-02', 1), (2, 'A', '2024-01-01', 2), (0, 'b', '2024-01-01', 3), (1, 'b', '2023-01-01', 4), (-1, 'B', '2024-01-01', 5)"),
	keyed("unique", "a INTEGER NOT NULL, b INTEGER, v INTEGER, UNIQUE KEY (a), UNIQUE KEY (b)", "(3, NULL, 0), (1, NULL, 1), (2, 5, 2)"),
}

// byUser is a DSN of another user, whose password is the same.
func byUser(t *testing.T, dsn, user string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	must(t, err)
	u.User = url.UserPassword(user, password(t, dsn))
	return u.String()
}

func password(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	must(t, err)
	p, _ := u.User.Password()
	return p
}

func database(dsn string) string { return quote(dsn[strings.LastIndexByte(dsn, '/')+1:]) }
