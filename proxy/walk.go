package proxy

import (
	"context"
	"errors"
	"math/bits"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/strangler-fig/strangler"
)

// exchange is one request on its walk. It belongs to the request's goroutine.
type exchange struct {
	p        *Proxy
	w        http.ResponseWriter
	in       *http.Request
	began    time.Time
	request  Request
	peer     peer
	match    match
	entered  uint64 // gates passed and not left yet
	snapshot *snapshot
	cookie   identity // the cookie's; capabilities with a header of their own have another
	decision decision

	status      int         // of the answer's head; 0: none was passed on
	broken      bool        // the upstream broke off within its answer
	uploadBroke atomic.Bool // the client broke off within its request
	done        bool        // the walk was not left by a panic
}

// serve is the walk.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.running.RLock()
	defer p.running.RUnlock()
	x := &exchange{p: p, w: w, in: r, began: time.Now(), match: match{route: none}, peer: p.forwarding.peer(r)}
	defer x.end()
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		x.refuse(refusal{http.StatusMethodNotAllowed, "method_not_allowed", "this proxy does not take " + r.Method, false})
		return
	}

	x.request = Request{Method: r.Method, Path: cleanPath(r.URL.EscapedPath()), Header: canonical(r.Header), Cookies: r.Header["Cookie"]}
	x.match = p.router.match(x.request.Method, x.request.Path)
	if !x.admitted() {
		return
	}
	x.snapshot = p.snapshot.Load() // the only load: after the gate, see doc.go
	if !x.snapshot.knows(x.match.involved()) {
		x.refuse(refusal{http.StatusServiceUnavailable, "toggle_unknown", "it is not yet known which side serves this; nothing was sent, try again shortly", true})
		return
	}
	x.cookie = p.cookieIdentity(x.snapshot, x.match, &x.request)
	x.decision = x.decide()
	x.forward()
	x.done = true
}

// canonical is the headers as net/http's server reads them: their names are canonical, and so are
// those that are asked for.
type canonical http.Header

func (h canonical) Get(name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// admitted takes a write through its gates, or answers why it may not pass.
func (x *exchange) admitted() bool {
	set := x.match.writes
	if set == 0 {
		return true
	}
	err := x.p.admit(x.in.Context(), set, func(wait time.Duration) error { return settle(x.w, x.in, wait) })
	switch {
	case err == nil:
		x.entered = set
		return true
	case errors.Is(err, errLeft):
	case errors.Is(err, errHoldFull):
		x.refuse(refusal{http.StatusServiceUnavailable, "held_too_many", "writes are held for a moment and there is no more room to wait; nothing was sent, try again shortly", true})
	case errors.Is(err, errClosing):
		x.refuse(refusal{http.StatusServiceUnavailable, "closing", "this instance is shutting down; nothing was sent, try again shortly", true})
	default:
		x.refuse(refusal{http.StatusServiceUnavailable, "held_too_long", "writes are held and the hold did not end in time; nothing was sent, try again shortly", true})
	}
	x.done = true
	return false
}

func (x *exchange) decide() decision {
	var id identity
	if c := x.routed(); c != nil {
		id = c.identity(&x.request, x.cookie)
	}
	return x.p.decide(x.snapshot, x.match, &x.request, id)
}

// forward sends the request to the side that was decided. A write's request does not end when its
// client leaves: the upstream goes on with it all the same, and the gate has to know until when.
func (x *exchange) forward() {
	ctx := context.WithValue(x.in.Context(), exchangeKey{}, x)
	if x.match.writes != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(x.p.ctx, cancel)()
	}
	x.p.engine.ServeHTTP(x.w, x.in.WithContext(ctx))
}

type exchangeKey struct{}

// routed is the capability that the request belongs to, or nil.
func (x *exchange) routed() *capability {
	if x.match.route == none {
		return nil
	}
	return x.p.capabilities[x.match.route]
}

// leave ends the write's time in flight; the second call does nothing.
func (x *exchange) leave() {
	x.p.leave(x.entered)
	x.entered = 0
}

// wrote marks the user as having written, for each capability whose tables the request may write. It
// runs before anything of the answer is passed on: whoever knows of his write is marked already.
func (x *exchange) wrote() {
	now := time.Now()
	for rest := x.match.writes; rest != 0; rest &= rest - 1 {
		if c := x.p.capabilities[bits.TrailingZeros64(rest)]; !c.stateless {
			id := c.identity(&x.request, x.cookie)
			c.wrote.mark(c.hash(id.key), id, now)
		}
	}
}

// end settles the accounts, however the walk was left.
func (x *exchange) end() {
	x.leave()
	outcome := outcomeOf(x.status)
	switch {
	case x.broken:
		outcome = outcomeBroken
	case !x.done:
		outcome = outcomeGone
	}
	x.accounts().count(x.side(), outcome, time.Since(x.began))
}

// side is empty for what the proxy answered without an upstream.
func (x *exchange) side() strangler.Side { return x.decision.side }

// accounts is where the request is counted: with its route's capability, else with the first that it
// touches.
func (x *exchange) accounts() *capabilityMetrics {
	if set := x.match.involved(); x.match.route != none {
		return x.routed().metrics
	} else if set != 0 {
		return x.p.capabilities[bits.TrailingZeros64(set)].metrics
	}
	return x.p.unclaimed
}
