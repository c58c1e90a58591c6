package playbook

import (
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// recently is how far back evidence of errors reaches at least, and at most twice that.
const recently = 5 * time.Minute

// recent are the requests of the last minutes. It is the worker's own, and looked at while the run waits, so that what it says at a
// flip is of the minutes before and not of the days in which somebody made up their mind.
type recent struct {
	older, newer counts
	turned       time.Time // when newer was taken; zero: nothing has been

	known    bool    // the monolith has been asked often enough to tell
	monolith float64 // its share of errors then
}

// look takes the counts, from time to time, and returns what has come since.
func (r *recent) look(a *act) counts {
	now := a.counts(counts{})
	switch {
	case r.turned.IsZero():
		r.older, r.newer, r.turned = now, now, time.Now()
	case time.Since(r.turned) >= recently:
		r.older, r.newer, r.turned = r.newer, now, time.Now()
	}
	return a.counts(r.older)
}

// forget leaves out what has come so far, but for how the monolith was.
func (r *recent) forget() { *r = recent{known: r.known, monolith: r.monolith} }

// plainly is a share of errors for which nothing has to be compared.
const plainly = 0.5

// tooMany reports whether the service fails more often than the guard allows beside the monolith. Too few requests say nothing. The
// monolith is compared as it was when it last answered enough: of a canary of 100% it answers next to nothing.
func (a *act) tooMany(seen counts) bool {
	guard, r := a.capability.Guard, a.recent
	enough := int64(max(guard.MinRequests, 1))
	if seen.legacy >= enough {
		r.known, r.monolith = true, share(seen.legacyErrors, seen.legacy)
	}
	fails := share(seen.serviceErrors, seen.service)
	switch {
	case guard.MaxErrorDelta <= 0 || seen.service < enough:
		return false
	case !r.known:
		return fails > plainly
	}
	return fails-r.monolith > float64(guard.MaxErrorDelta)/float64(strangler.Hundred)
}
