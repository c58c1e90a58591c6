package shop

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
)

// move is a change of an order's state that concerns nothing else.
type move struct {
	from, to string
	time     string // the column that keeps when it happened
	done     string // for "it cannot be …"
}

// moves has the move for the last part of each route. Accepting is not among them: accept.go.
var moves = map[string]move{
	"cancel":    {from: model.Approved, to: model.Cancelled, done: "cancelled"},
	"preparing": {from: model.Accepted, to: model.Preparing, time: "preparing_time", done: "prepared"},
	"ready":     {from: model.Preparing, to: model.ReadyForPickup, time: "ready_for_pickup_time", done: "ready for pickup"},
	"pickedup":  {from: model.ReadyForPickup, to: model.PickedUp, time: "picked_up_time", done: "picked up"},
	"delivered": {from: model.PickedUp, to: model.Delivered, time: "delivered_time", done: "delivered"},
}

func (s *server) moveOrder(m move) echo.HandlerFunc {
	return func(c echo.Context) error {
		id, err := kit.PathID(c, "id")
		if err != nil {
			return err
		}
		body, err := kit.ReadJSON(c, &struct{}{})
		if err != nil {
			return err
		}
		return s.orders.Do(c, body, func(tx *gorm.DB) (kit.Answer, error) {
			set := map[string]any{"order_state": m.to}
			if m.time != "" {
				set[m.time] = kit.Now()
			}
			order, changed, err := change(tx, id, m.from, set)
			if err != nil {
				return kit.Answer{}, err
			}
			if !changed {
				return kit.Answer{}, illegal(order, m.done)
			}
			return kit.JSON(http.StatusOK, viewOrder(order))
		})
	}
}

// change sets columns of an order that is in the state from, and returns the order as it is then.
// changed is false when the order is in another state.
func change(tx *gorm.DB, id int64, from string, set map[string]any) (order model.Order, changed bool, err error) {
	set["version"] = gorm.Expr("version + 1")
	update := tx.Model(&model.Order{}).Where("id = ? AND order_state = ?", id, from).Updates(set)
	if update.Error != nil {
		return model.Order{}, false, update.Error
	}
	order, err = find[model.Order](tx, "order", id)
	return order, update.RowsAffected == 1, err
}

func illegal(order model.Order, done string) *kit.Problem {
	return kit.Conflict("illegal_state", fmt.Sprintf("order %d is %s, so it cannot be %s", order.ID, order.OrderState, done))
}
