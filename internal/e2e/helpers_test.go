package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testLog(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return strangler.Discard()
}

func openSQLite(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)")
	must(t, err)
	must(t, db.Ping())
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func openScript(t testing.TB, script string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	must(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { must(t, db.Close()) })
	run(t, db, script)
	return db
}

func run(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
}

func queryInt(t testing.TB, db *sql.DB, query string, args ...any) (n int64) {
	t.Helper()
	must(t, db.QueryRow(query, args...).Scan(&n))
	return n
}

// schema is everything that stands in a database, as text.
func schema(t testing.TB, db *sql.DB) string {
	t.Helper()
	return strings.Join(queryRows(t, db, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name <> 'sqlite_sequence' ORDER BY type, name"), "\n")
}

func queryRows(t testing.TB, db *sql.DB, query string, args ...any) (out []string) {
	t.Helper()
	rows, err := db.Query(query, args...)
	must(t, err)
	defer rows.Close()
	cols, err := rows.Columns()
	must(t, err)
	for rows.Next() {
		vs, ps := make([]any, len(cols)), make([]any, len(cols))
		for i := range vs {
			ps[i] = &vs[i]
		}
		must(t, rows.Scan(ps...))
		out = append(out, fmt.Sprintf("%#v", vs))
	}
	must(t, rows.Err())
	return out
}

// equalTables compares a table of two databases row by row, column by column, with the storage class.
func equalTables(t testing.TB, a, b *sql.DB, table, key string) {
	t.Helper()
	var cols []string
	rows, err := a.Query("SELECT name FROM pragma_table_info(?) ORDER BY name", table)
	must(t, err)
	for rows.Next() {
		var c string
		must(t, rows.Scan(&c))
		cols = append(cols, fmt.Sprintf("typeof(%q), quote(%q)", c, c))
	}
	must(t, rows.Err())
	must(t, rows.Close())
	q := fmt.Sprintf("SELECT %s FROM %q ORDER BY %q", strings.Join(cols, ", "), table, key)
	x, y := queryRows(t, a, q), queryRows(t, b, q)
	if len(x) != len(y) {
		t.Errorf("%s: %d rows and %d rows", table, len(x), len(y))
	}
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			t.Fatalf("%s differs:\n%s\n%s", table, x[i], y[i])
		}
	}
}

// await asks until f is true; the test's own deadline is the only bound.
func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s never came", what)
		}
	}
}

func awaitPhase(t testing.TB, s *migrations.Splits, capability string, want strangler.Phase) {
	t.Helper()
	await(t, string(want), func() bool {
		st, err := s.Status(t.Context(), capability)
		must(t, err)
		if st.Phase == strangler.PhaseStopped {
			t.Fatalf("stopped: %s", st.Error)
		}
		return st.Phase == want
	})
}

func awaitCaughtUp(t testing.TB, s *migrations.Splits, capability string) {
	t.Helper()
	now := time.Now()
	await(t, "the stream", func() bool {
		st, err := s.Status(t.Context(), capability)
		must(t, err)
		return st.Lag.Changes == 0 && s.Passed(capability).After(now)
	})
}
