package mysql_test

import (
	"strings"
	"testing"

	"github.com/strangler-fig/strangler/migrations"
)

// beside are the findings of who writes, one a line.
func beside(t *testing.T, dsn string) (out []string) {
	t.Helper()
	for _, f := range examine(t, dsn) {
		if f.Check != migrations.CheckWriters {
			continue
		}
		if f.Forbids || !f.Fine && len(f.Next) == 0 {
			t.Errorf("%+v", f)
		}
		out = append(out, f.What+" | "+strings.Join(f.Next, " | "))
	}
	return out
}

// TestWhoWritesAndWhat: sessions of others, and triggers, events and routines that write a table that moves; what the user may not see
// is said to be unseen.
func TestWhoWritesAndWhat(t *testing.T) {
	l := lab{}
	dsn := l.Fresh(t)
	admin := l.Admin(t, dsn)
	for _, q := range []string{
		"CREATE TABLE couriers (id INTEGER PRIMARY KEY)", "CREATE TABLE orders (id INTEGER PRIMARY KEY)", "CREATE TABLE archive (id INTEGER)",
		"CREATE TRIGGER also AFTER INSERT ON orders FOR EACH ROW INSERT INTO `couriers` VALUES (NEW.id)",
		"CREATE TRIGGER keep AFTER DELETE ON orders FOR EACH ROW INSERT INTO archive SELECT id FROM couriers",
		"CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM couriers WHERE id < 0",
		"CREATE EVENT hourly ON SCHEDULE EVERY 1 HOUR DO DELETE FROM archive",
		"CREATE PROCEDURE dismiss(who INTEGER) UPDATE couriers SET id = -id WHERE id = who",
		"DROP USER IF EXISTS bare@'%'", "CREATE USER bare@'%' IDENTIFIED BY '" + password(t, dsn) + "'", "GRANT SELECT, TRIGGER ON " + database(dsn) + ".* TO bare@'%'", "GRANT PROCESS ON *.* TO bare@'%'",
	} {
		exec(t, admin, q)
	}
	t.Cleanup(func() { exec(t, l.Admin(t, dsn), "DROP USER IF EXISTS bare@'%'") })
	exec(t, admin, "SET GLOBAL event_scheduler = ON")
	t.Cleanup(func() { exec(t, l.Admin(t, dsn), "SET GLOBAL event_scheduler = OFF") })
	app := l.Connect(t, dsn)
	exec(t, app, "SELECT 1")

	says := func(lines []string, words ...string) {
		t.Helper()
		for _, w := range words {
			n := 0
			for _, line := range lines {
				if strings.Contains(line, w) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d findings say %q:\n%s", n, w, strings.Join(lines, "\n"))
			}
		}
	}
	sees := byUser(t, dsn, "bare")
	lines := beside(t, sees)
	says(lines, "the user app, from ", "the trigger also of orders, of a table that stays, writes couriers", "scheduled events write", "routines write the tables is not to be seen", "GRANT SELECT ON mysql.proc TO 'bare'")
	exec(t, admin, "GRANT EVENT ON "+database(dsn)+".* TO bare@'%'")
	exec(t, admin, "GRANT SELECT ON mysql.proc TO bare@'%'")
	lines = beside(t, sees)
	says(lines, "the event nightly writes couriers", "the procedure dismiss writes couriers", "the trigger also of orders")
	for _, line := range lines {
		if strings.Contains(line, "not to be seen from here") || strings.Contains(line, "archive") || strings.Contains(line, "hourly") {
			t.Errorf("%s", line)
		}
	}
}
