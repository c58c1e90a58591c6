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
	var in struct {
		ReadyBy string `json:"ready_by"`
	}
	id, call, err := s.called(c, &in)
	if call == nil {
		return err
	}
	readyBy, err := kit.Time("ready_by", in.ReadyBy)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
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

// called reads a request about an order whose effect is not one transaction alone. A nil call is one that is over: with an error, or
// with the answer that is recorded, which is given again before anything else is asked, since by now the order has moved on, and
// ready_by may have passed.
func (s *server) called(c echo.Context, in any) (id int64, call *kit.Call, err error) {
	if id, err = kit.PathID(c, "id"); err != nil {
		return 0, nil, err
	}
	body, err := kit.ReadJSON(c, in)
	if err != nil {
		return 0, nil, err
	}
	if call, err = s.orders.Call(c, body); err != nil {
		return 0, nil, err
	}
	answered, err := call.Answered(c.Request().Context())
	switch {
	case err != nil:
		return 0, nil, err
	case answered:
		return 0, nil, call.Send(c)
	}
	return id, call, nil
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
