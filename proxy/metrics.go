package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strangler-fig/strangler"
)

// Stats is what one capability's requests came to since the proxy was made. Touches are counted on
// the legacy side, a touch of several capabilities with the first by name.
type Stats struct {
	Legacy      SideStats
	Service     SideStats
	Shadow      ShadowStats
	InFlight    int           // writes that passed the gate and have not ended
	Held        int           // writes before the gate now
	HeldTotal   uint64        // writes that were ever held
	Refused     uint64        // writes that a bound of the gate, or closing, had answered 503
	LongestHold time.Duration // since the last ResetHold; of holds that have ended
}

// SideStats counts one side's requests.
type SideStats struct {
	Requests uint64
	Errors   uint64 // answers of 500 and above, no answer, and answers that broke off
}

// ShadowStats counts shadowed requests. Those that were sent and did not fail were answered.
type ShadowStats struct {
	Sent    uint64
	Failed  uint64 // no answer, or one of 500 and above
	Dropped uint64 // pushed out of the full queue
}

// Stats is the zero Stats for an unknown capability.
func (p *Proxy) Stats(capability string) Stats {
	c, ok := p.byName[capability]
	if !ok {
		return Stats{}
	}
	s := Stats{
		Legacy:  c.metrics.sides[legacySide].stats(),
		Service: c.metrics.sides[serviceSide].stats(),
		Shadow:  ShadowStats{Sent: c.shadow.sent.Load(), Failed: c.shadow.failed.Load(), Dropped: c.shadow.dropped.Load()},
	}
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	s.InFlight, s.Held, s.HeldTotal = c.gate.inflight, c.gate.held, c.gate.heldTotal
	s.Refused, s.LongestHold = c.gate.refused, c.gate.longest
	return s
}

// ResetHold begins a new LongestHold, before a cutover. An unknown capability is ignored.
func (p *Proxy) ResetHold(capability string) {
	if c, ok := p.byName[capability]; ok {
		c.gate.resetHold()
	}
}

// statusGone counts requests whose client left before the answer; no client sees it.
const statusGone = 499

// outcome is a status class, or how the exchange ended without a whole answer.
type outcome int

const (
	outcomeBroken outcome = 6 // the upstream broke off within its answer
	outcomeGone   outcome = 7 // the client left
)

var outcomeNames = [...]string{1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx", outcomeBroken: "broken", outcomeGone: "gone"}

func outcomeOf(status int) outcome {
	if class := outcome(status / 100); class >= 1 && class <= 5 && status != statusGone {
		return class
	}
	return outcomeGone
}

const (
	legacySide = iota
	serviceSide
	noSide // answered by the proxy alone
)

var sideNames = [...]string{legacySide: "legacy", serviceSide: "service", noSide: "none"}

// metrics are the collectors; a capabilityMetrics has one capability's, looked up beforehand.
type metrics struct {
	requests, byRoute    *prometheus.CounterVec
	shadows              *prometheus.CounterVec
	seconds, holdSeconds *prometheus.HistogramVec
	held, gateClosed     *prometheus.GaugeVec
	serverUp             *prometheus.GaugeVec
}

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	buckets := prometheus.ExponentialBuckets(0.0005, 2, 16) // 0.5 ms to 16 s
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "strangler_proxy_requests_total",
			Help: "Requests by capability (empty: none claims it), side and status class."}, []string{"capability", "side", "class"}),
		byRoute: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "strangler_proxy_route_requests_total",
			Help: "Requests of a capability's routes by route, side and status class. Touches are not among them."}, []string{"capability", "route", "side", "class"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "strangler_proxy_request_seconds",
			Help: "From the request's head to the end of its answer, holds included.", Buckets: buckets}, []string{"capability", "side"}),
		holdSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "strangler_proxy_hold_seconds",
			Help: "How long a write was held at a closed gate.", Buckets: buckets}, []string{"capability"}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "strangler_proxy_held",
			Help: "Writes held at a closed gate now."}, []string{"capability"}),
		gateClosed: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "strangler_proxy_gate_closed",
			Help: "1 while the capability's gate is closed."}, []string{"capability"}),
		serverUp: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "strangler_proxy_server_up",
			Help: "1 while a server of a side is given requests, 0 while it is left out."}, []string{"capability", "side", "server"}),
		shadows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "strangler_proxy_shadow_total",
			Help: "Shadowed requests: sent, of these failed, and dropped from the full queue."}, []string{"capability", "outcome"}),
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.byRoute, m.seconds, m.holdSeconds, m.held, m.gateClosed, m.serverUp, m.shadows} {
		errs = append(errs, to.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("the proxy's metrics cannot be registered; give each proxy a registry of its own: %w", err)
	}
	return m, nil
}

type capabilityMetrics struct {
	running                                 atomic.Int64 // requests under way
	sides                                   [noSide + 1]sideMetrics
	held, gateClosed                        prometheus.Gauge
	holdSeconds                             prometheus.Observer
	shadowSent, shadowFailed, shadowDropped prometheus.Counter
}

// routeMetrics counts one route's requests. Its counters are made when they are first needed: there
// may be very many routes.
type routeMetrics struct {
	vec               *prometheus.CounterVec
	capability, route string
	counters          [noSide + 1][len(outcomeNames)]atomic.Pointer[prometheus.Counter]
}

func (m *metrics) ofRoute(capability, route string) *routeMetrics {
	return &routeMetrics{vec: m.byRoute, capability: capability, route: route}
}

func (r *routeMetrics) count(side int, how outcome) {
	at := &r.counters[side][how]
	c := at.Load()
	if c == nil {
		made := r.vec.WithLabelValues(r.capability, r.route, sideNames[side], outcomeNames[how])
		c = &made
		at.Store(c)
	}
	(*c).Inc()
}

type sideMetrics struct {
	requests, errors atomic.Uint64
	outcomes         [len(outcomeNames)]prometheus.Counter
	seconds          prometheus.Observer
}

func (s *sideMetrics) stats() SideStats {
	return SideStats{Requests: s.requests.Load(), Errors: s.errors.Load()}
}

// of looks up one capability's metrics; the empty name is for what nobody claims.
func (m *metrics) of(capability string) *capabilityMetrics {
	c := &capabilityMetrics{
		held:          m.held.WithLabelValues(capability),
		gateClosed:    m.gateClosed.WithLabelValues(capability),
		holdSeconds:   m.holdSeconds.WithLabelValues(capability),
		shadowSent:    m.shadows.WithLabelValues(capability, "sent"),
		shadowFailed:  m.shadows.WithLabelValues(capability, "failed"),
		shadowDropped: m.shadows.WithLabelValues(capability, "dropped"),
	}
	for side, name := range sideNames {
		c.sides[side].seconds = m.seconds.WithLabelValues(capability, name)
		for o, class := range outcomeNames {
			if class != "" {
				c.sides[side].outcomes[o] = m.requests.WithLabelValues(capability, name, class)
			}
		}
	}
	return c
}

func sideIndex(side strangler.Side) int {
	switch side {
	case strangler.Legacy:
		return legacySide
	case strangler.Service:
		return serviceSide
	}
	return noSide
}

// count takes one request that has ended into account. An upgraded connection's duration says
// nothing about its answer, and is left out.
func (c *capabilityMetrics) count(side strangler.Side, how outcome, took time.Duration) {
	s := &c.sides[sideIndex(side)]
	s.requests.Add(1)
	s.outcomes[how].Inc()
	if how == http.StatusInternalServerError/100 || how == outcomeBroken {
		s.errors.Add(1)
	}
	if how != http.StatusContinue/100 {
		s.seconds.Observe(took.Seconds())
	}
}
