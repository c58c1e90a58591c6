package playbook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// enter takes the capability's lane, and checks that the capability and the step, if one is named, exist.
func (e *Engine) enter(capability, name string) (strangler.Capability, func(), error) {
	c, ok := e.capabilities[capability]
	if !ok {
		return c, nil, unknown(capability)
	}
	steps := listOf(c)
	if _, ok := steps.find(name); name != "" && !ok {
		return c, nil, fmt.Errorf("there is no step %q; the steps are %s: %w", name, steps.names(), strangler.ErrNotFound)
	}
	lane := e.lanes[capability]
	lane.Lock()
	return c, lane.Unlock, nil
}

// begin journals a new run with its steps as they are to be found, and starts its worker.
func (e *Engine) begin(ctx context.Context, c strangler.Capability, run strangler.Run, steps []strangler.StepRun) (strangler.Run, error) {
	if err := e.running(); err != nil {
		return run, err
	}
	if run.Who == "" {
		run.Who = "strangler"
	}
	run.Capability, run.Started, run.Steps = c.Name, e.cfg.Now(), steps
	if run.Settings == "" {
		run.Settings = settingsOf(c)
	}
	begun, err := e.cfg.Ledger.StartRun(ctx, e.cfg.Worker, run)
	if err != nil {
		return run, fmt.Errorf("beginning a run of %s in the ledger: %w", c.Name, err)
	}
	e.cfg.Log.Info("a run begins", strangler.LogCapability, c.Name, strangler.LogRun, begun.ID, "state", begun.State)
	return copyRun(begun), e.launch(c, begun, false)
}

// again journals that a run which nobody works on goes on, and starts its worker.
func (e *Engine) again(ctx context.Context, c strangler.Capability, run strangler.Run, change func(*strangler.Run)) (strangler.Run, error) {
	if err := e.running(); err != nil {
		return run, err
	}
	run.Error, run.Waiting, run.Ended = "", "", time.Time{}
	change(&run)
	if err := e.cfg.Ledger.SaveRun(ctx, e.cfg.Worker, run); err != nil {
		return run, fmt.Errorf("resuming run %d of %s in the ledger: %w", run.ID, c.Name, err)
	}
	e.cfg.Log.Info("a run goes on", strangler.LogCapability, c.Name, strangler.LogRun, run.ID, "state", run.State)
	return copyRun(run), e.launch(c, run, false)
}

// giveUp closes a run that nobody works on, so that another may begin. What it left behind is probed by
// the other's checks.
func (e *Engine) giveUp(ctx context.Context, run strangler.Run) error {
	run.State, run.Waiting, run.Ended = strangler.RunFailed, "", e.cfg.Now()
	run.Error = "given up: it was interrupted, and another run was begun instead"
	if err := e.cfg.Ledger.SaveRun(ctx, e.cfg.Worker, run); err != nil {
		return fmt.Errorf("closing the interrupted run %d of %s in the ledger: %w", run.ID, run.Capability, err)
	}
	return nil
}

// alone changes the latest run, of which no worker is at work here, in the ledger.
func (e *Engine) alone(ctx context.Context, capability string, change func(*strangler.Run) error) (strangler.Run, error) {
	if err := e.hold(ctx, capability); err != nil {
		return strangler.Run{}, err
	}
	defer e.letGo(ctx, capability)
	return e.rewrite(ctx, capability, change)
}

// redo changes the latest run and has it go on, if it is one that does; a worker that is at it stops first, and goes on anew.
func (e *Engine) redo(ctx context.Context, c strangler.Capability, change func(*strangler.Run) error) (strangler.Run, error) {
	if w := e.live(c.Name); w != nil {
		asked, _, _, _ := w.view()
		if err := change(&asked); err != nil { // nothing is interrupted for what is refused
			return asked, err
		}
		if run, taken, err := w.redirect(ctx, func(ctx context.Context) error { return w.change(ctx, change) }); taken {
			return run, err
		}
	}
	if err := e.running(); err != nil {
		return strangler.Run{}, err
	}
	if err := e.hold(ctx, c.Name); err != nil {
		return strangler.Run{}, err
	}
	defer e.letGo(ctx, c.Name)
	run, err := e.rewrite(ctx, c.Name, change)
	if err != nil || !active(run) {
		return run, err
	}
	return run, e.launch(c, copyRun(run), false)
}

// rewrite changes the latest run in the ledger: its steps, then the run itself. Cut off in between, the run is as it was, and its
// steps are asked for again.
func (e *Engine) rewrite(ctx context.Context, capability string, change func(*strangler.Run) error) (strangler.Run, error) {
	old, err := e.latestRun(ctx, capability)
	if err != nil {
		return old, err
	}
	run := copyRun(old)
	if err := change(&run); err != nil {
		return old, err
	}
	for i, step := range run.Steps {
		if step == old.Steps[i] {
			continue
		}
		if err := e.cfg.Ledger.SaveStep(ctx, e.cfg.Worker, run.ID, step); err != nil {
			return old, fmt.Errorf("writing step %s of run %d to the ledger: %w", step.Name, run.ID, err)
		}
		tellStep(&e.cfg, run, old.Steps[i], step)
	}
	if err := e.cfg.Ledger.SaveRun(ctx, e.cfg.Worker, run); err != nil {
		return old, fmt.Errorf("writing run %d of %s to the ledger: %w", run.ID, capability, err)
	}
	tellRun(&e.cfg, old, run)
	return run, nil
}

func (e *Engine) latestRun(ctx context.Context, capability string) (strangler.Run, error) {
	run, err := e.cfg.Ledger.LatestRun(ctx, capability)
	switch {
	case errors.Is(err, strangler.ErrNotFound):
		return run, fmt.Errorf("there is no run of %s yet; strangler playbook run %s begins one: %w", capability, capability, err)
	case err != nil:
		return run, fmt.Errorf("reading the latest run of %s: %w", capability, err)
	}
	return run, nil
}

// carried is how many runs are looked through for what a new one carries over.
const carried = 50

// records are the steps of a new run. What a program of the team's own has done stays done until it is undone, whichever run that
// was in: nothing but the ledger tells.
func (e *Engine) records(ctx context.Context, c strangler.Capability) ([]strangler.StepRun, error) {
	steps := listOf(c)
	records := pending(steps.descriptions())
	if !slices.ContainsFunc(steps, func(e entry) bool { return e.Kind == "run" }) {
		return records, nil
	}
	runs, err := e.cfg.Past.Runs(ctx, c.Name, carried)
	if err != nil {
		return nil, fmt.Errorf("reading the runs of %s, nothing was begun: %w", c.Name, err)
	}
	at := slices.IndexFunc(runs, whole)
	if at < 0 {
		return records, nil
	}
	for _, s := range runs[at].Steps {
		i, ok := steps.find(s.Name)
		if !ok || steps[i].Kind != "run" {
			continue
		}
		switch s.State {
		case strangler.StepUndoing:
			s.State = strangler.StepDoing // how far either got is not known
			records[i] = s
		case strangler.StepDone, strangler.StepDoing:
			records[i] = s
		default:
			records[i].Begun = s.Begun
		}
	}
	return records, nil
}

// launch starts a worker, under the lease that its caller holds. An unattended one resumes what no person has asked for anew.
func (e *Engine) launch(c strangler.Capability, run strangler.Run, unattended bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return closing()
	}
	w := newWorker(&e.cfg, c, run, unattended)
	e.latest[c.Name] = w
	e.leases[c.Name].users.Add(1)
	ctx := e.ctx
	e.workers.Go(func() { e.keep(ctx, c.Name, w.work) })
	return nil
}

func (e *Engine) running() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.ctx == nil {
		return closing()
	}
	return nil
}

// worker returns the latest worker of a capability, also one that has ended, or nil.
func (e *Engine) worker(capability string) *worker {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.latest[capability]
}

// live returns the worker that is at work on a capability, or nil. It waits for one whose run has ended
// and that is only putting its things away.
func (e *Engine) live(capability string) *worker {
	w := e.worker(capability)
	if w == nil {
		return nil
	}
	for {
		over, ending, changed := w.ending()
		switch {
		case over:
			return nil
		case !ending:
			return w
		}
		<-changed
	}
}

// backTo is the last step that a rollback undoes, or its refusal. What a person has not named is what a rollback that came to no end
// was for, or else what sends every user back.
func (e *Engine) backTo(ctx context.Context, c strangler.Capability, latest strangler.Run, named string) (string, error) {
	steps := listOf(c)
	if to, found := steps.find(named); found && (steps[to].Name == Soak || steps[to].Final) {
		return "", strangler.Refuse("step", named+" has nothing that can be taken back", "strangler playbook rollback "+c.Name)
	}
	st, err := e.reversible(ctx, c, latest)
	switch {
	case err != nil:
		return "", err
	case named == All:
		return steps[0].Name, nil
	case named != "":
		return named, nil
	case latest.BackTo != "" && (goingBack(latest) || latest.State == strangler.RunFailed):
		return latest.BackTo, nil
	case c.Stateless(), moved(st), active(latest) && !whole(latest):
		return Cutover, nil
	}
	return Shadow, nil
}

// reversible refuses a rollback behind the point of no return. It returns the split as it is, where there is one.
func (e *Engine) reversible(ctx context.Context, c strangler.Capability, latest strangler.Run) (st strangler.SplitStatus, err error) {
	for _, record := range latest.Steps {
		if record.Name == Complete && record.State == strangler.StepDone {
			return st, pastReturn(c.Name)
		}
	}
	if c.Stateless() {
		return st, nil
	}
	if st, err = e.cfg.Splits.Status(ctx, c.Name); err != nil {
		return st, fmt.Errorf("reading the status of the split of %s, nothing was changed: %w", c.Name, err)
	}
	if st.Phase == strangler.PhaseComplete {
		return st, pastReturn(c.Name)
	}
	return st, nil
}

func unknown(capability string) error {
	return fmt.Errorf("there is no capability %q in the configuration: %w", capability, strangler.ErrNotFound)
}

func closing() error {
	return fmt.Errorf("the playbook engine is not running; its runs go on when it starts: %w", strangler.ErrStopped)
}

// underWay is the refusal of whatever does not go together with a run that is under way.
func underWay(run strangler.Run) error {
	return strangler.Refuse("run", fmt.Sprintf("run %d of %s is %s", run.ID, run.Capability, doing(run)),
		"strangler playbook status "+run.Capability, "strangler playbook rollback "+run.Capability)
}

func doing(run strangler.Run) string {
	s := string(run.State)
	if run.Waiting != "" {
		s += " (" + run.Waiting + ")"
	}
	if run.Until != "" {
		s += " until " + run.Until
	}
	if run.BackTo != "" {
		s += " back to " + run.BackTo
	}
	return s
}

func pending(steps []Description) []strangler.StepRun {
	records := make([]strangler.StepRun, len(steps))
	for i, d := range steps {
		records[i] = strangler.StepRun{Name: d.Name, State: strangler.StepPending}
	}
	return records
}

// whole reports whether a run is of the playbook, not of one step by hand.
func whole(run strangler.Run) bool { return len(run.Steps) > 1 }

// goingBack reports whether a run is on its way back, be it paused there.
func goingBack(run strangler.Run) bool {
	return run.State == strangler.RunUndoing || run.State == strangler.RunPaused && run.BackTo != ""
}

func active(run strangler.Run) bool {
	return run.State == strangler.RunRunning || run.State == strangler.RunWaiting || run.State == strangler.RunUndoing
}
