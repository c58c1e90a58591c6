package playbook

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

func (b *bed) rollback(to string) {
	b.Helper()
	if _, err := b.e.Rollback(b.Context(), "delivery", RunOptions{To: to, Who: "eve"}); err != nil {
		b.Fatal(err)
	}
}

func TestRollbackFromTheSoak(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.toSoak()
		b.rollback("")
		run := b.wait(strangler.RunRolledBack)
		for name, want := range map[string]strangler.StepState{Canary: strangler.StepDone, Cutover: strangler.StepUndone, Soak: strangler.StepUndone} {
			if got := record(run, name).State; got != want {
				b.Errorf("%s is %s, want %s", name, got, want)
			}
		}
		if b.w.cutover.Who != "ann" && b.w.cutover.Who != "eve" || !strings.Contains(b.w.cutover.Why, "undoing") {
			b.Errorf("the audit has %+v", b.w.cutover)
		}
		b.effects("expand", "start", "verify", "shadow", "canary 1%", "canary 50%", "canary 100%", "owner service", "owner legacy")
		b.rollback(Expand) // further, in the same run
		b.wait(strangler.RunRolledBack)
		if len(b.w.runs) != 1 || b.w.phase != strangler.PhaseCancelled || b.w.toggle.Mode != strangler.ModeLegacy {
			b.Errorf("%d runs, the split is %q, the toggle %s", len(b.w.runs), b.w.phase, b.w.toggle.Mode)
		}
	})
}

// TestRollbackSendsEveryUserBack wherever the run is, when nobody says how far it should go.
func TestRollbackSendsEveryUserBack(t *testing.T) {
	for name, at := range map[string]func(*bed){
		"waiting for the cutover": func(b *bed) { b.approval(Cutover) },
		"at a share of the canary": func(b *bed) {
			b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "canary 1%") })
		},
		"in the shadow": func(b *bed) {
			b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "the shadow to be held") })
		},
		"aborted": func(b *bed) {
			b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "canary 50%") })
			b.may(b.e.Abort(b.Context(), "delivery", whoWhy()))
		},
	} {
		for _, c := range []strangler.Capability{delivery(), stateless()} {
			t.Run(name, func(t *testing.T) {
				inBed(t, c, nil, func(b *bed) {
					b.run()
					at(b)
					b.rollback("")
					b.wait(strangler.RunRolledBack)
					if b.w.toggle.Mode != strangler.ModeLegacy || !c.Stateless() && b.w.phase != strangler.PhaseSyncing {
						b.Errorf("the toggle is %s, the split %q", b.w.toggle.Describe(), b.w.phase)
					}
				})
			})
		}
	}
}

// TestRollbackThatFailedGoesOnToWhereItWent when it is asked for again without saying how far.
func TestRollbackThatFailedGoesOnToWhereItWent(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.toSoak()
		b.w.set(func() { b.w.stuck = errInjected })
		b.rollback(All)
		b.wait(strangler.RunFailed)
		b.w.set(func() { b.w.stuck = nil })
		b.rollback("")
		if run := b.wait(strangler.RunRolledBack); run.BackTo != Expand || b.w.phase != strangler.PhaseCancelled {
			b.Errorf("back to %s, the split is %q", run.BackTo, b.w.phase)
		}
	})
}

// TestRollbackInterruptsACutover: the attempt is given up, its outcome probed, nothing after it runs.
func TestRollbackInterruptsACutover(t *testing.T) {
	inBed(t, delivery(), func(w *world, _ *Config) { w.held, w.entered = make(chan struct{}), make(chan struct{}) }, func(b *bed) {
		b.run()
		b.approval(Cutover)
		b.approve(Cutover)
		<-b.w.entered
		b.rollback(Shadow)
		run := b.wait(strangler.RunRolledBack)
		if b.w.toggle.Mode != strangler.ModeLegacy || b.w.toggle.Owner != strangler.Legacy || record(run, Verify).State != strangler.StepDone {
			b.Errorf("the toggle is %s, the run %+v", b.w.toggle.Describe(), run)
		}
	})
}

// TestWhatWasInterruptedEndsFirst: a cutover whose caller is gone goes on, and may yet commit. A rollback takes that back, and behind an
// abort nothing more happens.
func TestWhatWasInterruptedEndsFirst(t *testing.T) {
	for _, abort := range []bool{true, false} {
		inBed(t, delivery(), func(w *world, _ *Config) {
			w.held, w.entered, w.goesOn = make(chan struct{}), make(chan struct{}), true
		}, func(b *bed) {
			b.run()
			b.approval(Cutover)
			b.approve(Cutover)
			<-b.w.entered
			if abort {
				b.may(b.e.Abort(b.Context(), "delivery", whoWhy()))
				owner := b.w.toggle.Owner
				time.Sleep(time.Hour)
				if b.w.toggle.Owner != owner {
					b.Errorf("behind the abort the owner became %s", b.w.toggle.Owner)
				}
				return
			}
			b.rollback("")
			b.wait(strangler.RunRolledBack)
			time.Sleep(time.Hour)
			if b.w.toggle.Owner != strangler.Legacy {
				b.Error("rolled back, the service owns")
			}
		})
	}
}

// TestRollbackWaits until what is undecided is decided: it may still make the service the owner.
func TestRollbackWaits(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.approval(Cutover)
		b.w.set(func() { b.w.cutover = &strangler.Cutover{ID: 9, State: strangler.Preparing} })
		b.rollback("")
		b.until(func(r strangler.Run) bool {
			return r.State == strangler.RunUndoing && strings.Contains(r.Waiting, "cutover 9 to be settled")
		})
		b.w.set(func() {
			b.w.cutover = &strangler.Cutover{ID: 9, State: strangler.Committed, To: strangler.Service}
			b.w.toggle.Owner, b.w.phase = strangler.Service, strangler.PhaseReversed
			b.w.setToggle(strangler.ModeExtracted, 0)
		})
		b.wait(strangler.RunRolledBack)
		if b.w.toggle.Owner != strangler.Legacy {
			b.Errorf("the toggle is %s", b.w.toggle.Describe())
		}
	})
}

func TestRollbackRefused(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		for _, to := range []string{Soak, Complete} {
			if _, err := b.e.Rollback(b.Context(), "delivery", RunOptions{To: to}); !errors.Is(err, strangler.ErrRefused) {
				b.Errorf("to %s: %v", to, err)
			}
		}
		// The world says complete, no ledger does.
		b.w.set(func() { b.w.phase, b.w.toggle.Owner = strangler.PhaseComplete, strangler.Service })
		if _, err := b.e.Rollback(b.Context(), "delivery", RunOptions{}); !errors.Is(err, strangler.ErrRefused) || !strings.Contains(err.Error(), "point of no return") {
			b.Errorf("complete: %v", err)
		}
	})
}

// TestRollbackComesTooLate: it is asked for while complete is being done. What complete has done is found
// out by probing, before anything is undone.
func TestRollbackComesTooLate(t *testing.T) {
	inBed(t, delivery(), func(w *world, _ *Config) { w.slow = make(chan struct{}) }, func(b *bed) {
		b.toSoak()
		b.approval(Complete)
		b.approve(Complete)
		synctest.Wait()
		asked := make(chan error)
		go func() {
			_, err := b.e.Rollback(b.Context(), "delivery", RunOptions{})
			asked <- err
		}()
		synctest.Wait()
		close(b.w.slow)
		if err := <-asked; err != nil {
			b.Fatal(err)
		}
		run := b.wait(strangler.RunFailed)
		if !strings.Contains(run.Error, "point of no return") || b.w.phase != strangler.PhaseComplete || record(run, Cutover).State != strangler.StepDone {
			b.Errorf("the run is %+v, the split %q", run, b.w.phase)
		}
	})
}

// TestRollbackWithoutARun undoes what is there, whoever made it.
func TestRollbackWithoutARun(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.w.set(func() {
			b.w.phase, b.w.toggle.Owner, b.w.toggle.Mode = strangler.PhaseReversed, strangler.Service, strangler.ModeExtracted
		})
		b.rollback("")
		b.wait(strangler.RunRolledBack)
		b.effects("owner legacy")
	})
}

func TestOnly(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		if _, err := b.e.Only(b.Context(), "delivery", Cutover, RunOptions{Who: "eve"}); err != nil {
			b.Fatal(err)
		}
		if _, err := b.e.Wait(b.Context(), "delivery"); !errors.Is(err, strangler.ErrRefused) {
			b.Errorf("a cutover of nothing: %v", err)
		}
		if _, err := b.e.Run(b.Context(), "delivery", RunOptions{Until: Verify}); err != nil {
			b.Fatal(err)
		}
		if _, err := b.e.Only(b.Context(), "delivery", Cutover, RunOptions{Who: "eve"}); !errors.Is(err, strangler.ErrRefused) {
			b.Errorf("a step by hand beside a run: %v", err)
		}
		b.wait(strangler.RunDone)
		if _, err := b.e.Only(b.Context(), "delivery", Cutover, RunOptions{Who: "eve"}); err != nil {
			b.Fatal(err)
		}
		run := b.wait(strangler.RunDone) // the person who asks has approved
		if len(run.Steps) != 1 || run.ID != 3 || b.w.toggle.Owner != strangler.Service || b.w.cutover.Who != "eve" {
			b.Errorf("run %+v, cutover %+v", run, b.w.cutover)
		}
		if _, err := b.e.Only(b.Context(), "delivery", "rollback", RunOptions{Who: "eve"}); err != nil {
			b.Fatal(err)
		}
		b.wait(strangler.RunRolledBack)
		for _, name := range []string{"", "search"} {
			if _, err := b.e.Only(b.Context(), "delivery", Complete, RunOptions{Who: "eve", Confirm: name}); !errors.Is(err, strangler.ErrRefused) {
				b.Errorf("the point of no return by the name %q: %v", name, err)
			}
		}
		if n := len(b.w.runs); n != 4 {
			b.Errorf("what was refused is among %d runs", n)
		}
		b.effects("expand", "start", "verify", "owner service", "owner legacy")
	})
}

func TestAttempts(t *testing.T) {
	aborted, lag := errors.New("the drain took too long"), strangler.Refuse("lag", "it rose")
	unverified, touch := strangler.Refuse("verify", "too old"), strangler.Refuse("touch", "POST /x has no seam")
	unknown := fmt.Errorf("no answer: %w", strangler.ErrUnknown)
	for name, test := range map[string]struct {
		outcomes []error
		calls    int
		want     error // nil: it succeeds
	}{
		"aborted twice":     {[]error{aborted, lag}, 3, nil},
		"aborted each time": {[]error{aborted, aborted, aborted, lag, aborted}, 5, aborted},
		"verified anew":     {[]error{unverified}, 2, nil},
		"unknown":           {[]error{unknown}, 1, strangler.ErrUnknown},
		"stopped":           {[]error{fmt.Errorf("no target: %w", strangler.ErrStopped)}, 1, strangler.ErrStopped},
		"refused":           {[]error{touch}, 1, strangler.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			inBed(t, delivery(), func(w *world, _ *Config) { w.outcomes = test.outcomes }, func(b *bed) {
				b.run()
				b.approval(Cutover)
				b.approve(Cutover)
				run, err := b.e.Wait(b.Context(), "delivery")
				if !errors.Is(err, test.want) {
					b.Errorf("the run is %s, %v; want %v", doing(run), err, test.want)
				}
				calls, verified := 0, 0
				for _, effect := range b.w.effects {
					switch effect {
					case "owner service":
						calls++
					case "verify":
						verified++
					}
				}
				if calls != test.calls || (name == "verified anew") != (verified == 2) {
					b.Errorf("%d cutovers, %d verifications", calls, verified)
				}
				if test.want != nil { // it goes on from there, with the approval it has
					if s := record(run, Cutover); s.State != strangler.StepFailed || s.Approved != "ann" || run.Error != err.Error() {
						b.Errorf("the step is %+v, the run's error %q", s, run.Error)
					}
					b.w.set(func() { b.w.outcomes = nil })
					b.run()
					b.approval(Complete)
				}
			})
		})
	}
}

func TestStepFails(t *testing.T) {
	inBed(t, delivery(), func(w *world, _ *Config) { w.mismatch = 3 }, func(b *bed) {
		b.run()
		run := b.wait(strangler.RunFailed)
		if !strings.Contains(run.Error, "3 of 100 rows") || record(run, Shadow).State != strangler.StepPending {
			b.Errorf("the run is %+v", run)
		}
		b.w.set(func() { b.w.mismatch = 0 })
		b.run()
		if run := b.approval(Cutover); run.ID != 1 {
			b.Errorf("it went on as run %d", run.ID)
		}
	})
}

func TestSplitStops(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.toSoak()
		b.w.set(func() { b.w.phase, b.w.stopped = strangler.PhaseStopped, "the disk is full" })
		run, err := b.e.Wait(b.Context(), "delivery")
		if !errors.Is(err, strangler.ErrStopped) || !strings.Contains(run.Error, "the disk is full") {
			b.Errorf("the run is %s, %v", doing(run), err)
		}
		b.w.set(func() { b.w.phase = strangler.PhaseReversed })
		b.run()
		b.approval(Complete)
	})
}

// TestGuardTrips: what took the canary back is not overruled by the playbook, only by a person.
func TestGuardTrips(t *testing.T) {
	trip := func(b *bed) { b.w.set(func() { b.w.setToggle(strangler.ModeLegacy, 0) }) }
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "canary 50%") })
		trip(b)
		b.wait(strangler.RunFailed)
		b.run()
		b.approval(Cutover)

		time.Sleep(time.Minute) // the bubble's
		trip(b)
		b.approve(Cutover)
		run := b.wait(strangler.RunFailed)
		if !strings.Contains(run.Error, "canary") || b.w.toggle.Owner != strangler.Legacy {
			b.Errorf("the run is %+v, the toggle %s", run, b.w.toggle.Describe())
		}
		b.run()
		b.approval(Complete)
	})
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "canary 50%") })
		b.e.Close()
		trip(b)
		b.restart()
		run := b.wait(strangler.RunFailed)
		// A resumed worker goes by the ledger as well: it had shadow done.
		if b.w.toggle.Mode != strangler.ModeLegacy || !errors.Is(b.last(), strangler.ErrRefused) {
			b.Errorf("the run is %+v, the toggle %s", run, b.w.toggle.Describe())
		}
	})
}

func (b *bed) last() error {
	_, err := b.e.Wait(b.Context(), "delivery")
	return err
}

// TestProbeTrouble: a database that restarts does not end a soak, one that stays away does.
func TestProbeTrouble(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.toSoak()
		b.w.set(func() { b.w.probe = probeTries - 1 })
		b.approval(Complete)
	})
	inBed(t, delivery(), nil, func(b *bed) {
		b.toSoak()
		b.w.set(func() { b.w.probe = probeTries })
		b.wait(strangler.RunFailed)
		b.run()
		b.approval(Complete)
	})
}

// usurped is a ledger that another worker has taken over.
type usurped struct {
	*world
	after int
}

func (u *usurped) SaveStep(ctx context.Context, worker string, id int64, s strangler.StepRun) error {
	if u.after--; u.after < 0 {
		return fmt.Errorf("the lease went: %w", strangler.ErrSuperseded)
	}
	return u.world.SaveStep(ctx, worker, id, s)
}

func (u *usurped) SaveRun(ctx context.Context, worker string, run strangler.Run) error {
	if u.after < 0 {
		return u.world.object("a write to the ledger after it was taken over: %s", doing(run))
	}
	return u.world.SaveRun(ctx, worker, run)
}

func TestSuperseded(t *testing.T) {
	inBed(t, delivery(), func(w *world, cfg *Config) { cfg.Ledger = &usurped{w, 5} }, func(b *bed) {
		b.run()
		_, err := b.e.Wait(b.Context(), "delivery")
		if !errors.Is(err, strangler.ErrSuperseded) {
			b.Errorf("it ended with %v", err)
		}
		synctest.Wait()
		if run, err := b.e.Status(b.Context(), "delivery"); err != nil || !active(run) {
			b.Errorf("the other worker's run is %s, %v", doing(run), err)
		}
	})
}

// TestStartLeavesAlone: a run of a capability that is no longer configured is left alone.
func TestStartLeavesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(delivery())
		w.runs = []strangler.Run{{ID: 1, Capability: "billing", State: strangler.RunRunning, Steps: pending(Steps())}}
		e := w.engine(t)
		defer e.Close()
		if err := e.Start(t.Context()); !errors.Is(err, strangler.ErrRefused) {
			t.Errorf("a second start: %v", err)
		}
		synctest.Wait()
		if w.writes != 0 {
			t.Errorf("%d writes", w.writes)
		}
	})
}

// TestGivesUpWhatNobodyWorksOn: a step by hand was cut off from its ledger; another run begins in its place.
func TestGivesUpWhatNobodyWorksOn(t *testing.T) {
	orphan := strangler.Run{ID: 1, Capability: "delivery", State: strangler.RunRunning, Until: Cutover, Steps: pending(Steps()[5:6])}
	for name, begin := range map[string]func(*bed) error{
		"run":      func(b *bed) error { _, err := b.e.Run(b.Context(), "delivery", RunOptions{Until: Copy}); return err },
		"rollback": func(b *bed) error { _, err := b.e.Rollback(b.Context(), "delivery", RunOptions{}); return err },
		"only": func(b *bed) error {
			_, err := b.e.Only(b.Context(), "delivery", Expand, RunOptions{Who: "eve"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBed(t, delivery(), nil, func(b *bed) {
				b.w.set(func() { b.w.runs = []strangler.Run{copyRun(orphan)} })
				if run, err := b.e.Wait(b.Context(), "delivery"); !errors.Is(err, strangler.ErrStopped) {
					b.Errorf("nobody works on it, and waiting says %s, %v", doing(run), err)
				}
				if err := begin(b); err != nil {
					b.Fatal(err)
				}
				if _, err := b.e.Wait(b.Context(), "delivery"); err != nil {
					b.Fatal(err)
				}
				if len(b.w.runs) != 2 || b.w.runs[0].State != strangler.RunFailed || active(b.w.runs[1]) {
					b.Errorf("the runs are %+v", b.w.runs)
				}
			})
		})
	}
}

// TestNothingToTakeOver: each step refuses a world in which it makes no sense, and changes nothing.
func TestNothingToTakeOver(t *testing.T) {
	for _, c := range []strangler.Capability{delivery(), stateless()} {
		for _, step := range []string{Verify, Soak, Complete} {
			if c.Stateless() && step == Verify {
				continue
			}
			inBed(t, c, nil, func(b *bed) {
				if _, err := b.e.Only(b.Context(), "delivery", step, RunOptions{Who: "eve", Confirm: "delivery"}); err != nil {
					b.Fatal(err)
				}
				b.wait(strangler.RunFailed)
				if !errors.Is(b.last(), strangler.ErrRefused) || len(b.w.effects) > 0 {
					b.Errorf("%s: %v, effects %q", step, b.last(), b.w.effects)
				}
			})
		}
	}
}

// TestTwoDaemons: whoever finds in the ledger what it has not written leaves the run to the other, and
// writes nothing more, neither to the ledger nor to the world.
func TestTwoDaemons(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "canary 1%") })
		second := b.w.engine(b.T)
		defer second.Close()
		if _, err := second.Rollback(b.Context(), "delivery", RunOptions{To: Shadow, Who: "eve"}); err != nil {
			b.Fatal(err)
		}
		if run, err := second.Wait(b.Context(), "delivery"); err != nil || run.State != strangler.RunRolledBack {
			b.Fatalf("the second's rollback is %s, %v", doing(run), err)
		}
		if _, err := b.e.Wait(b.Context(), "delivery"); !errors.Is(err, strangler.ErrSuperseded) {
			b.Errorf("the first ends with %v", err)
		}
		time.Sleep(time.Minute) // the bubble's
		run, err := b.e.Status(b.Context(), "delivery")
		if err != nil || run.State != strangler.RunRolledBack || b.w.toggle.Mode != strangler.ModeLegacy {
			b.Errorf("in the end the run is %s, %v, the toggle %s", doing(run), err, b.w.toggle.Mode)
		}
	})
}

// TestCompleteIsFinished: the split says complete before all is swept, so a cut-off step calls it again.
func TestCompleteIsFinished(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.toSoak()
		b.approval(Complete)
		const approve, run, step, complete = 1, 1, 1, 1
		b.w.set(func() {
			b.w.effects = nil
			b.w.fault = fault{at: b.w.writes + approve + run + step + complete, after: true, kill: true}
		})
		b.approve(Complete)
		synctest.Wait()
		if !b.w.dead {
			b.Fatal("the process lives")
		}
		b.e.Close()
		b.w.set(func() { b.w.dead = false })
		b.e = b.w.engine(b.T)
		b.wait(strangler.RunDone)
		b.effects("complete", "complete")
	})
}
