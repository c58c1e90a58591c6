// Package model is the tables of the monolith. One order entity and one set of states serve ordering
// and delivery alike; that is the knot which an extraction has to cut.
package model

import "github.com/strangler-fig/strangler/extracted/kit"

// The states of an order. It goes down this list step by step; only an approved order can be cancelled. The last two are
// its delivery's, which tells them by its times: no column says PICKED_UP or DELIVERED but in old rows.
const (
	Approved       = "APPROVED"
	Accepted       = "ACCEPTED"
	Preparing      = "PREPARING"
	ReadyForPickup = "READY_FOR_PICKUP"
	PickedUp       = "PICKED_UP"
	Delivered      = "DELIVERED"
	Cancelled      = "CANCELLED"
)

// The types of a courier's action.
const (
	Pickup  = "PICKUP"
	Dropoff = "DROPOFF"
)

// Consumer is who orders.
type Consumer struct {
	ID        int64
	FirstName string
	LastName  string
}

// Restaurant is who cooks.
type Restaurant struct {
	ID                int64
	Name              string
	Street, City, Zip string
	OrderMinimumCents int64
}

// RestaurantMenuItem is a dish of a restaurant.
type RestaurantMenuItem struct {
	ID           int64
	RestaurantID int64
	Name         string
	PriceCents   int64
}

// Courier is who delivers.
type Courier struct {
	ID                int64
	FirstName         string
	LastName          string
	Street, City, Zip string
	Available         *bool         // nil until the courier first says
	IdleSince         kit.Timestamp // since when no new order was given to the courier
}

// CourierAction is one stop on a courier's plan. An accepted order has two: Pickup and Dropoff.
type CourierAction struct {
	ID        int64
	CourierID int64
	OrderID   int64
	Time      kit.Timestamp
	Type      string
}

// Order is an order and its delivery. A time is nil until the order gets there. AssignedCourierID, PickedUpTime and
// DeliveredTime are the delivery's, and leave with it.
type Order struct {
	ID                 int64
	Version            int64 // rises with every change
	ConsumerID         int64
	RestaurantID       int64
	AssignedCourierID  *int64
	OrderState         string // as far as the kitchen; State is all of it
	OrderMinimumCents  int64
	PaymentToken       *string
	DeliveryTime       *kit.Timestamp // when the consumer wants it
	DeliveryStreet     string
	DeliveryCity       string
	DeliveryZip        string
	ReadyBy            *kit.Timestamp
	AcceptTime         *kit.Timestamp
	PreparingTime      *kit.Timestamp
	ReadyForPickupTime *kit.Timestamp
	PickedUpTime       *kit.Timestamp
	DeliveredTime      *kit.Timestamp
}

// State is how far the order has come.
func (o Order) State() string {
	switch {
	case o.DeliveredTime != nil:
		return Delivered
	case o.PickedUpTime != nil:
		return PickedUp
	}
	return o.OrderState
}

// OrderLineItem is one dish of an order, at the price it had when it was ordered.
type OrderLineItem struct {
	ID         int64
	OrderID    int64
	MenuItemID int64
	Name       string
	PriceCents int64
	Quantity   int64
}
