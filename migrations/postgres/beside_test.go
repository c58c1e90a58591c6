package postgres

import (
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/migrations"
)

// TestWhoMayWrite: sessions whose role may write a table are told, by role, application and address; those that may only read, and
// our own, are not.
func TestWhoMayWrite(t *testing.T) {
	t.Parallel()
	server, db := localdbtest.Shared(t), localdbtest.Database(t, "")
	role, app, job, reader := uniqueRole(t, db, "strangler", ""), uniqueRole(t, db, "app", ""), uniqueRole(t, db, "job", ""), uniqueRole(t, db, "reader", "")
	run(t, server.DSN(db), "CREATE TABLE x (id integer PRIMARY KEY, n integer)", "CREATE TABLE y (id integer)", "GRANT ALL ON x TO "+app+", "+role, "GRANT UPDATE (n) ON x TO "+job,
		"GRANT SELECT ON x TO "+reader, "GRANT ALL ON y TO "+reader)
	as := func(role, application string) string { return server.As(role, db) + "&application_name=" + application }
	for _, dsn := range []string{as(app, "rails"), as(app, "rails"), as(job, "nightly"), as(reader, "reports"), as(role, "strangler%20here")} {
		connect(t, dsn)
	}
	found := examine(t, server.As(role, db), strangler.Legacy, "x")
	if f := expect(t, found, 1, migrations.CheckWriters, `"rails" as the user `+app, "has 2 sessions", "not to be seen"); !f.Fine {
		t.Errorf("%+v", f)
	}
	if f := expect(t, found, 1, migrations.CheckWriters, `"nightly" as the user `+job, "give it a seam"); f.Fine || f.Forbids {
		t.Errorf("%+v", f)
	}
	expect(t, found, 2, migrations.CheckWriters)
	expect(t, examine(t, server.As(role, db), strangler.Service, "x"), 0, migrations.CheckWriters)

	run(t, server.DSN(db), "GRANT pg_read_all_stats TO "+role)
	expect(t, examine(t, server.As(role, db), strangler.Legacy, "x"), 1, migrations.CheckWriters, "nightly", "from 127.0.0.1")
}

// TestWhatWritesByItself: functions, rules and jobs that write a table that moves; what only reads it, or writes another, is not told.
func TestWhatWritesByItself(t *testing.T) {
	t.Parallel()
	server, db := localdbtest.Shared(t), localdbtest.Database(t, "")
	role := uniqueRole(t, db, "strangler", "")
	run(t, server.DSN(db), `CREATE TABLE "couriers" (id integer PRIMARY KEY)`, "CREATE TABLE orders (id integer)",
		"CREATE FUNCTION hire() RETURNS void LANGUAGE sql AS 'INSERT INTO couriers VALUES (1)'",
		"CREATE PROCEDURE dismiss(who integer) LANGUAGE plpgsql AS 'BEGIN DELETE FROM public.couriers WHERE id = who; END'",
		"CREATE FUNCTION look() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM couriers'",
		"CREATE RULE also AS ON INSERT TO orders DO ALSO INSERT INTO couriers VALUES (new.id)",
		"CREATE SCHEMA cron", "CREATE TABLE cron.job (jobid bigint, schedule text, command text, database text, username text, active boolean)",
		"INSERT INTO cron.job VALUES (7, '0 3 * * *', 'UPDATE couriers SET id = id', current_database(), 'app', true), (8, '0 3 * * *', 'UPDATE couriers SET id = id', 'elsewhere', 'app', true), (9, '* * * * *', 'VACUUM orders', current_database(), 'app', true)")
	found := examine(t, server.As(role, db), strangler.Legacy, "couriers")
	for _, words := range []string{"the function hire() writes couriers", "the procedure dismiss(", "the rule also of orders"} {
		if f := expect(t, found, 1, migrations.CheckWriters, words); f.Fine || f.Forbids || len(f.Next) == 0 {
			t.Errorf("%+v", f)
		}
	}
	expect(t, found, 3, migrations.CheckWriters)
	run(t, server.DSN(db), "GRANT USAGE ON SCHEMA cron TO "+role, "GRANT SELECT ON cron.job TO "+role)
	found = examine(t, server.As(role, db), strangler.Legacy, "couriers")
	expect(t, found, 1, migrations.CheckWriters, "the job 7 of pg_cron")
	expect(t, found, 4, migrations.CheckWriters)
}
