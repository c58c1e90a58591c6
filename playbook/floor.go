package playbook

import (
	"fmt"
	"net/http"
	"slices"

	strangler "github.com/strangler-fig/strangler"
)

// floor is how many requests the service has to have answered in the shadow, or at each percentage of the canary, before what it answered
// is evidence: no traffic says nothing. 0: time alone decides, where the capability says so or none of its requests can go there.
func floor(c strangler.Capability, step string) int64 {
	if !canSee(c, step) {
		return 0
	}
	return c.Playbook.Requests
}

// canSee reports whether any of a capability's requests can go to the service in the shadow or the canary.
func canSee(c strangler.Capability, step string) bool {
	methods := []string{http.MethodGet, http.MethodHead}
	switch {
	case step == Shadow && c.Shadow.Sample == 0:
		return false
	case step == Shadow && len(c.Shadow.Methods) > 0:
		methods = c.Shadow.Methods
	case step == Canary && c.Stateless():
		return true
	}
	return slices.ContainsFunc(c.Routes, func(r strangler.Route) bool { return r.Method == "" || slices.Contains(methods, r.Method) })
}

// tooFew says how many requests are missing, where they are; place is where they are counted.
func (a *act) tooFew(step, place string, seen counts) (v verdict, is bool) {
	n := floor(a.capability, step)
	if a.Traffic == nil || seen.service >= n {
		return verdict{}, false
	}
	v = missing("%s answered by the service %s", requests(n), place)
	v.detail = fmt.Sprintf("%s: %d of %s", v.text, seen.service, requests(n))
	if seen.service == 0 {
		v.detail += fmt.Sprintf("; no traffic: inconclusive; strangler playbook skip %s %s goes on without", a.name(), step)
	}
	return v, true
}

// andRequests goes behind how long something is held.
func andRequests(c strangler.Capability, step string) string {
	if n := floor(c, step); n > 0 {
		return " and " + requests(n)
	}
	return ""
}

func requests(n int64) string {
	if n == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", n)
}
