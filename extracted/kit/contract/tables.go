package contract

import (
	"database/sql"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	//go:embed tables_sqlite.txt
	sqliteTables string
	//go:embed tables_postgres.txt
	postgresTables string
	//go:embed tables_mysql.txt
	mysqlTables string
	//go:embed requests.json
	requests []byte
)

// request is a row of courier_requests, but for its time.
type request struct {
	Key      string `json:"idempotency_key"`
	Request  string `json:"request"`
	BodyHash string `json:"body_hash"`
	Status   int    `json:"status"`
	Answer   string `json:"answer"`
}

// catalog lists a table's columns in their order, and its indexes, a line each.
type catalog struct{ columns, indexes string }

var (
	sqliteCatalog = catalog{
		columns: `SELECT name || ' ' || type || iif("notnull", ' NOT NULL', '') || iif(pk, ' KEY', '') FROM pragma_table_info(?) ORDER BY cid`,
		indexes: `SELECT iif(l."unique", 'unique', 'index') || ' ' || group_concat(i.name, ', ') FROM pragma_index_list(?) l, pragma_index_info(l.name) i GROUP BY l.name ORDER BY 1`,
	}
	postgresCatalog = catalog{
		columns: `SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END ||
				CASE a.attidentity WHEN 'd' THEN ' IDENTITY' WHEN 'a' THEN ' ALWAYS' ELSE '' END ||
				CASE WHEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)) THEN ' KEY' ELSE '' END
			FROM pg_attribute a WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
		indexes: `SELECT CASE WHEN indisunique THEN 'unique' ELSE 'index' END || ' ' ||
				(SELECT string_agg(pg_get_indexdef(indexrelid, n, true), ', ' ORDER BY n) FROM generate_series(1, indnatts) n)
			FROM pg_index WHERE indrelid = $1::text::regclass AND NOT indisprimary ORDER BY 1`,
	}
	mysqlCatalog = catalog{
		columns: `SELECT concat(column_name, ' ', column_type, if(collation_name IS NULL, '', concat(' ', collation_name)), if(is_nullable = 'NO', ' NOT NULL', ''),
				if(extra = 'auto_increment', ' IDENTITY', ''), if(column_key = 'PRI', ' KEY', ''))
			FROM information_schema.columns WHERE table_schema = database() AND table_name = ? ORDER BY ordinal_position`,
		indexes: `SELECT concat(if(non_unique, 'index', 'unique'), ' ', group_concat(column_name ORDER BY seq_in_index SEPARATOR ', '))
			FROM information_schema.statistics WHERE table_schema = database() AND table_name = ? AND index_name <> 'PRIMARY' GROUP BY index_name, non_unique ORDER BY 1`,
	}
)

// Tables checks that the database has the tables that move with couriers: the same columns in the same
// order, of the same types, and the same indexes. Foreign keys may differ.
func Tables(t *testing.T, dsn string) {
	t.Helper()
	db, want, list := Open(t, dsn), sqliteTables, sqliteCatalog
	switch kind(dsn) {
	case "postgres":
		want, list = postgresTables, postgresCatalog
	case "mysql":
		want, list = mysqlTables, mysqlCatalog
	}
	var got strings.Builder
	for _, table := range moved {
		fmt.Fprintf(&got, "%s\n", table)
		for _, query := range []string{list.columns, list.indexes} {
			for _, line := range texts(t, db, query, table) {
				fmt.Fprintf(&got, "  %s\n", line)
			}
		}
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("tables that move (-want +got):\n%s", diff)
	}
}

// Recorded checks the keys that Couriers leaves in courier_requests.
func Recorded(t *testing.T, dsn string) {
	t.Helper()
	var got []request
	rows, err := Open(t, dsn).Query("SELECT idempotency_key, request, body_hash, status, answer FROM courier_requests ORDER BY idempotency_key")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r request
		if err := rows.Scan(&r.Key, &r.Request, &r.BodyHash, &r.Status, &r.Answer); err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(recorded(t), got); diff != "" {
		t.Errorf("recorded requests (-want +got):\n%s", diff)
	}
}

// Replays copies the keys into the empty database, as a split does, and checks that the program at base,
// which serves it, gives their answers and does nothing else.
func Replays(t *testing.T, dsn, base string) {
	t.Helper()
	db := Open(t, dsn)
	known := map[string]bool{}
	for _, r := range recorded(t) {
		known[r.Key] = true
		insert := "INSERT INTO courier_requests VALUES ($1, $2, $3, $4, $5, '2025-01-01T00:00:00.000000Z')"
		if kind(dsn) == "mysql" {
			insert = "INSERT INTO courier_requests VALUES (?, ?, ?, ?, ?, '2025-01-01 00:00:00')"
		}
		if _, err := db.Exec(insert,
			r.Key, r.Request, r.BodyHash, r.Status, r.Answer); err != nil {
			t.Fatal(err)
		}
	}
	played := 0
	for _, e := range conversation(t) {
		if known[e.Key] && e.Status < 300 {
			e.Replayed = true
			t.Run(e.Name, func(t *testing.T) { e.play(t, base) })
			played++
		}
	}
	if played == 0 {
		t.Error("no request with a recorded key was played")
	}
	var made int
	if err := db.QueryRow("SELECT count(*) FROM couriers").Scan(&made); err != nil || made != 0 {
		t.Errorf("replaying made %d couriers, want none: %v", made, err)
	}
}

func recorded(t *testing.T) []request {
	t.Helper()
	var want []request
	if err := json.Unmarshal(requests, &want); err != nil {
		t.Fatalf("requests.json: %v", err)
	}
	return want
}

func texts(t *testing.T, db *sql.DB, query string, args ...any) (lines []string) {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}
