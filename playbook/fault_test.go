package playbook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// liar is a world in which one kind of effect is reported done, some times, and was not.
type liar struct {
	*world
	what  string
	times int
}

func (l *liar) lies(what string) bool {
	if what != l.what || l.times == 0 {
		return false
	}
	l.times--
	return true
}

func (l *liar) Expand(ctx context.Context, c string) error {
	if l.lies("expand") {
		return nil
	}
	return l.world.Expand(ctx, c)
}

func (l *liar) Start(ctx context.Context, c string) error {
	if l.lies("start") {
		return nil
	}
	return l.world.Start(ctx, c)
}

func (l *liar) Flip(ctx context.Context, c string, change strangler.ToggleChange) (strangler.Flip, error) {
	if l.lies(string(change.Mode)) {
		return strangler.Flip{}, nil
	}
	return l.world.Flip(ctx, c, change)
}

func (l *liar) Cutover(ctx context.Context, c, who, why string) (strangler.Cutover, error) {
	if l.lies("cutover") {
		return strangler.Cutover{State: strangler.Committed}, nil
	}
	return l.world.Cutover(ctx, c, who, why)
}

func (l *liar) Complete(ctx context.Context, c, who string) error {
	if l.lies("complete") {
		return nil
	}
	return l.world.Complete(ctx, c, who)
}

// TestLyingSteps: what is reported done and does not show is done again. Where it never shows, the run fails, and nothing behind it
// is begun.
func TestLyingSteps(t *testing.T) {
	for _, what := range []string{"expand", "start", "shadow", "canary", "cutover", "complete"} {
		for _, times := range []int{1, 1 << 30} {
			var l *liar
			inBed(t, delivery(), func(w *world, cfg *Config) {
				l = &liar{world: w, what: what, times: times}
				cfg.Splits, cfg.Toggles, cfg.Owners = l, l, l
			}, func(b *bed) {
				b.run()
				for _, step := range []string{Cutover, Complete} {
					if run, _ := b.e.Wait(b.Context(), "delivery"); run.State != strangler.RunWaiting {
						break
					}
					b.approve(step)
				}
				run, err := b.e.Wait(b.Context(), "delivery")
				if what == "start" && times == 1 && run.State == strangler.RunFailed { // a copy that is not there looks as if somebody took it back
					b.run()
					for _, step := range []string{Cutover, Complete} {
						b.approval(step)
						b.approve(step)
					}
					run, err = b.e.Wait(b.Context(), "delivery")
				}
				if times == 1 {
					if err != nil || run.State != strangler.RunDone || b.w.phase != strangler.PhaseComplete {
						b.Errorf("%s lied once, and the run is %s, %v", what, doing(run), err)
					}
					return
				}
				if run.State != strangler.RunFailed {
					b.Errorf("%s lies always, and the run is %s, %v; effects %q", what, doing(run), err, b.w.effects)
				}
				if what == "cutover" && b.w.toggle.Owner != strangler.Legacy || what == "complete" && b.w.phase == strangler.PhaseComplete {
					b.Errorf("%s lies always, and the toggle is %s, the split %s", what, b.w.toggle.Describe(), b.w.phase)
				}
			})
		}
	}
}

// mute is a control store that does not answer for a while when a toggle is set.
type mute struct {
	*world
	errs []error
}

func (m *mute) Flip(ctx context.Context, c string, change strangler.ToggleChange) (strangler.Flip, error) {
	if len(m.errs) > 0 && change.Mode == strangler.ModeCanary {
		err := m.errs[0]
		m.errs = m.errs[1:]
		return strangler.Flip{}, err
	}
	return m.world.Flip(ctx, c, change)
}

// TestFlipWithoutAnAnswer is asked for again until there is one, however long that takes; one that is refused ends the run.
func TestFlipWithoutAnAnswer(t *testing.T) {
	away := slices.Repeat([]error{errors.New("connection refused"), fmt.Errorf("who has applied it is %w", strangler.ErrUnknown), fmt.Errorf("not known: %w", strangler.ErrStopped)}, 20)
	for _, errs := range [][]error{away, {strangler.Refuse("toggle", "it may not be")}} {
		inBed(t, stateless(), func(w *world, cfg *Config) { cfg.Toggles = &mute{w, errs} }, func(b *bed) {
			b.run()
			if len(errs) == 1 {
				b.wait(strangler.RunFailed)
				return
			}
			b.until(func(r strangler.Run) bool {
				return strings.Contains(r.Waiting, "the control store to take the toggle canary 1%: connection refused")
			})
			b.approval(Cutover)
		})
	}
}
