package outage

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/strangler-fig/strangler"
)

// TestServerCrashesLoseNothing kills a database server in the copy, while the service follows, and in steps of
// a cutover, forward and back, and starts it again while the worker goes on. The control store goes with the
// service's.
func TestServerCrashesLoseNothing(t *testing.T) {
	crashes(t, every(steps, 5), [][]strangler.Side{{strangler.Legacy}, {strangler.Service}})
}

// crashes takes the steps in turn, each with the next of the victims.
func crashes(t *testing.T, at []step, victims [][]strangler.Side) {
	r := newRig(t, controlAt(strangler.Service))
	var restarts sync.WaitGroup
	var mu sync.Mutex
	var failed error
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = errors.Join(failed, err)
	}
	crash := func(which []strangler.Side) {
		for _, side := range which {
			fail(server(t, side).Kill())
			restarts.Go(func() { fail(server(t, side).Restart(context.Background())) })
		}
	}
	defer restarts.Wait()
	w, beside := r.through("through"), r.beside("beside")
	for _, side := range sides { // in the copy
		came := r.watch.when(step{point: "position.after", n: 4}, func() { crash([]strangler.Side{side}) })
		r.again("the copy", r.copyOnce)
		await(t, "the crash", came)
		restarts.Wait()
	}
	r.copied()
	crash(sides) // while the service follows
	restarts.Wait()
	w.await(2)
	r.caughtUp()
	for i, s := range at {
		crash := func() { crash(victims[i%len(victims)]) }
		r.handedThrough(s, crash)
		restarts.Wait()
		w.await(1)
	}
	must(t, failed)
	r.check(w, beside)
}

// TestTheLagOfADatabaseThatIsAwayIsNotKnown: it is told so, and not counted as none.
func TestTheLagOfADatabaseThatIsAwayIsNotKnown(t *testing.T) {
	r := newRig(t, controlAt(strangler.Legacy))
	r.copied()
	r.handed(strangler.Service)
	r.caughtUp()
	if lag := r.status().Lag; lag.Unknown != "" {
		t.Fatalf("with both there the lag is not known: %s", lag.Unknown)
	}
	must(t, server(t, strangler.Service).Kill())
	gone := r.status()
	must(t, server(t, strangler.Service).Restart(context.WithoutCancel(t.Context())))
	if !strings.HasPrefix(gone.Lag.Unknown, "the service database could not be asked: ") || gone.Phase != strangler.PhaseReversed {
		t.Errorf("with the owner's server away the split is %q, its lag %+v", gone.Phase, gone.Lag)
	}
	r.caughtUp()
	if lag := r.status().Lag; lag.Unknown != "" {
		t.Errorf("with both there again the lag is not known: %s", lag.Unknown)
	}
}
