package playbook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// journalTimeout bounds a write to the ledger. Such a write does not end with the run's own context: what
// has happened is recorded also when the Engine is being closed.
const journalTimeout = 10 * time.Second

// theRun is the place of the run's own record among those that a worker is unsure of.
const theRun = -1

// saveRun changes the run and writes it to the ledger; the worker's copy changes when that succeeded.
// Nothing is written when nothing changed.
func (w *worker) saveRun(ctx context.Context, change func(*strangler.Run)) error {
	return w.outlast(ctx, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.writeRun(ctx, change)
	})
}

// writeRun is saveRun with the lock held, once.
func (w *worker) writeRun(ctx context.Context, change func(*strangler.Run)) error {
	run := w.run
	change(&run)
	if sameRun(run, w.run) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalTimeout)
	defer cancel()
	err := w.cfg.Ledger.SaveRun(ctx, w.cfg.Worker, copyRun(run))
	if w.unsure[theRun] = err != nil; err != nil {
		return fmt.Errorf("writing run %d to the ledger: %w", run.ID, err)
	}
	old := w.run
	w.run = run
	w.left.State, w.left.BackTo = run.State, run.BackTo
	w.announce()
	tellRun(w.cfg, old, run)
	return nil
}

// saveStep is saveRun for the step at place i. The lock is held over the write, so that it and an
// approval cannot undo each other.
func (w *worker) saveStep(ctx context.Context, i int, change func(*strangler.StepRun)) error {
	return w.outlast(ctx, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.writeStep(ctx, i, change)
	})
}

// outlast repeats a write while the ledger cannot be reached: the run waits, and nothing is begun meanwhile. What the ledger will never
// take is not repeated (ErrConfig). A write that may have been done is the same when it is done again. Before each it makes sure that the runs are still this daemon's: whoever has them
// when the ledger is back may have written since.
func (w *worker) outlast(ctx context.Context, write func() error) error {
	for n := 0; ; n++ {
		err := write()
		if err == nil || ctx.Err() != nil || decided(err) && !errors.Is(err, strangler.ErrUnknown) {
			return err
		}
		if n == 0 {
			w.log.Warn("the ledger cannot be written; the run waits for it, and nothing is begun meanwhile", strangler.LogError, err)
		}
		for held := false; !held; {
			if !w.rest(ctx, n) {
				return err
			}
			if held, err = w.holds(ctx); errors.Is(err, strangler.ErrSuperseded) {
				return err
			}
		}
	}
}

// rest waits before a repetition, longer each time; false: ctx has ended.
func (w *worker) rest(ctx context.Context, n int) bool {
	timer := time.NewTimer(min(w.cfg.Poll<<min(n, 10), longestRest))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// holds renews the lease of the runs; an error that is not ErrSuperseded says nothing.
func (w *worker) holds(ctx context.Context) (bool, error) {
	if w.cfg.Leases == nil {
		return true, nil
	}
	held, err := w.cfg.Leases.Lease(ctx, strangler.RunLease(w.capability.Name), w.cfg.Worker, w.cfg.Lease)
	if err == nil && !held {
		err = fmt.Errorf("another daemon has the runs of %s: %w", w.capability.Name, strangler.ErrSuperseded)
	}
	return held && err == nil, err
}

// writeStep is saveStep with the lock held, once.
func (w *worker) writeStep(ctx context.Context, i int, change func(*strangler.StepRun)) error {
	record := w.run.Steps[i]
	change(&record)
	if record == w.run.Steps[i] {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalTimeout)
	defer cancel()
	err := w.cfg.Ledger.SaveStep(ctx, w.cfg.Worker, w.run.ID, record)
	if w.unsure[i] = err != nil; err != nil {
		return fmt.Errorf("writing step %s of run %d to the ledger: %w", record.Name, w.run.ID, err)
	}
	old := w.run.Steps[i]
	w.run.Steps[i], w.left.Steps[i].State = record, record.State
	w.announce()
	tellStep(w.cfg, w.run, old, record)
	return nil
}

// begin journals the intent of a step. The effect may follow only when it returns nil.
func (w *worker) begin(ctx context.Context, i int, state strangler.StepState, run strangler.RunState, detail string) error {
	err := w.saveRun(ctx, func(r *strangler.Run) { r.State, r.Waiting = run, "" })
	if err != nil {
		return err
	}
	return w.saveStep(ctx, i, func(s *strangler.StepRun) {
		w.open(s, state)
		s.State, s.Detail, s.Begun = state, detail, s.Begun || state == strangler.StepDoing
	})
}

// open sets when a step began, unless it is under way in the same direction.
func (w *worker) open(s *strangler.StepRun, state strangler.StepState) {
	forward := s.State == strangler.StepDoing || s.State == strangler.StepWaiting
	if state == strangler.StepUndoing && s.State != strangler.StepUndoing || state != strangler.StepUndoing && !forward {
		s.Started, s.Ended = w.cfg.Now(), time.Time{}
	}
}

// finish journals that a step has ended well. A record that says so already is left as it is.
func (w *worker) finish(ctx context.Context, i int, state strangler.StepState, detail string) error {
	return w.saveStep(ctx, i, func(s *strangler.StepRun) {
		if s.State == state {
			return
		}
		now := w.cfg.Now()
		if s.Started.IsZero() || s.State == strangler.StepPending {
			s.Started = now
		}
		s.State, s.Detail, s.Ended, s.Begun = state, detail, now, s.Begun && state != strangler.StepUndone
	})
}

// pause journals what is waited for, and waits: for an approval until there is one, for a gate until it
// is time to look again.
func (w *worker) pause(ctx context.Context, i int, v verdict, person bool) error {
	undoing := w.act(i).run.State == strangler.RunUndoing
	detail := v.detail
	if detail == "" {
		detail = v.text
	}
	err := w.saveStep(ctx, i, func(s *strangler.StepRun) {
		if !undoing && !(v.blind && s.State == strangler.StepDoing) {
			w.open(s, strangler.StepWaiting)
			s.State = strangler.StepWaiting
		}
		s.Detail = detail
	})
	if err != nil {
		return err
	}
	err = w.saveRun(ctx, func(r *strangler.Run) {
		if r.Waiting = v.text; !undoing {
			r.State = strangler.RunWaiting
		}
	})
	if err != nil {
		return err
	}
	if person {
		w.setPerson(i)
		defer w.unsetPerson()
		return w.awaitApproval(ctx, i)
	}
	timer := time.NewTimer(max(v.pause, w.cfg.Poll))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-w.woken:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitApproval returns when the step is approved here, or, where there are other daemons, at one of them; and when a person wants
// something else of the run.
func (w *worker) awaitApproval(ctx context.Context, i int) error {
	var elsewhere <-chan time.Time
	if w.cfg.Leases != nil {
		tick := time.NewTicker(w.cfg.Lease)
		defer tick.Stop()
		elsewhere = tick.C
	}
	watch := time.NewTicker(time.Minute)
	defer watch.Stop()
	for {
		select {
		case <-w.woken:
			return nil
		case <-watch.C:
			if a := w.act(max(i, 0)); i >= 0 && a.tooMany(w.recent.look(a)) {
				return nil
			}
		case <-elsewhere:
			if err := w.mine(ctx); errors.Is(err, strangler.ErrSuperseded) || i >= 0 && w.act(i).record.Approved != "" {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readable is mine, waiting while the ledger cannot be read.
func (w *worker) readable(ctx context.Context) error {
	for n := 0; ; n++ {
		err := w.mine(ctx)
		if err == nil || ctx.Err() != nil || decided(err) {
			return err
		}
		if n == 0 {
			w.log.Warn("the ledger cannot be read; the run waits for it, and nothing is begun meanwhile", strangler.LogError, err)
		}
		if !w.rest(ctx, n) {
			return err
		}
	}
}

// mine reads the ledger, where approvals are, and returns ErrSuperseded unless it is as this worker left
// it: a process that was stopped for a while, or is one of two, must not go on with what another has
// taken further or back. A record whose last write is of unknown outcome cannot be compared.
func (w *worker) mine(ctx context.Context) error {
	run, err := w.cfg.Ledger.LatestRun(ctx, w.capability.Name)
	if err != nil {
		return fmt.Errorf("reading the ledger: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	same := run.ID == w.left.ID && len(run.Steps) == len(w.left.Steps) &&
		(w.unsure[theRun] || run.State == w.left.State && run.BackTo == w.left.BackTo)
	for i := 0; same && i < len(run.Steps); i++ {
		same = run.Steps[i].Name == w.left.Steps[i].Name && (w.unsure[i] || run.Steps[i].State == w.left.Steps[i].State)
	}
	if !same {
		return fmt.Errorf("somebody else works on the runs of %s: run %d is %s in the ledger: %w", w.capability.Name, run.ID, doing(run), strangler.ErrSuperseded)
	}
	for i, s := range run.Steps {
		if s.Approved != "" {
			w.run.Steps[i].Approved = s.Approved
		}
	}
	return nil
}

// endedAfterAll reports whether the ledger has the end of the run, though the write of it was reported failed.
func (w *worker) endedAfterAll(ctx context.Context) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.unsure[theRun] {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalTimeout)
	defer cancel()
	run, err := w.cfg.Ledger.LatestRun(ctx, w.capability.Name)
	if err != nil || run.ID != w.run.ID || active(run) {
		return false
	}
	old := w.run
	w.run = run
	w.announce()
	tellRun(w.cfg, old, run)
	return true
}

// fail journals that the run has failed at the step it is at. Where the ledger does not take even that,
// the worker keeps the error and Status shows it. After ErrSuperseded nothing is written: the run is
// somebody else's.
func (w *worker) fail(ctx context.Context, err error) {
	log := w.log.With(strangler.LogError, err)
	if errors.Is(err, strangler.ErrSuperseded) || errors.Is(w.mine(ctx), strangler.ErrSuperseded) {
		log.Warn("another worker has the run; this one leaves it")
		w.end(err, false)
		return
	}
	if w.endedAfterAll(ctx) {
		log.Warn("the ledger reported a failure, and has the run's end all the same")
		w.end(nil, false)
		return
	}
	now, text := w.cfg.Now(), clean(err.Error())
	journalled := w.saveRun(ctx, func(r *strangler.Run) {
		r.State, r.Error, r.Waiting, r.Paused, r.Ended = strangler.RunFailed, text, "", "", now
	})
	untold := journalled != nil
	if !untold && w.at >= 0 {
		journalled = w.saveStep(ctx, w.at, func(s *strangler.StepRun) {
			s.State, s.Detail, s.Ended = strangler.StepFailed, text, now
			if notKnown(err) {
				s.State, s.Ended = strangler.StepDoing, time.Time{}
			}
		})
	}
	if journalled != nil {
		log.Error("the run failed, and the ledger could not be told all of it", "ledger", journalled)
	} else {
		log.Warn("the run failed; nothing after the step ran")
	}
	w.end(err, untold)
}

// notKnown reports whether nobody can tell what became of a program. The ledger goes on saying that it was begun, so that a run which is
// asked to go on does not run it once more: only a retry does.
func notKnown(err error) bool {
	var told *strangler.Refusal
	return errors.As(err, &told) && told.Check == checkRun
}

func sameRun(a, b strangler.Run) bool {
	return a.State == b.State && a.Until == b.Until && a.BackTo == b.BackTo && a.Waiting == b.Waiting &&
		a.Error == b.Error && a.Who == b.Who && a.Ended.Equal(b.Ended) &&
		a.Paused == b.Paused && a.Settings == b.Settings && slices.Equal(a.Acts, b.Acts)
}

func copyRun(run strangler.Run) strangler.Run {
	run.Steps, run.Acts = slices.Clone(run.Steps), slices.Clone(run.Acts)
	return run
}
