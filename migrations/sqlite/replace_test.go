package sqlite_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

var sharedJobs = []string{
	"CREATE TABLE jobs (id INTEGER PRIMARY KEY, code TEXT UNIQUE, courier INTEGER, total INTEGER DEFAULT 0)",
	"INSERT INTO jobs VALUES (1, 'a', 7, 10), (2, 'b', NULL, 20), (3, 'c', 8, 30)",
}

// A REPLACE deletes rows behind its back: one that takes the place of a row of the share is a write of the share, whatever
// the new row is.
func TestReplaceOverARowThatHasGone(t *testing.T) {
	jobs := strangler.Table{From: "jobs", To: "jobs", Where: "courier IS NOT NULL"}
	for _, q := range []string{
		"INSERT OR REPLACE INTO jobs VALUES (1, 'x', NULL, 0)",
		"INSERT OR REPLACE INTO jobs VALUES (9, 'c', NULL, 0)",
		"UPDATE OR REPLACE jobs SET id = 3 WHERE id = 2",
		"UPDATE OR REPLACE jobs SET code = 'a' WHERE id = 2",
	} {
		t.Run(q, func(t *testing.T) {
			p := enginetest.Shared(t, lab{"wal"}, sharedJobs, jobs)
			p.Exec(p.App, q)
			p.Sync()
			if diff := cmp.Diff(enginetest.Plain(t, p.App, "(SELECT * FROM jobs WHERE courier IS NOT NULL)"), enginetest.Plain(t, p.Served, "jobs")); diff != "" {
				t.Errorf("- legacy, + service:\n%s", diff)
			}
			p = enginetest.Shared(t, lab{"wal"}, sharedJobs, jobs)
			p.CutOver()
			p.Refused(p.App, q)
			p.Exec(p.App, "INSERT OR REPLACE INTO jobs VALUES (2, 'z', NULL, 0)")
		})
	}
}

// A condition on a key that the database makes is asked when the key is made.
func TestShareByAGeneratedKey(t *testing.T) {
	p := enginetest.Shared(t, lab{"wal"}, sharedJobs, strangler.Table{From: "jobs", To: "jobs", Where: "id >= 4"})
	p.Exec(p.App, "INSERT INTO jobs (code) VALUES ('d')")
	p.Sync()
	if got := enginetest.Plain(t, p.Served, "jobs"); len(got) != 1 || !strings.Contains(got[0], "id 4") {
		t.Errorf("at the service: %v", got)
	}
	p.CutOver()
	p.Refused(p.App, "INSERT INTO jobs (code) VALUES ('e')")
}
