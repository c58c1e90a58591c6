package proxy

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/strangler-fig/strangler"
)

func shadowed(t *testing.T, legacy, service string, change func(*strangler.Shadow)) *Proxy {
	t.Helper()
	capability := delivery(t, service)
	capability.Shadow.Sample = strangler.Hundred
	if change != nil {
		change(&capability.Shadow)
	}
	p := start(t, config(legacy, capability))
	apply(t, p, toggle(1, strangler.ModeShadow, 0))
	return p
}

func TestShadowSendsReadsToTheService(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	service := newBackend(t, "service", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "session=the service's")
		io.WriteString(w, "service")
	})
	p := shadowed(t, legacy.URL, service.URL, nil)
	c := client(t)
	a := ask(t, c, "GET", p.URL()+"/couriers/7?q=a;b", "", "Cookie: a=b; "+CookieName+"="+p.signer.value("ann"), "Host: shop.example")
	if a.body != "legacy" || len(a.header["Set-Cookie"]) != 0 {
		t.Errorf("the answer is the shadow's, or has its cookie: %+v", a)
	}
	await(t, "the shadow", func() bool { return len(service.requests()) == 1 })
	r := service.last(t)
	if r.RequestURI != "/couriers/7?q=a;b" || r.Host != "shop.example" || r.Header.Get(ShadowHeader) != "1" || r.Header.Get("X-Forwarded-For") != "127.0.0.1" ||
		r.Header.Get("Cookie") != "a=b" || r.Header.Get(strangler.OwnerHeader) != "delivery=legacy;epoch=1" {
		t.Errorf("the shadow was %s %s, %v", r.Method, r.RequestURI, r.Header)
	}
	if got := legacy.last(t).Header.Get(ShadowHeader); got != "" {
		t.Error("the primary request is marked as a shadow")
	}
	ask(t, c, "POST", p.URL()+"/couriers", "{}")
	ask(t, c, "POST", p.URL()+"/couriers/7/availability", "")
	ask(t, c, "GET", p.URL()+"/restaurants", "")
	ask(t, c, "GET", p.URL()+"/orders/7/refresh", "")
	ask(t, c, "GET", p.URL()+"/couriers/8", "", ShadowHeader+": 1") // a shadow's own call: no loop
	ask(t, c, "GET", p.URL()+"/couriers/9", "with a body")
	ask(t, c, "HEAD", p.URL()+"/couriers/10", "")
	await(t, "the last shadow", func() bool { return p.Stats("delivery").Shadow.Sent == 2 && len(service.requests()) == 2 })
	if got := service.paths(); !slices.Equal(got, []string{"/couriers/7", "/couriers/10"}) {
		t.Errorf("shadowed were %v", got)
	}
	apply(t, p, toggle(2, strangler.ModeLegacy, 0))
	ask(t, c, "GET", p.URL()+"/couriers/11", "")
	if s := p.Stats("delivery").Shadow; s != (ShadowStats{Sent: 2}) {
		t.Errorf("%+v", s)
	}
}

func TestShadowSamples(t *testing.T) {
	legacy, service := newBackend(t, "legacy", nil), newBackend(t, "service", nil)
	for _, one := range []struct {
		sample   strangler.Percent
		min, max uint64
	}{{0, 0, 0}, {500_000, 150, 250}, {strangler.Hundred, 400, 400}} { // at half, five standard deviations
		p := shadowed(t, legacy.URL, service.URL, func(s *strangler.Shadow) { s.Sample = one.sample })
		c := client(t)
		for i := range 400 {
			ask(t, c, "GET", fmt.Sprintf("%s/couriers/%d", p.URL(), i), "")
		}
		queued := func() uint64 {
			s := p.Stats("delivery").Shadow
			return s.Sent + s.Dropped + uint64(len(p.capabilities[0].shadow.queue))
		}
		await(t, "the shadows to be counted", func() bool { return queued() >= one.min })
		if n := queued(); n > one.max {
			t.Errorf("at %s %d of 400 were shadowed", one.sample, n)
		}
	}
}

// A service that hangs costs the walk nothing: the queue drops its oldest.
func TestSlowShadowNeverPushesBack(t *testing.T) {
	legacy, service := newBackend(t, "legacy", nil), newBlocked(t)
	p := shadowed(t, legacy.URL, service.URL, nil)
	c := client(t)
	get := func(i int) {
		if a := ask(t, c, "GET", fmt.Sprintf("%s/couriers/%d", p.URL(), i), ""); a.status != 200 || a.body != "legacy" {
			t.Fatalf("request %d: %+v", i, a)
		}
	}
	for i := range shadowWorkers {
		get(i)
		<-service.arrived
	}
	const tooMany = 10
	for i := range shadowQueue + tooMany {
		get(shadowWorkers + i)
	}
	if s := p.Stats("delivery").Shadow; s.Dropped != tooMany || s.Sent != shadowWorkers {
		t.Errorf("with the service hanging: %+v", s)
	}
	service.open()
	await(t, "the queue to empty", func() bool { return len(service.requests()) == shadowWorkers+shadowQueue })
	sent := service.paths()
	for i := shadowWorkers; i < shadowWorkers+tooMany; i++ {
		if slices.Contains(sent, fmt.Sprintf("/couriers/%d", i)) {
			t.Errorf("request %d was among the oldest and was sent all the same", i)
		}
	}
}

// Answers are read up to a bound: a service that never stops sending does not hold a worker, and
// failures are counted apart.
func TestShadowAnswersAreCapped(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	var cut sync.WaitGroup
	cut.Add(1)
	service := newBackend(t, "service", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/couriers/2" {
			w.WriteHeader(500)
			return
		}
		defer cut.Done()
		chunk := make([]byte, 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	p := shadowed(t, legacy.URL, service.URL, nil)
	ask(t, client(t), "GET", p.URL()+"/couriers/1", "")
	cut.Wait()
	ask(t, client(t), "GET", p.URL()+"/couriers/2", "")
	await(t, "the failure to be counted", func() bool { return p.Stats("delivery").Shadow == ShadowStats{Sent: 2, Failed: 1} })
}
