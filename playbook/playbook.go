package playbook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// Engine runs playbooks: at most one run for each capability at a time, each in a goroutine of the
// Engine. All methods may be called concurrently.
type Engine struct {
	cfg          Config
	capabilities map[string]strangler.Capability
	lanes        map[string]*sync.Mutex // one for each capability: what changes a run takes turns
	workers      sync.WaitGroup
	unknown      sync.Once // said of runs whose capability is not known

	mu     sync.Mutex // guards what follows
	ctx    context.Context
	cancel context.CancelFunc
	closed bool
	latest map[string]*worker // by capability, ended ones too
}

// RunOptions say how far a run goes, and for whom.
type RunOptions struct {
	Until string // Run: the last step to do; empty: all of them
	To    string // Rollback: the last step to undo; empty: cutover
	Who   string // kept in the ledger and in the audit; empty: "strangler"
}

// New checks the configuration. Nothing runs before Start. Its errors wrap strangler.ErrConfig.
func New(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		cfg:          cfg.withDefaults(),
		capabilities: map[string]strangler.Capability{},
		lanes:        map[string]*sync.Mutex{},
		latest:       map[string]*worker{},
	}
	for _, c := range cfg.Capabilities {
		e.capabilities[c.Name] = c
		e.lanes[c.Name] = &sync.Mutex{}
	}
	return e, nil
}

// Start resumes every run that the ledger has as running, waiting or undoing and that no other daemon works on; with Leases also
// later, when such a daemon is gone. The context serves the first reading of the ledger; the runs last until Close. Start is called
// once.
func (e *Engine) Start(ctx context.Context) error {
	e.mu.Lock()
	if e.closed || e.ctx != nil {
		e.mu.Unlock()
		return fmt.Errorf("the playbook engine was started before: %w", strangler.ErrRefused)
	}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	living := e.ctx
	e.mu.Unlock()
	if err := e.resume(ctx); err != nil {
		return err
	}
	if e.cfg.Leases != nil {
		e.workers.Go(func() { e.attend(living) })
	}
	return nil
}

// resume starts a worker for each active run of which nobody has one.
func (e *Engine) resume(ctx context.Context) error {
	runs, err := e.cfg.Ledger.ActiveRuns(ctx)
	if err != nil {
		return fmt.Errorf("reading the runs to resume: %w", err)
	}
	slices.SortFunc(runs, func(a, b strangler.Run) int { return cmp.Compare(b.ID, a.ID) })
	newest := map[string]bool{}
	for _, run := range runs {
		c, known := e.capabilities[run.Capability]
		if newest[run.Capability] {
			continue
		}
		newest[run.Capability] = true
		if !known {
			e.unknown.Do(func() {
				e.cfg.Log.Warn("a run is left alone: its capability is not in the configuration",
					strangler.LogCapability, run.Capability, strangler.LogRun, run.ID)
			})
			continue
		}
		if err := e.adopt(ctx, c, run); err != nil {
			return err
		}
	}
	return nil
}

// Close interrupts the runs and waits for their goroutines. The ledger keeps them as they are: the
// next Start resumes them. Closing twice is safe.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	if e.cancel != nil {
		e.cancel()
	}
	e.mu.Unlock()
	e.workers.Wait()
	return nil
}

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
	case latest.State == strangler.RunUndoing:
		return latest, strangler.Refuse("run", fmt.Sprintf("the rollback of %s (run %d) stopped half-way", capability, latest.ID),
			"strangler playbook rollback "+capability+" finishes it")
	case whole(latest) && (active(latest) || latest.State == strangler.RunFailed && latest.BackTo == ""):
		return e.again(ctx, c, latest, func(run *strangler.Run) { run.State, run.Until = strangler.RunRunning, o.Until })
	case active(latest):
		if err := e.giveUp(ctx, latest); err != nil {
			return latest, err
		}
	}
	return e.begin(ctx, c, strangler.Run{State: strangler.RunRunning, Until: o.Until, Who: o.Who}, StepsOf(c))
}

// Rollback undoes from the end down to and including o.To, by default the cutover, and returns when
// that is in the ledger and under way. A run that goes forward is interrupted first. It is refused
// after complete, the point of no return.
func (e *Engine) Rollback(ctx context.Context, capability string, o RunOptions) (strangler.Run, error) {
	if o.To == "" {
		o.To = Cutover
	}
	c, leave, err := e.enter(capability, o.To)
	if err != nil {
		return strangler.Run{}, err
	}
	defer leave()
	steps := listOf(c)
	if to, _ := steps.find(o.To); steps[to].Name == Soak || steps[to].Final {
		return strangler.Run{}, strangler.Refuse("step", o.To+" has nothing that can be taken back", "strangler playbook rollback "+capability+" --to "+Cutover)
	}
	latest, err := e.cfg.Ledger.LatestRun(ctx, capability)
	if err != nil && !errors.Is(err, strangler.ErrNotFound) {
		return strangler.Run{}, fmt.Errorf("reading the latest run of %s: %w", capability, err)
	}
	if err := e.reversible(ctx, c, latest); err != nil {
		return latest, err
	}
	back := func(run *strangler.Run) {
		if run.State != strangler.RunUndoing || steps.before(o.To, run.BackTo) {
			run.BackTo = o.To
		}
		run.State, run.Until, run.Error, run.Waiting, run.Ended = strangler.RunUndoing, "", "", "", time.Time{}
		if o.Who != "" {
			run.Who = o.Who
		}
	}
	if w := e.live(capability); w != nil {
		if run, _, _, _ := w.view(); whole(run) || run.Steps[0].Name == o.To {
			if run, taken, err := w.redirect(ctx, back); taken {
				return run, err
			}
			if latest, err = e.cfg.Ledger.LatestRun(ctx, capability); err != nil {
				return latest, fmt.Errorf("reading the latest run of %s: %w", capability, err)
			}
			if err := e.reversible(ctx, c, latest); err != nil {
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
	return e.begin(ctx, c, strangler.Run{State: strangler.RunUndoing, BackTo: o.To, Who: o.Who}, StepsOf(c))
}

// Only runs one step by hand, as a run of one step in the same ledger; whoever asks for it thereby
// approves it. The step "rollback" is Rollback to the cutover. It is refused while a run is under way,
// and where the step's own check refuses, the run fails.
func (e *Engine) Only(ctx context.Context, capability, name, who string) (strangler.Run, error) {
	if name == "rollback" {
		return e.Rollback(ctx, capability, RunOptions{To: Cutover, Who: who})
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
	case latest.State == strangler.RunUndoing:
		return latest, underWay(latest)
	case active(latest):
		if err := e.giveUp(ctx, latest); err != nil {
			return latest, err
		}
	}
	return e.begin(ctx, c, strangler.Run{State: strangler.RunRunning, Until: name, Who: who}, []Description{steps[place].Description})
}

// Approve gives a person's consent to the step that waits for it, durably, and wakes the run. It is
// refused for a step that is not waiting: what is approved should be what is seen. Approving twice is
// no error.
func (e *Engine) Approve(ctx context.Context, capability, name, who string) error {
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
		if w := e.live(capability); w != nil {
			return w.approve(run.ID, at, record.Approved, func() error { return nil })
		}
		return nil
	}
	steps := listOf(c)
	place, known := steps.find(name)
	if !active(run) || run.State == strangler.RunUndoing || record.State != strangler.StepWaiting || !known || !asks(c, steps[place].Description) {
		return strangler.Refuse("approval", fmt.Sprintf("step %s of run %d (%s) is %s and waits for no approval", name, run.ID, run.State, record.State),
			"strangler playbook status "+capability+" says what it waits for")
	}
	if who == "" {
		who = "strangler"
	}
	if by := steps[place].Approvers; !mayApprove(by, who) {
		return strangler.Refuse("approvers", fmt.Sprintf("%s may not approve step %s of %s; %s may", who, name, capability, strings.Join(by, ", ")),
			"one of them approves it: strangler playbook approve "+capability+" "+name)
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

// Status returns the latest run as the ledger has it. Where the ledger could not be told that the run
// failed, the answer says so all the same. ErrNotFound: there has been no run.
func (e *Engine) Status(ctx context.Context, capability string) (strangler.Run, error) {
	if _, ok := e.capabilities[capability]; !ok {
		return strangler.Run{}, unknown(capability)
	}
	run, err := e.cfg.Ledger.LatestRun(ctx, capability)
	if errors.Is(err, strangler.ErrNotFound) {
		return run, fmt.Errorf("there is no run of %s yet; strangler playbook run %s begins one: %w", capability, capability, err)
	}
	if err != nil {
		return run, fmt.Errorf("reading the latest run of %s: %w", capability, err)
	}
	if w := e.worker(capability); w != nil {
		w.overlay(&run)
	}
	return run, nil
}

// Wait returns when the run is done, failed, rolled back, or waiting for a person, with the error that
// it failed with. A run that this Engine does not work on is returned as it is; if it is active, with
// ErrStopped.
func (e *Engine) Wait(ctx context.Context, capability string) (strangler.Run, error) {
	w := e.worker(capability)
	if w == nil {
		run, err := e.Status(ctx, capability)
		switch {
		case err != nil:
		case active(run):
			err = fmt.Errorf("nobody here works on run %d of %s; it goes on when its daemon does: %w", run.ID, capability, strangler.ErrStopped)
		case run.State == strangler.RunFailed:
			err = errors.New(run.Error)
		}
		return run, err
	}
	for {
		run, settled, changed, err := w.view()
		if settled {
			return run, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return run, ctx.Err()
		}
	}
}

// Preview says what a run would find, without doing anything: each step's state up to the first that is
// not done, which is pending when it would be done now and waiting when a gate is not met. Detail says
// more. The error is that of a check that refuses.
func (e *Engine) Preview(ctx context.Context, capability string) ([]strangler.StepRun, error) {
	c, ok := e.capabilities[capability]
	if !ok {
		return nil, unknown(capability)
	}
	records := pending(StepsOf(c))
	for i, o := range listOf(c) {
		record := &records[i]
		if o.NeedsTables && c.Stateless() {
			record.State, record.Detail = strangler.StepDone, noTables
			continue
		}
		v, err := o.make().Check(ctx, &act{Config: &e.cfg, capability: c, run: strangler.Run{Capability: capability, Steps: records, Started: e.cfg.Now()}, record: *record})
		if err != nil {
			record.State, record.Detail = strangler.StepFailed, err.Error()
			return records, err
		}
		record.Detail = v.text
		if v.answer != isDone {
			if v.answer == isMissing {
				record.State = strangler.StepWaiting
			}
			break
		}
		record.State = strangler.StepDone
	}
	return records, nil
}
