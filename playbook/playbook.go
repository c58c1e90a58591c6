package playbook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	strangler "github.com/strangler-fig/strangler"
)

// Engine runs playbooks: at most one run for each capability at a time, each in a goroutine of the
// Engine. All methods may be called concurrently.
type Engine struct {
	cfg          Config
	capabilities map[string]strangler.Capability
	lanes        map[string]*sync.Mutex // one for each capability: what changes a run takes turns
	leases       map[string]*lease      // likewise
	workers      sync.WaitGroup
	unknown      sync.Once // said of runs whose capability is not known

	mu     sync.Mutex // guards what follows
	ctx    context.Context
	cancel context.CancelFunc
	closed bool
	latest map[string]*worker // by capability, ended ones too
}

// RunOptions say what is asked of a run, and by whom.
type RunOptions struct {
	Until   string // Run: the last step to do; empty: all of them, or of a run that goes on: as far as it was to go
	To      string // Rollback: the last step to undo; empty: cutover; All: the first one
	Step    string // Skip, Retry, Approve: which one
	Who     string // kept in the ledger and in the audit; empty: "strangler"
	Why     string // kept in the ledger, and by Only and Rollback in the audit of what comes of it; Skip needs one
	Confirm string // Approve and Only of the point of no return: the capability's name, typed by a person
	// Dry has everything decided as it would be, on a copy of the run, and nothing done: what is asked is refused, not found, or
	// answered with the run as it would be. Run and Only take no heed of it: Foretell and Preview say what they would do.
	Dry bool
}

// All is every step.
const All = "all"

func (o RunOptions) who() string {
	if o.Who == "" {
		return "strangler"
	}
	return o.Who
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
		leases:       map[string]*lease{},
		latest:       map[string]*worker{},
	}
	for _, c := range cfg.Capabilities {
		e.capabilities[c.Name] = c
		e.lanes[c.Name], e.leases[c.Name] = &sync.Mutex{}, &lease{turn: make(chan struct{}, 1)}
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
		if over, _, _ := w.ending(); over { // a person may have changed it since
			if stored, serr := e.Status(ctx, capability); serr == nil && stored.ID == run.ID {
				run = stored
			}
		}
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
	run, err := e.found(ctx, c)
	if err != nil {
		return nil, err
	}
	records := slices.Clone(run.Steps)
	for i, o := range listOf(c) {
		record := &records[i]
		switch {
		case record.State == strangler.StepSkipped:
			continue
		case o.NeedsTables && c.Stateless():
			record.State, record.Detail = strangler.StepDone, noTables
			continue
		}
		v, err := o.make().Check(ctx, &act{Config: &e.cfg, capability: c, run: run, record: *record, recent: &recent{}})
		if err != nil {
			record.State, record.Detail = strangler.StepFailed, err.Error()
			return records, err
		}
		record.Detail = v.text
		if v.answer != isDone {
			record.State = strangler.StepPending
			if v.answer == isMissing {
				record.State = strangler.StepWaiting
			}
			for j := i + 1; j < len(records); j++ {
				if records[j].State != strangler.StepSkipped {
					records[j].State, records[j].Detail = strangler.StepPending, ""
				}
			}
			break
		}
		record.State = strangler.StepDone
	}
	return records, nil
}

// found is the run that would go on, with the present steps, or else a new one.
func (e *Engine) found(ctx context.Context, c strangler.Capability) (strangler.Run, error) {
	latest, err := e.cfg.Ledger.LatestRun(ctx, c.Name)
	if err != nil && !errors.Is(err, strangler.ErrNotFound) {
		return latest, fmt.Errorf("reading the latest run of %s: %w", c.Name, err)
	}
	if err == nil && whole(latest) && latest.BackTo == "" && (active(latest) || latest.State == strangler.RunPaused || latest.State == strangler.RunFailed) {
		latest.Steps = laidAnew(StepsOf(c), latest.Steps)
		return latest, nil
	}
	records, err := e.records(ctx, c)
	return strangler.Run{Capability: c.Name, Steps: records, Started: e.cfg.Now()}, err
}
