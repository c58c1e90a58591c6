package engines

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/invariant"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/migrations"
)

// asked are databases of each kind with a table of two rows.
func asked(t *testing.T) map[string]string {
	t.Helper()
	file := "sqlite:" + filepath.Join(t.TempDir(), "a b.db")
	made, err := sql.Open("sqlite", strings.TrimPrefix(file, "sqlite:"))
	if err == nil {
		_, err = made.Exec("PRAGMA journal_mode=WAL; CREATE TABLE made (x int)")
	}
	if err = errors.Join(err, made.Close()); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"sqlite": file, "postgres": localdbtest.Fresh(t), "mysql": localdbtest.FreshMariaDB(t)}
	for _, dsn := range all {
		db, _, err := invariant.Open(dsn)
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{"CREATE TABLE orphans (id int PRIMARY KEY, name varchar(20))", "INSERT INTO orphans VALUES (1, 'ann'), (2, NULL)"} {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func ask(ctx context.Context, dsn, query string) (string, error) {
	return Ask(ctx, migrations.Binding{Capability: "delivery", Side: strangler.Legacy, DSN: dsn}, query)
}

func TestAsk(t *testing.T) {
	for kind, dsn := range asked(t) {
		t.Run(kind, func(t *testing.T) {
			for query, want := range map[string]string{
				"SELECT count(*) FROM orphans":           "2",
				"SELECT name FROM orphans WHERE id = 1":  "ann",
				"SELECT name FROM orphans WHERE id = 2":  "NULL",
				"SELECT max(id) FROM orphans":            "2",
				"SELECT 1.5":                             "1.5",
				"SELECT max(name) FROM orphans;":         "ann",
				"SELECT 'é' -- what a person comments":   "é",
				"SELECT count(*) FROM orphans WHERE 1=0": "0",
			} {
				if got, err := ask(t.Context(), dsn, query); err != nil || got != want {
					t.Errorf("%s: %q, %v; want %q", query, got, err, want)
				}
			}
			for query, want := range map[string]error{
				"SELECT name FROM orphans WHERE id = 3": strangler.ErrNotFound,
				"SELECT id FROM orphans":                strangler.ErrConfig,
				"SELECT id, name FROM orphans":          strangler.ErrConfig,
				"SELECT nothing FROM nowhere":           nil, // it may be made yet
			} {
				if got, err := ask(t.Context(), dsn, query); err == nil || want != nil && !errors.Is(err, want) || want == nil && errors.Is(err, strangler.ErrConfig) {
					t.Errorf("%s: %q, %v; want %v", query, got, err, want)
				}
			}
		})
	}
}

// TestAskWritesNothing: whatever the query is.
func TestAskWritesNothing(t *testing.T) {
	for kind, dsn := range asked(t) {
		t.Run(kind, func(t *testing.T) {
			for _, query := range []string{
				"INSERT INTO orphans VALUES (3, 'eve')", "DELETE FROM orphans", "DROP TABLE orphans", "CREATE TABLE more (x int)", "UPDATE orphans SET name = 'eve'",
				"COMMIT; DELETE FROM orphans", "SELECT 1; COMMIT; DELETE FROM orphans",
			} {
				if got, err := ask(t.Context(), dsn, query); err == nil {
					t.Errorf("%s: answered %q", query, got)
				}
			}
			if got, err := ask(t.Context(), dsn, "SELECT count(*) FROM orphans WHERE id < 3 AND coalesce(name, 'ann') = 'ann'"); err != nil || got != "2" {
				t.Errorf("%q rows, %v", got, err)
			}
		})
	}
}

// TestAskEnds when its time is up, at the server too.
func TestAskEnds(t *testing.T) {
	all := asked(t)
	for kind, query := range map[string]string{
		"postgres": "SELECT pg_sleep(300)", "mysql": "SELECT SLEEP(300)",
		"sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
	} {
		t.Run(kind, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if got, err := ask(ctx, all[kind], query); err == nil {
				t.Errorf("answered %q", got)
			}
			running := map[string]string{
				"postgres": "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%' AND pid <> pg_backend_pid()",
				"mysql":    "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(300)%' AND id <> CONNECTION_ID()",
			}[kind]
			for n := 0; running != "" && n < 600; n++ {
				left, err := ask(t.Context(), all[kind], running)
				if err != nil {
					t.Fatal(err)
				}
				if left == "0" {
					return
				}
				time.Sleep(50 * time.Millisecond) // between two looks, of which the deadline is 30 s
			}
			if running != "" {
				t.Error("the server goes on with it")
			}
		})
	}
}

func TestAskShowsNoPassword(t *testing.T) {
	for _, dsn := range []string{
		"postgres://u:hunter2@127.0.0.1:1/d", "mysql://u:hunter2@127.0.0.1:1/d", "postgres://u:hunter2/@h/d", "mysql://u:hunter2/@h/d", "redis://u:hunter2@h", "",
		"sqlite:" + filepath.Join(t.TempDir(), "nothing.db"),
		"postgres://postgres:hunter2@" + localdbtest.Shared(t).Addr() + "/postgres?sslmode=disable", "mysql://root:hunter2@" + localdbtest.SharedMariaDB(t).Addr() + "/mysql",
	} {
		if got, err := ask(t.Context(), dsn, "SELECT 1"); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %q, %v", dsn, got, err)
		}
	}
}
