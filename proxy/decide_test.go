package proxy

import (
	"strconv"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// decider is a proxy that is not started, with one state in force.
func decider(t testing.TB, tables bool, mode strangler.Mode, percent strangler.Percent, passed time.Time) *Proxy {
	t.Helper()
	c := delivery(t, "http://127.0.0.1:2")
	c.IdentityHeader = "X-User-ID"
	if !tables {
		c.Tables = nil
	}
	conf := config("http://127.0.0.1:1", c)
	conf.Passed = func(string) time.Time { return passed }
	p, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(t.Context(), toggle(1, mode, percent)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *Proxy) decideFor(method, path, user string) decision {
	r := Request{Method: method, Path: path, Header: canonical{"X-User-Id": {user}}}
	var m match
	p.router.match(method, path, &m)
	var id identity
	if m.route != none {
		id = p.capabilities[m.route].identity(&r, identity{})
	}
	return p.decide(p.snapshot.Load(), &m, &r, id)
}

func TestDecide(t *testing.T) {
	caughtUp := time.Now().Add(time.Hour)
	const L, S = strangler.Legacy, strangler.Service
	for _, one := range []struct {
		name    string
		tables  bool
		mode    strangler.Mode
		percent strangler.Percent
		passed  time.Time
		// a known user's read, his write, an anonymous read, a touch, unclaimed
		read, write, anonymous strangler.Side
	}{
		{"legacy", true, strangler.ModeLegacy, 0, caughtUp, L, L, L},
		{"shadow", true, strangler.ModeShadow, 0, caughtUp, L, L, L},
		{"canary 0", true, strangler.ModeCanary, 0, caughtUp, L, L, L},
		{"canary 100", true, strangler.ModeCanary, strangler.Hundred, caughtUp, S, L, L},
		{"canary 100, follower unknown", true, strangler.ModeCanary, strangler.Hundred, time.Time{}, L, L, L},
		{"extracted", true, strangler.ModeExtracted, 0, time.Time{}, S, S, S},
		{"stateless canary 100", false, strangler.ModeCanary, strangler.Hundred, time.Time{}, S, S, L},
		{"stateless extracted", false, strangler.ModeExtracted, 0, time.Time{}, S, S, S},
		{"stateless legacy", false, strangler.ModeLegacy, 0, time.Time{}, L, L, L},
	} {
		p := decider(t, one.tables, one.mode, one.percent, one.passed)
		for request, want := range map[[3]string]strangler.Side{
			{"GET", "/couriers/7", "ann"}:                one.read,
			{"HEAD", "/couriers/7", "ann"}:               one.read,
			{"POST", "/couriers", "ann"}:                 one.write,
			{"POST", "/couriers/7/availability", "ann"}:  one.write,
			{"GET", "/couriers/7", ""}:                   one.anonymous,
			{"POST", "/orders/7/accept", "ann"}:          L,
			{"GET", "/orders/7/refresh", "ann"}:          L,
			{"GET", "/restaurants", "ann"}:               L,
			{"DELETE", "/couriers/7", "ann"}:             L,
			{"POST", "/couriers/7/availability/x", "an"}: L,
		} {
			d := p.decideFor(request[0], request[1], request[2])
			if d.side != want {
				t.Errorf("%s: %v goes to %s, want %s", one.name, request, d.side, want)
			}
			if routed := request[1] == "/couriers/7" && request[0] != "DELETE"; d.shadow && (one.mode != strangler.ModeShadow || !routed) {
				t.Errorf("%s: %v is shadowed", one.name, request)
			}
		}
	}
}

// Raising the percentage, epoch by epoch, only adds users, and adds as many as it says.
func TestCanaryIsStickyAndMonotone(t *testing.T) {
	p := decider(t, true, strangler.ModeCanary, 0, time.Now().Add(time.Hour))
	const users = 20_000
	moved := make([]bool, users)
	for epoch, percent := range []strangler.Percent{10_000, 10_000, 55_000, 100_000, 500_000, strangler.Hundred} {
		if err := p.Apply(t.Context(), toggle(int64(epoch)+2, strangler.ModeCanary, percent)); err != nil {
			t.Fatal(err)
		}
		n := 0
		for u := range users {
			now := p.decideFor("GET", "/couriers/7", "user-"+strconv.Itoa(u)).side == strangler.Service
			if moved[u] && !now {
				t.Fatalf("user %d moved back when the percentage rose to %s", u, percent)
			}
			if moved[u] = now; now {
				n++
			}
		}
		want := float64(users) * float64(percent) / float64(strangler.Hundred)
		if diff := float64(n) - want; diff*diff > 25*want { // five standard deviations
			t.Errorf("at %s %d of %d users moved, want about %.0f", percent, n, users, want)
		}
	}
}
