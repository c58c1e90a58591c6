package outage

import (
	"fmt"
	"testing"

	"github.com/strangler-fig/strangler"
)

// victim is whose sessions are ended, and where.
type victim struct {
	side strangler.Side
	role string
}

func (v victim) String() string { return "sessions of " + v.role + " at " + string(v.side) }

var victims = []victim{{strangler.Legacy, ourRole}, {strangler.Service, ourRole}, {strangler.Legacy, appRole}, {strangler.Service, appRole}}

// TestEndedSessionsLoseNothing ends every session of Strangler, or of the applications, at one side, in the
// copy, while the service follows and in the steps of cutovers, forward and back.
func TestEndedSessionsLoseNothing(t *testing.T) {
	t.Parallel()
	endSessions(t, every(steps, 4), 1)
}

// endSessions takes the steps in turn, each with so many of the victims.
func endSessions(t *testing.T, at []step, each int) {
	r := newRig(t)
	w, beside := r.through("through"), r.beside("beside")
	for _, v := range victims {
		came := r.watch.when(step{point: "position.before", n: 3}, func() { r.end(v) })
		r.again("the copy", r.copyOnce)
		await(t, v.String(), came)
	}
	r.copied()
	for _, v := range victims { // while the service follows
		r.end(v)
	}
	w.await(2)
	r.caughtUp()
	for i, s := range at {
		for k := range each {
			v := victims[(i+k)%len(victims)]
			r.handedThrough(s, func() { r.end(v) })
			w.await(1)
		}
	}
	r.check(w, beside)
}

// end ends a role's sessions in the rig's database.
func (r *rig) end(v victim) {
	must(r.t, r.asSuperuser(v.side, fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = '%s'", v.role)))
}
