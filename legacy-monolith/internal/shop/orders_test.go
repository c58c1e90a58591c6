package shop_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/strangler-fig/strangler/extracted/kit/contract"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/seam"
)

func TestOrderFromPlacedToDelivered(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := start(t, fresh, seam.Config{})
		id := m.create(t, "/orders", orderBody)
		m.courier(t, false)
		courier := m.courier(t, true)
		for _, step := range []struct{ route, body, state string }{
			{"revise", `{"line_items":[{"menu_item_id":2,"quantity":3}]}`, "APPROVED"},
			{"accept", acceptBody, "ACCEPTED"},
			{"preparing", ``, "PREPARING"},
			{"ready", `{}`, "READY_FOR_PICKUP"},
			{"pickedup", ``, "PICKED_UP"},
			{"delivered", ``, "DELIVERED"},
		} {
			a := m.send(t, "POST", fmt.Sprintf("/orders/%d/%s", id, step.route), step.body)
			var got order
			a.decode(t, &got)
			if a.status != 200 || got.State != step.state {
				t.Fatalf("%s: %d %s, want state %s", step.route, a.status, a.body, step.state)
			}
		}
		got := m.order(t, id)
		if got.Version != 7 || got.Total != 1200 || len(got.LineItems) != 1 || got.LineItems[0].MenuItemID != 2 || got.Restaurant.Name != "Old Oven" {
			t.Errorf("order: %+v", got)
		}
		if got.CourierID == nil || *got.CourierID != courier || got.Courier == nil || got.Courier.FirstName != "Ada" {
			t.Errorf("courier: %+v, want %d", got, courier)
		}
		if fmt.Sprint(got.CourierActions) != "[{PICKUP 2999-01-01T12:00:00.000000Z} {DROPOFF 2999-01-01T12:30:00.000000Z}]" {
			t.Errorf("actions: %v", got.CourierActions)
		}
	})
}

// TestEveryStateRefusesWhatItDoesNotAllow tries all routes in all states.
func TestEveryStateRefusesWhatItDoesNotAllow(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := start(t, fresh, seam.Config{})
		m.courier(t, true)
		bodies := map[string]string{
			"accept": acceptBody, "revise": `{"line_items":[{"menu_item_id":1,"quantity":2}]}`,
			"cancel": "", "preparing": "", "ready": "", "pickedup": "", "delivered": "",
		}
		for state, c := range map[string]struct {
			path    []string // how to get there
			allowed string
		}{
			"APPROVED":         {nil, "accept revise cancel"},
			"CANCELLED":        {[]string{"cancel"}, ""},
			"ACCEPTED":         {[]string{"accept"}, "preparing"},
			"PREPARING":        {[]string{"accept", "preparing"}, "ready"},
			"READY_FOR_PICKUP": {[]string{"accept", "preparing", "ready"}, "pickedup"},
			"PICKED_UP":        {[]string{"accept", "preparing", "ready", "pickedup"}, "delivered"},
			"DELIVERED":        {[]string{"accept", "preparing", "ready", "pickedup", "delivered"}, ""},
		} {
			for route, body := range bodies {
				t.Run(state+" "+route, func(t *testing.T) {
					id := m.create(t, "/orders", orderBody)
					for _, before := range c.path {
						if a := m.send(t, "POST", fmt.Sprintf("/orders/%d/%s", id, before), bodies[before]); a.status != 200 {
							t.Fatalf("%s: %d %s", before, a.status, a.body)
						}
					}
					if got := m.order(t, id).State; got != state {
						t.Fatalf("state %s, want %s", got, state)
					}
					a := m.send(t, "POST", fmt.Sprintf("/orders/%d/%s", id, route), body)
					if strings.Contains(c.allowed, route) {
						if a.status != 200 {
							t.Errorf("got %d %s, want 200", a.status, a.body)
						}
						return
					}
					if code, _ := a.problem(t); a.status != 409 || code != "illegal_state" {
						t.Errorf("got %d %s, want 409 illegal_state", a.status, a.body)
					}
					if got := m.order(t, id).State; got != state {
						t.Errorf("state %s after a refusal, want %s", got, state)
					}
				})
			}
		}
	})
}

func TestUnknownIDs(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := start(t, fresh, seam.Config{})
		for _, request := range []struct{ method, path, body string }{
			{"GET", "/consumers/99", ""},
			{"GET", "/restaurants/99", ""},
			{"GET", "/orders/99", ""},
			{"POST", "/orders/99/cancel", ""},
			{"POST", "/orders/99/accept", acceptBody},
			{"POST", "/orders/99/revise", `{"line_items":[{"menu_item_id":1,"quantity":2}]}`},
			{"POST", "/orders/99/delivered", ""},
			{"GET", "/nowhere", ""},
		} {
			if a := m.send(t, request.method, request.path, request.body); a.status != 404 {
				t.Errorf("%s %s: %d %s, want 404", request.method, request.path, a.status, a.body)
			} else if code, _ := a.problem(t); code != "not_found" {
				t.Errorf("%s %s: code %s", request.method, request.path, code)
			}
		}
	})
}

func TestBadInputNamesTheField(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := start(t, fresh, seam.Config{})
		id := m.create(t, "/orders", orderBody)
		of := func(old, new string) string { return strings.Replace(orderBody, old, new, 1) }
		for _, c := range []struct{ method, path, body, field string }{
			{"POST", "/consumers", `{"last_name":"Ito"}`, "first_name"},
			{"POST", "/consumers", `{"first_name":"Mei","last_name":"` + strings.Repeat("x", 101) + `"}`, "last_name"},
			{"POST", "/consumers", `{"first_name":"Mei\u0000","last_name":"Ito"}`, "first_name"},
			{"POST", "/restaurants", `{"name":""}`, "name"},
			{"POST", "/restaurants", `{"name":"Oven"}`, "address.street"},
			{"POST", "/restaurants", `{"name":"Oven","address":{"street":"1","city":"N","zip":"1"}}`, "menu_items"},
			{"POST", "/restaurants", `{"name":"Oven","address":{"street":"1","city":"N","zip":"1"},"menu_items":[{"name":"Pie","price_cents":-1}]}`, "menu_items[0].price_cents"},
			{"POST", "/restaurants", `{"name":"Oven","address":{"street":"1","city":"N","zip":"1"},"order_minimum_cents":-1}`, "order_minimum_cents"},
			{"POST", "/orders", of(`"consumer_id":1`, `"consumer_id":99`), "consumer_id"},
			{"POST", "/orders", of(`"restaurant_id":1`, `"restaurant_id":99`), "restaurant_id"},
			{"POST", "/orders", of(`"menu_item_id":1`, `"menu_item_id":99`), "line_items[0].menu_item_id"},
			{"POST", "/orders", of(`"quantity":2`, `"quantity":0`), "line_items[0].quantity"},
			{"POST", "/orders", of(`"quantity":2`, `"quantity":1`), "line_items"},
			{"POST", "/orders", of(`[{"menu_item_id":1,"quantity":2}]`, `[]`), "line_items"},
			{"POST", "/orders", of(`"street":"5 Mill Street",`, ``), "delivery_address.street"},
			{"POST", "/orders", of(`{"consumer_id"`, `{"delivery_time":"soon","consumer_id"`), "delivery_time"},
			{"POST", "/orders", of(`{"consumer_id"`, `{"payment_token":"","consumer_id"`), "payment_token"},
			{"POST", fmt.Sprintf("/orders/%d/revise", id), `{"line_items":[{"menu_item_id":2,"quantity":1}]}`, "line_items"},
			{"POST", fmt.Sprintf("/orders/%d/accept", id), `{}`, "ready_by"},
			{"POST", fmt.Sprintf("/orders/%d/accept", id), `{"ready_by":"2001-01-01T12:00:00Z"}`, "ready_by"},
			{"POST", fmt.Sprintf("/orders/%d/cancel", id), `{"why":"late"}`, "why"},
			{"POST", "/orders/x/cancel", ``, "id"},
			{"GET", "/orders", ``, "consumerId"},
			{"GET", "/orders?consumerId=me", ``, "consumerId"},
		} {
			a := m.send(t, c.method, c.path, c.body)
			if a.status != 400 {
				t.Errorf("%s %s %s: %d %s, want 400", c.method, c.path, c.body, a.status, a.body)
			} else if _, field := a.problem(t); field != c.field {
				t.Errorf("%s %s %s: field %q, want %q", c.method, c.path, c.body, field, c.field)
			}
		}
		if got := m.order(t, id); got.Version != 1 || got.Total != 1400 {
			t.Errorf("refused input changed the order: %+v", got)
		}
	})
}

func TestListOrdersShowsTheLatestFirst(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := start(t, fresh, seam.Config{})
		m.create(t, "/orders", orderBody)
		m.create(t, "/orders", orderBody)
		var list struct{ Orders []struct{ ID int64 } }
		m.send(t, "GET", "/orders?consumerId=1", "").decode(t, &list)
		if fmt.Sprint(list.Orders) != "[{2} {1}]" {
			t.Errorf("orders %v, want 2 and 1", list.Orders)
		}
		if a := m.send(t, "GET", "/orders?consumerId=99", ""); a.body != `{"orders":[]}` {
			t.Errorf("orders of nobody: %s", a.body)
		}
	})
}

func TestNoCourierIsAConflictAndLeavesTheOrder(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := start(t, fresh, seam.Config{})
		m.courier(t, false)
		id := m.create(t, "/orders", orderBody)
		a := m.accept(t, id, "Idempotency-Key", "k")
		if code, _ := a.problem(t); a.status != 409 || code != "no_courier" {
			t.Fatalf("got %d %s, want 409 no_courier", a.status, a.body)
		}
		if got := m.order(t, id); got.State != "APPROVED" || got.CourierID != nil || len(got.CourierActions) != 0 {
			t.Errorf("order: %+v", got)
		}
		m.courier(t, true)
		if a := m.accept(t, id, "Idempotency-Key", "k"); a.status != 200 {
			t.Errorf("the same key once there is a courier: %d %s", a.status, a.body)
		}
	})
}

func TestAKeyMakesARequestHappenOnce(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := start(t, fresh, seam.Config{})
		m.courier(t, true)
		first := m.send(t, "POST", "/orders", orderBody, "Idempotency-Key", "order")
		again := m.send(t, "POST", "/orders", orderBody, "Idempotency-Key", "order")
		if again.status != 201 || again.body != first.body || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("replay of an order: %d %s, want %s", again.status, again.body, first.body)
		}
		accepted := m.accept(t, 1, "Idempotency-Key", "accept")
		// The order has moved on, the answer stays.
		m.send(t, "POST", "/orders/1/preparing", "")
		if a := m.accept(t, 1, "Idempotency-Key", "accept"); a.status != 200 || a.body != accepted.body {
			t.Errorf("replay of an acceptance: %d %s, want %s", a.status, a.body, accepted.body)
		}
		if a := m.send(t, "POST", "/orders/1/ready", "", "Idempotency-Key", "accept"); a.status != 422 {
			t.Errorf("the key on another route: %d %s, want 422", a.status, a.body)
		}
		if a := m.send(t, "POST", "/orders", orderBody, "Idempotency-Key", strings.Repeat("k", 201)); a.status != 400 {
			t.Errorf("a key that is too long: %d %s, want 400", a.status, a.body)
		}
		if n := m.count(t, "SELECT count(*) FROM orders"); n != 1 {
			t.Errorf("%d orders, want 1", n)
		}
	})
}

func TestAnAcceptanceIsReplayedWhenItsReadyByHasPassed(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := start(t, fresh, seam.Config{})
		m.create(t, "/orders", orderBody)
		const past = `{"ready_by":"2001-01-01T12:00:00Z"}`
		m.exec(t, fmt.Sprintf("INSERT INTO order_requests VALUES ('old', 'POST /orders/1/accept', '%x', 200, '{}', '%s')", sha256.Sum256([]byte(past)), m.time("2001-01-01T11:00:00.000000Z")))
		if a := m.send(t, "POST", "/orders/1/accept", past, "Idempotency-Key", "old"); a.status != 200 || a.body != "{}" {
			t.Errorf("got %d %s, want the recorded answer", a.status, a.body)
		}
	})
}

func TestParallelAcceptancesGiveEachOrderOneCourierAndTwoActions(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := start(t, fresh, seam.Config{})
		const couriers, orders = 5, 30
		for range couriers {
			m.courier(t, true)
		}
		for range orders {
			m.create(t, "/orders", orderBody)
		}
		var mu sync.Mutex
		accepted := map[int64]int{}
		var wg sync.WaitGroup
		for i := range 3 * orders {
			wg.Go(func() {
				id := int64(1 + i%orders)
				a := m.accept(t, id)
				mu.Lock()
				defer mu.Unlock()
				if a.status == 200 {
					accepted[id]++
				} else if a.status != 409 {
					t.Errorf("order %d: %d %s", id, a.status, a.body)
				}
			})
		}
		wg.Wait()
		for id := int64(1); id <= orders; id++ {
			if accepted[id] != 1 {
				t.Errorf("order %d was accepted %d times", id, accepted[id])
			}
		}
		if n := m.count(t, `SELECT count(*) FROM orders o WHERE o.order_state = 'ACCEPTED'
		AND 2 = (SELECT count(DISTINCT type) FROM courier_actions a WHERE a.order_id = o.id AND a.courier_id = o.assigned_courier_id)
		AND 2 = (SELECT count(*) FROM courier_actions a WHERE a.order_id = o.id)`); n != orders {
			t.Errorf("%d orders have their courier and two actions, want %d", n, orders)
		}
	})
}

func TestCouriersTakeTurns(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := start(t, fresh, seam.Config{})
		const couriers, orders = 3, 9
		for range couriers {
			m.courier(t, true)
		}
		for range orders {
			if a := m.accept(t, m.create(t, "/orders", orderBody)); a.status != 200 {
				t.Fatalf("got %d %s", a.status, a.body)
			}
		}
		if n := m.count(t, "SELECT count(*) FROM (SELECT courier_id FROM courier_actions GROUP BY courier_id HAVING count(*) = 6) AS busy"); n != couriers {
			t.Errorf("%d couriers have an equal share, want %d", n, couriers)
		}
	})
}
