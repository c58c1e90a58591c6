package sqlite_test

import (
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// TestTriggersOfTablesThatStay: those that write a table that moves are told, and nothing else is wrong with the file.
func TestTriggersOfTablesThatStay(t *testing.T) {
	l := lab{"wal"}
	dsn := l.Fresh(t)
	db := l.Connect(t, dsn)
	for _, q := range []string{"CREATE TABLE couriers (id INTEGER PRIMARY KEY)", "CREATE TABLE orders (id INTEGER PRIMARY KEY)", "CREATE TABLE archive (id INTEGER)",
		"CREATE TRIGGER also AFTER INSERT ON orders BEGIN INSERT OR IGNORE INTO couriers VALUES (new.id); END",
		"CREATE TRIGGER own AFTER UPDATE ON couriers BEGIN DELETE FROM couriers WHERE id < 0; END", // refused by the plan
		"CREATE TRIGGER keep AFTER DELETE ON orders BEGIN INSERT INTO archive SELECT id FROM couriers; END"} {
		exec(t, db, q)
	}
	d, err := l.Open(t.Context(), migrations.Binding{Capability: "delivery", Side: strangler.Legacy, DSN: dsn, Tables: []string{"couriers"}, ControlID: "store-1"})
	must(t, err)
	defer func() { must(t, d.Close()) }()
	found, err := d.(migrations.Examiner).Examine(t.Context())
	must(t, err)
	var said []string
	for _, f := range found {
		if !f.Fine {
			said = append(said, f.What)
			if f.Forbids || len(f.Next) == 0 {
				t.Errorf("%+v", f)
			}
		}
	}
	if len(said) != 1 || !strings.HasPrefix(said[0], "the trigger also of orders, which stays, writes couriers") {
		t.Errorf("%q", said)
	}
	exec(t, db, "INSERT INTO couriers VALUES (1)") // the write lock was given back
}
