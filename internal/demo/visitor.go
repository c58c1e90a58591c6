package demo

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"time"

	"github.com/strangler-fig/strangler/internal/invariant"
)

// visitor is one user of the shop, with cookies of its own.
type visitor struct {
	crowd  *crowd
	random *rand.Rand
	pace   *time.Ticker
	http   *http.Client
	gone   bool // it was told to go home
}

func newVisitor(c *crowd, random *rand.Rand, pace *time.Ticker, cookies bool) *visitor {
	v := &visitor{crowd: c, random: random, pace: pace, http: &http.Client{Transport: c.wires}}
	if cookies {
		v.http.Jar, _ = cookiejar.New(nil) // fails for options only
	}
	return v
}

// The shop's answers, as far as a visitor looks at them.
type (
	address struct {
		Street string `json:"street"`
		City   string `json:"city"`
		Zip    string `json:"zip"`
	}
	courier struct {
		ID        int64   `json:"id"`
		FirstName string  `json:"first_name"`
		LastName  string  `json:"last_name"`
		Address   address `json:"address"`
		Available *bool   `json:"available"`
		Plan      []struct {
			OrderID int64  `json:"order_id"`
			Type    string `json:"type"`
		} `json:"plan"`
	}
	restaurant struct {
		ID        int64 `json:"id"`
		MenuItems []struct {
			ID int64 `json:"id"`
		} `json:"menu_items"`
	}
	order struct {
		ID        int64  `json:"id"`
		State     string `json:"state"`
		CourierID *int64 `json:"courier_id"`
	}
	orders struct {
		Orders []order `json:"orders"`
	}
)

// visit is what a user does, until it is done, something fails or the crowd goes home.
func (v *visitor) visit() {
	switch v.random.IntN(3) {
	case 0:
		v.look()
	case 1:
		v.work()
	default:
		v.eat()
	}
}

// look is somebody who only reads.
func (v *visitor) look() {
	for range 6 {
		var c courier
		if id := v.anyone(v.crowd.town.couriers); v.read(path("/couriers/%d", id), &c) && c.ID != id {
			v.crowd.fail("GET /couriers/%d: it is courier %d", id, c.ID)
		}
		var o order
		if id := v.anyone(v.crowd.town.orders); v.read(path("/orders/%d", id), &o) && o.ID != id {
			v.crowd.fail("GET /orders/%d: it is order %d", id, o.ID)
		}
		if v.gone {
			return
		}
	}
}

// work is a new courier, who signs on and off and looks at it each time.
func (v *visitor) work() {
	available := v.random.IntN(2) == 0
	n := v.crowd.next()
	me := invariant.Courier{FirstName: "Demo " + v.crowd.run, LastName: fmt.Sprintf("Rider %d", n), Street: fmt.Sprintf("%d Wheel Lane", n), City: "Oakland", Zip: "94612", Available: &available}
	body := map[string]any{"first_name": me.FirstName, "last_name": me.LastName, "address": address{me.Street, me.City, me.Zip}, "available": available}
	var made courier
	if !v.write("/couriers", invariant.Write{Kind: invariant.CreateCourier, Courier: me}, body, &made, func() int64 { return made.ID }) {
		return
	}
	me.ID = made.ID
	for range 3 {
		if !v.finds(me) {
			return
		}
		available = !available
		w := invariant.Write{Kind: invariant.SetAvailability, Courier: invariant.Courier{ID: me.ID, Available: &available}}
		var set courier
		if !v.write(path("/couriers/%d/availability", me.ID), w, map[string]any{"available": available}, &set, func() int64 { return set.ID }) {
			return
		}
	}
	v.finds(me)
}

// finds reads a courier that this visitor has just written.
func (v *visitor) finds(me invariant.Courier) bool {
	var c courier
	if !v.read(path("/couriers/%d", me.ID), &c) {
		return false
	}
	seen := invariant.Courier{ID: c.ID, FirstName: c.FirstName, LastName: c.LastName, Street: c.Address.Street, City: c.Address.City, Zip: c.Address.Zip}
	want := me
	want.Available = nil
	if seen != want || c.Available == nil || *c.Available != *me.Available {
		v.crowd.fail("GET /couriers/%d: its user does not read what it has just written: %+v, available %v, in place of %+v, available %v",
			me.ID, seen, said(c.Available), want, *me.Available)
		return false
	}
	return true
}

// eat is a customer, whose order is accepted, gets a courier, is cooked and comes.
func (v *visitor) eat() {
	var r restaurant
	if !v.read(path("/restaurants/%d", v.anyone(v.crowd.town.restaurants)), &r) || len(r.MenuItems) == 0 {
		return
	}
	where := invariant.Order{Consumer: v.anyone(v.crowd.town.consumers), Restaurant: r.ID, Street: fmt.Sprintf("%d %s Street", v.crowd.next(), v.crowd.run), City: "Oakland", Zip: "94612"}
	body := map[string]any{
		"consumer_id": where.Consumer, "restaurant_id": where.Restaurant, "delivery_address": address{where.Street, where.City, where.Zip},
		"line_items": []map[string]int64{{"menu_item_id": r.MenuItems[v.random.IntN(len(r.MenuItems))].ID, "quantity": 1 + v.random.Int64N(3)}},
	}
	var o order
	if !v.write("/orders", invariant.Write{Kind: invariant.PlaceOrder, Order: where}, body, &o, func() int64 { return o.ID }) {
		return
	}
	if !v.follows(o.ID, "APPROVED", nil) {
		return
	}
	var accepted order
	ready := map[string]any{"ready_by": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}
	w := invariant.Write{Kind: invariant.AcceptOrder, Order: invariant.Order{ID: o.ID}}
	if !v.write(path("/orders/%d/accept", o.ID), w, ready, &accepted, accepted.courier) || accepted.CourierID == nil {
		return
	}
	if !v.follows(o.ID, "ACCEPTED", accepted.CourierID) || !v.planned(o.ID, *accepted.CourierID) {
		return
	}
	for _, move := range []struct{ route, state string }{
		{"preparing", "PREPARING"}, {"ready", "READY_FOR_PICKUP"}, {"pickedup", "PICKED_UP"}, {"delivered", "DELIVERED"},
	} {
		w := invariant.Write{Kind: invariant.MoveOrder, Order: invariant.Order{ID: o.ID, State: move.state}}
		var moved order
		if !v.write(path("/orders/%d/%s", o.ID, move.route), w, struct{}{}, &moved, func() int64 { return moved.ID }) || !v.follows(o.ID, move.state, accepted.CourierID) {
			return
		}
	}
	v.lists(o.ID, where.Consumer)
}

// courier is 0 while nobody has the order.
func (o *order) courier() int64 {
	if o.CourierID == nil {
		return 0
	}
	return *o.CourierID
}

// follows reads an order that this visitor has just written.
func (v *visitor) follows(id int64, state string, courier *int64) bool {
	var o order
	if !v.read(path("/orders/%d", id), &o) {
		return false
	}
	if o.State != state || (courier != nil && o.courier() != *courier) {
		v.crowd.fail("GET /orders/%d: its user does not read what it has just written: it is %s with courier %d", id, o.State, o.courier())
		return false
	}
	return true
}

// planned reads the plan of the courier whom this visitor's order was just given to.
func (v *visitor) planned(id, who int64) bool {
	var c courier
	if !v.read(path("/couriers/%d", who), &c) {
		return false
	}
	stops := 0
	for _, stop := range c.Plan {
		if stop.OrderID == id {
			stops++
		}
	}
	if stops != 2 {
		v.crowd.fail("GET /couriers/%d: order %d, just accepted, is %d times on the plan of its courier, not twice", who, id, stops)
	}
	return stops == 2
}

// lists looks for an order among the latest of its customer.
func (v *visitor) lists(id, consumer int64) {
	var list orders
	if !v.read(path("/orders?consumerId=%d", consumer), &list) {
		return
	}
	for _, o := range list.Orders {
		if o.ID == id {
			return
		}
	}
	v.crowd.fail("GET /orders?consumerId=%d: order %d is not in the list", consumer, id)
}

func (v *visitor) anyone(last int64) int64 { return 1 + v.random.Int64N(max(1, last)) }

func path(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func said(b *bool) string {
	if b == nil {
		return "unset"
	}
	return fmt.Sprint(*b)
}
