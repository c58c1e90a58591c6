package demo

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler/internal/invariant"
)

// databasesOf makes a demo's databases on a private server.
func databasesOf(t *testing.T, kind string) (*databases, *folder) {
	t.Helper()
	files, err := prepare(filepath.Join(t.TempDir(), "demo"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := prepareDatabases(t.Context(), Options{Database: kind}, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, err := range []error{data.Close(), files.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return data, files
}

func texts(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// The roles are those of a team: nobody but the server's own administrator is a superuser, each
// application owns its database alone, and Strangler's role is a member of both.
func TestRolesOfTheDemo(t *testing.T) {
	data, files := databasesOf(t, "postgres")
	t.Setenv("PGPASSFILE", files.path(passwords))
	db, _, err := invariant.Open(data.legacy)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for query, want := range map[string][]string{
		"SELECT current_user || ' in ' || current_database()":                          {"strangler in shop"},
		"SELECT rolname FROM pg_roles WHERE rolsuper AND rolname !~ '^pg_' ORDER BY 1": {"postgres"},
		"SELECT datname || ' of ' || datdba::regrole FROM pg_database WHERE datname IN ('shop', 'delivery', 'control') ORDER BY 1": {
			"control of strangler", "delivery of delivery", "shop of shop"},
		"SELECT member::regrole || ' in ' || roleid::regrole FROM pg_auth_members WHERE member::regrole::text !~ '^pg_' ORDER BY 1": {
			"strangler in delivery", "strangler in shop"},
		"SELECT r FROM unnest(ARRAY['shop', 'delivery', 'strangler']) r WHERE has_parameter_privilege(r, 'session_replication_role', 'SET')": {"strangler"},
		"SHOW fsync":              {"on"},
		"SHOW synchronous_commit": {"on"},
	} {
		if diff := cmp.Diff(want, texts(t, db, query)); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
}

// No password stands where others look: in strangler.yaml, on a command line, in what a person is shown.
func TestPasswordsOfTheDemoAreInOneFile(t *testing.T) {
	data, files := databasesOf(t, "postgres")
	own, err := pgx.ParseConfig(data.shop)
	if err != nil || len(own.Password) < 20 {
		t.Fatalf("%v, a password of %d characters", err, len(own.Password))
	}
	for what, text := range map[string]string{
		"strangler.yaml": yaml(addresses{}, data), "command lines": data.monolith + data.delivery, "environments": strings.Join(data.env, " "), "the tour": data.tour,
	} {
		if strings.Contains(text, own.Password) {
			t.Errorf("%s: the password is shown", what)
		}
	}
	if info, err := os.Stat(files.path(passwords)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", err, info)
	}
	t.Setenv("PGPASSFILE", files.path(passwords))
	for _, dsn := range []string{data.monolith, data.delivery, data.control, data.legacy, data.service} {
		db, _, err := invariant.Open(dsn)
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		db.Close()
	}
}
