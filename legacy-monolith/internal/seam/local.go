package seam

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
)

// rideTime is how long after the pick-up an order is dropped off.
const rideTime = 30 * time.Minute

// local schedules in the monolith's own tables.
type local struct{ db *kit.Database }

// Schedule implements Scheduler: plan and acceptance are one transaction.
func (l *local) Schedule(ctx context.Context, w Wanted, accept func(tx *gorm.DB, d Delivery) error) error {
	return l.db.Write(ctx, func(tx *gorm.DB) error {
		// Two acceptances of one order take turns.
		var order []model.Order
		if err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).Select("id").Where("id = ?", w.OrderID).Find(&order).Error; err != nil {
			return err
		}
		courierID, err := assign(tx, w)
		if err != nil {
			return err
		}
		return accept(tx, Delivery{CourierID: &courierID, Here: true})
	})
}

// GoOn implements Scheduler. A step that the service has done with this key, and whose recording here failed before deliveries came
// back, is recorded only.
func (l *local) GoOn(ctx context.Context, orderID int64, step Step, key string, record func(tx *gorm.DB, d Delivery) error) error {
	now, d := kit.Now(), Delivery{Here: true}
	switch step {
	case PickedUp:
		d.PickedUpTime = &now
	case Delivered:
		d.DeliveredTime = &now
	}
	return l.db.Write(ctx, func(tx *gorm.DB) error {
		var done []string
		if key != "" {
			known := tx.Table("courier_requests").Where("idempotency_key = ? AND request = ?", key, "POST "+step.path(orderID))
			if err := known.Pluck("idempotency_key", &done).Error; err != nil {
				return err
			}
		}
		if len(done) > 0 {
			return record(tx, Delivery{})
		}
		return record(tx, d)
	})
}

// assign returns the courier who has the order, which may be from an earlier attempt at whichever
// side owned deliveries then, or gives it to one.
func assign(tx *gorm.DB, w Wanted) (int64, error) {
	var actions []model.CourierAction
	if err := tx.Where("order_id = ?", w.OrderID).Order("id").Find(&actions).Error; err != nil {
		return 0, err
	}
	if len(actions) > 0 {
		return actions[0].CourierID, nil
	}
	courierID, err := takeIdleCourier(tx)
	if err != nil {
		return 0, err
	}
	return courierID, tx.Create([]model.CourierAction{
		{CourierID: courierID, OrderID: w.OrderID, Type: model.Pickup, Time: w.ReadyBy},
		{CourierID: courierID, OrderID: w.OrderID, Type: model.Dropoff, Time: w.ReadyBy.Add(rideTime)},
	}).Error
}

// takeIdleCourier picks the available courier who has been without a new order for the longest,
// and puts it at the end of that queue.
func takeIdleCourier(tx *gorm.DB) (int64, error) {
	// Couriers that another transaction is taking are passed over, unless there is no other.
	for _, lock := range []clause.Locking{{Strength: "UPDATE", Options: "SKIP LOCKED"}, {Strength: "UPDATE"}} {
		var idle []model.Courier
		err := tx.Clauses(lock).Where("available = ?", true).Order("idle_since, id").Limit(1).Find(&idle).Error
		if err != nil {
			return 0, err
		}
		if len(idle) == 1 {
			return idle[0].ID, tx.Model(&idle[0]).Update("idle_since", kit.Now()).Error
		}
	}
	return 0, kit.Conflict("no_courier", "no courier is available; send the request again later")
}
