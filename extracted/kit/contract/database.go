package contract

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// moved are the tables that move with couriers.
var moved = []string{"couriers", "courier_actions", "courier_requests"}

// Fresh makes an empty database that lasts as long as the test, and returns its DSN.
type Fresh func(testing.TB) string

// EachDatabase runs a test once for each kind of database that a program may have.
func EachDatabase(t *testing.T, postgres Fresh, test func(t *testing.T, fresh Fresh)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "test.db") })
	})
	t.Run("postgres", func(t *testing.T) { test(t, postgres) })
}

func isSQLite(dsn string) bool { return strings.HasPrefix(dsn, "sqlite:") }

// open opens sqlite:path or postgres://… until the test ends.
func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	driver, source := "pgx", dsn
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func run(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
