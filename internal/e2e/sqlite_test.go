package e2e

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/strangler-fig/strangler/internal/invariant"
)

var sqlite = &kind{
	dialect: invariant.SQLite,
	chinook: "Chinook_Sqlite.sql",
	past: func(statement string) []string {
		return []string{"UPDATE strangler_fence SET applier = 1", statement, "UPDATE strangler_fence SET applier = 0"}
	},
	autoKey: "INTEGER PRIMARY KEY AUTOINCREMENT",
	make: func(t testing.TB) *pair {
		dir := t.TempDir()
		in := func(name string) string { return "sqlite:" + filepath.Join(dir, name) }
		p := &pair{legacyDSN: in("legacy.db"), serviceDSN: in("service.db"), controlDSN: in("control.db")}
		p.shopDSN, p.deliveryDSN = p.legacyDSN, p.serviceDSN
		return p
	},
	open: func(t testing.TB, dsn string) *sql.DB {
		return connect(t, "sqlite", "file:"+strings.TrimPrefix(dsn, "sqlite:")+"?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_pragma=journal_mode(WAL)")
	},
	load: func(t testing.TB, db *sql.DB, script string) { run(t, db, script) },
	speak: func(statement string) string {
		return lowerCase.ReplaceAllStringFunc(statement, func(name string) string {
			if strings.HasPrefix(name, "'") {
				return name
			}
			var out string
			for word := range strings.SplitSeq(name, "_") {
				out += strings.ToUpper(word[:1]) + word[1:]
			}
			return out
		})
	},
	schema: func(t testing.TB, db *sql.DB) []string {
		return queryRows(t, db, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name <> 'sqlite_sequence' ORDER BY type, name")
	},
	image: func(t testing.TB, db *sql.DB, table, key string) []string {
		var cols []string
		rows, err := db.Query("SELECT name FROM pragma_table_info(?) ORDER BY name", table)
		must(t, err)
		defer rows.Close()
		for rows.Next() {
			var c string
			must(t, rows.Scan(&c))
			cols = append(cols, fmt.Sprintf("typeof(%q), quote(%q)", c, c))
		}
		must(t, rows.Err())
		return queryRows(t, db, fmt.Sprintf("SELECT %s FROM %q ORDER BY %q", strings.Join(cols, ", "), table, key))
	},
	loose: func(t testing.TB, db *sql.DB) []string {
		return queryRows(t, db, "SELECT * FROM pragma_foreign_key_check")
	},
	refused: []string{
		"UPDATE OR IGNORE invoice SET total = 0",
		"INSERT OR REPLACE INTO invoice_line (invoice_line_id, invoice_id, track_id, unit_price, quantity) VALUES (1, 1, 1, 1, 1)",
	},
}

// lowerCase are names, and texts that stay as they are; words of SQL are written in capitals.
var lowerCase = regexp.MustCompile(`'[^']*'|\b[a-z]+(_[a-z]+)*\b`)
