package playbook

import (
	"context"
	"fmt"
	"slices"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// maxActs is how many acts a run keeps: the newest.
const maxActs = 200

// Pause has nothing more of a run begun, forward or back, until Continue. An effect that is under way ends first; the run that is
// returned is paused, or has Paused set while that lasts. Refused where no run is under way.
func (e *Engine) Pause(ctx context.Context, capability string, o RunOptions) (strangler.Run, error) {
	_, leave, err := e.enter(capability, "")
	if err != nil {
		return strangler.Run{}, err
	}
	defer leave()
	pause := func(run *strangler.Run) error {
		if !active(*run) {
			return notSo(*run, "is not under way", "strangler playbook status "+capability)
		}
		run.State, run.Paused, run.Waiting = strangler.RunPaused, o.who(), ""
		e.note(run, o, "pause", "")
		return nil
	}
	if o.Dry {
		return e.would(ctx, capability, pause)
	}
	if w := e.live(capability); w != nil {
		run, taken, err := w.ask(ctx, func(run *strangler.Run) error {
			run.Paused = o.who()
			e.note(run, o, "pause", "")
			return nil
		})
		if taken && err == nil {
			run = w.afterwards(ctx)
		}
		if taken {
			return run, err
		}
	}
	return e.alone(ctx, capability, pause)
}

// Continue has a paused run go on the way that it went. Refused where the run is not paused.
func (e *Engine) Continue(ctx context.Context, capability string, o RunOptions) (strangler.Run, error) {
	c, leave, err := e.enter(capability, "")
	if err != nil {
		return strangler.Run{}, err
	}
	defer leave()
	goOn := func(run *strangler.Run) error {
		if run.Paused == "" {
			return notSo(*run, "is not paused", "strangler playbook status "+capability)
		}
		run.Paused = ""
		if run.State == strangler.RunPaused {
			run.State = strangler.RunRunning
			if run.BackTo != "" {
				run.State = strangler.RunUndoing
			}
		}
		e.note(run, o, "continue", "")
		return nil
	}
	if o.Dry {
		return e.would(ctx, capability, goOn)
	}
	if w := e.live(capability); w != nil {
		if run, taken, err := w.ask(ctx, goOn); taken {
			return run, err
		}
	}
	return e.redo(ctx, c, goOn)
}

// Abort ends a run where it stands. What it has done stays, the toggle and the owner too. A verification or a program that is under
// way is cut off; scripts, and an attempt of a cutover, end first, either way whole. A run that comes after finds out what there is.
// Refused where nothing is to be ended.
func (e *Engine) Abort(ctx context.Context, capability string, o RunOptions) (strangler.Run, error) {
	_, leave, err := e.enter(capability, "")
	if err != nil {
		return strangler.Run{}, err
	}
	defer leave()
	abort := func(run *strangler.Run) error {
		if !active(*run) && run.State != strangler.RunPaused && run.State != strangler.RunFailed {
			return notSo(*run, "has ended", "strangler playbook run "+capability, "strangler playbook rollback "+capability)
		}
		run.State, run.Paused, run.Waiting, run.Ended = strangler.RunAborted, "", "", e.cfg.Now()
		for i := range run.Steps {
			if run.Steps[i].State == strangler.StepWaiting {
				run.Steps[i].State = strangler.StepPending
			}
		}
		e.note(run, o, "abort", "")
		return nil
	}
	if o.Dry {
		return e.would(ctx, capability, abort)
	}
	if w := e.live(capability); w != nil {
		if run, taken, err := w.redirect(ctx, func(ctx context.Context) error { return w.change(ctx, abort) }); taken {
			return run, err
		}
	}
	return e.alone(ctx, capability, abort)
}

// Skip has a run go on without a step, for a reason that the ledger keeps. What has been done of the step stays, and is taken back
// with the rest. The steps that others stand on cannot be skipped: expand, copy, cutover and complete; of a rollback only the steps
// of the capability's own.
func (e *Engine) Skip(ctx context.Context, capability string, o RunOptions) (strangler.Run, error) {
	c, leave, err := e.enter(capability, o.Step)
	if err != nil {
		return strangler.Run{}, err
	}
	defer leave()
	if o.Why == "" {
		return strangler.Run{}, strangler.Refuse("why", "a step is skipped for a reason, and there is none", "--why TEXT")
	}
	place, _ := listOf(c).find(o.Step)
	needed := listOf(c)[place]
	skip := func(run *strangler.Run) error {
		i, err := e.idle(*run, o.Step)
		if err != nil {
			return err
		}
		if err := needed.mayApprove(capability, o); err != nil && needed.Kind == kindApprove && run.BackTo == "" {
			return err
		}
		if needed.Kind == "" && run.BackTo != "" || !Skippable(o.Step) {
			return strangler.Refuse("step", fmt.Sprintf("nothing can go on without step %s", o.Step), "strangler playbook abort "+capability, "strangler playbook rollback "+capability)
		}
		step := &run.Steps[i]
		step.State, step.Detail, step.Ended = strangler.StepSkipped, fmt.Sprintf("skipped by %s: %s", o.who(), o.Why), e.cfg.Now()
		if step.Started.IsZero() {
			step.Started = step.Ended
		}
		e.goesOn(run)
		e.note(run, o, "skip", o.Step)
		return nil
	}
	if o.Dry {
		return e.would(ctx, capability, skip)
	}
	return e.redo(ctx, c, skip)
}

// Retry has a step of the run done anew, whatever came of it, and the run go on from there. What was found out before, a
// verification for one, does not count.
func (e *Engine) Retry(ctx context.Context, capability string, o RunOptions) (strangler.Run, error) {
	c, leave, err := e.enter(capability, o.Step)
	if err != nil {
		return strangler.Run{}, err
	}
	defer leave()
	retry := func(run *strangler.Run) error {
		if run.BackTo != "" {
			return strangler.Refuse("step", fmt.Sprintf("run %d of %s goes back", run.ID, capability), "strangler playbook rollback "+capability+" tries what failed again")
		}
		i, err := e.idle(*run, o.Step)
		if err != nil {
			return err
		}
		step := &run.Steps[i]
		step.State, step.Detail, step.Started, step.Ended = strangler.StepPending, "", time.Time{}, time.Time{}
		e.goesOn(run)
		e.note(run, o, "retry", o.Step)
		return nil
	}
	if o.Dry {
		return e.would(ctx, capability, retry)
	}
	return e.redo(ctx, c, retry)
}

// Skippable reports whether a run may go on without a step: the others do not stand on it.
func Skippable(step string) bool {
	return !slices.Contains([]string{Expand, Copy, Cutover, Complete}, step)
}

// goesOn has a run that stopped by itself go on; one that a person has paused stays so.
func (e *Engine) goesOn(run *strangler.Run) {
	if run.State == strangler.RunFailed {
		run.State, run.Error, run.Ended = strangler.RunRunning, "", time.Time{}
		if run.BackTo != "" {
			run.State = strangler.RunUndoing
		}
	}
}

// idle finds a step of a run that may be changed by hand now: the run does not work on another one, and it has not ended.
func (e *Engine) idle(run strangler.Run, name string) (int, error) {
	i := slices.IndexFunc(run.Steps, func(s strangler.StepRun) bool { return s.Name == name })
	if i < 0 {
		return 0, fmt.Errorf("run %d of %s has no step %q: %w", run.ID, run.Capability, name, strangler.ErrNotFound)
	}
	if !whole(run) || !active(run) && run.State != strangler.RunPaused && run.State != strangler.RunFailed {
		return 0, notSo(run, "has ended", "strangler playbook run "+run.Capability)
	}
	for _, s := range run.Steps {
		if working := s.State == strangler.StepDoing || s.State == strangler.StepUndoing; working && s.Name != name && run.State != strangler.RunPaused && run.State != strangler.RunFailed {
			return 0, notSo(run, "is at work on step "+s.Name, "strangler playbook pause "+run.Capability+", then ask again")
		}
	}
	return i, nil
}

// Accept has a run go by the settings as they are now in strangler.yaml, where they are not those that it was begun with. Where its
// steps have changed, it is ended, and another run goes on with what it has done. It returns what changed; nothing where nothing did.
func (e *Engine) Accept(ctx context.Context, capability string, o RunOptions) (strangler.Run, []string, error) {
	c, leave, err := e.enter(capability, "")
	if err != nil {
		return strangler.Run{}, nil, err
	}
	defer leave()
	run, err := e.latestRun(ctx, capability)
	if err != nil {
		return run, nil, err
	}
	now := settingsOf(c)
	diff := changes(run.Settings, now)
	switch {
	case !active(run) && run.State != strangler.RunPaused && run.State != strangler.RunFailed:
		return run, nil, notSo(run, "has ended: the next one goes by the settings as they are", "strangler playbook run "+capability)
	case run.BackTo != "":
		return run, nil, notSo(run, "goes back, for which no settings are accepted", "strangler playbook status "+capability)
	case run.Settings == "" || run.Settings == now:
		return run, nil, nil
	}
	steps := StepsOf(c)
	same := slices.EqualFunc(steps, run.Steps, func(d Description, s strangler.StepRun) bool { return d.Name == s.Name })
	if _, ok := listOf(c).find(run.Until); run.Until != "" && !ok && !same && whole(run) {
		return run, nil, strangler.Refuse("until", fmt.Sprintf("run %d of %s goes until step %s, which is no more", run.ID, capability, run.Until),
			"strangler playbook abort "+capability+", then strangler playbook run "+capability+" --until STEP")
	}
	if o.Dry { // whichever daemon is asked
		return run, diff, nil
	}
	if same || !whole(run) {
		run, err = e.redo(ctx, c, func(run *strangler.Run) error {
			run.Settings = now
			e.goesOn(run)
			e.note(run, o, "accept", "")
			return nil
		})
		return run, diff, err
	}
	run, err = e.relay(ctx, c, run, steps, now, o)
	return run, diff, err
}

// relay ends a run whose steps have changed and begins one with the present steps, of which those that both have stay as they are.
// Cut off in between, nothing works on the capability, and the next run carries over what cannot be probed.
func (e *Engine) relay(ctx context.Context, c strangler.Capability, run strangler.Run, steps []Description, now string, o RunOptions) (strangler.Run, error) {
	end := func(run *strangler.Run) error {
		run.State, run.Paused, run.Waiting, run.Ended = strangler.RunAborted, "", "", e.cfg.Now()
		run.Error = "its steps have changed: another run goes on with what it has done"
		e.note(run, o, "accept", "")
		return nil
	}
	var ended bool
	if w := e.live(c.Name); w != nil {
		_, taken, err := w.redirect(ctx, func(ctx context.Context) error { return w.change(ctx, end) })
		if err != nil {
			return run, err
		}
		ended = taken
	}
	if !ended {
		if _, err := e.alone(ctx, c.Name, end); err != nil {
			return run, err
		}
	}
	if err := e.hold(ctx, c.Name); err != nil {
		return run, err
	}
	defer e.letGo(ctx, c.Name)
	records := laidAnew(steps, run.Steps)
	next := strangler.Run{State: strangler.RunRunning, Paused: run.Paused, Until: run.Until, Who: run.Who, Settings: now, Acts: run.Acts}
	e.note(&next, o, "accept", "")
	return e.begin(ctx, c, next, records)
}

// laidAnew are the records of the present steps, of which those that were there stay as they are, unless they have failed.
func laidAnew(steps []Description, old []strangler.StepRun) []strangler.StepRun {
	records := pending(steps)
	for i := range records {
		at := slices.IndexFunc(old, func(s strangler.StepRun) bool { return s.Name == records[i].Name })
		switch {
		case at < 0:
		case old[at].State == strangler.StepFailed:
			records[i].Begun = old[at].Begun
		default:
			records[i] = old[at]
		}
	}
	return records
}

// act is what a person asked, now.
func (e *Engine) act(o RunOptions, what, step string) strangler.Act {
	return strangler.Act{At: e.cfg.Now(), Who: o.who(), What: what, Step: step, Why: o.Why}
}

// note adds an act to a run's.
func (e *Engine) note(run *strangler.Run, o RunOptions, what, step string) {
	run.Acts = withAct(run.Acts, e.act(o, what, step))
}

func withAct(acts []strangler.Act, act strangler.Act) []strangler.Act {
	acts = append(slices.Clone(acts), act)
	return acts[max(0, len(acts)-maxActs):]
}

func notSo(run strangler.Run, what string, next ...string) error {
	return strangler.Refuse("run", fmt.Sprintf("run %d of %s (%s) %s; nothing was changed", run.ID, run.Capability, run.State, what), next...)
}
