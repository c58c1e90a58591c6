package contract

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Fence has the database refuse every write to the tables that move, and of the monolith's orders to what of them moves, in the
// words in which Strangler's fences do it. owner is the side that owns.
func Fence(t *testing.T, dsn, owner string) {
	t.Helper()
	db := Open(t, dsn)
	text := "strangler: delivery is owned by " + owner
	if kind(dsn) == "postgres" {
		run(t, db, fmt.Sprintf("CREATE FUNCTION fence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%s'; END $$", text))
	}
	tables := moved
	if owner == "service" {
		fenceOrders(t, db, kind(dsn), text)
	} else {
		tables = append(slices.Clone(moved), "deliveries")
	}
	for _, table := range tables {
		if kind(dsn) == "postgres" {
			run(t, db, fmt.Sprintf("CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION fence()", table),
				fmt.Sprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER fence", table))
			continue
		}
		for _, event := range []string{"INSERT", "UPDATE", "DELETE"} {
			refuse := "BEGIN SELECT RAISE(ABORT, '%[3]s'); END"
			if kind(dsn) == "mysql" {
				refuse = "FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '%[3]s'"
			}
			run(t, db, fmt.Sprintf("CREATE TRIGGER fence_%[1]s_%[2]s BEFORE %[2]s ON %[1]s "+refuse, table, event, text))
		}
	}
}

// fenceOrders refuses writes of what deliveries have in the monolith's orders.
func fenceOrders(t *testing.T, db *sql.DB, kind, text string) {
	t.Helper()
	differ := func(operator string) string {
		var each []string
		for _, column := range []string{"assigned_courier_id", "picked_up_time", "delivered_time"} {
			each = append(each, "OLD."+column+operator+"NEW."+column)
		}
		return strings.Join(each, " OR ")
	}
	switch kind {
	case "postgres":
		run(t, db, "CREATE TRIGGER fence BEFORE UPDATE ON orders FOR EACH ROW WHEN ("+differ(" IS DISTINCT FROM ")+") EXECUTE FUNCTION fence()",
			"ALTER TABLE orders ENABLE ALWAYS TRIGGER fence")
	case "mysql":
		run(t, db, fmt.Sprintf("CREATE TRIGGER fence_orders BEFORE UPDATE ON orders FOR EACH ROW IF NOT (%s) THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '%s'; END IF",
			strings.ReplaceAll(differ(" <=> "), " OR ", " AND "), text))
	default:
		run(t, db, fmt.Sprintf("CREATE TRIGGER fence_orders BEFORE UPDATE ON orders WHEN %s BEGIN SELECT RAISE(ABORT, '%s'); END", differ(" IS NOT "), text))
	}
}

// Cut takes the foreign keys between orders and the tables that move out of a monolith's database, beside
// the monolith that runs on it.
func Cut(t *testing.T, dsn string) {
	t.Helper()
	db := Open(t, dsn)
	if kind(dsn) != "sqlite" {
		run(t, db, "ALTER TABLE orders DROP CONSTRAINT orders_assigned_courier_id_fkey",
			"ALTER TABLE courier_actions DROP CONSTRAINT courier_actions_order_id_fkey")
		return
	}
	db.SetMaxOpenConns(1) // writable_schema is the connection's
	run(t, db, "PRAGMA writable_schema = ON",
		"UPDATE sqlite_schema SET sql = replace(sql, 'INTEGER REFERENCES couriers (id)', 'INTEGER') WHERE name = 'orders'",
		"UPDATE sqlite_schema SET sql = replace(sql, 'INTEGER NOT NULL REFERENCES orders (id)', 'INTEGER NOT NULL') WHERE name = 'courier_actions'",
		"CREATE TABLE strangler_reread (id INTEGER)",
		"DROP TABLE strangler_reread",
		"PRAGMA writable_schema = RESET")
}
