package dispatch

import "github.com/strangler-fig/strangler/extracted/kit"

// The types of a courier's action.
const (
	pickup  = "PICKUP"
	dropoff = "DROPOFF"
)

type courier struct {
	ID                int64
	FirstName         string
	LastName          string
	Street, City, Zip string
	Available         *bool // nil until the courier first says
	IdleSince         kit.Timestamp
}

func (courier) TableName() string { return "couriers" }

type courierAction struct {
	ID        int64
	CourierID int64
	OrderID   int64
	Time      kit.Timestamp
	Type      string
}

func (courierAction) TableName() string { return "courier_actions" }

// delivery is an order that has a courier. Its actions are the courier's plan, its times what came of it.
type delivery struct {
	OrderID       int64 `gorm:"primaryKey;autoIncrement:false"`
	CourierID     int64
	PickedUpTime  *kit.Timestamp
	DeliveredTime *kit.Timestamp
}

func (delivery) TableName() string { return "deliveries" }

// The states of a delivery. It goes down this list step by step.
const (
	scheduled = "SCHEDULED"
	pickedUp  = "PICKED_UP"
	delivered = "DELIVERED"
)

func (d delivery) state() string {
	switch {
	case d.DeliveredTime != nil:
		return delivered
	case d.PickedUpTime != nil:
		return pickedUp
	}
	return scheduled
}

type addressView struct {
	Street string `json:"street"`
	City   string `json:"city"`
	Zip    string `json:"zip"`
}

type courierView struct {
	ID        int64       `json:"id"`
	FirstName string      `json:"first_name"`
	LastName  string      `json:"last_name"`
	Address   addressView `json:"address"`
	Available *bool       `json:"available"`
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

type deliveryView struct {
	OrderID       int64           `json:"order_id"`
	State         string          `json:"state"`
	CourierID     int64           `json:"courier_id"`
	Courier       deliveryCourier `json:"courier"`
	PickedUpTime  *kit.Timestamp  `json:"picked_up_time"`
	DeliveredTime *kit.Timestamp  `json:"delivered_time"`
	Actions       []actionView    `json:"actions"` // pick-up, then drop-off
}

type deliveryCourier struct {
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
}

func viewCourier(c courier) courierView {
	return courierView{ID: c.ID, FirstName: c.FirstName, LastName: c.LastName,
		Address: addressView{Street: c.Street, City: c.City, Zip: c.Zip}, Available: c.Available}
}

func viewActions(actions []courierAction) []actionView {
	views := make([]actionView, len(actions))
	for i, a := range actions {
		views[i] = actionView{OrderID: a.OrderID, Type: a.Type, Time: a.Time}
	}
	return views
}
