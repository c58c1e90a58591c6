package control

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

func newRun() strangler.Run {
	return strangler.Run{Capability: "delivery", Until: "soak", Who: "ann",
		Steps: []strangler.StepRun{{Name: "verify"}, {Name: "expand"}, {Name: "copy", State: strangler.StepDone, Detail: "already"}}}
}

func TestTheLedgerOfARun(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		clock := newClock()
		s := openStore(t, Config{DSN: at.dsn(t), Clock: clock.now})
		ensure(t, s)
		_, err := s.LatestRun(ctx, "delivery")
		wants(t, err, strangler.ErrNotFound)

		run := must(s.StartRun(ctx, "", newRun()))(t)
		want := newRun()
		want.ID, want.State, want.Started = run.ID, strangler.RunRunning, clock.now()
		want.Steps[0].State, want.Steps[1].State = strangler.StepPending, strangler.StepPending
		check := func() {
			t.Helper()
			if diff := cmp.Diff(want, must(s.LatestRun(ctx, "delivery"))(t)); diff != "" {
				t.Fatal(diff)
			}
		}
		if diff := cmp.Diff(want, run); diff != "" {
			t.Fatal(diff)
		}
		check()

		noError(t, s.Approve(ctx, run.ID, "expand", "bob"))
		step := strangler.StepRun{Name: "expand", State: strangler.StepDoing, Detail: "scripts", Started: clock.now().Add(time.Minute), Approved: "mallory"}
		noError(t, s.SaveStep(ctx, "", run.ID, step))
		step.Approved = "bob"
		want.Steps[1] = step
		check()
		noError(t, s.Approve(ctx, run.ID, "expand", "carol"))
		want.Steps[1].Approved = "carol"
		check()

		saved := run
		saved.State, saved.Until, saved.BackTo, saved.Waiting, saved.Error = strangler.RunWaiting, "", "copy", "an approval", "none"
		saved.Paused, saved.Settings, saved.Acts = "carol", "canary 1%\n", []strangler.Act{{At: clock.now(), Who: "carol", What: "pause", Why: "lunch"}}
		saved.Steps, saved.Capability = nil, "search"
		noError(t, s.SaveRun(ctx, "", saved))
		want.State, want.Until, want.BackTo, want.Waiting, want.Error = saved.State, saved.Until, saved.BackTo, saved.Waiting, saved.Error
		want.Paused, want.Settings, want.Acts = saved.Paused, saved.Settings, saved.Acts
		check()
		saved.Paused, saved.Settings, saved.Acts, want.Paused, want.Settings, want.Acts = "", "", nil, "", "", nil
		noError(t, s.SaveRun(ctx, "", saved)) // nothing is as well stored as something
		check()
		if diff := cmp.Diff([]strangler.Run{want}, must(s.ActiveRuns(ctx))(t)); diff != "" {
			t.Fatal(diff)
		}

		wants(t, s.SaveStep(ctx, "", run.ID, strangler.StepRun{Name: "later"}), strangler.ErrNotFound)
		wants(t, s.SaveStep(ctx, "", run.ID+1, step), strangler.ErrNotFound)
		wants(t, s.Approve(ctx, run.ID, "later", "bob"), strangler.ErrNotFound)
		wants(t, s.Approve(ctx, run.ID, "expand", ""), strangler.ErrRefused)
		wants(t, s.SaveRun(ctx, "", strangler.Run{ID: run.ID + 1}), strangler.ErrNotFound)
		check()
	})
}

func TestOneRunAtATime(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		s := newStore(t, at)
		for _, state := range []strangler.RunState{strangler.RunRunning, strangler.RunWaiting, strangler.RunUndoing} {
			run := newRun()
			run.State = state
			run = must(s.StartRun(ctx, "", run))(t)
			if run.State != state {
				t.Fatalf("started as %s; want %s", run.State, state)
			}
			_, err := s.StartRun(ctx, "", newRun())
			wants(t, err, strangler.ErrRefused)
			run.State = strangler.RunFailed
			noError(t, s.SaveRun(ctx, "", run))
		}
		failed := must(s.LatestRun(ctx, "delivery"))(t)
		current := must(s.StartRun(ctx, "", newRun()))(t)
		failed.State = strangler.RunRunning // resuming it would make two
		wants(t, s.SaveRun(ctx, "", failed), strangler.ErrRefused)
		current.State = strangler.RunDone
		noError(t, s.SaveRun(ctx, "", current))
		noError(t, s.SaveRun(ctx, "", failed))
		if runs := must(s.ActiveRuns(ctx))(t); len(runs) != 1 || runs[0].ID != failed.ID {
			t.Errorf("active: %+v", runs)
		}
		all := must(s.Runs(ctx, "delivery", 2))(t)
		if len(all) != 2 || all[0].ID != current.ID || all[1].ID != failed.ID || len(all[1].Steps) != len(failed.Steps) {
			t.Errorf("the last two runs: %+v", all)
		}

		other := newRun()
		other.Capability = "search"
		must(s.StartRun(ctx, "", other))(t)
		other.Capability = "nothing"
		_, err := s.StartRun(ctx, "", other)
		wants(t, err, strangler.ErrNotFound)
		for _, steps := range [][]strangler.StepRun{{{Name: ""}}, {{Name: "copy"}, {Name: "copy"}}} {
			_, err := s.StartRun(ctx, "", strangler.Run{Capability: "search", Steps: steps})
			wants(t, err, strangler.ErrConfig)
		}
	})
}

func TestOneStartWins(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		dsn := at.dsn(t)
		stores := []*Store{openStore(t, Config{DSN: dsn}), openStore(t, Config{DSN: dsn})}
		ensure(t, stores[0])
		errs := make([]error, 16)
		var done sync.WaitGroup
		for i := range errs {
			done.Go(func() { _, errs[i] = stores[i%2].StartRun(t.Context(), "", newRun()) })
		}
		done.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				wants(t, err, strangler.ErrRefused)
			}
		}
		if runs := must(stores[0].ActiveRuns(t.Context()))(t); won != 1 || len(runs) != 1 {
			t.Errorf("%d starts won, %d runs are active", won, len(runs))
		}
	})
}

// longRun is a run of which people have asked as much as a run keeps, each for as long a reason as they may give.
func longRun(run strangler.Run) strangler.Run {
	run.Settings = strings.Repeat("a line of the settings\n", 10_000)
	for range 200 {
		run.Acts = append(run.Acts, strangler.Act{Who: "carol", What: "pause", Why: strings.Repeat("\U0001f980", 256)})
	}
	return run
}

// TestWhatTheStoreCannotHold is said to be so, and that it may not be tried again.
func TestWhatTheStoreCannotHold(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		s := newStore(t, at)
		run := must(s.StartRun(ctx, "", newRun()))(t)
		long := longRun(run)
		noError(t, s.SaveRun(ctx, "", long))
		if diff := cmp.Diff(long, must(s.LatestRun(ctx, "delivery"))(t)); diff != "" {
			t.Error(diff)
		}
		unfit := func(err error) {
			t.Helper()
			if wants(t, err, strangler.ErrConfig); strings.Contains(err.Error(), "tried again") {
				t.Errorf("it may be tried again: %v", err)
			}
		}
		if at.name == postgresPlace.name {
			run.Error = "a \x00 in it"
			unfit(s.SaveRun(ctx, "", run))
			unfit(s.SaveStep(ctx, "", run.ID, strangler.StepRun{Name: "expand", Detail: run.Error}))
		}
		if at.name != sqlitePlace.name {
			_, err := s.StartRun(ctx, "", strangler.Run{Capability: "search", Steps: []strangler.StepRun{{Name: strings.Repeat("x", 200)}}})
			unfit(err)
		}
	})
}

// TestTheLedgerIsItsHolders: a worker that slept past its lease changes nothing of what its successor has done; one without a name works
// alone.
func TestTheLedgerIsItsHolders(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		clock := newClock()
		s := openStore(t, Config{DSN: at.dsn(t), Clock: clock.now})
		ensure(t, s)
		lease := func(worker string) {
			t.Helper()
			if held := must(s.Lease(ctx, strangler.RunLease("delivery"), worker, time.Second))(t); !held {
				t.Fatalf("%s does not get the lease", worker)
			}
		}
		_, err := s.StartRun(ctx, "a", newRun())
		wants(t, err, strangler.ErrSuperseded)
		lease("a")
		run := must(s.StartRun(ctx, "a", newRun()))(t)
		clock.advance(time.Hour)
		noError(t, s.SaveStep(ctx, "a", run.ID, strangler.StepRun{Name: "expand", State: strangler.StepDone})) // its time is over, and nobody has come
		lease("b")
		back := run
		back.State = strangler.RunRolledBack
		noError(t, s.SaveRun(ctx, "b", back))
		want := must(s.LatestRun(ctx, "delivery"))(t)

		wants(t, s.SaveRun(ctx, "a", run), strangler.ErrSuperseded)
		wants(t, s.SaveStep(ctx, "a", run.ID, strangler.StepRun{Name: "expand", State: strangler.StepDoing}), strangler.ErrSuperseded)
		_, err = s.StartRun(ctx, "a", newRun())
		wants(t, err, strangler.ErrSuperseded)
		noError(t, s.Unlease(ctx, strangler.RunLease("delivery"), "b"))
		wants(t, s.SaveRun(ctx, "b", run), strangler.ErrSuperseded) // what was given back is nobody's
		if diff := cmp.Diff(want, must(s.LatestRun(ctx, "delivery"))(t)); diff != "" {
			t.Error(diff)
		}
		noError(t, s.SaveRun(ctx, "", run))
	})
}
