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

// tooMany reports whether the service fails more often than the guard allows beside the monolith. Too few requests say nothing.
func (a *act) tooMany(seen counts) bool {
	guard := a.capability.Guard
	excess := share(seen.serviceErrors, seen.service) - share(seen.legacyErrors, seen.legacy)
	return guard.MaxErrorDelta > 0 && seen.service >= int64(max(guard.MinRequests, 1)) && excess > float64(guard.MaxErrorDelta)/float64(strangler.Hundred)
}
