package playbook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// Run starts a run or resumes the latest one, and returns at once. It does nothing when the same run
// is under way already. It is refused while another kind of run is: a rollback, a step by hand, a run
// until another step. ErrNotFound: there is no such capability or step.
func (e *Engine) Run(ctx context.Context, capability string, o RunOptions) (strangler.Run, error) {
	c, leave, err := e.enter(capability, o.Until)
	if err != nil {
		return strangler.Run{}, err
	}
	defer leave()
	if w := e.live(capability); w != nil {
		run, _, _, _ := w.view()
		if run.State == strangler.RunUndoing || !whole(run) || run.Until != o.Until {
			return run, underWay(run)
		}
		return run, nil
	}
	if err := e.hold(ctx, capability); err != nil {
		return strangler.Run{}, err
	}
	defer e.letGo(ctx, capability)
	latest, err := e.cfg.Ledger.LatestRun(ctx, capability)
	switch {
	case errors.Is(err, strangler.ErrNotFound):
	case err != nil:
		return strangler.Run{}, fmt.Errorf("reading the latest run of %s: %w", capability, err)
	case goingBack(latest):
		return latest, strangler.Refuse("run", fmt.Sprintf("the rollback of %s (run %d) stopped half-way", capability, latest.ID),
			"strangler playbook rollback "+capability+" finishes it")
	case whole(latest) && (active(latest) || latest.State == strangler.RunPaused || latest.State == strangler.RunFailed && latest.BackTo == ""):
		return e.again(ctx, c, latest, func(run *strangler.Run) {
			run.State, run.Paused = strangler.RunRunning, ""
			if o.Until != "" {
				run.Until = o.Until
			}
			e.note(run, o, "run", o.Until)
		})
	case active(latest):
		if err := e.giveUp(ctx, latest); err != nil {
			return latest, err
		}
	}
	records, err := e.records(ctx, c)
	if err != nil {
		return strangler.Run{}, err
	}
	run := strangler.Run{State: strangler.RunRunning, Until: o.Until, Who: o.Who}
	e.note(&run, o, "run", o.Until)
	return e.begin(ctx, c, run, records)
}

// Rollback undoes from the end down to and including o.To, and returns when that is in the ledger and under way. Left empty, o.To is
// where a rollback that has failed or is under way goes to, or else what sends every user back: the cutover where the service owns, the
// shadow where it does not. A run that goes forward is interrupted first. It is refused after complete, the point of no return.
func (e *Engine) Rollback(ctx context.Context, capability string, o RunOptions) (strangler.Run, error) {
	named := o.To
	if named == All {
		named = ""
	}
	c, leave, err := e.enter(capability, named)
	if err != nil {
		return strangler.Run{}, err
	}
	defer leave()
	steps := listOf(c)
	latest, err := e.cfg.Ledger.LatestRun(ctx, capability)
	if err != nil && !errors.Is(err, strangler.ErrNotFound) {
		return strangler.Run{}, fmt.Errorf("reading the latest run of %s: %w", capability, err)
	}
	if o.To, err = e.backTo(ctx, c, latest, o.To); err != nil {
		return latest, err
	}
	back := func(run *strangler.Run) {
		if !goingBack(*run) || steps.before(o.To, run.BackTo) {
			run.BackTo = o.To
		}
		run.State, run.Until, run.Error, run.Waiting, run.Paused, run.Ended = strangler.RunUndoing, "", "", "", "", time.Time{}
		e.note(run, o, "rollback", o.To)
		if o.Who != "" {
			run.Who = o.Who
		}
	}
	if o.Dry {
		return e.wouldGoBack(ctx, c, latest, o.To, back)
	}
	if w := e.live(capability); w != nil {
		if run, _, _, _ := w.view(); whole(run) || run.Steps[0].Name == o.To {
			if run, taken, err := w.redirect(ctx, func(ctx context.Context) error { return w.turnBack(ctx, back) }); taken {
				return run, err
			}
			if latest, err = e.cfg.Ledger.LatestRun(ctx, capability); err != nil {
				return latest, fmt.Errorf("reading the latest run of %s: %w", capability, err)
			}
			if _, err := e.reversible(ctx, c, latest); err != nil {
				return latest, err
			}
		} else {
			return run, underWay(run)
		}
	}
	if err := e.hold(ctx, capability); err != nil {
		return latest, err
	}
	defer e.letGo(ctx, capability)
	if whole(latest) {
		return e.again(ctx, c, latest, back)
	}
	if active(latest) {
		if err := e.giveUp(ctx, latest); err != nil {
			return latest, err
		}
	}
	records, err := e.records(ctx, c)
	if err != nil {
		return latest, err
	}
	run := strangler.Run{State: strangler.RunUndoing, BackTo: o.To, Who: o.Who}
	e.note(&run, o, "rollback", o.To)
	return e.begin(ctx, c, run, records)
}

// Only runs one step by hand, as a run of one step in the same ledger; whoever asks for it thereby
// approves it, the point of no return by its name in o.Confirm. The step "rollback" is Rollback to the
// cutover. It is refused while a run is under way, and where the step's own check refuses, the run fails.
func (e *Engine) Only(ctx context.Context, capability, name string, o RunOptions) (strangler.Run, error) {
	if name == "rollback" {
		o.To = Cutover
		return e.Rollback(ctx, capability, o)
	}
	c, leave, err := e.enter(capability, name)
	if err != nil {
		return strangler.Run{}, err
	}
	defer leave()
	steps := listOf(c)
	place, ok := steps.find(name)
	if !ok {
		return strangler.Run{}, fmt.Errorf("no step is named; the steps are %s: %w", steps.names(), strangler.ErrNotFound)
	}
	if steps[place].Final && o.Confirm != capability {
		return strangler.Run{}, strangler.Refuse("confirmation", fmt.Sprintf("%s of %s is the point of no return, and is asked for by typing the capability's name", name, capability),
			fmt.Sprintf("strangler split %s %s --confirm %s", name, capability, capability))
	}
	if w := e.live(capability); w != nil {
		run, _, _, _ := w.view()
		if !whole(run) && run.State != strangler.RunUndoing && run.Steps[0].Name == name {
			return run, nil
		}
		return run, underWay(run)
	}
	if err := e.hold(ctx, capability); err != nil {
		return strangler.Run{}, err
	}
	defer e.letGo(ctx, capability)
	latest, err := e.cfg.Ledger.LatestRun(ctx, capability)
	switch {
	case errors.Is(err, strangler.ErrNotFound):
	case err != nil:
		return strangler.Run{}, fmt.Errorf("reading the latest run of %s: %w", capability, err)
	case latest.State == strangler.RunUndoing, latest.State == strangler.RunPaused, active(latest) && whole(latest):
		return latest, underWay(latest)
	case active(latest):
		if err := e.giveUp(ctx, latest); err != nil {
			return latest, err
		}
	}
	run := strangler.Run{State: strangler.RunRunning, Until: name, Who: o.Who}
	e.note(&run, o, "run", name)
	records := pending([]Description{steps[place].Description})
	records[0].Approved = o.who()
	return e.begin(ctx, c, run, records)
}

// Approve gives a person's consent to the step that waits for it, durably, and wakes the run. It is
// refused for a step that is not waiting: what is approved should be what is seen; for somebody who may not; and for the point of
// no return without its name typed. Approving twice is no error.
func (e *Engine) Approve(ctx context.Context, capability string, o RunOptions) error {
	name, who := o.Step, o.who()
	c, leave, err := e.enter(capability, name)
	if err != nil {
		return err
	}
	defer leave()
	run, err := e.cfg.Ledger.LatestRun(ctx, capability)
	if err != nil {
		return fmt.Errorf("reading the latest run of %s: %w", capability, err)
	}
	at := slices.IndexFunc(run.Steps, func(s strangler.StepRun) bool { return s.Name == name })
	if at < 0 {
		return fmt.Errorf("run %d of %s has no step %q; the steps are %s: %w", run.ID, capability, name, listOf(c).names(), strangler.ErrNotFound)
	}
	record := run.Steps[at]
	if record.Approved != "" {
		if w := e.live(capability); w != nil && !o.Dry {
			return w.approve(run.ID, at, record.Approved, func() error { return nil })
		}
		return nil
	}
	steps := listOf(c)
	place, _ := steps.find(name)
	if !active(run) || run.State == strangler.RunUndoing || record.State != strangler.StepWaiting || !steps[place].asks(c) {
		return strangler.Refuse("approval", fmt.Sprintf("step %s of run %d (%s) is %s and waits for no approval", name, run.ID, run.State, record.State),
			"strangler playbook status "+capability+" says what it waits for")
	}
	if err := steps[place].mayApprove(capability, o); err != nil || o.Dry {
		return err
	}
	give := func() error { return e.cfg.Approvals.Approve(ctx, run.ID, name, who) }
	if w := e.live(capability); w != nil {
		err = w.approve(run.ID, at, who, give)
	} else {
		err = give()
	}
	if err != nil {
		return fmt.Errorf("recording the approval of step %s of run %d: %w", name, run.ID, err)
	}
	return nil
}
