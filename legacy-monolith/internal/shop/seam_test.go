package shop_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strangler-fig/strangler/extracted/kit/contract"
	"github.com/strangler-fig/strangler/legacy-monolith/internal/seam"
)

const (
	ownerIsLegacy  = "delivery=legacy;epoch=12"
	ownerIsService = "delivery=service;epoch=13"
)

// deliveries is a delivery service that knows one courier, number 77.
type deliveries struct {
	url string

	mu      sync.Mutex
	plan    map[int64]int // orders that have the courier, and how many steps they have gone on
	keys    []string      // of the steps that were asked for
	asked   int
	deleted int

	// before runs when a delivery is asked for; it answers in the service's place by returning true.
	before func(w http.ResponseWriter) bool
	// after runs once the delivery is scheduled and not yet answered.
	after func(w http.ResponseWriter) bool
}

func startDeliveries(t *testing.T) *deliveries {
	t.Helper()
	d := &deliveries{plan: map[int64]int{}}
	never := func(http.ResponseWriter) bool { return false }
	d.before, d.after = never, never
	mux := http.NewServeMux()
	mux.HandleFunc("POST /deliveries", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			OrderID int64  `json:"order_id"`
			ReadyBy string `json:"ready_by"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.ReadyBy == "" {
			t.Errorf("the monolith asks for %+v: %v", in, err)
		}
		if d.before(w) {
			return
		}
		d.mu.Lock()
		d.asked++
		d.plan[in.OrderID] += 0
		d.mu.Unlock()
		if d.after(w) {
			return
		}
		d.answer(w, in.OrderID)
	})
	mux.HandleFunc("GET /deliveries/{id}", func(w http.ResponseWriter, r *http.Request) { d.answer(w, number(t, r)) })
	for i, step := range []string{"pickedup", "delivered"} {
		mux.HandleFunc("POST /deliveries/{id}/"+step, func(w http.ResponseWriter, r *http.Request) {
			id := number(t, r)
			d.mu.Lock()
			d.keys = append(d.keys, r.Header.Get("Idempotency-Key"))
			known := d.plan[id] == i+1 && r.Header.Get("Idempotency-Key") != ""
			next := d.plan[id] == i
			if next {
				d.plan[id]++
			}
			d.mu.Unlock()
			if !next && !known {
				reply(409, `{"error":{"code":"illegal_state","message":"it is not next"}}`)(w)
			} else if !d.after(w) {
				d.answer(w, id)
			}
		})
	}
	mux.HandleFunc("DELETE /deliveries/{id}", func(w http.ResponseWriter, r *http.Request) {
		id := number(t, r)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.deleted++
		delete(d.plan, id)
		w.WriteHeader(http.StatusNoContent)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

func number(t *testing.T, r *http.Request) int64 {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		t.Error(err)
	}
	return id
}

// answer tells how a delivery stands.
func (d *deliveries) answer(w http.ResponseWriter, id int64) {
	d.mu.Lock()
	steps, planned := d.plan[id]
	d.mu.Unlock()
	if !planned {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	times := []string{"null", "null"}
	for i := range steps {
		times[i] = fmt.Sprintf(`"2999-01-01T1%d:00:00.000000Z"`, i+3)
	}
	fmt.Fprintf(w, `{"order_id":%d,"courier_id":77,"courier":{"first_name":"Zoe","last_name":"Fry"},"picked_up_time":%s,"delivered_time":%s,`+
		`"actions":[{"type":"PICKUP","time":"2999-01-01T12:00:00Z"},{"type":"DROPOFF","time":"2999-01-01T12:30:00Z"}]}`, id, times[0], times[1])
}

func (d *deliveries) counts() (planned, asked, deleted int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.plan), d.asked, d.deleted
}

// startCut starts a monolith as it is once the crossing foreign keys are dropped, with one available
// courier and one order.
func startCut(t *testing.T, fresh contract.Fresh, config seam.Config) *monolith {
	t.Helper()
	m := start(t, fresh, config)
	m.courier(t, true)
	m.create(t, "/orders", orderBody)
	contract.Cut(t, m.dsn)
	return m
}

func TestTheHeaderChoosesWhoSchedules(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		for _, c := range []struct {
			header  string
			courier int64
		}{
			{ownerIsLegacy, 1},
			{ownerIsService, 77},
			{"billing=service;epoch=3, delivery=legacy;epoch=12", 1},
			{"billing=legacy;epoch=3, delivery=service;epoch=13", 77},
		} {
			t.Run(c.header, func(t *testing.T) {
				d := startDeliveries(t)
				m := startCut(t, fresh, seam.Config{Delivery: d.url})
				if a := m.accept(t, 1, seam.OwnerHeader, c.header); a.status != 200 {
					t.Fatalf("got %d %s", a.status, a.body)
				}
				if got := m.order(t, 1, seam.OwnerHeader, c.header); got.State != "ACCEPTED" || *got.CourierID != c.courier {
					t.Errorf("order %+v, want courier %d", got, c.courier)
				}
				planned, _, _ := d.counts()
				local := m.count(t, "SELECT count(*) FROM courier_actions")
				if remote := c.courier == 77; remote != (planned == 1) || remote == (local == 2) {
					t.Errorf("%d planned at the service, %d actions here", planned, local)
				}
			})
		}
	})
}

func TestAnOwnerThatIsNotClearIsRefused(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		d := startDeliveries(t)
		m := startCut(t, fresh, seam.Config{Delivery: d.url})
		for _, header := range []string{
			"", "delivery", "delivery=", "delivery=legacy", "delivery=legacy;epoch=", "delivery=legacy;epoch=x", "delivery=legacy;epoch=-1",
			"delivery=both;epoch=1", "=legacy;epoch=1", "delivery=legacy;epoch=1;delivery=service;epoch=2", "delivery=LEGACY;epoch=1",
			"delivery=legacy;epoch=1, delivery=service;epoch=2", "delivery=legacy;epoch=1,", "billing=legacy;epoch=1",
		} {
			a := m.accept(t, 1, seam.OwnerHeader, header)
			if code, _ := a.problem(t); a.status != 503 || code != "owner_unknown" || a.header.Get("Retry-After") != "1" {
				t.Errorf("%q: %d %s", header, a.status, a.body)
			}
		}
		if a := m.accept(t, 1, seam.OwnerHeader, ownerIsLegacy, seam.OwnerHeader, ownerIsService); a.status != 503 {
			t.Errorf("two headers: %d %s", a.status, a.body)
		}
		if got := m.order(t, 1).State; got != "APPROVED" {
			t.Errorf("state %s after refusals", got)
		}
		if _, asked, _ := d.counts(); asked != 0 {
			t.Errorf("the service was asked %d times", asked)
		}
	})
}

func TestServiceOwnsButNobodySaidWhereItIs(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := startCut(t, fresh, seam.Config{})
		if a := m.accept(t, 1, seam.OwnerHeader, ownerIsService); a.status != 503 {
			t.Errorf("got %d %s, want 503", a.status, a.body)
		}
	})
}

func TestWithoutAHeaderTheToggleDecides(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		for _, c := range []struct {
			name, toggle string
			status       int // of the admin API
			courier      int64
		}{
			{"legacy", `{"capability":"delivery","owner":"legacy","epoch":12,"gated":false,"toggle":"canary"}`, 200, 1},
			{"service", `{"capability":"delivery","owner":"service","epoch":13,"gated":false}`, 200, 77},
			{"legacy, and the header names others", `{"capability":"delivery","owner":"legacy","epoch":12,"gated":false}`, 200, 1},
			{"service, and the header names others", `{"capability":"delivery","owner":"service","epoch":13,"gated":false}`, 200, 77},
			{"gated", `{"capability":"delivery","owner":"legacy","epoch":12,"gated":true}`, 200, 0},
			{"another capability", `{"capability":"billing","owner":"legacy","epoch":12,"gated":false}`, 200, 0},
			{"gated is not told", `{"capability":"delivery","owner":"legacy","epoch":12}`, 200, 0},
			{"epoch is not told", `{"capability":"delivery","owner":"legacy","gated":false}`, 200, 0},
			{"unknown owner", `{"capability":"delivery","owner":"","epoch":12,"gated":false}`, 200, 0},
			{"no JSON", `<html>`, 200, 0},
			{"wrong token", `{}`, 401, 0},
			{"redirect", `{"capability":"delivery","owner":"legacy","epoch":12,"gated":false}`, 302, 0},
		} {
			t.Run(c.name, func(t *testing.T) {
				admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/v1/toggles/delivery" || r.Header.Get("Authorization") != "Bearer secret" {
						t.Errorf("asked for %s as %q", r.URL.Path, r.Header.Get("Authorization"))
					}
					w.Header().Set("Location", "/v1/toggles/delivery")
					w.WriteHeader(c.status)
					io.WriteString(w, c.toggle)
				}))
				t.Cleanup(admin.Close)
				m := startCut(t, fresh, seam.Config{Delivery: startDeliveries(t).url, Toggles: admin.URL + "/", Token: "secret"})
				var headers []string
				if strings.HasSuffix(c.name, "others") {
					headers = []string{seam.OwnerHeader, "billing=legacy;epoch=3, shipping=service;epoch=4"}
				}
				a := m.accept(t, 1, headers...)
				if c.courier == 0 {
					if code, _ := a.problem(t); a.status != 503 || code != "owner_unknown" || a.header.Get("Retry-After") != "1" {
						t.Errorf("got %d %s, want 503", a.status, a.body)
					}
					return
				}
				if a.status != 200 || *m.order(t, 1).CourierID != c.courier {
					t.Errorf("got %d %s, want courier %d", a.status, a.body, c.courier)
				}
			})
		}
	})
}

func TestToggleThatCannotBeReachedIsNoDefault(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		m := startCut(t, fresh, seam.Config{Toggles: gone.URL})
		if a := m.accept(t, 1); a.status != 503 || a.header.Get("Retry-After") != "1" {
			t.Errorf("got %d %s, want 503", a.status, a.body)
		}
		if a := m.accept(t, 1, seam.OwnerHeader, ownerIsLegacy); a.status != 200 {
			t.Errorf("with the header the toggle is not needed: got %d %s", a.status, a.body)
		}
	})
}

func TestAnswersOfTheServiceThatAreNoSuccess(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		for _, c := range []struct {
			name   string
			before func(w http.ResponseWriter) bool
			status int
			code   string
		}{
			{"no courier", reply(409, `{"error":{"code":"no_courier","message":"no courier is available"}}`), 409, "no_courier"},
			{"fenced", reply(503, `{"error":{"code":"refused","message":"not now"}}`), 503, "refused"},
			{"broken", reply(500, `oops`), 503, "delivery_unknown"},
			{"another order", reply(200, `{"order_id":2,"courier_id":77,"actions":[{},{}]}`), 503, "delivery_unknown"},
			{"one action", reply(200, `{"order_id":1,"courier_id":77,"actions":[{}]}`), 503, "delivery_unknown"},
			{"no answer", func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }, 503, "delivery_unknown"},
		} {
			t.Run(c.name, func(t *testing.T) {
				d := startDeliveries(t)
				d.before = c.before
				m := startCut(t, fresh, seam.Config{Delivery: d.url})
				a := m.accept(t, 1, seam.OwnerHeader, ownerIsService)
				if code, _ := a.problem(t); a.status != c.status || code != c.code {
					t.Errorf("got %d %s, want %d %s", a.status, a.body, c.status, c.code)
				}
				if got := m.order(t, 1); got.State != "APPROVED" || m.count(t, "SELECT count(*) FROM courier_actions") != 0 {
					t.Errorf("order: %+v", got)
				}
			})
		}
	})
}

func TestAnAcceptanceWhoseAnswerWasLostMayBeRepeated(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		d := startDeliveries(t)
		var lost atomic.Bool
		d.after = func(http.ResponseWriter) bool {
			if lost.CompareAndSwap(false, true) {
				panic(http.ErrAbortHandler)
			}
			return false
		}
		m := startCut(t, fresh, seam.Config{Delivery: d.url})
		if a := m.accept(t, 1, seam.OwnerHeader, ownerIsService, "Idempotency-Key", "k"); a.status != 503 {
			t.Fatalf("got %d %s, want 503", a.status, a.body)
		}
		if a := m.accept(t, 1, seam.OwnerHeader, ownerIsService, "Idempotency-Key", "k"); a.status != 200 {
			t.Fatalf("got %d %s, want 200", a.status, a.body)
		}
		// A replay asks nobody: not the service, and not who the owner is.
		if a := m.accept(t, 1, seam.OwnerHeader, "malformed", "Idempotency-Key", "k"); a.status != 200 {
			t.Errorf("replay: %d %s", a.status, a.body)
		}
		if planned, asked, deleted := d.counts(); planned != 1 || asked != 2 || deleted != 0 {
			t.Errorf("planned %d, asked %d, deleted %d", planned, asked, deleted)
		}
	})
}

func TestACancellationMeanwhileUndoesTheSchedule(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		d := startDeliveries(t)
		m := startCut(t, fresh, seam.Config{Delivery: d.url})
		d.after = func(http.ResponseWriter) bool {
			if a := m.send(t, "POST", "/orders/1/cancel", ""); a.status != 200 {
				t.Errorf("cancel: %d %s", a.status, a.body)
			}
			return false
		}
		a := m.accept(t, 1, seam.OwnerHeader, ownerIsService)
		if code, _ := a.problem(t); a.status != 409 || code != "illegal_state" {
			t.Errorf("got %d %s, want 409", a.status, a.body)
		}
		if planned, _, deleted := d.counts(); planned != 0 || deleted != 1 {
			t.Errorf("planned %d, deleted %d: the cancelled order is still scheduled", planned, deleted)
		}
	})
}

func TestAnotherAcceptanceMeanwhileKeepsTheSchedule(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		d := startDeliveries(t)
		m := startCut(t, fresh, seam.Config{Delivery: d.url})
		var second atomic.Bool
		d.after = func(http.ResponseWriter) bool {
			if second.CompareAndSwap(false, true) {
				if a := m.accept(t, 1, seam.OwnerHeader, ownerIsService); a.status != 200 {
					t.Errorf("the other acceptance: %d %s", a.status, a.body)
				}
			}
			return false
		}
		if a := m.accept(t, 1, seam.OwnerHeader, ownerIsService); a.status != 409 {
			t.Errorf("got %d %s, want 409", a.status, a.body)
		}
		if planned, _, deleted := d.counts(); planned != 1 || deleted != 0 {
			t.Errorf("planned %d, deleted %d: the accepted order lost its schedule", planned, deleted)
		}
	})
}

// TestAnOrderThatIsScheduledKeepsItsCourier is a rollback after a schedule whose acceptance failed:
// the reverse stream has brought the actions here.
func TestAnOrderThatIsScheduledKeepsItsCourier(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := startCut(t, fresh, seam.Config{})
		other := m.courier(t, false)
		m.exec(t, fmt.Sprintf("INSERT INTO courier_actions (courier_id, order_id, time, type) VALUES (%[1]d, 1, '%[2]s', 'PICKUP'), (%[1]d, 1, '%[3]s', 'DROPOFF')", other,
			m.time("2999-01-01T12:00:00.000000Z"), m.time("2999-01-01T12:30:00.000000Z")))
		if a := m.accept(t, 1, seam.OwnerHeader, ownerIsLegacy); a.status != 200 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		if got := m.order(t, 1); *got.CourierID != other || len(got.CourierActions) != 2 || m.count(t, "SELECT count(*) FROM courier_actions") != 2 {
			t.Errorf("order: %+v, want courier %d and its two actions", got, other)
		}
	})
}

func TestFenceRefuses(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		d := startDeliveries(t)
		m := startCut(t, fresh, seam.Config{Delivery: d.url})
		contract.Fence(t, m.dsn, "service")
		for _, a := range []answer{
			m.accept(t, 1, seam.OwnerHeader, ownerIsLegacy, "Idempotency-Key", "k"), // the header is stale
			m.send(t, "POST", "/couriers", `{"first_name":"Ada","last_name":"Ito","address":{"street":"1","city":"N","zip":"1"}}`),
			m.send(t, "POST", "/couriers/1/availability", `{"available":false}`),
		} {
			if code, _ := a.problem(t); a.status != 503 || code != "refused" || a.header.Get("Retry-After") != "1" {
				t.Errorf("got %d %s, want 503 refused", a.status, a.body)
			}
		}
		if got := m.order(t, 1); got.State != "APPROVED" {
			t.Errorf("a refused acceptance changed the order: %+v", got)
		}
		if a := m.accept(t, 1, seam.OwnerHeader, ownerIsService, "Idempotency-Key", "k"); a.status != 200 {
			t.Errorf("the fence must not stop the service's side: %d %s", a.status, a.body)
		}
	})
}

// TestTheServiceKeepsTheDelivery is an order from its acceptance on, where the service owns deliveries and the database refuses
// every write of what they have in orders.
func TestTheServiceKeepsTheDelivery(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		d := startDeliveries(t)
		m := startCut(t, fresh, seam.Config{Delivery: d.url})
		contract.Fence(t, m.dsn, "service")
		step := func(name string, status int, state string) {
			t.Helper()
			a := m.send(t, "POST", "/orders/1/"+name, map[string]string{"accept": acceptBody}[name], seam.OwnerHeader, ownerIsService)
			if a.status != status {
				t.Fatalf("%s: %d %s", name, a.status, a.body)
			}
			if status != 200 {
				return
			}
			var said order
			a.decode(t, &said)
			seen := m.order(t, 1, seam.OwnerHeader, ownerIsService)
			if said.State != state || seen.State != state || *said.CourierID != 77 || *seen.CourierID != 77 || seen.Courier.FirstName != "Zoe" || len(seen.CourierActions) != 2 {
				t.Errorf("%s: said %+v, seen %+v", name, said, seen)
			}
		}
		step("accept", 200, "ACCEPTED")
		step("pickedup", 409, "") // the kitchen is not done, so the service is not asked
		m.send(t, "POST", "/orders/1/preparing", "")
		m.send(t, "POST", "/orders/1/ready", "")
		step("delivered", 409, "")
		step("pickedup", 200, "PICKED_UP")
		step("pickedup", 409, "")
		step("delivered", 200, "DELIVERED")
		step("delivered", 409, "")
		if n := len(d.keys); n != 5 {
			t.Errorf("the service was asked for %d steps, want 5", n)
		}
		const untouched = "SELECT count(*) FROM orders WHERE assigned_courier_id IS NULL AND picked_up_time IS NULL AND delivered_time IS NULL AND order_state = 'READY_FOR_PICKUP' AND version = 6"
		if n := m.count(t, untouched); n != 1 {
			t.Error("the monolith has written what the service keeps, or not what is its own")
		}
		// Without the header the monolith stands alone and shows its own tables, to which nothing has come back.
		if got := m.order(t, 1); got.State != "READY_FOR_PICKUP" || got.CourierID != nil {
			t.Errorf("its own tables: %+v", got)
		}
	})
}

// TestDeliveryHasLeft: behind Strangler's complete the tables are gone, and behind Strangler nobody says who owns them.
func TestDeliveryHasLeft(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		d := startDeliveries(t)
		m := startCut(t, fresh, seam.Config{Delivery: d.url, Left: true})
		for _, table := range []string{"couriers", "courier_actions", "courier_requests"} {
			m.exec(t, "ALTER TABLE "+table+" RENAME TO "+table+"_gone")
		}
		if got := m.order(t, 1); got.State != "APPROVED" || got.CourierID != nil || len(got.CourierActions) != 0 {
			t.Errorf("before it is accepted: %+v", got)
		}
		if a := m.accept(t, 1); a.status != 200 {
			t.Fatalf("accept: %d %s", a.status, a.body)
		}
		if got := m.order(t, 1); got.State != "ACCEPTED" || *got.CourierID != 77 || got.Courier.FirstName != "Zoe" || len(got.CourierActions) != 2 {
			t.Errorf("order: %+v", got)
		}
	})
}

// TestAServiceThatDoesNotAnswerIsLookedPast shows what came back from it last.
func TestAServiceThatDoesNotAnswerIsLookedPast(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		m := startCut(t, fresh, seam.Config{Delivery: gone.URL})
		m.accept(t, 1, seam.OwnerHeader, ownerIsLegacy)
		if got := m.order(t, 1, seam.OwnerHeader, ownerIsService); got.State != "ACCEPTED" || *got.CourierID != 1 || len(got.CourierActions) != 2 {
			t.Errorf("order: %+v", got)
		}
	})
}

// TestAStepWhoseAnswerWasLostMayBeRepeated sends it again with its key.
func TestAStepWhoseAnswerWasLostMayBeRepeated(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		d := startDeliveries(t)
		m := startCut(t, fresh, seam.Config{Delivery: d.url})
		for _, step := range []string{"accept", "preparing", "ready"} {
			m.send(t, "POST", "/orders/1/"+step, map[string]string{"accept": acceptBody}[step], seam.OwnerHeader, ownerIsService)
		}
		d.after = reply(500, "oops")
		pickUp := func() answer {
			return m.send(t, "POST", "/orders/1/pickedup", "", seam.OwnerHeader, ownerIsService, "Idempotency-Key", "k")
		}
		if a := pickUp(); a.status != 503 {
			t.Fatalf("got %d %s, want 503", a.status, a.body)
		}
		d.after = func(http.ResponseWriter) bool { return false }
		first, again := pickUp(), pickUp()
		if first.status != 200 || again.body != first.body || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("got %d %s, then %d %s", first.status, first.body, again.status, again.body)
		}
		if fmt.Sprint(d.keys) != "[k k]" {
			t.Errorf("the service was asked with the keys %q", d.keys)
		}
	})
}

// TestAStepThatTheServiceDidIsRecordedBehindARollback is one whose recording failed before deliveries came back: its key has come back
// with them.
func TestAStepThatTheServiceDidIsRecordedBehindARollback(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		m := startCut(t, fresh, seam.Config{})
		for _, step := range []string{"accept", "preparing", "ready"} {
			m.send(t, "POST", "/orders/1/"+step, map[string]string{"accept": acceptBody}[step], seam.OwnerHeader, ownerIsLegacy)
		}
		at := m.time("2999-01-01T13:00:00.000000Z")
		m.exec(t, fmt.Sprintf("UPDATE orders SET picked_up_time = '%s'", at))
		m.exec(t, fmt.Sprintf("INSERT INTO courier_requests VALUES ('k', 'POST /deliveries/1/pickedup', '', 200, '{}', '%s'), ('other', 'POST /deliveries/2/pickedup', '', 200, '{}', '%[1]s')", at))
		pickUp := func(key string) answer {
			return m.send(t, "POST", "/orders/1/pickedup", "", seam.OwnerHeader, ownerIsLegacy, "Idempotency-Key", key)
		}
		if a := pickUp("other"); a.status != 409 {
			t.Errorf("with another key: %d %s, want 409", a.status, a.body)
		}
		a := pickUp("k")
		if again := pickUp("k"); a.status != 200 || !strings.Contains(a.body, "PICKED_UP") || again.body != a.body {
			t.Errorf("with its key: %d %s, then %s", a.status, a.body, again.body)
		}
	})
}

// TestWholeOrders is a service that takes couriers alone.
func TestWholeOrders(t *testing.T) {
	eachDatabase(t, func(t *testing.T, fresh contract.Fresh) {
		d := startDeliveries(t)
		m := startCut(t, fresh, seam.Config{Delivery: d.url, WholeOrders: true})
		for _, step := range []string{"accept", "preparing", "ready", "pickedup", "delivered"} {
			if a := m.send(t, "POST", "/orders/1/"+step, map[string]string{"accept": acceptBody}[step], seam.OwnerHeader, ownerIsService); a.status != 200 {
				t.Fatalf("%s: %d %s", step, a.status, a.body)
			}
		}
		if n := m.count(t, "SELECT count(*) FROM orders WHERE assigned_courier_id = 77 AND delivered_time IS NOT NULL"); n != 1 || len(d.keys) != 0 {
			t.Errorf("%d orders have their delivery here, and the service was asked for %d steps", n, len(d.keys))
		}
	})
}

func reply(status int, body string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		w.WriteHeader(status)
		io.WriteString(w, body)
		return true
	}
}
