package playbook

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// driver is a person with patience: whatever is reported failed is asked for again, and a process that
// died is started again.
type driver struct {
	t *testing.T
	w *world
	e *Engine
}

// revive stands for the supervisor that starts a killed daemon. It asks for nothing: Start resumes.
func (d *driver) revive() {
	d.t.Helper()
	if !d.dead() {
		return
	}
	if err := d.e.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.w.set(func() { d.w.dead = false })
	d.e = d.w.engine(d.t)
}

// wait is the Engine's, given up where the process is dead.
func (d *driver) wait() (strangler.Run, error) {
	ctx, cancel := d.patience()
	defer cancel()
	return d.e.Wait(ctx, "delivery")
}

// patience is how long somebody waits for an answer.
func (d *driver) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(d.t.Context(), 5*time.Minute) // the bubble's
}

func (d *driver) dead() (dead bool) {
	d.w.set(func() { dead = d.w.dead })
	return dead
}

// settle asks until the latest run is as wanted.
func (d *driver) settle(ask func() error, settled func(strangler.Run) bool) {
	d.t.Helper()
	var trace []string
	for range 12 {
		run, err := d.wait()
		if err == nil && settled(run) {
			return
		}
		trace = append(trace, fmt.Sprintf("%s: %v", doing(run), err))
		if d.dead() {
			d.revive()
			continue
		}
		for _, s := range run.Steps {
			if err == nil && run.State == strangler.RunWaiting && s.State == strangler.StepWaiting {
				err := d.e.Approve(d.t.Context(), "delivery", RunOptions{Step: s.Name, Who: "ann", Confirm: "delivery"})
				if err != nil && !errors.Is(err, errInjected) && !errors.Is(err, errKilled) {
					d.t.Fatalf("approving %s: %v", s.Name, err)
				}
			}
		}
		d.revive()
		if err != nil {
			if latest, lerr := d.e.Status(d.t.Context(), "delivery"); lerr == nil && active(latest) && d.e.live("delivery") != nil {
				continue // Start has resumed it
			}
			if err := ask(); err != nil && !errors.Is(err, errInjected) && !errors.Is(err, errKilled) {
				d.t.Fatalf("asking again: %v", err)
			}
			d.revive()
		}
	}
	d.t.Fatalf("it never settles: %q\neffects %q", trace, d.w.effects)
}

func (d *driver) forward(settled func(strangler.Run) bool) {
	d.t.Helper()
	ask := func() error {
		ctx, cancel := d.patience()
		defer cancel()
		_, err := d.e.Run(ctx, "delivery", RunOptions{Who: "bob"})
		return err
	}
	for range 2 {
		err := ask()
		d.revive()
		if err == nil || d.e.live("delivery") != nil {
			break
		}
	}
	d.settle(ask, settled)
}

func (d *driver) back(to string) {
	d.t.Helper()
	ask := func() error {
		ctx, cancel := d.patience()
		defer cancel()
		_, err := d.e.Rollback(ctx, "delivery", RunOptions{To: to, Who: "bob"})
		return err
	}
	for range 3 {
		err := ask()
		d.revive()
		if err == nil {
			break
		}
	}
	d.settle(ask, func(r strangler.Run) bool { return r.State == strangler.RunRolledBack })
}

// atComplete is the place from which everything can still be taken back.
func atComplete(r strangler.Run) bool {
	return r.State == strangler.RunWaiting && r.Steps[len(r.Steps)-1].State == strangler.StepWaiting
}

func isRunDone(r strangler.Run) bool { return r.State == strangler.RunDone }

// scenario goes forward to the end of the soak, back, and forward to the end.
func scenario(t *testing.T, c strangler.Capability, f fault, to string) *world {
	w := newWorld(c)
	w.fault = f
	d := &driver{t: t, w: w, e: w.engine(t)}
	defer func() { d.e.Close() }()
	d.forward(atComplete)
	if w.toggle.Mode != strangler.ModeExtracted {
		t.Errorf("forward: the toggle is %s", w.toggle.Mode)
	}
	d.back(to)
	if w.toggle.Mode != strangler.ModeLegacy || !c.Stateless() && w.toggle.Owner != strangler.Legacy {
		t.Errorf("back: the toggle is %s", w.toggle.Describe())
	}
	if order.before(to, Verify) && w.phase != strangler.PhaseCancelled && !c.Stateless() {
		t.Errorf("back to %s: the split is %q", to, w.phase)
	}
	d.forward(isRunDone)
	if w.toggle.Mode != strangler.ModeExtracted || !c.Stateless() && w.phase != strangler.PhaseComplete {
		t.Errorf("forward again: the toggle is %s, the split %q", w.toggle.Describe(), w.phase)
	}
	run := w.runs[len(w.runs)-1]
	for _, s := range run.Steps {
		if s.State != strangler.StepDone || s.Started.IsZero() || s.Ended.Before(s.Started) {
			t.Errorf("at the end, step %s is %s, %v to %v", s.Name, s.State, s.Started, s.Ended)
		}
	}
	if _, err := d.e.Rollback(t.Context(), "delivery", RunOptions{}); !errors.Is(err, strangler.ErrRefused) {
		t.Errorf("rollback after complete: %v", err)
	}
	return w
}

// TestFaults breaks every write, to the ledger and to the world, in each of four ways: not done or done,
// reported failed or followed by the death of the process.
func TestFaults(t *testing.T) {
	for name, c := range map[string]strangler.Capability{"tables": delivery(), "stateless": stateless()} {
		for _, to := range []string{Cutover, Expand} {
			t.Run(name+" back to "+to, func(t *testing.T) {
				writes := 0
				synctest.Test(t, func(t *testing.T) {
					w := scenario(t, c, fault{}, to)
					complain(t, w)
					writes = w.writes
				})
				if writes < 40 {
					t.Fatalf("the scenario has only %d writes", writes)
				}
				for at := 1; at <= writes; at++ {
					for _, f := range []fault{{at: at}, {at: at, after: true}, {at: at, kill: true}, {at: at, after: true, kill: true}} {
						synctest.Test(t, func(t *testing.T) {
							w := scenario(t, c, f, to)
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
			})
		}
	}
}

func complain(t *testing.T, w *world) {
	t.Helper()
	for _, v := range w.violations {
		t.Error(v)
	}
}
