package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// big is a table of more rows than a connection keeps in memory.
var big = []string{
	"CREATE TABLE x (id INTEGER NOT NULL PRIMARY KEY, v TEXT)",
	"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO x SELECT i, hex(zeroblob(500)) FROM n",
}

// carry sends a table's rows and has a transaction receive them.
func carry(t *testing.T, p *enginetest.Pair, a migrations.Apply) (rows int64, err error) {
	t.Helper()
	var w bytes.Buffer
	must(t, p.Legacy.Send(t.Context(), 0, migrations.Range{}, &w))
	return a.Receive(t.Context(), 0, &w)
}

func begin(t *testing.T, p *enginetest.Pair) migrations.Apply {
	t.Helper()
	a, err := p.Begin(p.Service, p.Term)
	must(t, err)
	return a
}

func alone(t *testing.T, p *enginetest.Pair, query string) {
	t.Helper()
	if form, err := p.Legacy.Form(t.Context(), 0); err != nil || form == "" {
		t.Fatalf("the follower does not read the rows itself: form %q, %v", form, err)
	}
	a := begin(t, p)
	if rows, err := carry(t, p, a); err != nil || rows != 4000 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	exec(t, p.App, query)
	must(t, a.Commit())
}

func TestTheOwnerWritesWhileItsRowsAreRead(t *testing.T) {
	t.Parallel()
	p := enginetest.Planned(t, lab{"wal"}, migrations.StageCapture, big, "x")
	exec(t, p.App, "PRAGMA busy_timeout = 0")
	alone(t, p, "UPDATE x SET v = 'newer' WHERE id % 2")
	must(t, p.Apply(func(a migrations.Apply) error {
		return a.SetMark(t.Context(), 0, migrations.Mark{Attempt: 1, Finished: true})
	}))
	p.Sync()
	p.Alike()
}

// TestNothingOfTheOwnerIsHeldBehindAChunk has another transaction of the follower open meanwhile.
func TestNothingOfTheOwnerIsHeldBehindAChunk(t *testing.T) {
	t.Parallel()
	p := enginetest.Planned(t, lab{"wal"}, migrations.StageCapture, big, "x")
	exec(t, p.App, "PRAGMA busy_timeout = 0")
	alone(t, p, "DELETE FROM x WHERE id = 1")
	failed := begin(t, p)
	if _, err := carry(t, p, failed); !errors.Is(err, migrations.ErrDuplicate) {
		t.Fatalf("rows that are there already: %v", err)
	}
	must(t, failed.Rollback())
	exec(t, p.App, "DELETE FROM x WHERE id = 2")
	begin(t, p)
	if got := query(t, p.App, "PRAGMA wal_checkpoint(TRUNCATE)"); got[0] != "0 | 0 | 0" {
		t.Errorf("the owner's log cannot be emptied: busy | frames | written: %s", got)
	}
}

// TestTheFenceStandsWhateverBecomesOfAChunk looks at the follower before, behind a chunk, and behind one that fails.
func TestTheFenceStandsWhateverBecomesOfAChunk(t *testing.T) {
	t.Parallel()
	p := enginetest.Planned(t, lab{"wal"}, migrations.StageCapture, big, "x")
	schema := lab{}.Speech().Schema
	before := schema(t, p.Served)
	stands := func(when string) {
		t.Helper()
		if diff := cmp.Diff(before, schema(t, p.Served)); diff != "" {
			t.Errorf("%s:\n%s", when, diff)
		}
		p.Refused(p.Served, "INSERT INTO x VALUES (-1, 'a write that the fence refuses')")
	}
	alone(t, p, "UPDATE x SET v = 'newer' WHERE id = 1")
	stands("behind a chunk")
	rows := image(t, p.Served, "x")
	a := begin(t, p)
	if _, err := carry(t, p, a); !errors.Is(err, migrations.ErrDuplicate) {
		t.Fatalf("rows that are there already: %v", err)
	}
	if err := a.Commit(); !errors.Is(err, migrations.ErrDuplicate) {
		t.Errorf("it commits: %v", err)
	}
	stands("behind a chunk that failed")
	if diff := cmp.Diff(rows, image(t, p.Served, "x")); diff != "" {
		t.Errorf("rows of a chunk that failed:\n%s", diff)
	}
}

// TestACrashInAChunkLeavesTheFence looks at what stands on the disk while a chunk is under way.
func TestACrashInAChunkLeavesTheFence(t *testing.T) {
	for _, journal := range []string{"wal", "delete"} {
		t.Run(journal, func(t *testing.T) {
			t.Parallel()
			p := enginetest.Planned(t, &sides{legacy: "PRAGMA journal_mode = wal", service: "PRAGMA journal_mode = " + journal}, migrations.StageCapture, big, "x")
			schema := lab{}.Speech().Schema
			before := schema(t, p.Served)
			a := begin(t, p)
			_, err := carry(t, p, a)
			must(t, err)
			path := strings.TrimPrefix(p.ServiceDSN, "sqlite:")
			crashed := filepath.Join(t.TempDir(), "crashed.db")
			for _, suffix := range []string{"", "-wal", "-journal"} {
				b, err := os.ReadFile(path + suffix)
				if errors.Is(err, os.ErrNotExist) {
					continue
				}
				must(t, err)
				must(t, os.WriteFile(crashed+suffix, b, 0o600))
			}
			db := lab{}.Connect(t, "sqlite:"+crashed)
			if diff := cmp.Diff(before, schema(t, db)); diff != "" {
				t.Errorf("the schema:\n%s", diff)
			}
			if n := query(t, db, "SELECT count(*) FROM x"); n[0] != "0" {
				t.Errorf("%s rows of a chunk that was not committed", n)
			}
			p.Refused(db, "INSERT INTO x VALUES (-1, 'a write that the fence refuses')")
			must(t, a.Commit())
			p.Alike()
		})
	}
}

// TestATablesOwnConflictClauseSkipsNothing has the follower's tables skip, or replace, what is in the way.
func TestATablesOwnConflictClauseSkipsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		table string
		want  error
	}{
		"a row is skipped":   {"CREATE TABLE x (id INTEGER NOT NULL PRIMARY KEY, n INTEGER UNIQUE ON CONFLICT IGNORE)", migrations.ErrDuplicate},
		"a row is replaced":  {"CREATE TABLE x (id INTEGER NOT NULL PRIMARY KEY, n INTEGER UNIQUE ON CONFLICT REPLACE)", migrations.ErrDuplicate},
		"a check that fails": {"CREATE TABLE x (id INTEGER NOT NULL PRIMARY KEY, n INTEGER CHECK (n > 1))", migrations.ErrMisfit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := enginetest.NewPair(t, lab{"wal"}, []string{"CREATE TABLE x (id INTEGER NOT NULL PRIMARY KEY, n INTEGER)", "INSERT INTO x VALUES (1, 1), (2, 1), (3, NULL)"}, "x")
			exec(t, p.Served, c.table)
			p.Write()
			p.To(migrations.StageCapture)
			p.Raise()
			p.Wants(p.Apply(func(a migrations.Apply) error {
				_, err := carry(t, p, a)
				return err
			}), c.want)
			p.Wants(p.Apply(func(a migrations.Apply) error {
				return p.Legacy.Range(t.Context(), 0, migrations.Range{}, func(r migrations.Row) error { return a.Insert(t.Context(), 0, r) })
			}), c.want)
			if rows := image(t, p.Served, "x"); len(rows) > 0 {
				t.Errorf("rows of a transaction that failed: %s", rows)
			}
		})
	}
}

// TestWhereTheFollowerReadsRowsItself tells the databases whose rows go one by one.
func TestWhereTheFollowerReadsRowsItself(t *testing.T) {
	const wal, rollback = "PRAGMA journal_mode = wal", "PRAGMA journal_mode = delete"
	for name, c := range map[string]struct {
		made   sides
		itself bool
	}{
		"both in write-ahead mode":                 {sides{legacy: wal, service: wal}, true},
		"the service's in a rollback journal":      {sides{legacy: wal, service: rollback}, true},
		"the monolith's in a rollback journal":     {sides{legacy: rollback, service: wal}, false},
		"the monolith's texts in another encoding": {sides{legacy: "PRAGMA encoding = 'UTF-16'; CREATE TABLE other (x); " + wal, service: wal}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := enginetest.Planned(t, &c.made, migrations.StageCapture, big, "x")
			from, err := p.Legacy.Form(t.Context(), 0)
			must(t, err)
			to, err := p.Service.Form(t.Context(), 0)
			must(t, err)
			if itself := from != "" && from == to; itself != c.itself {
				t.Errorf("%q and %q", from, to)
			}
			if !c.itself {
				return
			}
			alone(t, p, "SELECT 1")
			p.Alike()
		})
	}
}

// sides makes each of the two databases with statements of its own.
type sides struct {
	lab
	legacy, service string
	made            bool
}

func (s *sides) Fresh(t *testing.T) string {
	t.Helper()
	path, statements := filepath.Join(t.TempDir(), "made.db"), s.legacy
	if s.made {
		statements = s.service
	}
	s.made = true
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	exec(t, db, statements+"; PRAGMA user_version = 1")
	return "sqlite:" + path
}

func TestAnOwnersFileThatIsGoneIsNotMade(t *testing.T) {
	t.Parallel()
	p := enginetest.Planned(t, lab{"wal"}, migrations.StageCapture, big, "x")
	path := strings.TrimPrefix(p.LegacyDSN, "sqlite:")
	must(t, os.Rename(path, path+" elsewhere"))
	err := p.Apply(func(a migrations.Apply) error {
		_, err := carry(t, p, a)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was made: %v", err)
	}
	must(t, os.Rename(path+" elsewhere", path))
}
