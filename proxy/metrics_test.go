package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/strangler-fig/strangler"
)

func TestMetrics(t *testing.T) {
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/couriers/404" {
			w.WriteHeader(404)
		}
		if r.URL.Path == "/couriers/500" {
			w.WriteHeader(500)
		}
	})
	registry := prometheus.NewRegistry()
	conf := config(legacy.URL, delivery(t, legacy.URL))
	conf.Registerer = registry
	p := start(t, conf)
	if _, err := New(conf); err == nil {
		t.Error("a second proxy took the same metrics")
	}
	c := client(t)
	ask(t, c, "GET", p.URL()+"/couriers/1", "")
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	for _, path := range []string{"/couriers/1", "/couriers/404", "/couriers/500", "/restaurants"} {
		ask(t, c, "GET", p.URL()+path, "")
	}
	apply(t, p, gated(toggle(2, strangler.ModeLegacy, 0)))
	var all sync.WaitGroup
	all.Go(func() { ask(t, c, "POST", p.URL()+"/couriers", "{}") })
	await(t, "a write to be held", func() bool { return p.Stats("delivery").Held == 1 })
	await(t, "the gauges of the gate", func() bool {
		return holds(registry, `strangler_proxy_held{capability="delivery"} 1`, `strangler_proxy_gate_closed{capability="delivery"} 1`)
	})
	apply(t, p, toggle(3, strangler.ModeExtracted, 0))
	all.Wait()
	want := []string{
		`strangler_proxy_requests_total{capability="delivery",class="2xx",side="legacy"} 1`,
		`strangler_proxy_requests_total{capability="delivery",class="4xx",side="legacy"} 1`,
		`strangler_proxy_requests_total{capability="delivery",class="5xx",side="legacy"} 1`,
		`strangler_proxy_requests_total{capability="delivery",class="2xx",side="service"} 1`,
		`strangler_proxy_requests_total{capability="delivery",class="5xx",side="none"} 1`,
		`strangler_proxy_requests_total{capability="",class="2xx",side="legacy"} 1`,
		`strangler_proxy_request_seconds_count{capability="delivery",side="legacy"} 3`,
		`strangler_proxy_route_requests_total{capability="delivery",class="2xx",route="GET /couriers/{id}",side="legacy"} 1`,
		`strangler_proxy_route_requests_total{capability="delivery",class="2xx",route="POST /couriers",side="service"} 1`,
		`strangler_proxy_hold_seconds_count{capability="delivery"} 1`,
		`strangler_proxy_held{capability="delivery"} 0`,
		`strangler_proxy_gate_closed{capability="delivery"} 0`,
	}
	await(t, strings.Join(want, "\n"), func() bool { return holds(registry, want...) })
	s := p.Stats("delivery")
	if s.Legacy != (SideStats{3, 1}) || s.Service != (SideStats{1, 0}) || s.HeldTotal != 1 || s.LongestHold <= 0 {
		t.Errorf("%+v", s)
	}
	if p.Stats("unknown") != (Stats{}) {
		t.Error("an unknown capability has stats")
	}
}

// holds reports whether a registry exposes all lines.
func holds(registry *prometheus.Registry, lines ...string) bool {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, line := range lines {
		if !strings.Contains(w.Body.String(), line+"\n") {
			return false
		}
	}
	return true
}
