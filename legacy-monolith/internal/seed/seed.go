// Package seed fills an empty monolith with a town that has been ordering food for a while. The same
// number of rows is the same town, to the last byte.
package seed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
)

// Limit is the most rows that Fill makes.
const Limit = 10_000_000

const (
	menuSize  = 8
	batchRows = 400 // times the columns of orders stays below SQLite's limit of 32,766 parameters
)

// start is when the town's first courier came.
var start = time.Date(2025, time.January, 1, 8, 0, 0, 0, time.UTC)

// Fill makes rows couriers and courier actions in total, and the consumers, restaurants and orders
// that they need, in one transaction. About a tenth are couriers, and every second one is
// available; the rest are the actions, two for each order.
//
// filled is false, and nothing is changed, when the database has consumers, restaurants or couriers
// already.
func Fill(ctx context.Context, db *kit.Database, rows int) (filled bool, err error) {
	if rows < 1 || rows > Limit {
		return false, fmt.Errorf("the number of rows to seed must be between 1 and %d", Limit)
	}
	err = db.Write(ctx, func(tx *gorm.DB) error {
		for _, table := range []string{"consumers", "restaurants", "couriers", "orders"} {
			var ids []int64
			if err := tx.Table(table).Limit(1).Pluck("id", &ids).Error; err != nil {
				return err
			}
			if len(ids) > 0 {
				return errNotEmpty
			}
		}
		t := planTown(rows, db.Dialect())
		filled = true
		return t.write(tx)
	})
	if errors.Is(err, errNotEmpty) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("seed %d rows (nothing was written): %w", rows, err)
	}
	return filled, nil
}

var errNotEmpty = errors.New("the database is not empty")

// town is how many there are of everything, with ids from 1 on.
type town struct {
	couriers    int
	orders      int
	consumers   int
	restaurants int
	random      *rand.Rand
	dialect     kit.Dialect
}

func planTown(rows int, dialect kit.Dialect) *town {
	couriers := max(1, rows/10)
	if (rows-couriers)%2 == 1 {
		couriers++
	}
	orders := (rows - couriers) / 2
	return &town{
		couriers:    couriers,
		orders:      orders,
		consumers:   max(1, orders/20),
		restaurants: max(1, min(500, orders/100)),
		random:      rand.New(rand.NewPCG(2025, uint64(rows))),
		dialect:     dialect,
	}
}

func (t *town) write(tx *gorm.DB) error {
	steps := []func(*gorm.DB) error{
		func(tx *gorm.DB) error { return insert(tx, t.consumers, t.consumer) },
		func(tx *gorm.DB) error { return insert(tx, t.restaurants, t.restaurant) },
		func(tx *gorm.DB) error { return insert(tx, t.restaurants*menuSize, t.menuItem) },
		func(tx *gorm.DB) error { return insert(tx, t.couriers, t.courier) },
		func(tx *gorm.DB) error { return insert(tx, t.orders, t.order) },
		func(tx *gorm.DB) error { return insert(tx, t.orders, t.lineItem) },
		func(tx *gorm.DB) error { return insert(tx, t.orders*2, t.action) },
		t.setSequences,
	}
	for _, step := range steps {
		if err := step(tx); err != nil {
			return err
		}
	}
	return nil
}

// insert writes n rows, made by row from the ids 1 to n, in batches.
func insert[T any](tx *gorm.DB, n int, row func(id int) T) error {
	batch := make([]T, 0, batchRows)
	for id := 1; id <= n; id++ {
		batch = append(batch, row(id))
		if len(batch) == batchRows || id == n {
			if err := tx.Create(&batch).Error; err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return nil
}

// setSequences makes PostgreSQL's sequences go on behind the ids that were given; SQLite's follow
// by themselves.
func (t *town) setSequences(tx *gorm.DB) error {
	if t.dialect != kit.Postgres {
		return nil
	}
	for _, table := range []string{"consumers", "restaurants", "restaurant_menu_items", "couriers", "orders", "order_line_items", "courier_actions"} {
		set := fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%[1]s', 'id'), coalesce(max(id), 1), max(id) IS NOT NULL) FROM %[1]s", table)
		if err := tx.Exec(set).Error; err != nil {
			return err
		}
	}
	return nil
}

// moment is when the order with this id was placed: three a minute.
func moment(id int) kit.Timestamp { return kit.At(start.Add(time.Duration(id) * 20 * time.Second)) }

func (t *town) consumer(id int) model.Consumer {
	first, last := t.name()
	return model.Consumer{ID: int64(id), FirstName: first, LastName: last}
}

func (t *town) restaurant(id int) model.Restaurant {
	street, city, zip := t.address()
	name := fmt.Sprintf("%s %s %d", pick(t, kitchens), pick(t, signs), id)
	return model.Restaurant{ID: int64(id), Name: name, Street: street, City: city, Zip: zip, OrderMinimumCents: 500}
}

func (t *town) menuItem(id int) model.RestaurantMenuItem {
	return model.RestaurantMenuItem{
		ID:           int64(id),
		RestaurantID: int64((id-1)/menuSize + 1),
		Name:         dishes[id%len(dishes)],
		PriceCents:   priceOf(id),
	}
}

func priceOf(menuItem int) int64 { return int64(500 + 50*(menuItem%40)) }

func (t *town) courier(id int) model.Courier {
	first, last := t.name()
	street, city, zip := t.address()
	available := id%2 == 1
	return model.Courier{ID: int64(id), FirstName: first, LastName: last, Street: street, City: city, Zip: zip,
		Available: &available, IdleSince: kit.At(start.Add(time.Duration(id) * time.Second))}
}

// states are those of orders that have a courier, most of them long delivered.
var states = []string{model.Delivered, model.Delivered, model.Delivered, model.Accepted, model.Preparing, model.ReadyForPickup, model.PickedUp, model.Delivered}

func (t *town) order(id int) model.Order {
	street, city, zip := t.address()
	courier := int64(t.courierOf(id))
	state := states[id%len(states)]
	placed := moment(id)
	accepted, readyBy := placed.Add(time.Minute), placed.Add(20*time.Minute)
	o := model.Order{
		ID: int64(id), Version: 2, ConsumerID: int64(1 + t.random.IntN(t.consumers)), RestaurantID: int64(t.restaurantOf(id)),
		AssignedCourierID: &courier, OrderState: state, OrderMinimumCents: 500,
		DeliveryStreet: street, DeliveryCity: city, DeliveryZip: zip, ReadyBy: &readyBy, AcceptTime: &accepted,
	}
	for i, step := range []struct {
		state string
		time  **kit.Timestamp
	}{
		{model.Preparing, &o.PreparingTime}, {model.ReadyForPickup, &o.ReadyForPickupTime},
		{model.PickedUp, &o.PickedUpTime}, {model.Delivered, &o.DeliveredTime},
	} {
		if state == model.Accepted {
			break
		}
		at := accepted.Add(time.Duration(i+1) * 8 * time.Minute)
		*step.time = &at
		o.Version++
		if state == step.state {
			break
		}
	}
	return o
}

func (t *town) lineItem(id int) model.OrderLineItem {
	menuItem := (t.restaurantOf(id)-1)*menuSize + 1 + id%menuSize
	return model.OrderLineItem{ID: int64(id), OrderID: int64(id), MenuItemID: int64(menuItem),
		Name: dishes[menuItem%len(dishes)], PriceCents: priceOf(menuItem), Quantity: int64(1 + id%3)}
}

func (t *town) action(id int) model.CourierAction {
	order := (id + 1) / 2
	readyBy := moment(order).Add(20 * time.Minute)
	a := model.CourierAction{ID: int64(id), CourierID: int64(t.courierOf(order)), OrderID: int64(order), Type: model.Pickup, Time: readyBy}
	if id%2 == 0 {
		a.Type, a.Time = model.Dropoff, readyBy.Add(30*time.Minute)
	}
	return a
}

// courierOf spreads the orders over the couriers by a stride, so that neighbours in one table are
// not neighbours in the other.
func (t *town) courierOf(order int) int { return order*7919%t.couriers + 1 }

func (t *town) restaurantOf(order int) int { return order%t.restaurants + 1 }
