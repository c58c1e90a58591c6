package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/migrations"
)

// loaded opens the legacy side of a database as a role, with limits.
func loaded(t *testing.T, dsn string, limits strangler.Throttle, tables ...string) *Database {
	t.Helper()
	d, err := Open(t.Context(), migrations.Binding{Capability: "billing", Side: strangler.Legacy, DSN: dsn, Tables: tables, ControlID: "x", Throttle: limits})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d.(*Database)
}

// TestLatencyOfATableThatIsLocked: a read that does not come back is a latency beyond the limit, told while it lasts.
func TestLatencyOfATableThatIsLocked(t *testing.T) {
	dsn := localdbtest.Fresh(t)
	run(t, dsn, "CREATE TABLE invoice (id integer PRIMARY KEY); INSERT INTO invoice VALUES (1)")
	limits := strangler.Throttle{Latency: 20 * time.Millisecond}
	d := loaded(t, dsn, limits, "invoice")
	if l, err := d.Load(t.Context()); err != nil || l.Latency <= 0 {
		t.Fatalf("%+v, %v", l, err)
	}
	c, err := pgx.Connect(t.Context(), dsn)
	must(t, err)
	defer c.Close(t.Context())
	tx, err := c.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE invoice IN ACCESS EXCLUSIVE MODE")
	must(t, err)
	if l, err := d.Load(t.Context()); err != nil || l.Latency <= limits.Latency {
		t.Errorf("with the table locked: %+v, %v", l, err)
	}
	must(t, tx.Rollback(t.Context()))
	if _, err := d.Load(t.Context()); err != nil {
		t.Errorf("behind the lock: %v", err)
	}
}

// TestLatencyOfPartitionsAndEmptyTables: every kind of table can be timed.
func TestLatencyOfPartitionsAndEmptyTables(t *testing.T) {
	dsn := localdbtest.Fresh(t)
	run(t, dsn, `CREATE TABLE "Odd ""name" (id integer PRIMARY KEY); CREATE TABLE visits (id integer PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE bare (id integer PRIMARY KEY) PARTITION BY RANGE (id);
		CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (10); INSERT INTO visits VALUES (1)`)
	for _, tables := range [][]string{{`Odd "name`}, {"visits"}, {"bare"}} {
		d := loaded(t, dsn, strangler.Throttle{Latency: time.Second}, tables...)
		if l, err := d.Load(t.Context()); err != nil || l.Latency <= 0 {
			t.Errorf("%q: %+v, %v", tables, l, err)
		}
	}
}

// TestLoadThatIsNotSeen: a role that may not look into others' sessions says so, and how it may.
func TestLoadThatIsNotSeen(t *testing.T) {
	server, database := localdbtest.Shared(t), localdbtest.Database(t, "")
	dsn := server.DSN(database)
	role := uniqueRole(t, database, "meter", "")
	limits := strangler.Throttle{Sessions: 1000, Lag: time.Second, LagBytes: 1, Latency: time.Second}
	d := loaded(t, server.As(role, database), limits, "invoice")
	run(t, dsn, "CREATE TABLE invoice (id integer PRIMARY KEY); GRANT SELECT ON invoice TO "+role)
	l, err := d.Load(t.Context())
	must(t, err)
	grant := "GRANT pg_read_all_stats TO "
	if !strings.Contains(l.Unseen, "sessions of other roles") || !strings.Contains(l.Unseen, grant) {
		t.Errorf("unseen: %q", l.Unseen)
	}
	found, err := d.Examine(t.Context())
	must(t, err)
	if f := expect(t, found, 1, "grant", grant+role, "do not hold the copy back"); f.Fine || f.Forbids || len(f.Next) != 1 || f.Next[0] != grant+role {
		t.Errorf("%+v", f)
	}
	expect(t, found, 1, "grant", "pg_logical_emit_message", "there, to time a commit")
	run(t, dsn, grant+role)
	if l, err = d.Load(t.Context()); err != nil || l.Unseen != "" {
		t.Errorf("with the right: %+v, %v", l, err)
	}
	if found, err = d.Examine(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, found, 1, "grant", grant+role+": there, so that the throttle sees")
	run(t, dsn, "REVOKE EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) FROM PUBLIC")
	if found, err = d.Examine(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f := expect(t, found, 1, "grant", "pg_logical_emit_message", "without it the copy waits"); !f.Forbids {
		t.Errorf("%+v", f)
	} else {
		run(t, dsn, f.Next[0])
	}
	if _, err := d.Load(t.Context()); err != nil {
		t.Errorf("with what check asks for: %v", err)
	}
	found, err = loaded(t, server.As(role, database), strangler.Throttle{}, "invoice").Examine(t.Context())
	must(t, err)
	expect(t, found, 0, "grant", "throttle")
	expect(t, found, 0, "grant", "pg_logical_emit_message")
}
