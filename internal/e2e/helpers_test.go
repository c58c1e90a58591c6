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

// connect opens a database for the length of the test.
func connect(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	must(t, db.Ping())
	return db
}

func run(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
}

// persist runs a statement as an application does that tries again while another one has the database (SQLite).
func persist(db *sql.DB, query string) error {
	for {
		_, err := db.Exec(query)
		if err == nil || !strings.Contains(err.Error(), "SQLITE_BUSY") {
			return err
		}
	}
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

// patience is how long a test waits for what has to come. Nothing that is awaited takes a tenth of it.
const patience = 2 * time.Minute

// await asks until f is true.
func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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
		return st.Lag.Changes == 0 && st.Lag.Unknown == "" && s.Passed(capability).After(now)
	})
}
