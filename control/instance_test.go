package control

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

func TestInstancesComeAndGo(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		clock := newClock()
		s := openStore(t, Config{DSN: at.dsn(t), Clock: clock.now})
		start := clock.now()
		noError(t, s.Register(ctx, strangler.Instance{ID: "a", Admin: "127.0.0.1:8081"}))
		noError(t, s.Register(ctx, strangler.Instance{ID: "b", Started: start.Add(-time.Hour), Epochs: map[string]int64{"delivery": 3}}))
		noError(t, s.Acknowledge(ctx, "a", "delivery", 5))
		noError(t, s.Acknowledge(ctx, "a", "delivery", 4))
		noError(t, s.Acknowledge(ctx, "b", "delivery", 4))
		noError(t, s.Acknowledge(ctx, "b", "search", 1))
		clock.advance(LiveFor)
		noError(t, s.Heartbeat(ctx, "a"))
		more := strangler.Traffic{Capability: "delivery", Legacy: strangler.Answers{Requests: 10, Errors: 1}, Service: strangler.Answers{Requests: 5}}
		noError(t, s.Heartbeat(ctx, "a", more, strangler.Traffic{Capability: "search", Service: strangler.Answers{Requests: 1, Errors: 1}}))
		noError(t, s.Heartbeat(ctx, "a", more))
		sums := []strangler.Traffic{{Capability: "delivery", Legacy: strangler.Answers{Requests: 20, Errors: 2}, Service: strangler.Answers{Requests: 10}},
			{Capability: "search", Service: strangler.Answers{Requests: 1, Errors: 1}}}
		if diff := cmp.Diff(sums, must(s.Traffic(ctx))(t)); diff != "" {
			t.Error(diff)
		}
		check := func(want ...strangler.Instance) {
			t.Helper()
			if diff := cmp.Diff(want, must(s.Instances(ctx))(t)); diff != "" {
				t.Fatal(diff)
			}
		}
		a := strangler.Instance{ID: "a", Admin: "127.0.0.1:8081", Started: start, Seen: clock.now(), Live: true, Epochs: map[string]int64{"delivery": 5}}
		b := strangler.Instance{ID: "b", Started: start.Add(-time.Hour), Seen: start, Live: true, Epochs: map[string]int64{"delivery": 4, "search": 1}}
		check(a, b)
		clock.advance(time.Microsecond)
		b.Live = false
		check(a, b)

		noError(t, s.Register(ctx, strangler.Instance{ID: "b", Started: clock.now()})) // a new process with the old id
		check(a, strangler.Instance{ID: "b", Started: clock.now(), Seen: clock.now(), Live: true, Epochs: map[string]int64{}})
		noError(t, s.Leave(ctx, "b"))
		noError(t, s.Leave(ctx, "b"))
		check(a)
		wants(t, s.Heartbeat(ctx, "b"), strangler.ErrNotFound)
		wants(t, s.Acknowledge(ctx, "b", "delivery", 9), strangler.ErrNotFound)
		wants(t, s.Register(ctx, strangler.Instance{}), strangler.ErrConfig)

		clock.advance(forgetAfter + time.Second)
		noError(t, s.Register(ctx, strangler.Instance{ID: "c"}))
		check(strangler.Instance{ID: "c", Started: clock.now(), Seen: clock.now(), Live: true, Epochs: map[string]int64{}})
	})
}

func TestASplitIsKept(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		clock := newClock()
		s := openStore(t, Config{DSN: at.dsn(t), Clock: clock.now})
		ensure(t, s)
		none := strangler.Split{Capability: "delivery", Phase: strangler.PhaseNone}
		if got := must(s.Split(ctx, "delivery"))(t); got != none {
			t.Fatalf("before the first: %+v", got)
		}
		stopped := strangler.Split{Capability: "delivery", Phase: strangler.PhaseStopped, Error: "a trigger was dropped",
			Verified: strangler.Verify{At: clock.now().Add(-time.Minute), Rows: 100, Mismatches: 1},
			Verifying: &strangler.Verifying{Started: clock.now(), Epoch: 3, Table: 1, Back: true, After: []byte{1, 0, 2}, Rows: 50, Mismatches: 1,
				Differences: []strangler.Difference{{Table: "couriers", Key: "7", Kind: strangler.DifferenceDiffers, Columns: []string{"name"}}}}}
		copying := strangler.Split{Capability: "delivery", Phase: strangler.PhaseCopying}
		wants(t, s.SaveSplit(ctx, "a", copying), strangler.ErrSuperseded)
		lease := func(worker string) {
			t.Helper()
			if held := must(s.Lease(ctx, strangler.SplitLease("delivery"), worker, time.Second))(t); !held {
				t.Fatalf("%s does not get the lease", worker)
			}
		}
		lease("a")
		for _, split := range []strangler.Split{copying, stopped, copying} {
			noError(t, s.SaveSplit(ctx, "a", split))
			split.Updated = clock.now()
			if diff := cmp.Diff(split, must(s.Split(ctx, "delivery"))(t)); diff != "" {
				t.Fatal(diff)
			}
		}
		wants(t, s.SaveSplit(ctx, "a", strangler.Split{Capability: "nothing"}), strangler.ErrNotFound)

		clock.advance(time.Hour)
		noError(t, s.SaveSplit(ctx, "a", copying)) // its time is over, and nobody has come
		lease("b")
		wants(t, s.SaveSplit(ctx, "a", stopped), strangler.ErrSuperseded)
		noError(t, s.SaveSplit(ctx, "b", copying))
		if got := must(s.Split(ctx, "delivery"))(t); got.Phase != strangler.PhaseCopying {
			t.Errorf("a worker that slept wrote %q", got.Phase)
		}
	})
}

// Instances that come, acknowledge and go at once, each by its own id, do not lock each other out.
func TestInstancesAtOnce(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		s := newStore(t, at)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				id := fmt.Sprintf("instance-%d", i)
				for epoch := range int64(10) {
					err := errors.Join(
						s.Register(ctx, strangler.Instance{ID: id, Epochs: map[string]int64{"delivery": epoch}}),
						s.Acknowledge(ctx, id, "delivery", epoch+1), s.Acknowledge(ctx, id, "search", epoch), s.Heartbeat(ctx, id))
					if epoch%2 == 0 {
						err = errors.Join(err, s.Leave(ctx, id))
					}
					if err != nil {
						t.Errorf("%s at epoch %d: %v", id, epoch, err)
						return
					}
				}
			})
		}
		all.Wait()
		for _, instance := range must(s.Instances(ctx))(t) {
			if instance.Epochs["delivery"] != 10 || instance.Epochs["search"] != 9 {
				t.Errorf("stored: %+v", instance)
			}
		}
	})
}
