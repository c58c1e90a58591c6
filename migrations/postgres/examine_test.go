package postgres

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/migrations"
)

// expect fails unless exactly one finding of a check holds the words, or, with n 0, none does.
func expect(t *testing.T, found []migrations.Finding, n int, check string, words ...string) (f migrations.Finding) {
	t.Helper()
	got := 0
	for _, x := range found {
		all := x.Check == check
		for _, w := range words {
			all = all && strings.Contains(x.What+" "+strings.Join(x.Next, " "), w)
		}
		if all {
			got++
			f = x
		}
	}
	if got != n {
		t.Errorf("%d findings of %s say %q, want %d:\n%+v", got, check, words, n, found)
	}
	return f
}

func examine(t *testing.T, dsn string, side strangler.Side, tables ...string) []migrations.Finding {
	t.Helper()
	found, err := open(t, dsn, side, tables...).Examine(t.Context())
	must(t, err)
	for _, f := range found {
		if f.What == "" || f.Forbids && (f.Fine || len(f.Next) == 0) {
			t.Errorf("%+v", f)
		}
	}
	return found
}

// uniqueRole makes a role that no other test has, and ends with the test.
func uniqueRole(t *testing.T, database, name, options string) string {
	t.Helper()
	full := database + "_" + name
	must(t, localdbtest.Shared(t).Role(t.Context(), full, options))
	t.Cleanup(func() {
		runAfter(t, localdbtest.Shared(t).DSN(database), "DROP OWNED BY "+full+" CASCADE")
		runAfter(t, localdbtest.Shared(t).DSN("postgres"), "DROP ROLE "+full)
	})
	return full
}

// TestSharedRole: the tables' owner, or other applications' sessions, show that a role is not Strangler's own.
func TestSharedRole(t *testing.T) {
	t.Parallel()
	server, db := localdbtest.Shared(t), localdbtest.Database(t, "")
	role, app := uniqueRole(t, db, "strangler", ""), uniqueRole(t, db, "app", "")
	run(t, server.DSN(db), "CREATE TABLE x (id integer PRIMARY KEY)", "ALTER TABLE x OWNER TO "+app, "GRANT "+app+" TO "+role)
	as := func(role, application string) string { return server.As(role, db) + "&application_name=" + application }

	connect(t, as(role, "psql"))
	connect(t, as(role, "strangler%20of%20ours"))
	expect(t, examine(t, server.As(role, db), strangler.Legacy, "x"), 0, "role")
	connect(t, as(role, ""))
	if f := expect(t, examine(t, server.As(role, db), strangler.Legacy, "x"), 1, "role", "without an application name"); f.Forbids || f.Fine {
		t.Errorf("%+v", f)
	}
	connect(t, as(role, "rails"))
	if f := expect(t, examine(t, server.As(role, db), strangler.Legacy, "x"), 1, "role", `"rails"`); !f.Forbids {
		t.Errorf("%+v", f)
	}
	if f := expect(t, examine(t, server.As(app, db), strangler.Legacy, "x"), 1, "role", app+" owns the table x", "CREATE ROLE"); !f.Forbids {
		t.Errorf("%+v", f)
	}
	expect(t, examine(t, server.DSN(db), strangler.Legacy, "x"), 1, "role", "is a superuser")
}

// TestTimeouts: those that writers could notice are told apart from those that Strangler turns off.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	server, db := localdbtest.Shared(t), localdbtest.Database(t, "")
	role, app := uniqueRole(t, db, "strangler", ""), uniqueRole(t, db, "app", "")
	run(t, server.DSN(db), "CREATE TABLE x (id integer PRIMARY KEY)", "ALTER ROLE "+app+" SET lock_timeout = '200ms'", "ALTER ROLE "+role+" SET statement_timeout = 100",
		"ALTER DATABASE "+db+" SET statement_timeout = '1min'", "ALTER DATABASE "+db+" SET idle_in_transaction_session_timeout = '1s'")
	found := examine(t, server.As(role, db), strangler.Legacy, "x")
	for _, c := range []struct {
		words string
		fine  bool
	}{
		{"lock_timeout is 200ms for the role " + app, false}, {"statement_timeout is 100 for the role " + role, true},
		{"statement_timeout is 1min for every role in this database", true}, {"idle_in_transaction_session_timeout is 1s for every role", true},
	} {
		if f := expect(t, found, 1, "timeouts", c.words); f.Fine != c.fine || f.Forbids {
			t.Errorf("%+v", f)
		}
	}
	for text, want := range map[string]time.Duration{"1500": 1500 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "2min": 2 * time.Minute, "1 h": time.Hour, "500us": 500 * time.Microsecond, "1d": 0, "0": 0, "": 0} {
		if got := milliseconds(text); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

// TestTransactionsInTheWay: whoever has one open, and prepared ones, with the statement that ends each.
func TestTransactionsInTheWay(t *testing.T) {
	t.Parallel()
	server, db := localdbtest.Shared(t), localdbtest.Database(t, "")
	run(t, server.DSN(db), "CREATE TABLE x (id integer PRIMARY KEY)", "CREATE TABLE y (id integer)")
	c := connect(t, server.DSN(db)+"&application_name=long%20report")
	_, err := c.Exec(t.Context(), "BEGIN; SELECT 1", pgx.QueryExecModeSimpleProtocol)
	must(t, err)
	p := connect(t, server.DSN(db))
	_, err = p.Exec(t.Context(), "BEGIN; INSERT INTO x VALUES (1); PREPARE TRANSACTION 'it''s "+db+"'", pgx.QueryExecModeSimpleProtocol)
	must(t, err)
	t.Cleanup(func() { runAfter(t, server.DSN(db), "ROLLBACK PREPARED 'it''s "+db+"'") })

	d := open(t, server.DSN(db), strangler.Legacy, "x")
	look := func(age time.Duration) []migrations.Finding {
		x := &examination{d: d, q: d.pool}
		must(t, x.holdersOf(t.Context(), age))
		return x.found
	}
	expect(t, look(0), 1, "transactions", "long report", "pg_terminate_backend(")
	expect(t, look(time.Hour), 0, "transactions", "long report")
	expect(t, look(time.Hour), 1, "transactions", "ROLLBACK PREPARED 'it''s "+db+"'")
	expect(t, examine(t, server.DSN(db), strangler.Legacy, "x"), 1, "transactions", "was prepared")
}

// TestServiceWithoutAnOwner: nobody could write the tables that are made in a superuser's database, and an
// owner who may create nothing cannot be given them.
func TestServiceWithoutAnOwner(t *testing.T) {
	t.Parallel()
	server, db := localdbtest.Shared(t), localdbtest.Database(t, "")
	role, served := uniqueRole(t, db, "strangler", "NOINHERIT"), uniqueRole(t, db, "served", "")
	run(t, server.DSN(db), "CREATE SCHEMA app", "GRANT USAGE ON SCHEMA app TO "+role, "ALTER ROLE "+role+" SET search_path = app")
	expect(t, examine(t, server.As(role, db), strangler.Service, "x"), 1, "owner", "will belong to "+role, "ALTER DEFAULT PRIVILEGES")
	run(t, server.DSN(db), "ALTER DATABASE "+db+" OWNER TO "+served)
	t.Cleanup(func() { runAfter(t, server.DSN("postgres"), "ALTER DATABASE "+db+" OWNER TO postgres") })
	found := examine(t, server.As(role, db), strangler.Service, "x")
	expect(t, found, 0, "owner")
	expect(t, found, 1, "grant", "GRANT CREATE ON SCHEMA app TO "+served)
	expect(t, found, 1, "grant", "GRANT "+served+" TO "+role+": missing")
	run(t, server.DSN(db), "GRANT "+served+" TO "+role)
	expect(t, examine(t, server.As(role, db), strangler.Service, "x"), 1, "grant", "ALTER ROLE "+role+" INHERIT: missing")
}

// TestManagedServer has a server of its own, for its settings and for a role that only providers make.
func TestManagedServer(t *testing.T) {
	t.Parallel()
	server, err := localdb.Postgres(t.Context(), localdb.Config{Settings: map[string]string{"autovacuum": "off", "statement_timeout": "1s", "synchronous_commit": "off", "wal_level": "replica", "max_replication_slots": "7"}})
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	must(t, server.Role(t.Context(), "strangler"))
	must(t, server.Role(t.Context(), "rds_superuser"))
	run(t, server.DSN("postgres"), "CREATE TABLE x (id integer PRIMARY KEY)", "ALTER TABLE x OWNER TO rds_superuser")
	for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
		found := examine(t, server.As("strangler", "postgres"), side, "x")
		f := expect(t, found, 1, "managed", "session_replication_role", "as the server's administrator: GRANT SET ON PARAMETER session_replication_role TO strangler", "Amazon RDS", "GRANT rds_superuser TO strangler")
		if !f.Forbids || f.Phase != map[strangler.Side]string{strangler.Legacy: toCutOver, strangler.Service: toCopy}[side] {
			t.Errorf("%+v", f)
		}
		expect(t, found, 1, "autovacuum", "is off")
		expect(t, found, 1, "durability", "synchronous_commit is off", "ALTER SYSTEM SET synchronous_commit = on")
		if f := expect(t, found, 1, "timeouts", "statement_timeout is 1000ms for every role"); f.Fine {
			t.Errorf("%+v", f)
		}
		says := []string{"wal_level is replica, 0 of 7", "captured by triggers"}
		if side == strangler.Legacy {
			says = append(says, "ALTER SYSTEM SET wal_level", "ALTER ROLE strangler REPLICATION")
		}
		if f := expect(t, found, 1, "replication", says...); !f.Fine {
			t.Errorf("%+v", f)
		}
		expect(t, found, 1, "grant", "GRANT pg_read_all_stats TO strangler: missing")
		// Whoever applies without having asked is told the same, as this version has it.
		_, err := open(t, server.As("strangler", "postgres"), side, "x").Begin(t.Context(), 1)
		var refused *strangler.Refusal
		if !errors.As(err, &refused) || refused.Check != "rights" || !slices.Equal(refused.Next, []string{`GRANT SET ON PARAMETER session_replication_role TO "strangler"`}) {
			t.Errorf("%s: %v", side, err)
		}
	}
	run(t, server.DSN("postgres"), "GRANT SET ON PARAMETER session_replication_role TO strangler", "GRANT rds_superuser, pg_read_all_stats TO strangler")
	found := examine(t, server.As("strangler", "postgres"), strangler.Legacy, "x")
	expect(t, found, 0, "managed")
	expect(t, found, 1, "grant", "session_replication_role TO strangler: there")
	if i := slices.IndexFunc(found, func(f migrations.Finding) bool { return f.Forbids && f.Check != "grant" }); i >= 0 {
		t.Errorf("%+v", found[i])
	}
}

// TestReplicaRight: before PostgreSQL 15 no setting can be granted, and nobody is told to.
func TestReplicaRight(t *testing.T) {
	for version, want := range map[string]string{
		"13.14 (Debian 13.14-1.pgdg120+2)": `ALTER ROLE "strangler" SUPERUSER`, "14.9": `ALTER ROLE "strangler" SUPERUSER`,
		"15.6": `GRANT SET ON PARAMETER session_replication_role TO "strangler"`, "17rc1": `GRANT SET ON PARAMETER session_replication_role TO "strangler"`,
	} {
		var refused *strangler.Refusal
		if err := (&Database{role: "strangler"}).replicaRefused(version); !errors.As(err, &refused) || !slices.Equal(refused.Next, []string{want}) {
			t.Errorf("%s: %v", version, err)
		}
	}
}

// TestIdleSlots: a server that gives slots up before a daemon could be back is told of.
func TestIdleSlots(t *testing.T) {
	if f := idleSlot(time.Hour); f.Fine || f.Forbids || len(f.Next) == 0 || !strings.Contains(f.What, "1h0m0s") {
		t.Errorf("%+v", f)
	}
	if f := idleSlot(48 * time.Hour); !f.Fine {
		t.Errorf("%+v", f)
	}
}
