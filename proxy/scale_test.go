package proxy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// many are capabilities of ten routes each, with a touch of their own and one that any two neighbours share.
func many(t testing.TB, n int, service string) (all []strangler.Capability) {
	t.Helper()
	for i := range n {
		at := fmt.Sprintf("/api/c%d", i)
		all = append(all, strangler.Capability{
			Name: name(i),
			Routes: routes(t, "GET "+at+"/items", "POST "+at+"/items", "GET "+at+"/items/{id}", "PUT "+at+"/items/{id}", "DELETE "+at+"/items/{id}",
				"GET "+at+"/items/{id}/lines", "POST "+at+"/items/{id}/lines", "GET "+at+"/reports/{year}", "GET "+at+"/files/{path...}", at+"/actions/{name}"),
			Touches:        touches(t, fmt.Sprintf("POST /monolith/c%d/import", i), fmt.Sprintf("POST /monolith/pair%d", i/2)),
			Service:        strangler.Upstream{URLs: []string{service}},
			Tables:         []strangler.Table{{From: "t", To: "t"}},
			IdentityHeader: "X-User-ID",
		})
	}
	return all
}

// name is that of one of many.
func name(i int) string { return fmt.Sprintf("capability_%04d", i) }

// at is a toggle of one of many.
func at(i int, epoch int64, owner strangler.Side) strangler.Toggle {
	mode := strangler.ModeLegacy
	if owner == strangler.Service {
		mode = strangler.ModeExtracted
	}
	return strangler.Toggle{Capability: name(i), Mode: mode, Owner: owner, Epoch: epoch}
}

// thousand is a proxy of a thousand capabilities, of which the first, one in the middle and the last are out.
func thousand(t *testing.T, more ...string) (p *Proxy, legacy, service *backend) {
	t.Helper()
	legacy, service = newBackend(t, "legacy", nil), newBackend(t, "service", nil)
	all := many(t, 1000, service.URL)
	for i := range all {
		all[i].Touches = append(all[i].Touches, touches(t, more...)...)
	}
	p = start(t, config(legacy.URL, all...))
	for i := range all {
		owner := strangler.Legacy
		if i == 0 || i == 500 || i == 999 {
			owner = strangler.Service
		}
		apply(t, p, at(i, int64(i)+1, owner))
	}
	return p, legacy, service
}

func TestAThousandCapabilities(t *testing.T) {
	p, legacy, _ := thousand(t)
	c := client(t)
	for i, want := range map[int]string{0: "service", 1: "legacy", 499: "legacy", 500: "service", 998: "legacy", 999: "service"} {
		for _, request := range []string{"GET /items", "POST /items", "GET /items/7/lines", "DELETE /items/7", "GET /files/a/b", "PUT /actions/go"} {
			method, path, _ := strings.Cut(request, " ")
			if a := ask(t, c, method, fmt.Sprintf("%s/api/c%d%s", p.URL(), i, path), ""); a.body != want {
				t.Errorf("%s of capability %d goes to %q, want %s", request, i, a.body, want)
			}
		}
	}
	before := len(legacy.requests())
	apply(t, p, gated(at(998, 2000, strangler.Legacy)), gated(at(999, 2000, strangler.Service)))
	var all sync.WaitGroup
	answers := make(chan string, 2)
	for _, path := range []string{"/api/c999/items", "/monolith/pair499"} {
		all.Go(func() { answers <- path + " " + ask(t, c, "POST", p.URL()+path, "{}").body })
	}
	held := func(a, b int) func() bool {
		return func() bool { return p.Stats(name(998)).Held == a && p.Stats(name(999)).Held == b }
	}
	await(t, "a route's write before its own gate, and the touch of two before the first", held(1, 1))
	if a := ask(t, c, "POST", p.URL()+"/api/c997/items", "{}"); a.body != "legacy" {
		t.Errorf("a write of another capability: %+v", a)
	}
	apply(t, p, at(998, 2001, strangler.Legacy))
	await(t, "the touch before the second gate", held(0, 2))
	if n := len(legacy.requests()); n != before+1 {
		t.Errorf("the monolith got %d requests, want the other capability's alone", n-before)
	}
	apply(t, p, at(999, 2001, strangler.Legacy))
	all.Wait()
	if got := []string{<-answers, <-answers}; !slices.Contains(got, "/api/c999/items legacy") || !slices.Contains(got, "/monolith/pair499 legacy") {
		t.Errorf("what was held went to %q, want the side that was released", got)
	}
	await(t, "nothing to be in flight", func() bool { return p.Stats(name(998)).InFlight+p.Stats(name(999)).InFlight == 0 })
}

// Where the owners are too many for one header, a request names those that it may depend on.
func TestOwnersThatAreTooMany(t *testing.T) {
	p, legacy, service := thousand(t, "POST /monolith/all")
	c := client(t)
	named := func(method, path string, to *backend) map[string]string {
		ask(t, c, method, p.URL()+path, "")
		values := to.last(t).Header[strangler.OwnerHeader]
		if len(values) != 1 || len(values[0]) > 4096 {
			t.Fatalf("%s %s has %d headers: %.100q", method, path, len(values), values)
		}
		found := map[string]string{}
		for _, part := range strings.Split(values[0], ", ") { // as a seam reads it
			who, owner, ok := strings.Cut(part, "=")
			if _, twice := found[who]; !ok || twice || !regexp.MustCompile(`^(legacy|service);epoch=\d+$`).MatchString(owner) {
				t.Errorf("%s %s: %q cannot be read, or stands twice", method, path, part)
			}
			found[who] = owner
		}
		return found
	}
	for _, one := range []struct {
		method, path string
		to           *backend
		want         map[string]string
	}{
		{"GET", "/api/c7/items", legacy, map[string]string{name(7): "legacy;epoch=8"}},
		{"POST", "/api/c999/items", service, map[string]string{name(999): "service;epoch=1000"}},
		{"POST", "/monolith/c500/import", legacy, map[string]string{name(500): "service;epoch=501"}},
		{"POST", "/monolith/pair499", legacy, map[string]string{name(998): "legacy;epoch=999", name(999): "service;epoch=1000"}},
		{"GET", "/restaurants", legacy, map[string]string{name(0): "service;epoch=1"}}, // never without the header
	} {
		if got := named(one.method, one.path, one.to); !maps.Equal(got, one.want) {
			t.Errorf("%s %s names %v, want %v", one.method, one.path, got, one.want)
		}
	}
	if n := len(named("POST", "/monolith/all", legacy)); n < 100 || n > 200 {
		t.Errorf("a touch of all names %d, want as many as fit", n)
	}
}

// canaries is a proxy of many capabilities of which each is a canary that takes all who read.
func canaries(t testing.TB, n int, to string) *Proxy {
	t.Helper()
	conf := config(to, many(t, n, to)...)
	caughtUp := time.Now().Add(time.Hour)
	conf.Passed = func(string) time.Time { return caughtUp }
	p, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		canary := strangler.Toggle{Capability: name(i), Mode: strangler.ModeCanary, Percent: strangler.Hundred, Owner: strangler.Legacy, Epoch: 2}
		if err := p.Apply(t.Context(), canary); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// way is a request's way from its path to its side: route and touches, the gates of a write, the toggle,
// identity, bucket, and whether its user wrote lately.
func (p *Proxy) way(r *Request, m *match) strangler.Side {
	p.router.match(r.Method, r.Path, m)
	if shut, _ := p.enter(m.writes); shut != nil {
		return ""
	}
	defer p.leave(m.writes)
	s, id := p.snapshot.Load(), identity{}
	if !s.knows(m) {
		return ""
	}
	if m.route != none {
		id = p.capabilities[m.route].identity(r, identity{})
	}
	return p.decide(s, m, r, id).side
}

func user(method, path string) *Request {
	return &Request{Method: method, Path: path, Header: canonical{"X-User-Id": {"3uTq0e9Jx1nS4m5b6c7d8e"}}}
}

func TestDecideAllocatesNothing(t *testing.T) {
	for _, n := range []int{1, 1000} {
		p, m := canaries(t, n, "http://127.0.0.1:1"), &match{}
		for _, r := range []*Request{user("GET", "/api/c0/items/7"), user("POST", "/api/c0/items"), user("POST", "/monolith/pair0"), user("GET", "/restaurants")} {
			want := strangler.Legacy
			if r.Path == "/api/c0/items/7" {
				want = strangler.Service
			}
			if got := p.way(r, m); got != want {
				t.Fatalf("%s %s goes to %q", r.Method, r.Path, got)
			}
			if got := testing.AllocsPerRun(1000, func() { p.way(r, m) }); got != 0 {
				t.Errorf("of %d capabilities, %s %s: a decision allocates %v times", n, r.Method, r.Path, got)
			}
		}
	}
}

// BenchmarkDecide is the way to a decision. Of 1,000 capabilities it is one's again and again, or each one's in
// turn, which leaves nothing in the processor's nearest caches.
func BenchmarkDecide(b *testing.B) {
	for _, of := range []struct{ capabilities, asked int }{{1, 1}, {1000, 1}, {1000, 1000}} {
		p := canaries(b, of.capabilities, "http://127.0.0.1:1")
		for _, request := range []string{"GET /items/12345", "POST /items"} {
			method, path, _ := strings.Cut(request, " ")
			paths := make([]string, of.asked)
			for i := range paths {
				paths[i] = fmt.Sprintf("/api/c%d%s", (of.capabilities/2+i*617)%of.capabilities, path)
			}
			b.Run(fmt.Sprintf("%s/%d_of_%d", method, of.asked, of.capabilities), func(b *testing.B) {
				r, m := user(method, ""), &match{}
				b.ReportAllocs()
				for next := 0; b.Loop(); next++ {
					if next == len(paths) {
						next = 0
					}
					r.Path = paths[next]
					if p.way(r, m) == "" {
						b.Fatal("it goes nowhere")
					}
				}
			})
		}
	}
}
