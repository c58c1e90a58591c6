package proxy

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// shut runs a proxy whose gate is closed.
func shut(t *testing.T, limits HoldLimits) (*Proxy, *backend) {
	t.Helper()
	legacy := newBackend(t, "legacy", nil)
	conf := config(legacy.URL, delivery(t, legacy.URL))
	conf.Hold = limits
	p := start(t, conf)
	apply(t, p, gated(toggle(1, strangler.ModeLegacy, 0)))
	return p, legacy
}

func TestHoldIsBoundedInNumber(t *testing.T) {
	p, legacy := shut(t, HoldLimits{Requests: 1, Wait: time.Minute})
	c := client(t)
	var all sync.WaitGroup
	all.Go(func() {
		if a := ask(t, c, "POST", p.URL()+"/couriers", "{}"); a.status != 200 {
			t.Errorf("the held write: %+v", a)
		}
	})
	await(t, "the place to be taken", func() bool { return p.Stats("delivery").Held == 1 })
	a := ask(t, c, "POST", p.URL()+"/couriers", "{}")
	if a.status != 503 || a.code(t) != "held_too_many" || a.header.Get("Retry-After") == "" {
		t.Errorf("past the bound: %+v", a)
	}
	apply(t, p, toggle(2, strangler.ModeLegacy, 0))
	all.Wait()
	if n := len(legacy.requests()); n != 1 {
		t.Errorf("legacy was sent %d writes, want the held one", n)
	}
	if s := p.Stats("delivery"); s.Refused != 1 || s.HeldTotal != 1 {
		t.Errorf("%+v", s)
	}
}

func TestHoldIsBoundedInTime(t *testing.T) {
	p, legacy := shut(t, HoldLimits{Wait: 30 * time.Millisecond})
	a := ask(t, client(t), "POST", p.URL()+"/orders/7/accept", "{}")
	if a.status != 503 || a.code(t) != "held_too_long" || a.header.Get("Retry-After") == "" {
		t.Errorf("past the bound: %+v", a)
	}
	if s := p.Stats("delivery"); s.Held != 0 || s.InFlight != 0 || s.Refused != 1 || len(legacy.requests()) != 0 {
		t.Errorf("%+v, legacy was sent %v", s, legacy.paths())
	}
}

// A client that leaves frees its place, with and without a body, and its write is never sent.
func TestClientLeavesWhileHeld(t *testing.T) {
	p, legacy := shut(t, HoldLimits{Wait: time.Minute})
	for _, request := range []string{
		"POST /couriers HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"POST /couriers HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"GET /orders/7/refresh HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn, _ := dial(t, p, request)
		await(t, "the write to be held", func() bool { return p.Stats("delivery").Held == 1 })
		conn.Close()
		await(t, "its place to be freed", func() bool { return p.Stats("delivery").Held == 0 })
	}
	apply(t, p, toggle(2, strangler.ModeLegacy, 0))
	if s := p.Stats("delivery"); s.InFlight != 0 || s.HeldTotal != 3 || len(legacy.requests()) != 0 {
		t.Errorf("%+v, legacy was sent %v", s, legacy.paths())
	}
}

// A client that is slow to send a small body holds up no gate: its write passes when the body is there, and is sent where the toggle
// says by then. One that never sends it is refused.
func TestSlowClientsHoldUpNoGate(t *testing.T) {
	legacy, service := newBackend(t, "legacy", echo), newBackend(t, "service", echo)
	conf := config(legacy.URL, delivery(t, service.URL))
	conf.Timeouts.Body = time.Second
	p := start(t, conf)
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	body := strings.Repeat("x", settledBody)
	slow, answers := dial(t, p, fmt.Sprintf("POST /couriers HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\nx", len(body)))
	_, never := dial(t, p, "POST /couriers HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	await(t, "both to be read from", func() bool { return p.byName["delivery"].metrics.running.Load() == 2 })
	apply(t, p, gated(toggle(2, strangler.ModeLegacy, 0))) // acknowledged: nothing is in flight
	if _, err := slow.Write([]byte(body[1:])); err != nil {
		t.Fatal(err)
	}
	await(t, "the write to be held", func() bool { return p.Stats("delivery").Held == 1 })
	apply(t, p, toggle(3, strangler.ModeExtracted, 0))
	if a := readAnswer(t, answers); a.status != 200 || a.body != body || len(service.requests()) != 1 {
		t.Errorf("%d, %d bytes; the service was sent %v", a.status, len(a.body), service.paths())
	}
	if a := readAnswer(t, never); a.status != 400 || a.code(t) != "request_broken" || len(legacy.requests()) != 0 {
		t.Errorf("a body that never comes: %d %s; legacy was sent %v", a.status, a.body, legacy.paths())
	}
}

// What was read ahead arrives whole, small and large, chunked and counted.
func TestHeldBodiesArriveWhole(t *testing.T) {
	p, legacy := shut(t, HoldLimits{Wait: time.Minute})
	legacy.do = echo
	c := client(t)
	var all sync.WaitGroup
	for i, size := range []int{0, 1, settledBody, settledBody + 1, 5 * settledBody} {
		body := strings.Repeat(string(rune('a'+i)), size)
		all.Go(func() {
			if a := ask(t, c, "POST", p.URL()+"/couriers", body); a.status != 200 || a.body != body {
				t.Errorf("a counted body of %d bytes came as %d (%d)", size, len(a.body), a.status)
			}
		})
		if size == 0 {
			continue
		}
		conn, answers := dial(t, p, "")
		all.Go(func() {
			fmt.Fprintf(conn, "POST /couriers HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, body)
			if a := readAnswer(t, answers); a.status != 200 || a.body != body {
				t.Errorf("a chunked body of %d bytes came as %d (%d)", size, len(a.body), a.status)
			}
		})
	}
	await(t, "all to be held", func() bool { return p.Stats("delivery").Held == 9 })
	apply(t, p, toggle(2, strangler.ModeLegacy, 0))
	all.Wait()
}

// A touch of two capabilities waits for both gates, and while it waits at one it is not in flight at
// the other.
func TestSharedTouchWaitsForBothGates(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	billing := strangler.Capability{Name: "billing", Touches: touches(t, "POST /orders/{id}/accept"), Tables: []strangler.Table{{From: "bills", To: "bills"}}}
	p := start(t, config(legacy.URL, delivery(t, legacy.URL), billing))
	other := func(epoch int64) strangler.Toggle {
		return strangler.Toggle{Capability: "billing", Mode: strangler.ModeLegacy, Owner: strangler.Legacy, Epoch: epoch}
	}
	apply(t, p, gated(toggle(1, strangler.ModeLegacy, 0)), other(1))
	c := client(t)
	var all sync.WaitGroup
	all.Go(func() { ask(t, c, "POST", p.URL()+"/orders/7/accept", "{}") })
	await(t, "the touch to be held", func() bool { return p.Stats("delivery").Held == 1 })
	apply(t, p, gated(other(2)))                    // acknowledged at once: nothing is in flight
	apply(t, p, toggle(2, strangler.ModeLegacy, 0)) // now it is held by the other gate
	await(t, "the touch to be held again", func() bool { return p.Stats("billing").Held == 1 })
	if n := len(legacy.requests()); n != 0 || p.Stats("delivery").InFlight != 0 {
		t.Errorf("legacy was sent %d; %+v", n, p.Stats("delivery"))
	}
	apply(t, p, other(3))
	all.Wait()
	if n := len(legacy.requests()); n != 1 {
		t.Errorf("legacy was sent %d touches, want 1", n)
	}
}
