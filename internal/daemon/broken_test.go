package daemon_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/strangler-fig/strangler/internal/daemon"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

// TestEveryFindingSaysWhatToDo in settings that are broken in one way each: what stops a run, or should be known, comes with a step that
// can be taken, and what is broken does stop one.
func TestEveryFindingSaysWhatToDo(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer up.Close()
	sqlite := func(t *testing.T, statements ...string) string {
		file := filepath.Join(t.TempDir(), "x.db")
		run(t, "sqlite", "file:"+file, append(statements, "PRAGMA user_version = 1")...)
		return "sqlite:" + file
	}
	postgres := func(t *testing.T, statements ...string) string {
		dsn := localdbtest.Fresh(t)
		run(t, "pgx", dsn, statements...)
		return dsn
	}
	const couriers = "CREATE TABLE couriers (id integer PRIMARY KEY)"
	for name, c := range map[string]struct {
		legacy, service string
		more            string // of the capability
		check, says     string // a finding that stops a run; empty: the warnings alone are looked at
	}{
		"no such file":                   {"sqlite:/nowhere/shop.db", sqlite(t), "", "database", "cannot be reached"},
		"neither database":               {"sqlite:/nowhere/shop.db", "postgres://nobody@127.0.0.1:1/x", "", "database", "the service database of delivery cannot be reached"},
		"no such server":                 {"postgres://nobody@127.0.0.1:1/x", postgres(t), "", "database", "cannot be reached"},
		"no such MariaDB":                {"mysql://nobody@127.0.0.1:1/x", sqlite(t), "", "database", "cannot be reached"},
		"no such table":                  {sqlite(t), sqlite(t), "", "table", "no table couriers"},
		"no such table, either":          {postgres(t), postgres(t), "", "table", "no table couriers"},
		"no key":                         {sqlite(t, "CREATE TABLE couriers (name text)"), sqlite(t), "", "key", "no usable key"},
		"no key, either":                 {postgres(t, "CREATE TABLE couriers (name text)"), postgres(t), "", "key", "no usable key"},
		"a view":                         {postgres(t, "CREATE VIEW couriers AS SELECT 1 AS id"), postgres(t), "", "table", "is a view"},
		"a trigger of its own":           {sqlite(t, couriers, "CREATE TRIGGER x AFTER INSERT ON couriers BEGIN SELECT 1; END"), sqlite(t), "", "trigger", "triggers of its own"},
		"rows at the service":            {sqlite(t, couriers), sqlite(t, couriers, "INSERT INTO couriers VALUES (1)"), "", "rows", "already has rows"},
		"a table that does not fit":      {postgres(t, couriers), postgres(t, "CREATE TABLE couriers (id text PRIMARY KEY)"), "", "fit", "does not take the monolith's rows"},
		"another kind that does not fit": {sqlite(t, "CREATE TABLE couriers (id integer PRIMARY KEY, name text)"), postgres(t, "CREATE TABLE couriers (id integer PRIMARY KEY)"), "", "fit", "does not take"},
		"a touch without a seam":         {sqlite(t, couriers), sqlite(t), "touches: [POST /orders]", "touches", "without a seam"},
		"a touch that may fail":          {sqlite(t, couriers), sqlite(t), "touches: [{route: POST /orders, seam: false}]", "", ""},
		"what stays writes":              {sqlite(t, couriers, "CREATE TABLE orders (id integer)", "CREATE TRIGGER x AFTER INSERT ON orders BEGIN INSERT INTO couriers VALUES (new.id); END"), sqlite(t), "", "", ""},
		"much to be known": {postgres(t, couriers, "CREATE TABLE orders (id integer PRIMARY KEY, courier integer REFERENCES couriers)", "CREATE VIEW v AS SELECT * FROM couriers", "ALTER TABLE couriers ENABLE ROW LEVEL SECURITY",
			"CREATE FUNCTION hire() RETURNS void LANGUAGE sql AS 'INSERT INTO couriers VALUES (1)'", "GRANT SELECT ON couriers TO PUBLIC", "CREATE PUBLICATION all_of_it FOR ALL TABLES"), postgres(t), "", "role", "owns the table couriers"},
		"a service that is not there": {sqlite(t, couriers), sqlite(t), "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			url := up.URL
			if strings.Contains(name, "that is not there") {
				url = "http://127.0.0.1:1"
			}
			more := ""
			if c.more != "" {
				more = "    " + c.more + "\n"
			}
			found := checked(t, fmt.Sprintf("control: \"sqlite:%s\"\nlegacy: {url: %q, database: %q}\ncapabilities:\n  delivery:\n    routes: [POST /couriers]\n    service: {url: %q, database: %q}\n    tables: [couriers]\n%s",
				filepath.Join(t.TempDir(), "control.db"), up.URL, c.legacy, url, c.service, more))
			stops := settled(t, found)
			if c.check != "" && !strings.Contains(stops[c.check], c.says) {
				t.Errorf("nothing of %s says %q: %q", c.check, c.says, stops)
			}
			if c.check == "" && len(stops) > 0 {
				t.Errorf("it stops: %q", stops)
			}
		})
	}
}

// settled fails where a finding that is not well says nothing to do, and returns those that stop a run, by their check.
func settled(t *testing.T, found []daemon.Finding) (stops map[string]string) {
	t.Helper()
	stops = map[string]string{}
	for _, f := range found {
		if f.Message == "" || f.Check == "" {
			t.Errorf("%+v", f)
		}
		if f.Missing {
			stops[f.Check] += f.Message
		}
		if (f.Missing || f.Warning) && (len(f.Next) == 0 || strings.TrimSpace(strings.Join(f.Next, "")) == "") {
			t.Errorf("nothing to do about %+v", f)
		}
	}
	return stops
}

func run(t *testing.T, driver, dsn string, statements ...string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}
