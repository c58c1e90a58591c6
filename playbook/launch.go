package playbook

import (
	"context"
	"fmt"
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

// begin journals a new run and starts its worker.
func (e *Engine) begin(ctx context.Context, c strangler.Capability, run strangler.Run, steps []Description) (strangler.Run, error) {
	if err := e.running(); err != nil {
		return run, err
	}
	if run.Who == "" {
		run.Who = "strangler"
	}
	run.Capability, run.Started, run.Steps = c.Name, e.cfg.Now(), pending(steps)
	if len(steps) == 1 {
		run.Steps[0].Approved = run.Who
	}
	begun, err := e.cfg.Ledger.StartRun(ctx, run)
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
	if err := e.cfg.Ledger.SaveRun(ctx, run); err != nil {
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
	if err := e.cfg.Ledger.SaveRun(ctx, run); err != nil {
		return fmt.Errorf("closing the interrupted run %d of %s in the ledger: %w", run.ID, run.Capability, err)
	}
	return nil
}

// launch starts a worker. An unattended one resumes what no person has asked for anew.
func (e *Engine) launch(c strangler.Capability, run strangler.Run, unattended bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return closing()
	}
	w := newWorker(&e.cfg, c, run, unattended)
	e.latest[c.Name] = w
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

// reversible refuses a rollback behind the point of no return.
func (e *Engine) reversible(ctx context.Context, c strangler.Capability, latest strangler.Run) error {
	for _, record := range latest.Steps {
		if record.Name == Complete && record.State == strangler.StepDone {
			return pastReturn(c.Name)
		}
	}
	if c.Stateless() {
		return nil
	}
	st, err := e.cfg.Splits.Status(ctx, c.Name)
	if err != nil {
		return fmt.Errorf("reading the status of the split of %s, nothing was changed: %w", c.Name, err)
	}
	if st.Phase == strangler.PhaseComplete {
		return pastReturn(c.Name)
	}
	return nil
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

func active(run strangler.Run) bool {
	return run.State == strangler.RunRunning || run.State == strangler.RunWaiting || run.State == strangler.RunUndoing
}
