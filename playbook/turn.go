package playbook

import (
	"context"
	"errors"
	"fmt"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// turn is the wish that a run be stopped where it is and go on otherwise.
type turn struct {
	take  func(ctx context.Context) error // the writes that do it, by the worker itself; a refusal leaves the run as it is
	reply chan error                      // holds one
}

// errOver answers a wish that came when the worker had ended.
var errOver = errors.New("the worker has ended")

func (t *turn) answer(err error) {
	if t != nil {
		t.reply <- err
	}
}

// redirect interrupts the worker and has it take the turn; it returns when that is in the ledger. It is
// not taken when the worker has ended.
func (w *worker) redirect(ctx context.Context, take func(context.Context) error) (run strangler.Run, taken bool, err error) {
	t := &turn{take: take, reply: make(chan error, 1)}
	w.mu.Lock()
	if w.over {
		w.mu.Unlock()
		return run, false, nil
	}
	w.turn, w.person = t, false
	w.announce()
	if w.stop != nil {
		w.stop()
	}
	w.mu.Unlock()
	select {
	case err = <-t.reply:
	case <-ctx.Done():
		err = fmt.Errorf("it was asked for; whether it has been done, strangler playbook status %s says: %w", w.capability.Name, ctx.Err())
	}
	run, _, _, _ = w.view()
	return run, !errors.Is(err, errOver), err
}

// change does what a person wants of the run and its steps, and writes it to the ledger, the steps first. It is the worker's own.
func (w *worker) change(ctx context.Context, change func(*strangler.Run) error) error {
	run, _, _, _ := w.view()
	if err := change(&run); err != nil {
		return err
	}
	for i := range run.Steps {
		if err := w.saveStep(ctx, i, func(s *strangler.StepRun) { *s = run.Steps[i] }); err != nil {
			return err
		}
	}
	return w.saveRun(ctx, func(r *strangler.Run) { *r = run })
}

// turnBack turns the run back, unless it has passed the point of no return.
func (w *worker) turnBack(ctx context.Context, back func(*strangler.Run)) error {
	if w.completed() {
		return pastReturn(w.capability.Name)
	}
	return w.saveRun(ctx, back)
}

// ask changes a run that the worker is at, which goes on meanwhile. It is not taken when the worker has ended.
func (w *worker) ask(ctx context.Context, change func(*strangler.Run) error) (run strangler.Run, taken bool, err error) {
	w.mu.Lock()
	if taken = !w.over && active(w.run); taken {
		var refused error
		if err = w.writeRun(ctx, func(r *strangler.Run) { refused = change(r) }); refused != nil {
			err = refused
		}
		w.wake()
	}
	w.mu.Unlock()
	run, _, _, _ = w.view()
	return run, taken, err
}

// promptly is how long a person waits for a run to pause before being told that it will.
const promptly = 2 * time.Second

// afterwards waits a moment for the worker to end, and returns the run as it is then.
func (w *worker) afterwards(ctx context.Context) strangler.Run {
	timer := time.NewTimer(promptly)
	defer timer.Stop()
	for {
		over, _, changed := w.ending()
		run, _, _, _ := w.view()
		if over {
			return run
		}
		select {
		case <-changed:
		case <-timer.C:
			return run
		case <-ctx.Done():
			return run
		}
	}
}

// set makes stop the way to interrupt the direction that begins now, and says whether it is back.
func (w *worker) set(stop context.CancelFunc) (undoing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop, w.person = stop, false
	if w.turn != nil {
		stop()
	}
	return w.run.State == strangler.RunUndoing
}

func (w *worker) takeTurn() *turn {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.turn
	w.turn = nil
	return t
}

// approve records an approval with give and hands it to the worker. The signal is sent whatever give
// returns: an approval that was reported failed may be in the ledger.
func (w *worker) approve(runID int64, i int, who string, give func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := give()
	if err == nil && w.run.ID == runID {
		w.run.Steps[i].Approved, w.person = who, false
		w.announce()
	}
	w.wake()
	return err
}

func (w *worker) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// setPerson says that the step at place i, or the whole run where that is negative, waits for a person,
// unless one has just answered or wants something else of the run.
func (w *worker) setPerson(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.person = (i < 0 || w.run.Steps[i].Approved == "") && w.turn == nil && w.run.Paused == ""
	w.announce()
}

// pausing reports whether a person wants nothing more begun.
func (w *worker) pausing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.run.Paused != ""
}

func (w *worker) unsetPerson() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.person = false
}

// act hands a step copies of everything that may change.
func (w *worker) act(i int) *act {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &act{Config: w.cfg, capability: w.capability, run: copyRun(w.run), record: w.run.Steps[i], recent: &w.recent}
}

// view returns the run as it is, whether it has settled (ended, or waits for a person), a channel that is
// closed at the next change, and the error that it ended with.
func (w *worker) view() (run strangler.Run, settled bool, changed <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	run = copyRun(w.run)
	if w.untold {
		run.State, run.Error = strangler.RunFailed, w.err.Error()
	}
	return run, w.over || w.person, w.changed, w.err
}

// overlay makes the ledger's record of the run say that it failed, where the ledger does not know.
func (w *worker) overlay(run *strangler.Run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.untold && run.ID == w.run.ID && active(*run) {
		run.State, run.Error, run.Waiting = strangler.RunFailed, w.err.Error(), ""
	}
}

// ending reports whether the worker is over, or will be once it has put its things away, with a channel
// that is closed at the next change.
func (w *worker) ending() (over, ending bool, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over, !active(w.run), w.changed
}

// ended reports whether the run goes on no further by itself.
func (w *worker) ended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !active(w.run)
}

// completed reports whether the run has passed the point of no return.
func (w *worker) completed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, record := range w.run.Steps {
		if record.Name == Complete && record.State == strangler.StepDone {
			return true
		}
	}
	return false
}

// end says that the worker is over: why, unless by the book, and whether that is a failure which the ledger could not be told.
func (w *worker) end(err error, untold bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over, w.person, w.err, w.untold = true, false, err, untold
	w.announce()
}

// announce wakes those who wait for a change. The lock is held.
func (w *worker) announce() {
	close(w.changed)
	w.changed = make(chan struct{})
}
