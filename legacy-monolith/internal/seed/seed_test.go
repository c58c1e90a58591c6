package seed_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/extracted/kit/contract"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/schema"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/seed"
)

func TestMain(m *testing.M) { os.Exit(localdbtest.Main(m).Run()) }

// eachDatabase runs a test on an empty database of each kind.
func eachDatabase(t *testing.T, test func(t *testing.T, fresh contract.Fresh)) {
	contract.EachDatabase(t, localdbtest.Fresh, localdbtest.FreshMariaDB, test)
}

func open(t *testing.T, fresh contract.Fresh) *kit.Database {
	t.Helper()
	db, err := kit.Open(context.Background(), fresh(t))
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

// content is a hash of every row of every table, the same for the same rows in every kind of database.
func content(t *testing.T, db *kit.Database) string {
	t.Helper()
	hash := sha256.New()
	err := db.Read(t.Context(), func(tx *gorm.DB) error {
		return errors.Join(
			add[model.Consumer](tx, hash), add[model.Restaurant](tx, hash), add[model.RestaurantMenuItem](tx, hash), add[model.Courier](tx, hash),
			add[model.Order](tx, hash), add[model.OrderLineItem](tx, hash), add[model.CourierAction](tx, hash))
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

func add[T any](tx *gorm.DB, to io.Writer) error {
	var rows []T
	if err := tx.Order("id").Find(&rows).Error; err != nil {
		return err
	}
	return json.NewEncoder(to).Encode(rows)
}

func TestTheSameNumberIsTheSameTown(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		first, second, other := open(t, fresh), open(t, fresh), open(t, fresh)
		fill(t, first, 600)
		fill(t, second, 600)
		fill(t, other, 601)
		if content(t, first) != content(t, second) {
			t.Error("two towns of 600 rows differ")
		}
		if content(t, first) == content(t, other) {
			t.Error("a town of 601 rows is that of 600")
		}
	})
}

func TestTownOfEverySizeIsConsistent(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		for _, rows := range []int{1, 2, 3, 10, 11, 999} {
			t.Run(fmt.Sprint(rows), func(t *testing.T) {
				db := open(t, fresh)
				fill(t, db, rows)
				if got := number(t, db, "SELECT (SELECT count(*) FROM couriers) + (SELECT count(*) FROM courier_actions)"); got != int64(rows) {
					t.Errorf("%d couriers and actions, want %d", got, rows)
				}
				for what, query := range map[string]string{
					"actions of nobody":                "SELECT count(*) FROM courier_actions WHERE courier_id NOT IN (SELECT id FROM couriers)",
					"items of no menu":                 "SELECT count(*) FROM order_line_items WHERE menu_item_id NOT IN (SELECT id FROM restaurant_menu_items)",
					"orders at no restaurant":          "SELECT count(*) FROM orders WHERE restaurant_id NOT IN (SELECT id FROM restaurants)",
					"orders without their two actions": "SELECT count(*) FROM orders o WHERE 2 <> (SELECT count(*) FROM courier_actions a WHERE a.order_id = o.id AND a.courier_id = o.assigned_courier_id)",
					"orders of nobody":                 "SELECT count(*) FROM orders WHERE consumer_id NOT IN (SELECT id FROM consumers)",
					"orders without line items":        "SELECT count(*) FROM orders WHERE id NOT IN (SELECT order_id FROM order_line_items)",
					"items of another restaurant":      "SELECT count(*) FROM order_line_items l JOIN orders o ON o.id = l.order_id JOIN restaurant_menu_items m ON m.id = l.menu_item_id WHERE m.restaurant_id <> o.restaurant_id OR m.name <> l.name OR m.price_cents <> l.price_cents",
				} {
					if n := number(t, db, query); n != 0 {
						t.Errorf("%d %s", n, what)
					}
				}
			})
		}
	})
}

func TestATenthAreCouriersAndHalfOfThemAvailable(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		db := open(t, fresh)
		fill(t, db, 1000)
		if all, available := number(t, db, "SELECT count(*) FROM couriers"), number(t, db, "SELECT count(*) FROM couriers WHERE available"); all != 100 || available != 50 {
			t.Errorf("%d couriers, %d of them available, want 100 and 50", all, available)
		}
	})
}

func TestADatabaseThatHasSomethingStaysAsItIs(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		db := open(t, fresh)
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
	})
}

func TestSizesThatAreRefused(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		db := open(t, fresh)
		for _, rows := range []int{-1, 0, seed.Limit + 1} {
			if _, err := seed.Fill(t.Context(), db, rows); err == nil {
				t.Errorf("%d rows were accepted", rows)
			}
		}
	})
}

func TestTheTownIsTheSameInEveryDatabase(t *testing.T) {
	towns := map[string]bool{}
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		db := open(t, fresh)
		fill(t, db, 600)
		towns[content(t, db)] = true
	})
	if len(towns) != 1 {
		t.Errorf("%d different towns", len(towns))
	}
}

// What is inserted afterwards gets the ids behind those of the town.
func TestIDsGoOnBehindTheTown(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		db := open(t, fresh)
		fill(t, db, 100)
		err := db.Write(t.Context(), func(tx *gorm.DB) error {
			var last int64
			courier := model.Courier{FirstName: "Ada", LastName: "Ito", Street: "1", City: "N", Zip: "1", IdleSince: kit.Now()}
			order := model.Order{ConsumerID: 1, RestaurantID: 1, OrderState: model.Approved, DeliveryStreet: "1", DeliveryCity: "N", DeliveryZip: "1"}
			err := errors.Join(tx.Raw("SELECT max(id) FROM couriers").Scan(&last).Error, tx.Create(&courier).Error)
			if courier.ID != last+1 {
				t.Errorf("the courier behind %d is %d", last, courier.ID)
			}
			err = errors.Join(err, tx.Raw("SELECT max(id) FROM orders").Scan(&last).Error, tx.Create(&order).Error)
			if order.ID != last+1 {
				t.Errorf("the order behind %d is %d", last, order.ID)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
