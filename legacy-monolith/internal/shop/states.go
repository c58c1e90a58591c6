package shop

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/seam"
)

// move is a change of an order's state that concerns the order alone.
type move struct {
	from, to string
	time     string // the column that keeps when it happened
	done     string // for "it cannot be …"
}

// moves has the move for the last part of each route. Accepting is not among them: accept.go. Nor are the delivery's: rides.
var moves = map[string]move{
	"cancel":    {from: model.Approved, to: model.Cancelled, done: "cancelled"},
	"preparing": {from: model.Accepted, to: model.Preparing, time: "preparing_time", done: "prepared"},
	"ready":     {from: model.Preparing, to: model.ReadyForPickup, time: "ready_for_pickup_time", done: "ready for pickup"},
}

// ride is a change of an order's delivery.
type ride struct {
	step seam.Step
	from string // the state before
	done string
}

// rides has the ride for the last part of each route.
var rides = map[string]ride{
	"pickedup":  {seam.PickedUp, model.ReadyForPickup, "picked up"},
	"delivered": {seam.Delivered, model.PickedUp, "delivered"},
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
			order, changed, err := change(tx, id, inState(m.from), set)
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

// rideOrder moves an order's delivery on. Who keeps it is the seam's affair.
func (s *server) rideOrder(r ride) echo.HandlerFunc {
	return func(c echo.Context) error {
		id, call, err := s.called(c, &struct{}{})
		if call == nil {
			return err
		}
		ctx := c.Request().Context()
		err = s.db.Read(ctx, func(tx *gorm.DB) error {
			order, err := find[model.Order](tx, "order", id)
			if err == nil && !slices.Contains(cooked, order.State()) {
				err = illegal(order, r.done)
			}
			return err
		})
		if err != nil {
			return err
		}
		scheduler, err := s.seam.For(ctx, c.Request().Header)
		if err != nil {
			return err
		}
		record := func(tx *gorm.DB, d seam.Delivery) error {
			return call.Within(tx, func(tx *gorm.DB) (kit.Answer, error) {
				when := condition{"order_state IN ?", []any{cooked}} // the service has looked at how far it was
				if d.Here {
					when = inState(r.from)
				}
				order, changed, err := change(tx, id, when, d.Columns(map[string]any{}))
				if err != nil {
					return kit.Answer{}, err
				}
				if !changed {
					return kit.Answer{}, illegal(order, r.done)
				}
				return kit.JSON(http.StatusOK, viewOrder(d.Of(order)))
			})
		}
		if err := scheduler.GoOn(ctx, id, r.step, call.Key(), record); err != nil {
			return err
		}
		return call.Send(c)
	}
}

// cooked are the states in which the kitchen is done with an order.
var cooked = []string{model.ReadyForPickup, model.PickedUp, model.Delivered}

// condition is what has to hold of an order that changes.
type condition struct {
	sql  string
	args []any
}

// inState is the condition of being in a state.
func inState(state string) condition {
	if state == model.PickedUp {
		return condition{sql: "picked_up_time IS NOT NULL AND delivered_time IS NULL"}
	}
	return condition{"order_state = ? AND picked_up_time IS NULL", []any{state}}
}

// change sets columns of an order of which the condition holds, and returns the order as it is then.
// changed is false when it does not hold.
func change(tx *gorm.DB, id int64, when condition, set map[string]any) (order model.Order, changed bool, err error) {
	set["version"] = gorm.Expr("version + 1")
	update := tx.Model(&model.Order{}).Where("id = ?", id).Where(when.sql, when.args...).Updates(set)
	if update.Error != nil {
		return model.Order{}, false, update.Error
	}
	order, err = find[model.Order](tx, "order", id)
	return order, update.RowsAffected == 1, err
}

func illegal(order model.Order, done string) *kit.Problem {
	return kit.Conflict("illegal_state", fmt.Sprintf("order %d is %s, so it cannot be %s", order.ID, order.State(), done))
}
