package shop

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/seam"
)

// acceptOrder gives the order a courier and makes it accepted. Who finds the courier is the seam's
// affair.
func (s *server) acceptOrder(c echo.Context) error {
	id, err := kit.PathID(c, "id")
	if err != nil {
		return err
	}
	var in struct {
		ReadyBy string `json:"ready_by"`
	}
	body, err := kit.ReadJSON(c, &in)
	if err != nil {
		return err
	}
	readyBy, err := kit.Time("ready_by", in.ReadyBy)
	if err != nil {
		return err
	}
	call, err := s.orders.Call(c, body)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	// An answer that is recorded is given again before anything else is asked, since ready_by may
	// have passed by now and the order is accepted.
	if answered, err := call.Answered(ctx); err != nil {
		return err
	} else if answered {
		return call.Send(c)
	}
	err = s.db.Read(ctx, func(tx *gorm.DB) error { return acceptable(tx, id, readyBy) })
	if err != nil {
		return err
	}
	scheduler, err := s.seam.For(ctx, c.Request().Header)
	if err != nil {
		return err
	}
	accept := func(tx *gorm.DB, d seam.Delivery) error {
		return call.Within(tx, func(tx *gorm.DB) (kit.Answer, error) {
			order, changed, err := change(tx, id, inState(model.Approved), d.Columns(map[string]any{
				"order_state": model.Accepted, "ready_by": readyBy, "accept_time": kit.Now()}))
			if err != nil {
				return kit.Answer{}, err
			}
			if !changed {
				return kit.Answer{}, &seam.NotApproved{Cancelled: order.OrderState == model.Cancelled, Problem: illegal(order, "accepted")}
			}
			return kit.JSON(http.StatusOK, viewOrder(d.Of(order)))
		})
	}
	if err := scheduler.Schedule(ctx, seam.Wanted{OrderID: id, ReadyBy: readyBy}, accept); err != nil {
		return err
	}
	return call.Send(c)
}

// acceptable refuses what is sure to be refused, before another program is asked for a courier. The
// acceptance itself looks at the state again.
func acceptable(tx *gorm.DB, id int64, readyBy kit.Timestamp) error {
	order, err := find[model.Order](tx, "order", id)
	if err != nil {
		return err
	}
	if order.OrderState != model.Approved {
		return illegal(order, "accepted")
	}
	if !readyBy.After(kit.Now()) {
		return kit.Invalid("ready_by", "must be in the future")
	}
	return nil
}
