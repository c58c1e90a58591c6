package proxy

import (
	"errors"
	"net/http"
	"time"

	"github.com/strangler-fig/strangler"
)

// carrier is an engine's side of one request: it has read the request's head, and carries it to an
// upstream and the answer back.
type carrier interface {
	// settle is called before a write passes its gates. It reads a small body of a known length, so that its client, however slow,
	// holds up no gate, and can be seen to leave while it is held.
	settle() error
	// gone is closed when the client leaves while it is held.
	gone() <-chan struct{}
	// forward sends the request to the side that was decided and passes the answer on. It reports
	// whether the client got all of what there was, be it an answer of our own.
	forward() bool
	// answer sends an answer of our own, and reports whether the client took it.
	answer(own) bool
}

// exchange is one request on its walk, whichever engine carries it. It belongs to the request's
// goroutine.
type exchange struct {
	p        *Proxy
	via      carrier
	began    time.Time
	request  Request
	host     string // as the request names it
	protocol string // "HTTP/1.1"
	peer     peer
	match    match
	counted  *capabilityMetrics // whose running requests it is one of
	entered  []int              // capabilities whose gates were passed and not left yet
	snapshot *snapshot
	cookie   identity // the cookie's; capabilities with a header of their own have another
	decision decision
	server   *server // that has it now
	tried    uint64  // the bits of the servers that it was given to
	fared    fare
	span     span
	held     time.Duration // before a gate

	status int   // of the answer's head; 0: none was passed on
	sent   int64 // bytes of the answer's body
	broken bool  // the upstream broke off within its answer
	done   bool  // the client got all of what there was

	refused string // the code of an answer of our own; empty: none
}

// walk takes the request through its steps. request and peer are set.
func (x *exchange) walk() {
	method := x.request.Method
	switch {
	case method == http.MethodConnect || method == http.MethodTrace:
		x.refuse(refusal{http.StatusMethodNotAllowed, "method_not_allowed", "this proxy does not take " + method, false})
		return
	case x.request.Path[0] != '/' && method != http.MethodOptions:
		x.refuse(badTarget)
		return
	}
	x.p.router.match(method, x.request.Path, &x.match)
	if !x.counts() {
		x.refuse(refusal{http.StatusServiceUnavailable, "too_busy", "too many requests are under way here; nothing was sent, try again shortly", true})
		return
	}
	if !x.admitted() {
		return
	}
	x.snapshot = x.p.snapshot.Load() // the only load: after the gate, see doc.go
	if !x.snapshot.knows(&x.match) {
		x.refuse(refusal{http.StatusServiceUnavailable, "toggle_unknown", "it is not yet known which side serves this; nothing was sent, try again shortly", true})
		return
	}
	x.cookie = x.p.cookieIdentity(x.snapshot, &x.match, &x.request)
	x.decision = x.decide()
	x.done = x.via.forward()
}

var badTarget = refusal{http.StatusBadRequest, "bad_target", "the request target is neither a path nor an address with http or https; nothing was sent", false}

// counts makes the request one of those that are running, unless there are too many.
func (x *exchange) counts() bool {
	a := x.accounts()
	if a.running.Add(1) > int64(x.p.config.Limits.Requests) {
		a.running.Add(-1)
		return false
	}
	x.counted = a
	return true
}

// admitted takes a write through its gates, or answers why it may not pass.
func (x *exchange) admitted() bool {
	set := x.match.writes
	if len(set) == 0 {
		return true
	}
	if err := x.via.settle(); err != nil {
		x.refuse(refusal{http.StatusBadRequest, "request_broken", "the request's body could not be read to its end; nothing was sent", false})
		return false
	}
	var err error
	x.held, err = x.p.admit(set, x.via)
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
	return x.p.decide(x.snapshot, &x.match, &x.request, id)
}

// to is the upstream that was decided.
func (x *exchange) to() *upstream { return x.p.upstream(x.routed(), x.side()) }

// routed is the capability that the request belongs to, or nil.
func (x *exchange) routed() *capability {
	if x.match.route == none {
		return nil
	}
	return x.p.capabilities[x.match.route]
}

// uncount ends the request's time among those that are running; the second call does nothing.
func (x *exchange) uncount() {
	if x.counted != nil {
		x.counted.running.Add(-1)
		x.counted = nil
	}
}

// leave ends the write's time in flight; the second call does nothing.
func (x *exchange) leave() {
	x.p.leave(x.entered)
	x.entered = nil
}

// wrote marks the user as having written, for each capability whose tables the request may write. It
// runs before anything of the answer is passed on: whoever knows of his write is marked already.
func (x *exchange) wrote() {
	now := time.Now()
	for _, i := range x.match.writes {
		if c := x.p.capabilities[i]; !c.stateless {
			id := c.identity(&x.request, x.cookie)
			c.wrote.mark(c.hash(id.key), id, now)
		}
	}
}

// end settles the accounts, however the walk was left.
func (x *exchange) end() {
	x.release()
	x.leave()
	x.uncount()
	outcome := outcomeOf(x.status)
	switch {
	case x.broken:
		outcome = outcomeBroken
	case !x.done:
		outcome = outcomeGone
	}
	took := time.Since(x.began)
	x.accounts().count(x.side(), outcome, took)
	if x.match.route != none {
		x.p.routes[x.match.by].count(sideIndex(x.side()), outcome)
	}
	if x.p.access != nil {
		x.p.access.add(x, took)
	}
	if x.p.traces != nil {
		x.p.traces.end(x, outcome, took)
	}
}

func (x *exchange) capabilityName() string {
	if i := x.match.counted(); i != none {
		return x.p.capabilities[i].Name
	}
	return ""
}

// header is the first value of a header; empty where the request's head could not be read.
func (x *exchange) header(name string) string {
	if x.request.Header == nil {
		return ""
	}
	return x.request.Header.Get(name)
}

// side is empty for what the proxy answered without an upstream.
func (x *exchange) side() strangler.Side { return x.decision.side }

// accounts is where the request is counted: with its route's capability, else with the first that it
// touches.
func (x *exchange) accounts() *capabilityMetrics {
	if i := x.match.counted(); i != none {
		return x.p.capabilities[i].metrics
	}
	return x.p.unclaimed
}
