package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/strangler-fig/strangler/extracted/kit"
)

// rideTime is how long after the pick-up an order is dropped off.
const rideTime = 30 * time.Minute

// schedule puts an order on a courier's plan. An order that is on a plan stays there, whatever
// ready_by says now: so the caller may repeat a request whose answer it never got.
func (s *server) schedule(c echo.Context) error {
	var in struct {
		OrderID int64  `json:"order_id"`
		ReadyBy string `json:"ready_by"`
	}
	if _, err := kit.ReadJSON(c, &in); err != nil {
		return err
	}
	if in.OrderID < 1 {
		return kit.Invalid("order_id", "must be a whole number above 0")
	}
	readyBy, err := kit.Time("ready_by", in.ReadyBy)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	view, err := s.assign(ctx, in.OrderID, readyBy)
	if kit.IsDuplicate(err) { // another request for this order committed first
		view, err = s.assign(ctx, in.OrderID, readyBy)
	}
	if err != nil {
		return err
	}
	return sendDelivery(c, view)
}

func (s *server) assign(ctx context.Context, orderID int64, readyBy kit.Timestamp) (view deliveryView, err error) {
	err = s.db.Write(ctx, func(tx *gorm.DB) error {
		known, err := lookup(tx, orderID)
		if err != nil {
			return err
		}
		if known == nil {
			courierID, err := takeIdleCourier(tx)
			if err != nil {
				return err
			}
			known = &delivery{OrderID: orderID, CourierID: courierID}
			if err := tx.Create(known).Error; err != nil {
				return err
			}
			err = tx.Create([]courierAction{
				{CourierID: courierID, OrderID: orderID, Type: pickup, Time: readyBy},
				{CourierID: courierID, OrderID: orderID, Type: dropoff, Time: readyBy.Add(rideTime)},
			}).Error
			if err != nil {
				return err
			}
		}
		view, err = viewDelivery(tx, *known)
		return err
	})
	return view, err
}

// takeIdleCourier picks the available courier who has been without a new order for the longest,
// and puts it at the end of that queue.
func takeIdleCourier(tx *gorm.DB) (int64, error) {
	// Couriers that another transaction is taking are passed over, unless there is no other.
	for _, lock := range []clause.Locking{{Strength: "UPDATE", Options: "SKIP LOCKED"}, {Strength: "UPDATE"}} {
		var idle []courier
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

func (s *server) getDelivery(c echo.Context) error {
	orderID, err := kit.PathID(c, "order_id")
	if err != nil {
		return err
	}
	var view deliveryView
	err = s.db.Read(c.Request().Context(), func(tx *gorm.DB) error {
		d, err := find(tx, orderID)
		if err != nil {
			return err
		}
		view, err = viewDelivery(tx, d)
		return err
	})
	if err != nil {
		return err
	}
	return sendDelivery(c, view)
}

// step is what a courier tells of a delivery, once: the time of it is kept.
type step struct {
	time string // the column
	when string // what has to hold before
	done string // for "it cannot be …"
}

// steps are named by the last part of their routes.
var steps = map[string]step{
	"pickedup":  {time: "picked_up_time", when: "picked_up_time IS NULL", done: "picked up"},
	"delivered": {time: "delivered_time", when: "picked_up_time IS NOT NULL AND delivered_time IS NULL", done: "delivered"},
}

func (s *server) goOn(step step) echo.HandlerFunc {
	return func(c echo.Context) error {
		orderID, err := kit.PathID(c, "order_id")
		if err != nil {
			return err
		}
		body, err := kit.ReadJSON(c, &struct{}{})
		if err != nil {
			return err
		}
		return s.once.Do(c, body, func(tx *gorm.DB) (kit.Answer, error) {
			update := tx.Model(&delivery{}).Where("order_id = ?", orderID).Where(step.when).Update(step.time, kit.Now())
			if update.Error != nil {
				return kit.Answer{}, update.Error
			}
			d, err := find(tx, orderID)
			if err != nil {
				return kit.Answer{}, err
			}
			if update.RowsAffected == 0 {
				return kit.Answer{}, kit.Conflict("illegal_state", fmt.Sprintf("the delivery of order %d is %s, so it cannot be %s", orderID, d.state(), step.done))
			}
			view, err := viewDelivery(tx, d)
			if err != nil {
				return kit.Answer{}, err
			}
			return kit.JSON(http.StatusOK, view)
		})
	}
}

// unschedule takes an order off its courier's plan. It is done when the order is on no plan,
// whether or not it was on one before.
func (s *server) unschedule(c echo.Context) error {
	orderID, err := kit.PathID(c, "order_id")
	if err != nil {
		return err
	}
	err = s.db.Write(c.Request().Context(), func(tx *gorm.DB) error {
		if err := tx.Where("order_id = ?", orderID).Delete(&courierAction{}).Error; err != nil {
			return err
		}
		return tx.Where("order_id = ?", orderID).Delete(&delivery{}).Error
	})
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// lookup returns nil for an order that has no courier.
func lookup(tx *gorm.DB, orderID int64) (*delivery, error) {
	var rows []delivery
	if err := tx.Where("order_id = ?", orderID).Find(&rows).Error; err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

func find(tx *gorm.DB, orderID int64) (delivery, error) {
	d, err := lookup(tx, orderID)
	if err != nil {
		return delivery{}, err
	}
	if d == nil {
		return delivery{}, kit.NotFound("delivery of order", orderID)
	}
	return *d, nil
}

func viewDelivery(tx *gorm.DB, d delivery) (deliveryView, error) {
	who, err := findCourier(tx, d.CourierID)
	if err != nil {
		return deliveryView{}, err
	}
	var actions []courierAction
	if err := tx.Where("order_id = ?", d.OrderID).Order("id").Find(&actions).Error; err != nil {
		return deliveryView{}, err
	}
	return deliveryView{OrderID: d.OrderID, State: d.state(), CourierID: d.CourierID, Courier: deliveryCourier{who.FirstName, who.LastName},
		PickedUpTime: d.PickedUpTime, DeliveredTime: d.DeliveredTime, Actions: viewActions(actions)}, nil
}

func sendDelivery(c echo.Context, view deliveryView) error {
	answer, err := kit.JSON(http.StatusOK, view)
	if err != nil {
		return err
	}
	return answer.Send(c)
}
