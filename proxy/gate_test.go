package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// Two hundred writers, cutovers forth and back under them. From an acknowledged gate to its release
// no upstream has a write, and none ever reaches a side that is not the owner.
func TestGateUnderWriters(t *testing.T) {
	const writers, rounds = 200, 8
	var allowed atomic.Value // the side that may have writes at this moment; empty: none
	allowed.Store(strangler.Legacy)
	var wrong atomic.Int64
	upstream := func(self strangler.Side) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			if allowed.Load() != self {
				wrong.Add(1)
			}
			io.Copy(io.Discard, r.Body)
			<-time.After(time.Duration(rand.IntN(2000)) * time.Microsecond) // the upstream's work
			if allowed.Load() != self || !strings.Contains(r.Header.Get(strangler.OwnerHeader), "delivery="+string(self)) {
				wrong.Add(1)
			}
			io.WriteString(w, string(self))
		}
	}
	legacy, service := newBackend(t, "legacy", upstream(strangler.Legacy)), newBackend(t, "service", upstream(strangler.Service))
	conf := config(legacy.URL, delivery(t, service.URL))
	conf.Hold.Drain, conf.Hold.Wait = 20*time.Second, 60*time.Second
	p := start(t, conf)
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))

	c, stop, failures := client(t), make(chan struct{}), make(chan error, writers)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				res, err := c.Post(p.URL()+"/couriers", "application/json", strings.NewReader(`{"name":"x"}`))
				if err != nil {
					failures <- err
					return
				}
				side, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != 200 {
					failures <- fmt.Errorf("writer %d, write %d: %d %q %v", i, n, res.StatusCode, side, err)
					return
				}
			}
		})
	}
	owner, epoch := strangler.Legacy, int64(1)
	for range rounds {
		before := len(legacy.requests()) + len(service.requests())
		await(t, "writes in the round", func() bool { return len(legacy.requests())+len(service.requests()) > before+writers })
		now := p.Toggle("delivery")
		now.Epoch, now.Gated = epoch+1, true
		if err := p.Apply(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		allowed.Store(strangler.Side(""))
		if s := p.Stats("delivery"); s.InFlight != 0 {
			t.Errorf("%d writes are in flight behind an acknowledged gate", s.InFlight)
		}
		await(t, "all writers to be held", func() bool { return p.Stats("delivery").Held == writers })
		mode := strangler.ModeExtracted
		if owner = owner.Other(); owner == strangler.Legacy {
			mode = strangler.ModeLegacy
		}
		epoch += 2
		allowed.Store(owner)
		legacyBefore, serviceBefore := len(legacy.requests()), len(service.requests())
		apply(t, p, toggle(epoch, mode, 0))
		await(t, "held writes to be answered", func() bool {
			return len(legacy.requests())+len(service.requests()) >= legacyBefore+serviceBefore+writers
		})
		if owner == strangler.Service && len(legacy.requests()) != legacyBefore {
			t.Error("a held write went to legacy after the release named the service")
		}
	}
	close(stop)
	all.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	if n := wrong.Load(); n != 0 {
		t.Errorf("%d writes were seen by a side that did not own, or behind an acknowledged gate", n)
	}
	await(t, "the last write to end", func() bool { return p.Stats("delivery").InFlight == 0 })
	if s := p.Stats("delivery"); s.Held != 0 || s.HeldTotal < writers*rounds || s.LongestHold <= 0 || s.Refused != 0 {
		t.Errorf("at the end: %+v", s)
	}
	p.ResetHold("delivery")
	if s := p.Stats("delivery"); s.LongestHold != 0 {
		t.Errorf("LongestHold after ResetHold is %v", s.LongestHold)
	}
}

// blocked is an upstream whose answers wait.
type blocked struct {
	*backend
	release  chan struct{}
	arrived  chan struct{}
	released atomic.Bool
	left     atomic.Int64 // requests that ended under it
}

func newBlocked(t *testing.T) *blocked {
	b := &blocked{release: make(chan struct{}), arrived: make(chan struct{}, 1000)}
	b.backend = newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		b.arrived <- struct{}{}
		select {
		case <-b.release:
			io.WriteString(w, "done")
		case <-r.Context().Done():
			b.left.Add(1)
		}
	})
	t.Cleanup(b.open) // before the server closes, which waits
	return b
}

func (b *blocked) open() {
	if b.released.CompareAndSwap(false, true) {
		close(b.release)
	}
}

func TestGateWaitsForWritesInFlight(t *testing.T) {
	for _, request := range []string{"POST /couriers", "POST /orders/7/accept", "GET /orders/7/refresh"} {
		legacy := newBlocked(t)
		conf := config(legacy.URL, delivery(t, legacy.URL))
		conf.Hold.Drain = 20 * time.Second
		p := start(t, conf)
		apply(t, p, toggle(1, strangler.ModeLegacy, 0))
		method, path, _ := strings.Cut(request, " ")
		answered := make(chan answer, 1)
		c := client(t)
		go func() { answered <- ask(t, c, method, p.URL()+path, "") }()
		<-legacy.arrived
		acknowledged := make(chan bool, 1)
		go func() {
			if err := p.Apply(t.Context(), gated(toggle(2, strangler.ModeLegacy, 0))); err != nil {
				t.Errorf("%s: Apply: %v", request, err)
			}
			acknowledged <- legacy.released.Load()
		}()
		await(t, "the gate to close", func() bool { return p.Toggle("delivery").Gated })
		legacy.open()
		if !<-acknowledged {
			t.Errorf("%s: the gate was acknowledged while it was in flight", request)
		}
		if a := <-answered; a.status != 200 || a.body != "done" {
			t.Errorf("%s: %+v", request, a)
		}
	}
}

// Reads are not held, and neither are other capabilities' writes.
func TestGateHoldsOnlyWrites(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	billing := strangler.Capability{Name: "billing", Routes: routes(t, "POST /bills")}
	p := start(t, config(legacy.URL, delivery(t, legacy.URL), billing))
	apply(t, p, gated(toggle(1, strangler.ModeLegacy, 0)), strangler.Toggle{Capability: "billing", Mode: strangler.ModeLegacy, Epoch: 1, Owner: strangler.Legacy})
	for _, request := range []string{"GET /couriers/7", "HEAD /couriers/7", "POST /bills", "POST /restaurants", "GET /orders/7"} {
		method, path, _ := strings.Cut(request, " ")
		if a := ask(t, client(t), method, p.URL()+path, ""); a.status != 200 {
			t.Errorf("%s behind delivery's gate: %+v", request, a)
		}
	}
}

func TestGateThatDoesNotDrain(t *testing.T) {
	legacy := newBlocked(t)
	conf := config(legacy.URL, delivery(t, legacy.URL))
	conf.Hold.Drain = 20 * time.Millisecond
	p := start(t, conf)
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	c := client(t)
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { ask(t, c, "POST", p.URL()+"/couriers", "{}") })
	<-legacy.arrived
	shut := gated(toggle(2, strangler.ModeLegacy, 0))
	if err := p.Apply(t.Context(), shut); err == nil || errors.Is(err, strangler.ErrSuperseded) {
		t.Fatalf("a gate with a write in flight was acknowledged: %v", err)
	}
	all.Go(func() { ask(t, c, "POST", p.URL()+"/couriers", "{}") })
	await(t, "the next write to be held", func() bool { return p.Stats("delivery").Held == 1 })
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Apply(gone, shut); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply with an ended context: %v", err)
	}
	legacy.open()
	await(t, "the write in flight to end", func() bool { return p.Stats("delivery").InFlight == 0 })
	apply(t, p, shut) // an equal toggle returns once the state is in force
	apply(t, p, toggle(3, strangler.ModeLegacy, 0))
}

func TestApplyOrdersToggles(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	p := start(t, config(legacy.URL, delivery(t, legacy.URL)))
	held := func() bool { return p.Toggle("delivery").Gated }
	apply(t, p, gated(toggle(5, strangler.ModeLegacy, 0)))
	for _, stale := range []strangler.Toggle{toggle(4, strangler.ModeLegacy, 0), toggle(4, strangler.ModeCanary, 1)} {
		apply(t, p, stale) // nothing, and no error: something newer is in force
		if !held() || p.Toggle("delivery").Epoch != 5 {
			t.Fatalf("a stale release opened the gate: %+v", p.Toggle("delivery"))
		}
	}
	c := client(t)
	var all sync.WaitGroup
	all.Go(func() { ask(t, c, "POST", p.URL()+"/couriers", "{}") })
	await(t, "a write to be held", func() bool { return p.Stats("delivery").Held == 1 })
	if n := len(legacy.requests()); n != 0 {
		t.Errorf("legacy was sent %d writes behind the gate", n)
	}
	if err := p.Apply(t.Context(), gated(toggle(4, strangler.ModeLegacy, 0))); !errors.Is(err, strangler.ErrSuperseded) {
		t.Errorf("an older gated toggle: %v", err)
	}
	apply(t, p, toggle(5, strangler.ModeLegacy, 0), toggle(5, strangler.ModeLegacy, 0))
	all.Wait()
	if err := p.Apply(t.Context(), gated(toggle(5, strangler.ModeLegacy, 0))); !errors.Is(err, strangler.ErrSuperseded) || held() {
		t.Errorf("a late duplicate of the gated toggle: %v, gated %v", err, held())
	}
	if err := p.Apply(t.Context(), toggle(5, strangler.ModeCanary, 10)); !errors.Is(err, strangler.ErrConflict) {
		t.Errorf("another toggle of the same epoch: %v", err)
	}
	if got, want := p.Toggle("delivery"), toggle(5, strangler.ModeLegacy, 0); got != want {
		t.Errorf("in force: %+v, want %+v", got, want)
	}
	if s := p.Snapshot(); len(s.Toggles) != 1 || s.Toggles[0] != p.Toggle("delivery") || s.At.IsZero() {
		t.Errorf("Snapshot: %+v", s)
	}
}

func TestApplyRefusesWhatCannotBeServed(t *testing.T) {
	without := config("http://127.0.0.1:1", delivery(t, ""))
	without.Capabilities[0].Service.URLs = nil
	p := start(t, without)
	base := toggle(1, strangler.ModeLegacy, 0)
	for name, one := range map[string]struct {
		change func(*strangler.Toggle)
		want   error
	}{
		"unknown capability":  {func(t *strangler.Toggle) { t.Capability = "billing" }, strangler.ErrNotFound},
		"unknown mode":        {func(t *strangler.Toggle) { t.Mode = "on" }, strangler.ErrConfig},
		"no owner":            {func(t *strangler.Toggle) { t.Owner = "" }, strangler.ErrConfig},
		"too much":            {func(t *strangler.Toggle) { t.Percent = strangler.Hundred + 1 }, strangler.ErrConfig},
		"no service":          {func(t *strangler.Toggle) { t.Mode = strangler.ModeCanary }, strangler.ErrConfig},
		"against the service": {func(t *strangler.Toggle) { t.Owner = strangler.Service }, strangler.ErrRefused},
	} {
		bad := base
		one.change(&bad)
		if err := p.Apply(t.Context(), bad); !errors.Is(err, one.want) {
			t.Errorf("%s: %v, want %v", name, err, one.want)
		}
	}
	if got := p.Toggle("delivery"); got != (strangler.Toggle{}) {
		t.Errorf("a refused toggle is in force: %+v", got)
	}
}

// While a drain waits, a release makes its acknowledgement worthless.
func TestReleaseOvertakesADrain(t *testing.T) {
	legacy := newBlocked(t)
	conf := config(legacy.URL, delivery(t, legacy.URL))
	conf.Hold.Drain = 20 * time.Second
	p := start(t, conf)
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	c := client(t)
	var all sync.WaitGroup
	all.Go(func() { ask(t, c, "POST", p.URL()+"/couriers", "{}") })
	<-legacy.arrived
	result := make(chan error, 1)
	go func() { result <- p.Apply(t.Context(), gated(toggle(2, strangler.ModeLegacy, 0))) }()
	await(t, "the gate to close", func() bool { return p.Toggle("delivery").Gated })
	apply(t, p, toggle(3, strangler.ModeLegacy, 0))
	if err := <-result; !errors.Is(err, strangler.ErrSuperseded) {
		t.Errorf("the overtaken gate: %v", err)
	}
	legacy.open()
	all.Wait()
}

func TestUnknownStateIsNotLegacy(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	p := start(t, config(legacy.URL, delivery(t, legacy.URL)))
	for _, request := range []string{"GET /couriers/7", "POST /couriers", "POST /orders/7/accept"} {
		method, path, _ := strings.Cut(request, " ")
		a := ask(t, client(t), method, p.URL()+path, "")
		if a.status != 503 || a.code(t) != "toggle_unknown" || a.header.Get("Retry-After") == "" {
			t.Errorf("%s before the first Apply: %+v", request, a)
		}
	}
	if a := ask(t, client(t), "GET", p.URL()+"/restaurants", ""); a.status != 200 {
		t.Errorf("what nobody claims: %+v", a)
	}
	if got := legacy.paths(); len(got) != 1 {
		t.Errorf("legacy was sent %v", got)
	}
	await(t, "all to end", func() bool { return p.Stats("delivery").InFlight == 0 })
}
