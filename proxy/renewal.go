package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// A header's identities are noticed to change with every answer once as many answers have renewed one, and they are half of those
// that could have.
const renewalsNoticed = 20

// renewals counts, for a capability whose identity is a header, answers to requests that had one, and those of them that gave the client
// another in its place. A canary could not stick to that.
type renewals struct {
	answers, renewed atomic.Uint64
	said             atomic.Bool
}

// Renewed reports whether a line of an answer gives the client another identity than it came with: for the header Cookie, where a
// cookie that it sent is set to another value; for any other header, where the answer has it with another value. Name is the header's in
// its canonical form, sent its value in the request.
func Renewed(header, sent, name, value string) bool {
	if header != "Cookie" {
		return len(name) == len(header) && strings.EqualFold(name, header) && value != sent
	}
	if len(name) != len("Set-Cookie") || !strings.EqualFold(name, "Set-Cookie") {
		return false
	}
	value, _, _ = strings.Cut(value, ";")
	cookie, now, _ := strings.Cut(value, "=")
	for pair := range strings.SplitSeq(sent, ";") {
		if key, before, ok := strings.Cut(pair, "="); ok && strings.TrimSpace(key) == strings.TrimSpace(cookie) {
			return strings.TrimSpace(before) != strings.TrimSpace(now)
		}
	}
	return false
}

// identified is the routed capability, and the identity that its header had in the request; empty: there was none.
func (x *exchange) identified() (*capability, string) {
	c := x.routed()
	if c == nil || c.header == "" {
		return nil, ""
	}
	return c, x.request.Header.Get(c.header)
}

// renewal counts an answer to a request with the identity that was sent.
func (x *exchange) renewal(c *capability, renewed bool) {
	c.renewals.answers.Add(1)
	if !renewed {
		return
	}
	c.renewals.renewed.Add(1)
	if c.renewals.noticed() && c.renewals.said.CompareAndSwap(false, true) {
		x.p.config.Log.Warn("identities change with every answer, so no canary sticks to them", "capability", c.Name, "header", c.header)
	}
}

func (r *renewals) noticed() bool {
	renewed := r.renewed.Load()
	return renewed >= renewalsNoticed && 2*renewed >= r.answers.Load()
}

// Notices is what the answers have shown of a capability that a person should know, in words; nil: nothing.
func (p *Proxy) Notices(capability string) []string {
	c, ok := p.byName[capability]
	if !ok || !c.renewals.noticed() {
		return nil
	}
	return []string{RenewedNotice(c.header, int(c.renewals.renewed.Load()), int(c.renewals.answers.Load()))}
}

// RenewedNotice says of so many of all answers that they renewed an identity.
func RenewedNotice(header string, renewed, all int) string {
	what := fmt.Sprintf("%d of %d answers gave the client another %s", renewed, all, header)
	if header == "Cookie" {
		what = fmt.Sprintf("%d of %d answers changed a cookie that the client had sent", renewed, all)
	}
	return what + ": the identity changes, so a canary does not stick to its users, who go to and fro between the sides"
}

// observeRenewals registers what is counted for one capability.
func observeRenewals(to prometheus.Registerer, c *capability) error {
	if c.header == "" {
		return nil
	}
	counter := func(outcome string, n *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "strangler_proxy_identities_total",
			Help:        "Answers to requests whose identity is a header: all of them, and those that gave the client another one, to which no canary sticks.",
			ConstLabels: prometheus.Labels{"capability": c.Name, "outcome": outcome}}, func() float64 { return float64(n.Load()) })
	}
	if err := to.Register(counter("answered", &c.renewals.answers)); err != nil {
		return err
	}
	return to.Register(counter("renewed", &c.renewals.renewed))
}

// renewedBy reports whether any of an answer's headers renews the identity.
func (c *capability) renewedBy(sent string, answer http.Header) bool {
	name := c.header
	if name == "Cookie" {
		name = "Set-Cookie"
	}
	for _, value := range answer[name] {
		if Renewed(c.header, sent, name, value) {
			return true
		}
	}
	return false
}
