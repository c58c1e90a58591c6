package shop

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/seam"
)

// orderRow is one row of the join behind an order's details: one for each courier action.
type orderRow struct {
	model.Order      `gorm:"embedded"`
	RestaurantName   string
	CourierFirstName *string
	CourierLastName  *string
	ActionType       *string
	ActionTime       *kit.Timestamp
}

// getOrder joins the order with its restaurant, its courier and the courier's actions. Where the service owns deliveries, what it
// says of this one goes before what has come back from it.
func (s *server) getOrder(c echo.Context) error {
	id, err := kit.PathID(c, "id")
	if err != nil {
		return err
	}
	var rows []orderRow
	var items []model.OrderLineItem
	err = s.db.Read(c.Request().Context(), func(tx *gorm.DB) error {
		query := tx.Table("orders").Joins("JOIN restaurants ON restaurants.id = orders.restaurant_id").Where("orders.id = ?", id)
		fields := "orders.*, restaurants.name AS restaurant_name"
		if !s.seam.Left() {
			fields += ", couriers.first_name AS courier_first_name, couriers.last_name AS courier_last_name, " +
				"courier_actions.type AS action_type, courier_actions.time AS action_time"
			query = query.Joins("LEFT JOIN couriers ON couriers.id = orders.assigned_courier_id").
				Joins("LEFT JOIN courier_actions ON courier_actions.order_id = orders.id AND courier_actions.courier_id = orders.assigned_courier_id").
				Order("courier_actions.id")
		}
		if err := query.Select(fields).Scan(&rows).Error; err != nil {
			return err
		}
		return tx.Where("order_id = ?", id).Order("id").Find(&items).Error
	})
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return kit.NotFound("order", id)
	}
	view := viewDetails(rows, items)
	if rows[0].OrderState != model.Approved && rows[0].OrderState != model.Cancelled {
		if d := s.seam.Delivery(c.Request().Context(), c.Request().Header, id); d != nil {
			view.show(rows[0].Order, *d)
		}
	}
	return send(c, http.StatusOK, view)
}

// show puts in what the delivery service says.
func (v *orderDetailsView) show(order model.Order, d seam.Delivery) {
	v.orderView = viewOrder(d.Of(order))
	v.Courier = &orderCourier{ID: *d.CourierID, FirstName: d.Courier.FirstName, LastName: d.Courier.LastName}
	v.CourierActions = make([]actionView, len(d.Actions))
	for i, a := range d.Actions {
		v.CourierActions[i] = actionView{OrderID: order.ID, Type: a.Type, Time: a.Time}
	}
}

func viewDetails(rows []orderRow, items []model.OrderLineItem) orderDetailsView {
	first := rows[0]
	view := orderDetailsView{
		orderView:      viewOrder(first.Order),
		LineItems:      make([]lineItemView, len(items)),
		Restaurant:     orderRestaurant{ID: first.RestaurantID, Name: first.RestaurantName},
		CourierActions: []actionView{},
	}
	for i, item := range items {
		view.LineItems[i] = lineItemView{MenuItemID: item.MenuItemID, Name: item.Name, PriceCents: item.PriceCents, Quantity: item.Quantity}
		view.TotalCents += item.PriceCents * item.Quantity
	}
	// The courier may be new at the service and not here yet.
	if first.CourierFirstName != nil && first.CourierLastName != nil {
		view.Courier = &orderCourier{ID: *first.AssignedCourierID, FirstName: *first.CourierFirstName, LastName: *first.CourierLastName}
	}
	for _, row := range rows {
		if row.ActionType != nil && row.ActionTime != nil {
			view.CourierActions = append(view.CourierActions, actionView{OrderID: first.ID, Type: *row.ActionType, Time: *row.ActionTime})
		}
	}
	return view
}
