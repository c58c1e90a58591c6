package postgres_test

import (
	"strings"

	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// keys are tables whose keys are hard to order and to compare. The lab's databases compare text by the rules of a
// language, unless a column says otherwise.
var keys = []enginetest.Sample{
	key("negative integers", "k integer PRIMARY KEY", "0", "-1", "5", "-2147483648", "2147483647", "-7", "10", "9"),
	key("large integers", "k bigint PRIMARY KEY", "9223372036854775807", "-9223372036854775808", "9007199254740993", "9007199254740992", "0"),
	key("small integers", "k smallint PRIMARY KEY", "-32768", "32767", "0"),
	key("text by the rules of a language", "k text PRIMARY KEY", "'b'", "'B'", "'a'", "'A'", "''", "'a '", "' a'", "'ä'", "'Z'", "'10'", "'9'", "'co-op'", "'coop'", "'co op'", "'e\u0301'", "'\u00e9'", `E'\\'`, `E'\n'`, `'"'`, "'NULL'"),
	key("text by bytes", `k text COLLATE "C" PRIMARY KEY`, "'b'", "'B'", "'a'", "'A'", "''", "'a '", "'ä'", "'Z'", "'10'", "'9'", "'ab'", "'😀'", "'\uffff'"),
	key("text of a limited length", "k varchar(5) PRIMARY KEY", "'b'", "'B'", "'a'", "''", "' '", "'abcde'"),
	key("text padded with blanks", "k char(5) PRIMARY KEY", "'b'", "'B'", "'a'", "''", "'a b'", "'abcde'", `E'a\t'`),
	{
		Name:   "text without case or accents",
		Create: []string{"CREATE COLLATION looser (provider = icu, locale = 'und-u-ks-level1', deterministic = false)", "CREATE TABLE %s (k text COLLATE looser PRIMARY KEY, v integer DEFAULT 0)"},
		Insert: one("k", "'b'", "'C'", "'ä'", "'D'", "''", "'_'", "'aB'", "'Z'", "'É'"),
		Touch:  touch,
	},
	{
		Name: "an index with a collation of its own", Create: []string{"CREATE TABLE %s (k text NOT NULL, v integer DEFAULT 0)", `CREATE UNIQUE INDEX by_key ON %s (k COLLATE "C")`},
		Insert: one("k", "'b'", "'C'", "'a'", "'D'", "'_'", "'E'"), Touch: touch,
	},
	{
		Name: "text of the extension citext", Create: []string{"CREATE EXTENSION IF NOT EXISTS citext", "CREATE TABLE %s (k citext PRIMARY KEY, v integer DEFAULT 0)"},
		Insert: one("k", "'b'", "'C'", "'a'", "'D'", "''", "'ä'", "'aB'"), Touch: touch,
	},
	key("names", "k name PRIMARY KEY", "'b'", "'B'", "''", "'a'"),
	key("single characters", `k "char" PRIMARY KEY`, "'b'", "''", "' '", "'~'", `E'\\'`),
	key("uuid", "k uuid PRIMARY KEY", "gen_random_uuid()", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
	key("numeric", "k numeric PRIMARY KEY", "1.0", "1.10", "-1", "'NaN'", "'Infinity'", "'-Infinity'", "0.00", "1e20", "1e-20", "10", "9", "repeat('9', 500)::numeric"),
	key("numeric of a scale", "k numeric(10,3) PRIMARY KEY", "1", "1.5", "-0.001", "9999999.999", "'NaN'"),
	key("floating point", "k double precision PRIMARY KEY", "'-0'", "'NaN'", "'Infinity'", "'-Infinity'", "5e-324", "-5e-324", "0.1", "0.1::double precision + 0.2::double precision", "1.7976931348623157e308"),
	key("short floating point", "k real PRIMARY KEY", "'-0'", "'NaN'", "'Infinity'", "0.1", "1e-45", "16777216", "1::real / 3"),
	key("bytes", "k bytea PRIMARY KEY", "''", `'\x00'`, `'\x0000'`, `'\xff'`, `'\x61'`, `'\x5c'`, `'\x6162'`),
	key("instants", "k timestamptz PRIMARY KEY", "'infinity'", "'-infinity'", "'0044-03-15 12:00 BC'", "'2024-06-01 12:34:56.789012+02'", "'2024-06-01 12:34:56.789013+02'", "'epoch'", "'2024-10-27 01:30:00+00'", "'2024-10-27 02:30:00+02'"),
	key("times without a zone", "k timestamp PRIMARY KEY", "'infinity'", "'-infinity'", "'0044-03-15 BC'", "'2024-02-29 23:59:59.999999'", "'1582-10-10'"),
	key("dates", "k date PRIMARY KEY", "'infinity'", "'-infinity'", "'0044-03-15 BC'", "'0001-01-01'", "'10000-01-01'", "'2024-02-29'"),
	key("times of a day", "k time PRIMARY KEY", "'24:00'", "'00:00'", "'23:59:59.999999'"),
	key("times of a day with a zone", "k timetz PRIMARY KEY", "'12:00+02'", "'12:00-02'", "'10:00+00'", "'10:00:00.5+00'"),
	key("intervals, of which different ones are equal", "k interval PRIMARY KEY", "'1 mon'", "'29 days'", "'-1 mon'", "'1 year -12 mon'", "'24:00:01'", "'178000000 years'"),
	key("money", "k money PRIMARY KEY", "'-0.01'", "'1000.10'", "'0'"),
	key("boolean", "k boolean PRIMARY KEY", "true", "false"),
	key("bits", "k bit varying(8) PRIMARY KEY", "''", "'0'", "'00'", "'1'", "'10'"),
	key("addresses", "k inet PRIMARY KEY", "'10.0.0.1'", "'10.0.0.1/8'", "'9.0.0.1'", "'::1'", "'10.0.0.0/8'"),
	key("networks", "k cidr PRIMARY KEY", "'10.0.0.0/8'", "'10.0.0.0/24'", "'::/0'", "'0.0.0.0/0'"),
	key("hardware addresses", "k macaddr PRIMARY KEY", "'08-00-2b-01-02-03'", "'ffffffffffff'", "'0800.2b01.0204'"),
	key("ranges", "k int4range PRIMARY KEY", "'empty'", "'[1,5)'", "'(,)'", "'[1,1]'", "'(,5]'"),
	key("arrays", "k text[] PRIMARY KEY", "'{}'", "'{NULL}'", "'{a}'", `'{"a,b"}'`, "'{a,b}'", "'{{a},{b}}'", `ARRAY[E'\\', '"', '{}']`, "'[0:0]={a}'"),
	key("documents", "k jsonb PRIMARY KEY", `'{"b": 1.10}'`, "'null'", `'"\\\""'`, "'[]'", "'{}'", "'10'", "'9'", "'true'"),
	key("positions in the log", "k pg_lsn PRIMARY KEY", "'0/0'", "'16/B374D848'", "'FFFFFFFF/FFFFFFFF'", "'9/0'"),
	{
		Name: "an enumeration, in its own order", Create: []string{`CREATE TYPE mood AS ENUM ('sad', 'ok', 'a "b"', '')`, "ALTER TYPE mood ADD VALUE 'between' BEFORE 'ok'", "CREATE TABLE %s (k mood PRIMARY KEY, v integer DEFAULT 0)"},
		Insert: one("k", "'sad'", "''", "'ok'", "'between'", `'a "b"'`), Touch: touch,
	},
	{
		Name: "domains", Create: []string{`CREATE DOMAIN code AS text COLLATE "C" CHECK (VALUE <> 'x')`, "CREATE DOMAIN short_code AS code CHECK (length(VALUE) < 5)", "CREATE TABLE %s (k short_code PRIMARY KEY, v integer DEFAULT 0)"},
		Insert: one("k", "'b'", "'B'", "''", "'ä'", "'10'", "'9'"), Touch: touch,
	},
	{
		Name: "whole numbers of a domain", Create: []string{"CREATE DOMAIN number AS bigint CHECK (VALUE > -100)", "CREATE TABLE %s (k number PRIMARY KEY, v integer DEFAULT 0)"},
		Insert: one("k", "10", "9", "-1"), Touch: touch,
	},
	{
		Name: "a composite type", Create: []string{"CREATE TYPE place AS (street text, number integer)", "CREATE TABLE %s (k place PRIMARY KEY, v integer DEFAULT 0)"},
		Insert: one("k", "ROW('b', 1)", "ROW('a', 10)", "ROW('a', 9)", `ROW(E'a"b\\,', -1)`, "ROW(NULL, 1)", "ROW('', NULL)"), Touch: touch,
	},
	{
		Name: "composite", Create: []string{"CREATE TABLE %s (v integer DEFAULT 0, k text NOT NULL, j integer NOT NULL DEFAULT 0, at timestamptz NOT NULL DEFAULT 'epoch', PRIMARY KEY (k, j, at))"},
		Insert: []string{"INSERT INTO %s (k, j, v) VALUES ('a', 2, 0), ('a', -1, 0), ('B', 5, 0), ('b', 1, 0), ('a', 10, 0), ('', 0, 0), ('b', 0, 0)", "INSERT INTO %s (k, j, at, v) VALUES ('a', 2, 'infinity', 0), ('a', 2, '1970-01-01 00:00:01Z', 0)"}, Touch: touch,
	},
	{
		Name: "unique, descending, NULL first, without a primary key", Create: []string{"CREATE TABLE %s (v integer DEFAULT 0, k text NOT NULL, j integer NOT NULL)", "CREATE UNIQUE INDEX by_k ON %s (k DESC NULLS FIRST, j ASC NULLS LAST)"},
		Insert: []string{"INSERT INTO %s (k, j, v) VALUES ('a', 2, 0), ('a', 1, 0), ('B', 3, 0), ('b', 1, 0), ('', 9, 0), ('a', 10, 0)"}, Touch: touch,
	},
	{
		Name: "columns that are only included", Create: []string{"CREATE TABLE %s (v integer DEFAULT 0, k text, w integer, PRIMARY KEY (k) INCLUDE (v, w))"},
		Insert: one("k", "'b'", "'a'", "'C'"), Touch: "UPDATE %s SET v = v + 10, w = 1",
	},
	{
		Name: "a replica identity beside unusable unique indexes", Create: []string{"CREATE TABLE %s (k text NOT NULL, n text UNIQUE, v integer DEFAULT 0)", "CREATE UNIQUE INDEX half ON %s (v) WHERE v > 1000", "CREATE UNIQUE INDEX made ON %s (lower(k))", "CREATE UNIQUE INDEX chosen ON %s (k)", "ALTER TABLE %s REPLICA IDENTITY USING INDEX chosen"},
		Insert: one("k, n", "'b'", "'a'", "'C'"), Touch: touch,
	},
	{
		Name: "an identity", Create: []string{"CREATE TABLE %s (k bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v integer DEFAULT 0)"},
		Insert: []string{"INSERT INTO %s (v) VALUES (0), (1), (2)"}, Touch: touch,
	},
	{
		Name: "partitions by range of the key", Create: []string{"CREATE TABLE %s (k text COLLATE \"C\" PRIMARY KEY, v integer DEFAULT 0) PARTITION BY RANGE (k)", "CREATE TABLE upper PARTITION OF %s FOR VALUES FROM (MINVALUE) TO ('a')", "CREATE TABLE lower PARTITION OF %s FOR VALUES FROM ('a') TO (MAXVALUE)"},
		Insert: one("k", "'b'", "'B'", "'a'", "'A'", "''", "'ä'"), Touch: touch,
	},
	{
		Name: "long keys", Create: []string{"CREATE TABLE %s (k text COLLATE \"C\" PRIMARY KEY, v integer DEFAULT 0)"},
		Insert: one("k", "repeat('a', 2000)", "repeat('a', 1999) || 'b'", "repeat('ü', 1000)", "'a'"), Touch: touch,
	},
	{
		Name: "names that are long, or ours", Create: []string{`CREATE TABLE %s ("` + strings.Repeat("k", 63) + `" integer, "` + strings.Repeat("k", 62) + `l" integer, "old_nonce" integer DEFAULT 0, nonce integer DEFAULT 0, id integer DEFAULT 0, truncated boolean DEFAULT false, v integer DEFAULT 0,
			PRIMARY KEY ("` + strings.Repeat("k", 63) + `", "` + strings.Repeat("k", 62) + `l", old_nonce, nonce, id, truncated))`},
		Insert: []string{`INSERT INTO %s ("` + strings.Repeat("k", 63) + `", "` + strings.Repeat("k", 62) + `l", v) VALUES (1, 2, 0), (2, 1, 0), (1, 1, 0)`}, Touch: touch,
	},
}

const touch = "UPDATE %s SET v = v + 10"

// key makes a table with a row for each key.
func key(name, column string, values ...string) enginetest.Sample {
	return enginetest.Sample{Name: name, Create: []string{"CREATE TABLE %s (" + column + ", v integer DEFAULT 0)"}, Insert: one("k", values...), Touch: touch}
}
