package shop

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
)

const (
	lineItemLimit = 100
	quantityLimit = 1000
	orderListSize = 100
)

type wantedItem struct {
	MenuItemID int64 `json:"menu_item_id"`
	Quantity   int64 `json:"quantity"`
}

func (s *server) placeOrder(c echo.Context) error {
	var in struct {
		ConsumerID      int64        `json:"consumer_id"`
		RestaurantID    int64        `json:"restaurant_id"`
		LineItems       []wantedItem `json:"line_items"`
		DeliveryAddress address      `json:"delivery_address"`
		DeliveryTime    *string      `json:"delivery_time"`
		PaymentToken    *string      `json:"payment_token"`
	}
	body, err := kit.ReadJSON(c, &in)
	if err != nil {
		return err
	}
	order := model.Order{Version: 1, ConsumerID: in.ConsumerID, RestaurantID: in.RestaurantID,
		OrderState: model.Approved, PaymentToken: in.PaymentToken}
	if err := checkItems(in.LineItems); err != nil {
		return err
	}
	to, err := in.DeliveryAddress.check("delivery_address")
	if err != nil {
		return err
	}
	order.DeliveryStreet, order.DeliveryCity, order.DeliveryZip = to.Street, to.City, to.Zip
	if in.DeliveryTime != nil {
		at, err := kit.Time("delivery_time", *in.DeliveryTime)
		if err != nil {
			return err
		}
		order.DeliveryTime = &at
	}
	if in.PaymentToken != nil {
		if _, err := kit.Text("payment_token", *in.PaymentToken, 200); err != nil {
			return err
		}
	}
	return s.orders.Do(c, body, func(tx *gorm.DB) (kit.Answer, error) {
		order.ID = 0
		if err := insertOrder(tx, &order, in.LineItems); err != nil {
			return kit.Answer{}, err
		}
		return kit.JSON(http.StatusCreated, viewOrder(order))
	})
}

func insertOrder(tx *gorm.DB, order *model.Order, wanted []wantedItem) error {
	if _, err := find[model.Consumer](tx, "consumer", order.ConsumerID); err != nil {
		return unknown("consumer_id", err)
	}
	restaurant, err := find[model.Restaurant](tx, "restaurant", order.RestaurantID)
	if err != nil {
		return unknown("restaurant_id", err)
	}
	order.OrderMinimumCents = restaurant.OrderMinimumCents
	items, err := priced(tx, *order, wanted)
	if err != nil {
		return err
	}
	if err := tx.Create(order).Error; err != nil {
		return err
	}
	for i := range items {
		items[i].OrderID = order.ID
	}
	return tx.Create(&items).Error
}

// reviseOrder replaces what is ordered, as long as the order is not accepted.
func (s *server) reviseOrder(c echo.Context) error {
	id, err := kit.PathID(c, "id")
	if err != nil {
		return err
	}
	var in struct {
		LineItems []wantedItem `json:"line_items"`
	}
	body, err := kit.ReadJSON(c, &in)
	if err != nil {
		return err
	}
	if err := checkItems(in.LineItems); err != nil {
		return err
	}
	return s.orders.Do(c, body, func(tx *gorm.DB) (kit.Answer, error) {
		order, changed, err := change(tx, id, inState(model.Approved), map[string]any{})
		if err != nil {
			return kit.Answer{}, err
		}
		if !changed {
			return kit.Answer{}, illegal(order, "revised")
		}
		items, err := priced(tx, order, in.LineItems)
		if err != nil {
			return kit.Answer{}, err
		}
		if err := tx.Where("order_id = ?", id).Delete(&model.OrderLineItem{}).Error; err != nil {
			return kit.Answer{}, err
		}
		if err := tx.Create(&items).Error; err != nil {
			return kit.Answer{}, err
		}
		return kit.JSON(http.StatusOK, viewOrder(order))
	})
}

// listOrders shows the latest orders of a consumer, orderListSize at most.
func (s *server) listOrders(c echo.Context) error {
	consumerID, err := kit.QueryID(c, "consumerId")
	if err != nil {
		return err
	}
	var rows []model.Order
	err = s.db.Read(c.Request().Context(), func(tx *gorm.DB) error {
		return tx.Where("consumer_id = ?", consumerID).Order("id DESC").Limit(orderListSize).Find(&rows).Error
	})
	if err != nil {
		return err
	}
	views := make([]orderView, len(rows))
	for i, row := range rows {
		views[i] = viewOrder(row)
	}
	return send(c, http.StatusOK, map[string]any{"orders": views})
}

func checkItems(wanted []wantedItem) error {
	if len(wanted) == 0 || len(wanted) > lineItemLimit {
		return kit.Invalid("line_items", fmt.Sprintf("must have 1 to %d items", lineItemLimit))
	}
	for i, item := range wanted {
		if item.Quantity < 1 || item.Quantity > quantityLimit {
			return kit.Invalid(fmt.Sprintf("line_items[%d].quantity", i), fmt.Sprintf("must be between 1 and %d", quantityLimit))
		}
	}
	return nil
}

// priced returns the line items of an order at the restaurant's present prices.
func priced(tx *gorm.DB, order model.Order, wanted []wantedItem) ([]model.OrderLineItem, error) {
	var menu []model.RestaurantMenuItem
	if err := tx.Where("restaurant_id = ?", order.RestaurantID).Find(&menu).Error; err != nil {
		return nil, err
	}
	byID := make(map[int64]model.RestaurantMenuItem, len(menu))
	for _, item := range menu {
		byID[item.ID] = item
	}
	items := make([]model.OrderLineItem, len(wanted))
	var total int64
	for i, w := range wanted {
		item, ok := byID[w.MenuItemID]
		if !ok {
			return nil, kit.Invalid(fmt.Sprintf("line_items[%d].menu_item_id", i), "is not on the restaurant's menu")
		}
		items[i] = model.OrderLineItem{OrderID: order.ID, MenuItemID: item.ID, Name: item.Name, PriceCents: item.PriceCents, Quantity: w.Quantity}
		total += item.PriceCents * w.Quantity
	}
	if total < order.OrderMinimumCents {
		return nil, kit.Invalid("line_items", fmt.Sprintf("cost %d cents, and the restaurant's minimum is %d", total, order.OrderMinimumCents))
	}
	return items, nil
}

// unknown makes an id in the body that nothing has the input's fault, as the path is right.
func unknown(field string, err error) error {
	if p := (*kit.Problem)(nil); errors.As(err, &p) && p.Status == http.StatusNotFound {
		return kit.Invalid(field, "is the id of nothing: "+p.Message)
	}
	return err
}
