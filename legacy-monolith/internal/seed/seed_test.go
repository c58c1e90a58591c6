package seed_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/schema"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/seed"
)

var tables = []string{"consumers", "restaurants", "restaurant_menu_items", "couriers", "orders", "order_line_items", "courier_actions"}

func open(t *testing.T) *kit.Database {
	t.Helper()
	db, err := kit.Open(context.Background(), "sqlite:"+filepath.Join(t.TempDir(), "shop.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(schema.Scripts, schema.VersionTable); err != nil {
		t.Fatal(err)
	}
	return db
}

func fill(t *testing.T, db *kit.Database, rows int) bool {
	t.Helper()
	filled, err := seed.Fill(t.Context(), db, rows)
	if err != nil {
		t.Fatal(err)
	}
	return filled
}

func number(t *testing.T, db *kit.Database, query string) (n int64) {
	t.Helper()
	if err := db.Read(t.Context(), func(tx *gorm.DB) error { return tx.Raw(query).Scan(&n).Error }); err != nil {
		t.Fatal(err)
	}
	return n
}

// content is a hash of every row of every table.
func content(t *testing.T, db *kit.Database) string {
	t.Helper()
	hash := sha256.New()
	err := db.Read(t.Context(), func(tx *gorm.DB) error {
		for _, table := range tables {
			var rows []map[string]any
			if err := tx.Table(table).Order("id").Find(&rows).Error; err != nil {
				return err
			}
			fmt.Fprintln(hash, table, rows)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

func TestTheSameNumberIsTheSameTown(t *testing.T) {
	first, second, other := open(t), open(t), open(t)
	fill(t, first, 600)
	fill(t, second, 600)
	fill(t, other, 601)
	if content(t, first) != content(t, second) {
		t.Error("two towns of 600 rows differ")
	}
	if content(t, first) == content(t, other) {
		t.Error("a town of 601 rows is that of 600")
	}
}

func TestTownOfEverySizeIsConsistent(t *testing.T) {
	for _, rows := range []int{1, 2, 3, 10, 11, 999} {
		t.Run(fmt.Sprint(rows), func(t *testing.T) {
			db := open(t)
			fill(t, db, rows)
			if got := number(t, db, "SELECT (SELECT count(*) FROM couriers) + (SELECT count(*) FROM courier_actions)"); got != int64(rows) {
				t.Errorf("%d couriers and actions, want %d", got, rows)
			}
			for what, query := range map[string]string{
				"rows whose foreign key has nothing": "SELECT count(*) FROM pragma_foreign_key_check",
				"orders without their two actions":   "SELECT count(*) FROM orders o WHERE 2 <> (SELECT count(*) FROM courier_actions a WHERE a.order_id = o.id AND a.courier_id = o.assigned_courier_id)",
				"orders of nobody":                   "SELECT count(*) FROM orders WHERE consumer_id NOT IN (SELECT id FROM consumers)",
				"orders without line items":          "SELECT count(*) FROM orders WHERE id NOT IN (SELECT order_id FROM order_line_items)",
				"items of another restaurant":        "SELECT count(*) FROM order_line_items l JOIN orders o ON o.id = l.order_id JOIN restaurant_menu_items m ON m.id = l.menu_item_id WHERE m.restaurant_id <> o.restaurant_id OR m.name <> l.name OR m.price_cents <> l.price_cents",
			} {
				if n := number(t, db, query); n != 0 {
					t.Errorf("%d %s", n, what)
				}
			}
		})
	}
}

func TestATenthAreCouriersAndHalfOfThemAvailable(t *testing.T) {
	db := open(t)
	fill(t, db, 1000)
	if all, available := number(t, db, "SELECT count(*) FROM couriers"), number(t, db, "SELECT count(*) FROM couriers WHERE available = 1"); all != 100 || available != 50 {
		t.Errorf("%d couriers, %d of them available, want 100 and 50", all, available)
	}
}

func TestADatabaseThatHasSomethingStaysAsItIs(t *testing.T) {
	db := open(t)
	if !fill(t, db, 100) {
		t.Error("an empty database was not filled")
	}
	before := content(t, db)
	if fill(t, db, 200) {
		t.Error("a database with rows was filled")
	}
	if content(t, db) != before {
		t.Error("a database with rows was changed")
	}
}

func TestSizesThatAreRefused(t *testing.T) {
	db := open(t)
	for _, rows := range []int{-1, 0, seed.Limit + 1} {
		if _, err := seed.Fill(t.Context(), db, rows); err == nil {
			t.Errorf("%d rows were accepted", rows)
		}
	}
}
