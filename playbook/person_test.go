package playbook

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	strangler "github.com/strangler-fig/strangler"
)

// may fails the test unless what was asked was done.
func (b *bed) may(run strangler.Run, err error) strangler.Run {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	return run
}

// refused fails the test unless what was asked was refused, with words that say so.
func (b *bed) refused(words string) func(strangler.Run, error) {
	return func(_ strangler.Run, err error) {
		b.Helper()
		if !errors.Is(err, strangler.ErrRefused) || !strings.Contains(err.Error(), words) {
			b.Errorf("%v; want a refusal with %q", err, words)
		}
	}
}

func whoWhy() RunOptions { return RunOptions{Who: "eve", Why: "lunch"} }

func skipping(step string) RunOptions { return RunOptions{Who: "eve", Why: "no users yet", Step: step} }

// acts are what people asked of a run.
func acts(run strangler.Run) (all []string) {
	for _, a := range run.Acts {
		all = append(all, strings.TrimSpace(a.What+" "+a.Step))
	}
	return all
}

// atGate goes forward until the step waits.
func (b *bed) atGate(step string) strangler.Run {
	b.Helper()
	return b.until(func(r strangler.Run) bool {
		return r.State == strangler.RunWaiting && record(r, step).State == strangler.StepWaiting
	})
}

func TestPause(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.atGate(Shadow)
		run := b.may(b.e.Pause(b.Context(), "delivery", whoWhy()))
		if run.State != strangler.RunPaused || run.Paused != "eve" {
			b.Fatalf("the run is %s, paused by %q", run.State, run.Paused)
		}
		effects := slices.Clone(b.w.effects)
		b.restart() // a paused run stays so, whoever starts
		time.Sleep(24 * time.Hour)
		b.effects(effects...)
		b.refused("is paused")(b.e.Only(b.Context(), "delivery", Cutover, RunOptions{Who: "eve"}))
		b.refused("not under way")(b.e.Pause(b.Context(), "delivery", whoWhy()))
		b.may(b.e.Continue(b.Context(), "delivery", whoWhy()))
		run = b.approval(Cutover)
		b.refused("is not paused")(b.e.Continue(b.Context(), "delivery", whoWhy()))
		if diff := cmp.Diff([]string{"run", "pause", "continue"}, acts(run)); diff != "" || run.Acts[1].Why != "lunch" || run.Acts[1].Who != "eve" {
			b.Errorf("the acts %+v\n%s", run.Acts, diff)
		}
	})
}

// TestPauseLetsAnEffectEnd: nothing is cut off, and the run is paused when it has ended; or goes on when somebody says so before.
func TestPauseLetsAnEffectEnd(t *testing.T) {
	for _, goOn := range []bool{false, true} {
		inBed(t, delivery(), func(w *world, _ *Config) { w.held, w.entered = make(chan struct{}), make(chan struct{}) }, func(b *bed) {
			b.run()
			b.approval(Cutover)
			b.approve(Cutover)
			<-b.w.entered
			run := b.may(b.e.Pause(b.Context(), "delivery", whoWhy()))
			if run.State != strangler.RunRunning || run.Paused != "eve" {
				b.Fatalf("while the cutover is under way the run is %s, paused by %q", run.State, run.Paused)
			}
			if goOn {
				b.may(b.e.Continue(b.Context(), "delivery", whoWhy()))
			}
			close(b.w.held)
			if goOn {
				b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "soak") })
				return
			}
			run = b.wait(strangler.RunPaused)
			if b.w.toggle.Owner != strangler.Service || record(run, Cutover).State != strangler.StepDone {
				b.Errorf("the owner is %s, the cutover %+v", b.w.toggle.Owner, record(run, Cutover))
			}
			b.may(b.e.Run(b.Context(), "delivery", RunOptions{Who: "bob"})) // which goes on with it
			b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "soak") })
			if n := slices.Index(b.w.effects, "owner service"); n != len(b.w.effects)-1 {
				b.Errorf("the effects are %q", b.w.effects)
			}
		})
	}
}

func TestPauseOnTheWayBack(t *testing.T) {
	inBed(t, delivery(), func(w *world, _ *Config) { w.pending = 1 << 30 }, func(b *bed) {
		b.run()
		b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "instances") })
		b.rollback(Copy)
		b.until(func(r strangler.Run) bool { return r.State == strangler.RunUndoing && r.Waiting != "" })
		run := b.may(b.e.Pause(b.Context(), "delivery", whoWhy()))
		if run.State != strangler.RunPaused || run.BackTo != Copy {
			b.Fatalf("the run is %s", doing(run))
		}
		b.refused("stopped half-way")(b.e.Run(b.Context(), "delivery", RunOptions{}))
		b.w.set(func() { b.w.pending = 0 })
		b.may(b.e.Continue(b.Context(), "delivery", whoWhy()))
		b.wait(strangler.RunRolledBack)
	})
}

// TestAbortAtEachStep: what a run has done stays; a rollback leaves the world as it was before, and a run that comes after finishes.
func TestAbortAtEachStep(t *testing.T) {
	for _, step := range []string{Copy, Shadow, Canary, Cutover, Soak, Complete} {
		for _, back := range []bool{true, false} {
			inBed(t, delivery(), nil, func(b *bed) {
				b.run()
				for _, before := range []string{Cutover} {
					if order.before(before, step) {
						b.approval(before)
						b.approve(before)
					}
				}
				b.atGate(step)
				effects := slices.Clone(b.w.effects)
				run := b.may(b.e.Abort(b.Context(), "delivery", whoWhy()))
				if run.State != strangler.RunAborted || run.Ended.IsZero() || record(run, step).State != strangler.StepPending {
					b.Errorf("at %s the run is %+v", step, run)
				}
				b.refused("has ended")(b.e.Abort(b.Context(), "delivery", whoWhy()))
				b.restart()
				time.Sleep(24 * time.Hour)
				b.effects(effects...)
				if back {
					b.rollback(Expand)
					b.wait(strangler.RunRolledBack)
					if b.w.toggle.Mode != strangler.ModeLegacy || b.w.toggle.Owner != strangler.Legacy || b.w.phase != strangler.PhaseCancelled && b.w.phase != "" {
						b.Errorf("aborted at %s and rolled back, the toggle is %s, the split %q", step, b.w.toggle.Describe(), b.w.phase)
					}
				}
				b.run()
				if back || !order.before(Cutover, step) {
					b.approval(Cutover)
					b.approve(Cutover)
				}
				b.approval(Complete)
				b.approve(Complete)
				b.wait(strangler.RunDone)
			})
		}
	}
}

// TestAbortCutsOff an effect that is under way, and the ledger says so when Abort returns.
func TestAbortCutsOff(t *testing.T) {
	inBed(t, delivery(), func(w *world, _ *Config) { w.held, w.entered = make(chan struct{}), make(chan struct{}) }, func(b *bed) {
		b.run()
		b.approval(Cutover)
		b.approve(Cutover)
		<-b.w.entered
		if run := b.may(b.e.Abort(b.Context(), "delivery", whoWhy())); run.State != strangler.RunAborted {
			b.Errorf("the run is %s", doing(run))
		}
		b.wait(strangler.RunAborted)
		if b.w.toggle.Owner != strangler.Legacy {
			b.Error("the service owns")
		}
	})
}

func TestSkip(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.atGate(Shadow)
		for _, step := range []string{Expand, Copy, Cutover, Complete} {
			b.refused("nothing can go on without")(b.e.Skip(b.Context(), "delivery", skipping(step)))
		}
		b.refused("reason")(b.e.Skip(b.Context(), "delivery", RunOptions{Step: Shadow}))
		b.may(b.e.Skip(b.Context(), "delivery", skipping(Canary))) // before it is reached
		b.atGate(Shadow)
		b.may(b.e.Skip(b.Context(), "delivery", skipping(Shadow))) // while it waits
		run := b.approval(Cutover)
		for _, step := range []string{Shadow, Canary} {
			if s := record(run, step); s.State != strangler.StepSkipped || s.Detail != "skipped by eve: no users yet" {
				b.Errorf("%s is %+v", step, s)
			}
		}
		b.effects("expand", "start", "verify", "shadow")
		b.restart()
		b.approve(Cutover)
		b.may(b.e.Pause(b.Context(), "delivery", whoWhy()))
		b.may(b.e.Skip(b.Context(), "delivery", skipping(Soak)))
		if run := b.wait(strangler.RunPaused); record(run, Soak).State != strangler.StepSkipped {
			b.Errorf("paused, the soak is %+v", record(run, Soak))
		}
		b.may(b.e.Continue(b.Context(), "delivery", whoWhy()))
		b.approval(Complete)
		b.rollback(Shadow) // what was skipped is taken back with the rest
		b.wait(strangler.RunRolledBack)
		if b.w.toggle.Mode != strangler.ModeLegacy {
			b.Errorf("the toggle is %s", b.w.toggle.Mode)
		}
	})
}

// TestSkipWhatFailed lets the run go on.
func TestSkipWhatFailed(t *testing.T) {
	inBed(t, delivery(), func(w *world, _ *Config) { w.mismatch = 1 }, func(b *bed) {
		b.run()
		b.wait(strangler.RunFailed)
		b.w.set(func() { b.w.mismatch = 0 })
		b.may(b.e.Skip(b.Context(), "delivery", skipping(Verify)))
		b.approval(Cutover)
		b.approve(Cutover)
		b.approval(Complete)
		if !slices.Contains(b.w.effects[2:], "verify") {
			b.Errorf("nothing was verified before the cutover: %q", b.w.effects)
		}
	})
}

// TestRetry: a step is done anew, and what was found before does not count.
func TestRetry(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.approval(Cutover)
		b.may(b.e.Retry(b.Context(), "delivery", RunOptions{Who: "eve", Step: Verify}))
		run := b.approval(Cutover)
		if record(run, Verify).State != strangler.StepDone {
			b.Errorf("verify is %+v", record(run, Verify))
		}
		b.effects("expand", "start", "verify", "shadow", "canary 1%", "canary 50%", "canary 100%", "verify")
		if _, err := b.e.Retry(b.Context(), "delivery", RunOptions{Step: "nonsense"}); !errors.Is(err, strangler.ErrNotFound) {
			b.Errorf("retrying nonsense: %v", err)
		}
	})
	inBed(t, delivery(), func(w *world, _ *Config) {
		w.outcomes = []error{errors.New("no"), errors.New("no"), errors.New("no"), errors.New("no"), errors.New("no")}
	}, func(b *bed) {
		b.run()
		b.approval(Cutover)
		b.approve(Cutover)
		b.wait(strangler.RunFailed)
		b.may(b.e.Retry(b.Context(), "delivery", RunOptions{Who: "eve", Step: Cutover}))
		b.approval(Complete)
	})
}

// TestNotWhileAnotherStepIsAtWork: what works is not interrupted by the way.
func TestNotWhileAnotherStepIsAtWork(t *testing.T) {
	inBed(t, delivery(), func(w *world, _ *Config) { w.held, w.entered = make(chan struct{}), make(chan struct{}) }, func(b *bed) {
		b.run()
		b.approval(Cutover)
		b.approve(Cutover)
		<-b.w.entered
		b.refused("at work on step cutover")(b.e.Skip(b.Context(), "delivery", skipping(Soak)))
		close(b.w.held)
		b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "soak") })
	})
}

func changed() strangler.Capability {
	c := delivery()
	c.Playbook.Canary = []strangler.Percent{20_000, strangler.Hundred}
	return c
}

// with starts the daemon anew with other settings.
func (b *bed) with(c strangler.Capability) {
	b.Helper()
	b.e.Close()
	b.w.set(func() { b.w.capability = c })
	b.e = b.w.engine(b.T)
}

// TestChangedSettings wait for a person, who sees what has changed; nothing is begun meanwhile.
func TestChangedSettings(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.atGate(Shadow)
		if _, diff, err := b.e.Accept(b.Context(), "delivery", whoWhy()); diff != nil || err != nil {
			b.Errorf("nothing has changed, and accepting says %q, %v", diff, err)
		}
		b.with(changed())
		run := b.wait(strangler.RunWaiting)
		for _, want := range []string{"playbook accept delivery", "- canary 1%, 50%, 100%", "+ canary 2%, 100%"} {
			if !strings.Contains(run.Waiting, want) {
				b.Errorf("it is %q, without %q", run.Waiting, want)
			}
		}
		effects := slices.Clone(b.w.effects)
		time.Sleep(24 * time.Hour)
		b.effects(effects...)
		b.with(delivery()) // put back as they were
		b.atGate(Canary)
		b.with(changed())
		b.wait(strangler.RunWaiting)
		_, diff, err := b.e.Accept(b.Context(), "delivery", whoWhy())
		if want := []string{"- canary 1%, 50%, 100%, hold 0s, requests 0", "+ canary 2%, 100%, hold 0s, requests 0"}; err != nil || cmp.Diff(want, diff) != "" {
			b.Errorf("accepted %q, %v", diff, err)
		}
		run = b.approval(Cutover)
		if len(b.w.runs) != 1 || run.Acts[len(run.Acts)-1].What != "accept" {
			b.Errorf("%d runs, acts %v", len(b.w.runs), acts(run))
		}
		b.effects("expand", "start", "verify", "shadow", "canary 1%", "canary 2%", "canary 100%")
	})
}

// TestChangedSteps: where a step has come or gone, another run goes on with what the first has done, and does nothing twice.
func TestChangedSteps(t *testing.T) {
	night := func(name, after string) strangler.OwnStep {
		return strangler.OwnStep{Name: name, After: after, Wait: &strangler.WaitStep{For: time.Hour}}
	}
	before, after := delivery(), delivery()
	before.Playbook.Own = []strangler.OwnStep{night("night", Verify)}
	after.Playbook.Own = []strangler.OwnStep{night("night", Verify), night("dawn", Shadow)}
	inBed(t, before, nil, func(b *bed) {
		b.run()
		b.atGate("night")
		b.may(b.e.Skip(b.Context(), "delivery", skipping("night")))
		b.atGate(Shadow)
		b.with(after)
		run := b.wait(strangler.RunWaiting)
		if !strings.Contains(run.Waiting, "+ step dawn, after shadow") {
			b.Errorf("it is %q", run.Waiting)
		}
		run, diff, err := b.e.Accept(b.Context(), "delivery", whoWhy())
		if err != nil || len(diff) != 1 || run.ID != 2 || record(run, "night").State != strangler.StepSkipped || record(run, "dawn").State != strangler.StepPending {
			b.Fatalf("accepted %q, %v; the run %+v", diff, err, run)
		}
		if old := b.w.runs[0]; old.State != strangler.RunAborted || !strings.Contains(old.Error, "another run goes on") {
			b.Errorf("the first run is %s, %q", old.State, old.Error)
		}
		b.atGate("dawn")
		told, err := b.e.Foretell(b.Context(), "delivery", "")
		if err != nil || told[0].Step != "dawn" {
			b.Errorf("what it would do begins with %+v, %v", told, err)
		}
		b.approval(Cutover)
		b.effects("expand", "start", "verify", "shadow", "canary 1%", "canary 50%", "canary 100%")
		b.with(before) // the step is gone again
		b.wait(strangler.RunWaiting)
		if _, _, err := b.e.Accept(b.Context(), "delivery", whoWhy()); err != nil {
			b.Fatal(err)
		}
		b.approval(Cutover)
	})
	inBed(t, after, nil, func(b *bed) {
		b.may(b.e.Run(b.Context(), "delivery", RunOptions{Until: "dawn"}))
		b.atGate("night")
		b.with(before)
		b.wait(strangler.RunWaiting)
		_, _, err := b.e.Accept(b.Context(), "delivery", whoWhy())
		b.refused("until step dawn, which is no more")(strangler.Run{}, err)
	})
}

// TestChangedSettingsHoldUpNoRollback.
func TestChangedSettingsHoldUpNoRollback(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.toSoak()
		b.with(changed())
		b.wait(strangler.RunWaiting)
		b.rollback("")
		b.wait(strangler.RunRolledBack)
	})
}

// TestThePointOfNoReturnIsNamed by whoever approves it.
func TestThePointOfNoReturnIsNamed(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.toSoak()
		b.approval(Complete)
		for _, typed := range []string{"", "yes", Complete, "Delivery"} {
			b.refused("point of no return")(strangler.Run{}, b.e.Approve(b.Context(), "delivery", RunOptions{Step: Complete, Who: "ann", Confirm: typed}))
		}
		b.approval(Complete)
		b.approve(Complete)
		b.wait(strangler.RunDone)
	})
}

// TestUntilSurvives what stops a run: it goes as far as it was to go.
func TestUntilSurvives(t *testing.T) {
	inBed(t, delivery(), func(w *world, _ *Config) { w.mismatch = 1 }, func(b *bed) {
		b.may(b.e.Run(b.Context(), "delivery", RunOptions{Until: Shadow}))
		b.wait(strangler.RunFailed)
		b.w.set(func() { b.w.mismatch = 0 })
		b.run()
		if run := b.wait(strangler.RunDone); record(run, Canary).State != strangler.StepPending {
			b.Errorf("it went further: %+v", run.Steps)
		}
	})
}

// TestEvents: people are told of each step's end, each wait once, failures and ends.
func TestEvents(t *testing.T) {
	inBed(t, delivery(), func(w *world, _ *Config) { w.mismatch = 1 }, func(b *bed) {
		b.run()
		b.wait(strangler.RunFailed)
		b.w.set(func() { b.w.mismatch = 0 })
		b.run()
		b.approval(Cutover)
		b.may(b.e.Pause(b.Context(), "delivery", whoWhy()))
		var told []string
		for _, e := range b.w.events {
			if e.Capability != "delivery" || e.Run != 1 || e.At.IsZero() || !strings.HasPrefix(e.Text, "delivery, run 1: ") {
				b.Errorf("an event without what it is about: %+v", e)
			}
			told = append(told, strings.TrimSpace(string(e.Kind)+" "+e.Step))
		}
		want := []string{"step expand", "wait", "step copy", "failure", "step verify", "wait", "step shadow", "wait", "wait", "wait", "step canary", "wait", "end"}
		if diff := cmp.Diff(want, told); diff != "" {
			b.Error(diff)
		}
	})
}

// TestEdges walks every way from one state of a run to another, and no other: the world objects to that.
func TestEdges(t *testing.T) {
	var walked [][2]strangler.RunState
	walk := func(change func(*world, *Config), test func(b *bed)) {
		inBed(t, delivery(), change, func(b *bed) {
			test(b)
			b.w.set(func() { walked = append(walked, b.w.walked...) })
		})
	}
	fails := func(w *world, _ *Config) { w.mismatch = 1 }
	holds := func(w *world, _ *Config) { w.held, w.entered = make(chan struct{}), make(chan struct{}) }
	pends := func(w *world, _ *Config) { w.pending = 1 << 30 }
	inCutover := func(b *bed) {
		b.run()
		b.approval(Cutover)
		b.approve(Cutover)
		<-b.w.entered
	}
	walk(nil, func(b *bed) { // to the end
		b.toSoak()
		b.approval(Complete)
		b.approve(Complete)
		b.wait(strangler.RunDone)
	})
	walk(nil, func(b *bed) { // waiting, then done; back; back again from there
		b.may(b.e.Run(b.Context(), "delivery", RunOptions{Until: Copy}))
		b.wait(strangler.RunDone)
		b.rollback(Copy)
		b.wait(strangler.RunRolledBack)
		b.rollback(Expand)
		b.wait(strangler.RunRolledBack)
	})
	walk(nil, func(b *bed) { // a rollback without a run
		b.w.set(func() {
			b.w.phase, b.w.toggle.Owner, b.w.toggle.Mode = strangler.PhaseReversed, strangler.Service, strangler.ModeExtracted
		})
		b.rollback("")
		b.wait(strangler.RunRolledBack)
	})
	walk(fails, func(b *bed) { // failed: aborted, back
		b.run()
		b.wait(strangler.RunFailed)
		b.run()
		b.wait(strangler.RunFailed)
		b.may(b.e.Abort(b.Context(), "delivery", whoWhy()))
		b.rollback(Copy)
		b.wait(strangler.RunRolledBack)
	})
	walk(fails, func(b *bed) {
		b.run()
		b.wait(strangler.RunFailed)
		b.rollback(Copy)
		b.wait(strangler.RunRolledBack)
	})
	walk(nil, func(b *bed) { // paused while it waits; on, aborted
		b.run()
		b.atGate(Shadow)
		b.may(b.e.Pause(b.Context(), "delivery", whoWhy()))
		b.may(b.e.Continue(b.Context(), "delivery", whoWhy()))
		b.atGate(Canary)
		b.w.set(func() { b.w.stopped, b.w.phase = "broken", strangler.PhaseStopped })
		b.may(b.e.Pause(b.Context(), "delivery", whoWhy()))
		b.may(b.e.Abort(b.Context(), "delivery", whoWhy()))
	})
	walk(nil, func(b *bed) { // a gate that turns into a refusal
		b.run()
		b.atGate(Copy)
		b.w.set(func() { b.w.stopped, b.w.phase = "broken", strangler.PhaseStopped })
		b.wait(strangler.RunFailed)
	})
	walk(nil, func(b *bed) {
		b.run()
		b.atGate(Shadow)
		b.may(b.e.Abort(b.Context(), "delivery", whoWhy()))
	})
	walk(nil, func(b *bed) { b.toSoak(); b.rollback(""); b.wait(strangler.RunRolledBack) })
	walk(holds, func(b *bed) { // paused, turned back and aborted at work
		inCutover(b)
		b.may(b.e.Pause(b.Context(), "delivery", whoWhy()))
		close(b.w.held)
		b.wait(strangler.RunPaused)
	})
	walk(holds, func(b *bed) { inCutover(b); b.rollback(""); b.wait(strangler.RunRolledBack) })
	walk(holds, func(b *bed) { inCutover(b); b.may(b.e.Abort(b.Context(), "delivery", whoWhy())) })
	walk(pends, func(b *bed) { // on the way back: paused and on, aborted
		b.run()
		b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "instances") })
		b.rollback(Copy)
		b.until(func(r strangler.Run) bool { return r.State == strangler.RunUndoing && r.Waiting != "" })
		b.may(b.e.Pause(b.Context(), "delivery", whoWhy()))
		b.may(b.e.Continue(b.Context(), "delivery", whoWhy()))
		b.until(func(r strangler.Run) bool { return r.State == strangler.RunUndoing && r.Waiting != "" })
		b.may(b.e.Abort(b.Context(), "delivery", whoWhy()))
	})
	walk(nil, func(b *bed) { // a rollback that fails
		b.toSoak()
		b.w.set(func() { b.w.outcomes = slices.Repeat([]error{errors.New("no")}, 5) })
		b.rollback("")
		b.wait(strangler.RunFailed)
		b.rollback("")
		b.wait(strangler.RunRolledBack)
	})
	for _, e := range edges {
		if !slices.Contains(walked, [2]strangler.RunState{e.from, e.to}) {
			t.Errorf("nothing went from %q to %q", e.from, e.to)
		}
	}
}

// TestActsWithFaults breaks every write of a run that people pause, skip a step of, try again, abort and begin anew, in each of four
// ways. Asked again, it comes to the same end.
func TestActsWithFaults(t *testing.T) {
	scenario := func(t *testing.T, f fault) *world {
		w := newWorld(delivery())
		w.fault = f
		d := &driver{t: t, w: w, e: w.engine(t)}
		defer func() { d.e.Close() }()
		d.forward(func(r strangler.Run) bool { return strings.Contains(r.Waiting, Cutover) })
		d.ask(func(ctx context.Context) error { _, err := d.e.Pause(ctx, "delivery", whoWhy()); return err },
			func(r strangler.Run) bool { return r.State == strangler.RunPaused })
		d.ask(func(ctx context.Context) error { _, err := d.e.Skip(ctx, "delivery", skipping(Soak)); return err },
			func(r strangler.Run) bool { return record(r, Soak).State == strangler.StepSkipped })
		d.ask(func(ctx context.Context) error {
			_, err := d.e.Retry(ctx, "delivery", RunOptions{Step: Verify})
			return err
		},
			func(r strangler.Run) bool { return slices.Contains(acts(r), "retry "+Verify) })
		d.ask(func(ctx context.Context) error { _, err := d.e.Continue(ctx, "delivery", whoWhy()); return err },
			func(r strangler.Run) bool { return r.State != strangler.RunPaused })
		d.forward(atComplete)
		d.ask(func(ctx context.Context) error { _, err := d.e.Abort(ctx, "delivery", whoWhy()); return err },
			func(r strangler.Run) bool { return r.State == strangler.RunAborted })
		d.forward(isRunDone)
		if w.phase != strangler.PhaseComplete || w.toggle.Owner != strangler.Service {
			t.Errorf("at the end the toggle is %s, the split %q", w.toggle.Describe(), w.phase)
		}
		return w
	}
	writes := 0
	synctest.Test(t, func(t *testing.T) {
		w := scenario(t, fault{})
		complain(t, w)
		writes = w.writes
	})
	if writes < 50 {
		t.Fatalf("the scenario has only %d writes", writes)
	}
	for at := 1; at <= writes; at++ {
		for _, f := range []fault{{at: at}, {at: at, after: true}, {at: at, kill: true}, {at: at, after: true, kill: true}} {
			synctest.Test(t, func(t *testing.T) {
				w := scenario(t, f)
				complain(t, w)
				if t.Failed() {
					t.Logf("with %+v: effects %q", f, w.effects)
				}
			})
			if t.Failed() {
				t.FailNow()
			}
		}
	}
}

// ask asks for something until the latest run shows it.
func (d *driver) ask(do func(context.Context) error, shows func(strangler.Run) bool) {
	d.t.Helper()
	var err error
	for range 8 {
		ctx, cancel := d.patience()
		err = do(ctx)
		cancel()
		d.revive()
		synctest.Wait()
		run, lerr := d.e.Status(d.t.Context(), "delivery")
		if lerr == nil && shows(run) {
			return
		}
		if run.State == strangler.RunFailed {
			d.forward(func(r strangler.Run) bool { return r.State == strangler.RunWaiting })
		}
	}
	run, _ := d.e.Status(d.t.Context(), "delivery")
	d.t.Fatalf("asked again and again, it does not come to that: %v; the run is %s", err, doing(run))
}
