package shop

import (
	"github.com/strangler-fig/strangler/extracted/kit"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/model"
)

type address struct {
	Street string `json:"street"`
	City   string `json:"city"`
	Zip    string `json:"zip"`
}

// check checks an address that must be there; field is its place in the request.
func (a address) check(field string) (address, error) {
	var err error
	if a.Street, err = kit.Text(field+".street", a.Street, 200); err != nil {
		return address{}, err
	}
	if a.City, err = kit.Text(field+".city", a.City, 100); err != nil {
		return address{}, err
	}
	if a.Zip, err = kit.Text(field+".zip", a.Zip, 20); err != nil {
		return address{}, err
	}
	return a, nil
}

type consumerView struct {
	ID        int64  `json:"id"`
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
}

type restaurantView struct {
	ID                int64          `json:"id"`
	Name              string         `json:"name"`
	Address           address        `json:"address"`
	OrderMinimumCents int64          `json:"order_minimum_cents"`
	MenuItems         []menuItemView `json:"menu_items"`
}

type menuItemView struct {
	ID         int64  `json:"id"`
	Name       string `json:"name"`
	PriceCents int64  `json:"price_cents"`
}

type courierView struct {
	ID        int64   `json:"id"`
	FirstName string  `json:"first_name"`
	LastName  string  `json:"last_name"`
	Address   address `json:"address"`
	Available *bool   `json:"available"`
}

type courierPlanView struct {
	courierView
	Plan []actionView `json:"plan"` // the latest first, planLimit at most
}

type actionView struct {
	OrderID int64         `json:"order_id"`
	Type    string        `json:"type"`
	Time    kit.Timestamp `json:"time"`
}

type orderView struct {
	ID                 int64          `json:"id"`
	Version            int64          `json:"version"`
	State              string         `json:"state"`
	ConsumerID         int64          `json:"consumer_id"`
	RestaurantID       int64          `json:"restaurant_id"`
	CourierID          *int64         `json:"courier_id"`
	OrderMinimumCents  int64          `json:"order_minimum_cents"`
	DeliveryTime       *kit.Timestamp `json:"delivery_time"`
	DeliveryAddress    address        `json:"delivery_address"`
	ReadyBy            *kit.Timestamp `json:"ready_by"`
	AcceptTime         *kit.Timestamp `json:"accept_time"`
	PreparingTime      *kit.Timestamp `json:"preparing_time"`
	ReadyForPickupTime *kit.Timestamp `json:"ready_for_pickup_time"`
	PickedUpTime       *kit.Timestamp `json:"picked_up_time"`
	DeliveredTime      *kit.Timestamp `json:"delivered_time"`
}

type orderDetailsView struct {
	orderView
	TotalCents     int64           `json:"total_cents"`
	LineItems      []lineItemView  `json:"line_items"`
	Restaurant     orderRestaurant `json:"restaurant"`
	Courier        *orderCourier   `json:"courier"`
	CourierActions []actionView    `json:"courier_actions"` // pick-up, then drop-off
}

type lineItemView struct {
	MenuItemID int64  `json:"menu_item_id"`
	Name       string `json:"name"`
	PriceCents int64  `json:"price_cents"`
	Quantity   int64  `json:"quantity"`
}

type orderRestaurant struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

type orderCourier struct {
	ID        int64  `json:"id"`
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
}

func viewCourier(c model.Courier) courierView {
	return courierView{ID: c.ID, FirstName: c.FirstName, LastName: c.LastName,
		Address: address{Street: c.Street, City: c.City, Zip: c.Zip}, Available: c.Available}
}

func viewActions(actions []model.CourierAction) []actionView {
	views := make([]actionView, len(actions))
	for i, a := range actions {
		views[i] = actionView{OrderID: a.OrderID, Type: a.Type, Time: a.Time}
	}
	return views
}

func viewOrder(o model.Order) orderView {
	return orderView{
		ID: o.ID, Version: o.Version, State: o.State(),
		ConsumerID: o.ConsumerID, RestaurantID: o.RestaurantID, CourierID: o.AssignedCourierID,
		OrderMinimumCents: o.OrderMinimumCents, DeliveryTime: o.DeliveryTime,
		DeliveryAddress: address{Street: o.DeliveryStreet, City: o.DeliveryCity, Zip: o.DeliveryZip},
		ReadyBy:         o.ReadyBy, AcceptTime: o.AcceptTime, PreparingTime: o.PreparingTime,
		ReadyForPickupTime: o.ReadyForPickupTime, PickedUpTime: o.PickedUpTime, DeliveredTime: o.DeliveredTime,
	}
}
