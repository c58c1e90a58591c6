package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	client "github.com/go-sql-driver/mysql"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/invariant"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

// mysql is MariaDB as a team has it: each application has a user with all rights on its own database, and Strangler one
// with rights on both.
var mysql = &kind{
	dialect: invariant.MySQL,
	chinook: "Chinook_MySql.sql",
	autoKey: "INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY",
	past: func(statement string) []string {
		return []string{"SET @strangler_applier = 'test'", statement, "SET @strangler_applier = NULL"}
	},
	passer: func(t testing.TB, db *sql.DB) *sql.DB {
		var name string
		must(t, db.QueryRow("SELECT DATABASE()").Scan(&name))
		return openMySQL(t, localdbtest.SharedMariaDB(t).As("strangler", name))
	},
	writer: strangler.Writer{User: "shop", Address: "127.0.0.1"},
	make: func(t testing.TB) *pair {
		s := localdbtest.SharedMariaDB(t)
		assembleMySQL(t, s)
		shop, delivery, control := create(t, s, "shop"), create(t, s, "delivery"), create(t, s, "strangler")
		return &pair{legacyDSN: s.As("strangler", shop), serviceDSN: s.As("strangler", delivery), controlDSN: s.As("strangler", control),
			shopDSN: s.As("shop", shop), deliveryDSN: s.As("delivery", delivery)}
	},
	open: openMySQL,
	load: func(t testing.TB, db *sql.DB, script string) {
		_, tables, ok := strings.Cut(script, "USE `Chinook`;")
		if !ok {
			t.Fatal("the script does not use the database that it has made")
		}
		run(t, db, quotedName.ReplaceAllStringFunc(tables, snake))
	},
	speak: func(statement string) string { return statement },
	schema: func(t testing.TB, db *sql.DB) (out []string) {
		for _, name := range texts(t, db, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1") {
			var unused, text string
			must(t, db.QueryRow("SHOW CREATE TABLE `"+name+"`").Scan(&unused, &text))
			out = append(out, handedOut.ReplaceAllString(text, ""))
		}
		return append(out, texts(t, db, "SELECT CONCAT_WS(' ', TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT) FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() ORDER BY 1")...)
	},
	image: func(t testing.TB, db *sql.DB, table, key string) []string {
		var columns []string
		for _, c := range texts(t, db, "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY 1", table) {
			columns = append(columns, fmt.Sprintf("COALESCE(HEX(`%s`), 'NULL'), CAST(`%s` AS CHAR)", c, c))
		}
		types := texts(t, db, "SELECT CONCAT_WS(' ', COLUMN_NAME, COLUMN_TYPE, COLLATION_NAME) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY 1", table)
		return append(types, texts(t, db, fmt.Sprintf("SELECT CONCAT_WS(' ', %s) FROM `%s` ORDER BY `%s`", strings.Join(columns, ", "), table, key))...)
	},
	loose: func(t testing.TB, db *sql.DB) (out []string) {
		for _, q := range texts(t, db, `SELECT CONCAT('SELECT CONCAT(''', k.CONSTRAINT_NAME, ' '', c.', k.COLUMN_NAME, ') FROM ', k.TABLE_NAME, ' AS c WHERE c.', k.COLUMN_NAME, ' IS NOT NULL AND NOT EXISTS (SELECT 1 FROM ', k.REFERENCED_TABLE_NAME, ' AS p WHERE p.', k.REFERENCED_COLUMN_NAME, ' = c.', k.COLUMN_NAME, ')')
			FROM information_schema.KEY_COLUMN_USAGE AS k WHERE k.CONSTRAINT_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_NAME IS NOT NULL`) {
			out = append(out, texts(t, db, q)...)
		}
		return out
	},
	refused: []string{
		"INSERT INTO invoice_line (invoice_line_id, invoice_id, track_id, unit_price, quantity) VALUES (1, 1, 1, 1, 1) ON DUPLICATE KEY UPDATE quantity = 0",
		"REPLACE INTO invoice_line (invoice_line_id, invoice_id, track_id, unit_price, quantity) VALUES (1, 1, 1, 1, 1)",
		"INSERT IGNORE INTO invoice (invoice_id, customer_id, invoice_date, total) VALUES (900003, 1, '2026-01-01', 1)",
		"UPDATE IGNORE invoice SET total = 0", "SET @strangler_applier = 'billing:1'; DELETE FROM invoice_line",
		"DELETE l FROM invoice_line AS l JOIN invoice AS i ON i.invoice_id = l.invoice_id",
	},
}

var (
	quotedName = regexp.MustCompile("`[A-Za-z]+`")
	capital    = regexp.MustCompile("[a-z][A-Z]")
	handedOut  = regexp.MustCompile(` AUTO_INCREMENT=\d+`)
)

// snake is a quoted name as the other kinds' statements have it.
func snake(name string) string {
	return strings.ToLower(capital.ReplaceAllStringFunc(name, func(s string) string { return s[:1] + "_" + s[1:] }))
}

// openMySQL connects to the database of a DSN. A text may hold several statements.
func openMySQL(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	u, err := url.Parse(dsn)
	must(t, err)
	c := client.NewConfig()
	c.User, c.Net, c.Addr, c.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	c.Passwd, _ = u.User.Password()
	c.MultiStatements, c.InterpolateParams, c.Params = true, true, map[string]string{"max_recursive_iterations": "100000", "sql_mode": "'STRICT_TRANS_TABLES,PIPES_AS_CONCAT'"}
	return connect(t, "mysql", c.FormatDSN())
}

// texts are the rows of one column.
func texts(t testing.TB, db *sql.DB, query string, args ...any) (out []string) {
	t.Helper()
	rows, err := db.Query(query, args...)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var s string
		must(t, rows.Scan(&s))
		out = append(out, s)
	}
	must(t, rows.Err())
	return out
}

var mysqlTeam struct {
	sync.Once
	err error
}

// assembleMySQL makes the users, once.
func assembleMySQL(t testing.TB, s *localdb.Server) {
	t.Helper()
	mysqlTeam.Do(func() {
		ctx := context.Background()
		sync := "SET GLOBAL sync_binlog = 0"
		if asked() == strangler.CaptureLogical {
			sync = "SET GLOBAL sync_binlog = 1"
		}
		mysqlTeam.err = errors.Join(s.Role(ctx, "shop"), s.Role(ctx, "delivery"), s.Role(ctx, "strangler", "GRANT PROCESS, REPLICATION SLAVE ON *.* TO strangler@'%'", "SET GLOBAL binlog_row_metadata = 'FULL'", sync,
			"GRANT ALL ON `shop\\_%`.* TO strangler@'%'", "GRANT ALL ON `delivery\\_%`.* TO strangler@'%'"))
	})
	must(t, mysqlTeam.err)
}
