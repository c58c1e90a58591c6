package dispatch

import (
	"context"
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
	actions, err := s.assign(ctx, in.OrderID, readyBy)
	if kit.IsDuplicate(err) { // another request for this order committed first
		actions, err = s.assign(ctx, in.OrderID, readyBy)
	}
	if err != nil {
		return err
	}
	return sendDelivery(c, actions)
}

func (s *server) assign(ctx context.Context, orderID int64, readyBy kit.Timestamp) (actions []courierAction, err error) {
	err = s.db.Write(ctx, func(tx *gorm.DB) error {
		if actions, err = actionsOf(tx, orderID); err != nil || len(actions) > 0 {
			return err
		}
		courierID, err := takeIdleCourier(tx)
		if err != nil {
			return err
		}
		actions = []courierAction{
			{CourierID: courierID, OrderID: orderID, Type: pickup, Time: readyBy},
			{CourierID: courierID, OrderID: orderID, Type: dropoff, Time: readyBy.Add(rideTime)},
		}
		return tx.Create(&actions).Error
	})
	return actions, err
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
	var actions []courierAction
	err = s.db.Read(c.Request().Context(), func(tx *gorm.DB) error {
		actions, err = actionsOf(tx, orderID)
		return err
	})
	if err != nil {
		return err
	}
	if len(actions) == 0 {
		return kit.NotFound("delivery of order", orderID)
	}
	return sendDelivery(c, actions)
}

// unschedule takes an order off its courier's plan. It is done when the order is on no plan,
// whether or not it was on one before.
func (s *server) unschedule(c echo.Context) error {
	orderID, err := kit.PathID(c, "order_id")
	if err != nil {
		return err
	}
	err = s.db.Write(c.Request().Context(), func(tx *gorm.DB) error {
		return tx.Where("order_id = ?", orderID).Delete(&courierAction{}).Error
	})
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func actionsOf(tx *gorm.DB, orderID int64) (actions []courierAction, err error) {
	err = tx.Where("order_id = ?", orderID).Order("id").Find(&actions).Error
	return actions, err
}

func sendDelivery(c echo.Context, actions []courierAction) error {
	answer, err := kit.JSON(http.StatusOK, deliveryView{
		OrderID: actions[0].OrderID, CourierID: actions[0].CourierID, Actions: viewActions(actions)})
	if err != nil {
		return err
	}
	return answer.Send(c)
}
