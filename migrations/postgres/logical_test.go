package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// TestCommitsThatNobodySeesYet has a commit wait for a standby that never answers. Its record is in the log, and is
// read from the slot, while no snapshot sees it: it is neither applied nor passed, those behind it are applied, and it
// is once it is seen.
func TestCommitsThatNobodySeesYet(t *testing.T) {
	s := ownServer(t, nil)
	p := enginetest.Armed(t, s, enginetest.Couriers, enginetest.Moved...)
	p.Exec(p.App, "UPDATE couriers SET name = 'before'")
	p.Sync()
	must(t, run(s.server.DSN("postgres"), "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"))
	t.Cleanup(func() {
		must(t, run(s.server.DSN("postgres"), "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"))
	})
	waiting := s.Connect(t, p.LegacyDSN)
	setting(t, waiting, "synchronous_standby_names", "nobody")
	done := make(chan error, 1)
	go func() {
		_, err := waiting.Exec("SET synchronous_commit = on; UPDATE couriers SET name = 'waits' WHERE id = 1")
		done <- err
	}()
	admin := p.Admin(strangler.Legacy)
	until(t, "a commit that waits", func() bool {
		return len(query(t, admin, "SELECT pid::text FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database() AND query LIKE '%waits%'")) == 1
	})
	before := place(t, p)
	for i := range 3 {
		p.Exec(p.App, fmt.Sprintf("SET synchronous_commit = local; UPDATE couriers SET name = 'behind %d' WHERE id = 2", i))
		if _, err := p.Step(); err != nil {
			t.Fatal(err)
		}
		p.Alike()
	}
	if now := place(t, p); now != before {
		t.Errorf("the position went from %s to %s, past a commit that nobody sees", before, now)
	}
	p.Exec(admin, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	<-done // with a warning: it is committed here
	p.Sync()
	p.Alike()
	if got := query(t, p.Served, "SELECT name FROM couriers WHERE id = 1"); got[0] != "waits" {
		t.Errorf("the service has %v", got)
	}
	if now := place(t, p); now == before {
		t.Error("the position stands where it was")
	}
}

// setting waits until a session sees a setting that was reloaded.
func setting(t *testing.T, db *sql.DB, name, want string) {
	t.Helper()
	until(t, name, func() bool { return query(t, db, "SHOW "+name)[0] == want })
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for !f() {
		if t.Context().Err() != nil {
			t.Fatalf("%s did not come", what)
		}
	}
}

func applied(t *testing.T, p *enginetest.Pair) migrations.Position {
	t.Helper()
	at, err := p.Service.Applied(t.Context())
	must(t, err)
	return at
}

// place is that of a position in the server's log.
func place(t *testing.T, p *enginetest.Pair) string {
	t.Helper()
	_, lsn, _ := strings.Cut(string(applied(t, p)), "@")
	return lsn
}

// TestMoreChangesThanMemoryTakes writes transactions of which not all are held at once; each batch that is not whole says
// so by having no instant.
func TestMoreChangesThanMemoryTakes(t *testing.T) {
	p := enginetest.Armed(t, decoding{}, []string{"CREATE TABLE many (id integer PRIMARY KEY, v integer NOT NULL)"}, "many")
	for i := range 4 {
		p.Exec(p.App, fmt.Sprintf("INSERT INTO many SELECT i, 0 FROM generate_series(%d, %d) AS i", i*70_000+1, (i+1)*70_000))
	}
	p.Exec(p.App, "UPDATE many SET v = id WHERE id % 3 = 0")
	p.Exec(p.App, "DELETE FROM many WHERE id % 5 = 0")
	at := applied(t, p)
	b, err := p.Legacy.Read(t.Context(), at)
	must(t, err)
	if !b.Started().IsZero() {
		t.Errorf("a batch of %d changes says that it is whole", b.Changes())
	}
	must(t, b.Close())
	p.Sync()
	p.Alike()
	b, err = p.Legacy.Read(t.Context(), applied(t, p))
	must(t, err)
	if b.Started().IsZero() || b.Changes() > 1 { // one: its position passes what others have written on the server
		t.Errorf("behind the last batch there is one of %d changes, from %s", b.Changes(), b.Started())
	}
	must(t, b.Close())
}

// TestSlotOfASideThatFollows lets go of the log while the service owns, and goes on from there when the monolith owns
// again. Nothing of it is left when the split is taken back.
func TestSlotOfASideThatFollows(t *testing.T) {
	p := enginetest.Armed(t, decoding{}, enginetest.Couriers, enginetest.Moved...)
	admin := p.Admin(strangler.Legacy)
	slot := func() string {
		return strings.Join(query(t, admin, "SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE database = current_database()"), ",")
	}
	p.Exec(p.App, "UPDATE couriers SET name = 'the monolith''s'")
	p.Sync()
	first := slot()
	p.CutOver()
	p.Exec(p.Served, "UPDATE couriers SET name = 'the service''s'")
	p.Sync()
	p.Alike()
	for until := time.Now().Add(30 * time.Second); slot() == first; {
		if time.Now().After(until) {
			t.Fatalf("the slot keeps the log from %s on while the monolith follows", first)
		}
		p.Exec(p.Served, "UPDATE couriers SET name = 'the service''s'") // the worker comes by with each batch
		p.Sync()
	}
	p.CutOver()
	p.Exec(p.App, "UPDATE couriers SET name = 'the monolith''s again' WHERE id = 1")
	p.Exec(p.App, "DELETE FROM actions")
	if n := p.Pending(); n == 0 {
		t.Error("what the monolith wrote is not read")
	}
	p.Sync()
	p.Alike()
	p.To(migrations.StageNone)
	if left := slot(); left != "" {
		t.Errorf("the slot stands at %s behind the last script", left)
	}
}

// TestASlotDoesNotTellWhoWrites says so, and what would.
func TestASlotDoesNotTellWhoWrites(t *testing.T) {
	p := enginetest.Armed(t, decoding{}, enginetest.Couriers, enginetest.Moved...)
	_, err := p.Legacy.(migrations.Scribe).Writers(t.Context())
	p.Wants(err, strangler.ErrRefused)
	if !strings.Contains(fmt.Sprint(err), "capture: triggers") {
		t.Errorf("it says: %v", err)
	}
}

// TestSlotThatWasInvalidated has the server throw the log away that the slot needs: the stream stops, and says how to go
// on.
func TestSlotThatWasInvalidated(t *testing.T) {
	s := ownServer(t, map[string]string{"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"})
	p := enginetest.Armed(t, s, enginetest.Couriers, enginetest.Moved...)
	p.Sync()
	admin := p.Admin(strangler.Legacy)
	p.Exec(p.App, "UPDATE couriers SET name = 'lost to the slot'")
	until(t, "a slot that is lost", func() bool {
		p.Exec(admin, "SELECT pg_switch_wal()")
		p.Exec(admin, "CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
		p.Exec(admin, "DROP TABLE filler")
		p.Exec(admin, "CHECKPOINT")
		return len(query(t, admin, "SELECT slot_name FROM pg_replication_slots WHERE wal_status = 'lost'")) == 1
	})
	var err error
	for range 3 { // the connection may still stand, or end only now
		if _, err = p.Step(); err != nil && strings.Contains(err.Error(), "invalidated") {
			break
		}
	}
	p.Wants(err, strangler.ErrStopped)
	if !strings.Contains(fmt.Sprint(err), "strangler split cancel") {
		t.Errorf("it says: %v", err)
	}
}

func ownServer(t *testing.T, settings map[string]string) apart {
	t.Helper()
	s, err := localdb.Postgres(t.Context(), localdb.Config{Settings: settings})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	must(t, prepare(s))
	return apart{server: s, made: new(bool)}
}

// TestLogicalDecodingThatCannotBe is refused at plan, with what would satisfy it, and so is a table whose changes do not
// tell their key.
func TestLogicalDecodingThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		ddl  []string
		says string
	}{
		"partitions":          {visits, "partitioned"},
		"another identity":    {[]string{"CREATE TABLE visits (id integer PRIMARY KEY)", "ALTER TABLE visits REPLICA IDENTITY NOTHING"}, "REPLICA IDENTITY"},
		"a key of its own":    {[]string{"CREATE TABLE visits (id integer NOT NULL UNIQUE)"}, "REPLICA IDENTITY"},
		"a table without log": {[]string{"CREATE UNLOGGED TABLE visits (id integer PRIMARY KEY)"}, "unlogged"},
	} {
		t.Run(name, func(t *testing.T) {
			p := enginetest.NewPair(t, decoding{}, c.ddl, "visits")
			_, err := p.Plan.Make(context.WithoutCancel(t.Context()))
			p.Wants(err, strangler.ErrRefused)
			if !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("it says: %v", err)
			}
		})
	}
}
