package playbook

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// What a gate waits for.
const (
	ForPerson   = "person"
	ForTime     = "time"
	ForRequests = "requests"
	ForLag      = "lag"
	ForRows     = "rows"
	ForAnswer   = "answer" // of a check that a person has written
)

// Gate is something that a run waits for at a step.
type Gate struct {
	For    string `json:"for"`
	Words  string `json:"words"`
	Before bool   `json:"before"` // the step does nothing until it is met; otherwise the next one does not begin
}

// gates are what a capability's run waits for at one of its steps, in the order of the waiting.
func gates(c strangler.Capability, name string) []Gate {
	var before, after []Gate
	d, s := Config{}.withDefaults(), c.Playbook
	near := fmt.Sprintf("lag of at most %d changes and %gs", d.MaxLag.Changes, d.MaxLag.Seconds)
	switch name {
	case Copy:
		after = append(after, Gate{For: ForRows, Words: "every row is there, and changes are followed"})
	case Shadow:
		after = append(after, Gate{For: ForTime, Words: span(pick(s.Shadow, d.ShadowHold))})
		if n := floor(c, Shadow); n > 0 {
			after = append(after, Gate{For: ForRequests, Words: requests(n) + " shadowed"})
		}
		if canSee(c, Shadow) && c.Guard.MaxErrorDelta > 0 {
			after = append(after, Gate{For: ForRequests, Words: fmt.Sprintf("errors at most %s above the monolith's", c.Guard.MaxErrorDelta)})
		}
	case Canary:
		if len(s.Canary) == 0 {
			break
		}
		after = append(after, Gate{For: ForTime, Words: span(pick(s.Hold, d.CanaryHold)) + " at each percentage"})
		if n := floor(c, Canary); n > 0 {
			after = append(after, Gate{For: ForRequests, Words: requests(n) + " answered at each percentage"})
		}
		if c.Guard.MaxErrorDelta > 0 {
			after = append(after, Gate{For: ForRequests, Words: fmt.Sprintf("errors at most %s above the monolith's, or the guard takes it back", c.Guard.MaxErrorDelta)})
		}
	case Cutover:
		if !c.Stateless() {
			before = append(before, Gate{For: ForLag, Words: near, Before: true})
		}
	case Soak:
		after = append(after, Gate{For: ForTime, Words: span(s.Soak) + " since the cutover"})
		if !c.Stateless() {
			after = append(after, Gate{For: ForLag, Words: near})
		}
	}
	for _, o := range s.Own {
		if g, is := ownGate(o); is && o.Name == name {
			after = append(after, g)
		}
	}
	if slices.Contains(s.Approve, name) {
		if g := (Gate{For: ForPerson, Words: "a person approves", Before: name != Soak}); g.Before {
			before = append(before, g)
		} else {
			after = append(after, g)
		}
	}
	return append(append([]Gate{}, before...), after...)
}

// ownGate is what a step of the capability's own waits for. Addresses and arguments may hold secrets, so hosts and programs
// are named, and no more.
func ownGate(o strangler.OwnStep) (Gate, bool) {
	switch {
	case o.HTTP != nil:
		return Gate{For: ForAnswer, Words: fmt.Sprintf("%s answers %d%s", host(o.HTTP.URL), pick(o.HTTP.Status, http.StatusOK), also(len(o.HTTP.JSON)))}, true
	case o.SQL != nil:
		return Gate{For: ForAnswer, Words: fmt.Sprintf("the %s database answers %q", o.SQL.Side, o.SQL.Answer)}, true
	case o.Prometheus != nil:
		return Gate{For: ForAnswer, Words: bounds(*o.Prometheus)}, true
	case o.Run != nil:
		return Gate{For: ForAnswer, Words: program(o.Run.Command) + " ends well"}, true
	case o.Wait != nil:
		return Gate{For: ForTime, Words: span(o.Wait.For)}, true
	case o.Approve != nil:
		who := "a person approves"
		if len(o.Approve.By) > 0 {
			who = strings.Join(o.Approve.By, " or ") + " approves"
		}
		return Gate{For: ForPerson, Words: who}, true
	}
	return Gate{}, false
}

// host names whom an address asks, without what may be secret in it.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "the address"
	}
	return u.Host
}

func program(command []string) string {
	if len(command) == 0 {
		return "the program"
	}
	return filepath.Base(command[0])
}

func also(values int) string {
	switch values {
	case 0:
		return ""
	case 1:
		return ", a value as asked"
	}
	return fmt.Sprintf(", %d values as asked", values)
}

func bounds(p strangler.PrometheusStep) string {
	s := "the metric is"
	if p.Above != nil {
		s += fmt.Sprintf(" above %g", *p.Above)
	}
	if p.Above != nil && p.Below != nil {
		s += " and"
	}
	if p.Below != nil {
		s += fmt.Sprintf(" below %g", *p.Below)
	}
	if p.For > 0 {
		s += " for " + span(p.For)
	}
	return s
}

// pick is a capability's own setting, or else the usual one.
func pick[T int | time.Duration](own, usual T) T {
	if own > 0 {
		return own
	}
	return usual
}
