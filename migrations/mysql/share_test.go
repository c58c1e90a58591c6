package mysql_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
	"github.com/strangler-fig/strangler/migrations/mysql"
)

var sharedJobs = []string{
	"CREATE TABLE jobs (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, code VARCHAR(10) UNIQUE, courier BIGINT, total BIGINT DEFAULT 0)",
	"INSERT INTO jobs VALUES (1, 'a', 7, 10), (2, 'b', NULL, 20), (3, 'c', 8, 30)",
}

// REPLACE and ON DUPLICATE KEY UPDATE are what they come to, row by row.
func TestReplaceOverARowThatHasGone(t *testing.T) {
	jobs := strangler.Table{From: "jobs", To: "jobs", Where: "courier IS NOT NULL"}
	for _, q := range []string{
		"REPLACE INTO jobs VALUES (1, 'x', NULL, 0)",
		"REPLACE INTO jobs VALUES (9, 'c', NULL, 0)",
		"INSERT INTO jobs VALUES (1, 'x', NULL, 0) ON DUPLICATE KEY UPDATE courier = NULL",
	} {
		t.Run(q, func(t *testing.T) {
			p := enginetest.Shared(t, lab{}, sharedJobs, jobs)
			p.Exec(p.App, q)
			p.Sync()
			if diff := cmp.Diff(enginetest.Plain(t, p.App, "(SELECT * FROM jobs WHERE courier IS NOT NULL) AS x"), enginetest.Plain(t, p.Served, "jobs")); diff != "" {
				t.Errorf("- legacy, + service:\n%s", diff)
			}
			p = enginetest.Shared(t, lab{}, sharedJobs, jobs)
			p.CutOver()
			p.Refused(p.App, q)
			p.Exec(p.App, "REPLACE INTO jobs VALUES (2, 'z', NULL, 0)")
			p.Exec(p.App, "INSERT INTO jobs VALUES (2, 'x', NULL, 0) ON DUPLICATE KEY UPDATE total = 5")
		})
	}
}

// A condition on a key that the database makes is asked when the key is made.
func TestShareByAGeneratedKey(t *testing.T) {
	p := enginetest.Shared(t, lab{}, sharedJobs, strangler.Table{From: "jobs", To: "jobs", Where: "id >= 4"})
	p.Exec(p.App, "INSERT INTO jobs (code) VALUES ('d')")
	p.Sync()
	if got := enginetest.Plain(t, p.Served, "jobs"); len(got) != 1 {
		t.Errorf("at the service: %v", got)
	}
	p.CutOver()
	p.Refused(p.App, "INSERT INTO jobs (code) VALUES ('e')")
}

// What is cut, what is not, and what a key that is not cut must not do.
func TestSharesAndForeignKeys(t *testing.T) {
	ddl := func(action string) []string {
		return []string{
			"CREATE TABLE people (id BIGINT NOT NULL PRIMARY KEY)", "CREATE TABLE couriers (id BIGINT NOT NULL PRIMARY KEY)",
			"CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, body VARCHAR(10), secret BIGINT, twin BIGINT, courier BIGINT, CONSTRAINT a FOREIGN KEY (secret) REFERENCES people (id)" + action + ", CONSTRAINT b FOREIGN KEY (twin) REFERENCES people (id), CONSTRAINT c FOREIGN KEY (courier) REFERENCES couriers (id))",
			"CREATE TABLE uses (id BIGINT NOT NULL PRIMARY KEY, note BIGINT, CONSTRAINT d FOREIGN KEY (note) REFERENCES notes (id))",
		}
	}
	inspect := func(action, where string) migrations.Schema {
		dsn := lab{}.Fresh(t)
		app := lab{}.Connect(t, dsn)
		for _, q := range ddl(action) {
			exec(t, app, q)
		}
		d, err := mysql.Open(t.Context(), migrations.Binding{Capability: "notes", Side: strangler.Legacy, DSN: dsn, Tables: []string{"couriers", "notes"}, ControlID: "x", Common: true,
			Shares: []migrations.Share{{}, {Stays: []string{"secret"}, Where: where}}})
		must(t, err)
		t.Cleanup(func() { must(t, d.Close()) })
		s, err := d.Inspect(t.Context())
		must(t, err)
		return s
	}
	for where, want := range map[string][]string{
		"":             {"notes twin people", "notes courier couriers", "uses note notes"}, // the service may delete what is used
		"body IS NULL": {"notes twin people", "notes courier couriers"},
	} {
		var got []string
		for _, f := range inspect("", where).Crossing {
			got = append(got, f.Table+" "+strings.Join(f.Columns, ",")+" "+f.Parent)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with the condition %q:\n%s", where, diff)
		}
	}
	for _, x := range inspect(" ON DELETE SET NULL", "secret = 1").Problems {
		if x.Check == "cascade" && strings.Contains(x.What, "foreign key a of notes") {
			return
		}
	}
	t.Error("a key that changes rows unseen is not refused")
}
