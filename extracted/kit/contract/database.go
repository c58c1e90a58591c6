package contract

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"   // the driver "mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// moved are the tables that move with couriers.
var moved = []string{"couriers", "courier_actions", "courier_requests"}

// Fresh makes an empty database that lasts as long as the test, and returns its DSN.
type Fresh func(testing.TB) string

// EachDatabase runs a test once for each kind of database that a program may have.
func EachDatabase(t *testing.T, postgres, mysql Fresh, test func(t *testing.T, fresh Fresh)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "test.db") })
	})
	t.Run("postgres", func(t *testing.T) { test(t, postgres) })
	t.Run("mysql", func(t *testing.T) { test(t, mysql) })
}

// kind is a kind of database, by the scheme of a DSN.
func kind(dsn string) string {
	scheme, _, _ := strings.Cut(dsn, ":")
	return scheme
}

// Open opens sqlite:path, postgres://… or mysql://… beside a program, until the test ends.
func Open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	driver, source := "pgx", dsn
	switch kind(dsn) {
	case "sqlite":
		driver, source = "sqlite", "file:"+strings.TrimPrefix(dsn, "sqlite:")+"?_pragma=busy_timeout(10000)"
	case "mysql":
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		password, _ := u.User.Password()
		config := mysql.NewConfig()
		config.User, config.Passwd, config.Net, config.Addr, config.DBName = u.User.Username(), password, "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
		driver, source = "mysql", config.FormatDSN()
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
