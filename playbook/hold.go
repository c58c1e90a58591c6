package playbook

import "time"

// hold is a time that has to pass from a moment on. What of it has passed when this process first looks is told by the clock; the
// rest is measured here, so that a clock that jumps neither ends a hold nor draws it out.
type hold struct {
	since  time.Time     // the moment that what follows is about
	passed time.Duration // by then
	seen   time.Time     // when this process first looked, on the clock that does not jump
	until  time.Time     // as people are told
}

// over reports whether d has passed since a moment, and when it will have.
func (h *hold) over(a *act, since time.Time, d time.Duration) (until time.Time, over bool) {
	if h.seen.IsZero() || !h.since.Equal(since) {
		*h = hold{since: since, passed: max(a.Now().Sub(since), 0), seen: time.Now()}
	}
	left := d - h.passed - time.Since(h.seen)
	if until := a.Now().Add(left); until.Sub(h.until).Abs() > 5*time.Second { // the clock has jumped, or this is the first look
		h.until = until
	}
	return h.until, left <= 0
}
