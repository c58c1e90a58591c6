package playbook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

const (
	noTables = "no tables"
	// probeTries is how often in a row a Check may fail for a passing reason, a Poll apart.
	probeTries = 30
	// longestPause bounds the growing pause between attempts.
	longestPause = time.Minute
	// longestRest is how long it takes at the longest until a ledger that is back is noticed.
	longestRest = 5 * time.Second
)

// worker is the goroutine of one active run. A run that is turned back keeps its worker.
type worker struct {
	cfg        *Config
	capability strangler.Capability
	list       list
	unattended bool
	log        *slog.Logger
	woken      chan struct{} // an approval may have come; holds one signal

	at     int    // the goroutine's own: the step it is at, -1 for none
	recent recent // likewise

	mu      sync.Mutex // guards what follows, and is held over writes to the ledger
	run     strangler.Run
	left    strangler.Run      // names and states as this worker left them in the ledger, or found them
	unsure  map[int]bool       // the records, steps by their place, of which the last write failed and may be in the ledger all the same
	person  bool               // it waits for a person
	turn    *turn              // asked for, not yet taken
	stop    context.CancelFunc // interrupts the present direction
	changed chan struct{}      // closed at the next change of what view returns
	over    bool
	err     error // why it is over, unless by the book
	untold  bool  // over because the run failed, and the ledger could not be told
}

// newWorker makes a worker for a run as it is in the ledger. One that is attended goes forward as if what
// the run had begun or failed were seen for the first time: a person has looked at it since. Only what a program of the team's own
// had begun stays so, for nothing can probe it, and a wait, which goes by when it began.
func newWorker(cfg *Config, c strangler.Capability, run strangler.Run, unattended bool) *worker {
	left, steps := copyRun(run), listOf(c)
	run = copyRun(run)
	for i, record := range run.Steps {
		place, _ := steps.find(record.Name)
		kept := record.State == strangler.StepDone || record.State == strangler.StepSkipped ||
			record.State == strangler.StepDoing && steps[place].Kind != "" || record.State == strangler.StepWaiting && steps[place].Kind == "wait"
		if !unattended && run.State == strangler.RunRunning && !kept {
			run.Steps[i].State = strangler.StepPending
		}
	}
	return &worker{
		cfg: cfg, capability: c, list: steps, unattended: unattended,
		log:     cfg.Log.With(strangler.LogCapability, c.Name, strangler.LogRun, run.ID),
		woken:   make(chan struct{}, 1),
		at:      -1,
		run:     run,
		left:    left,
		unsure:  map[int]bool{},
		changed: make(chan struct{}),
	}
}

// work goes the run's way, and the other one when it is turned back, until the run has ended or ctx has.
func (w *worker) work(ctx context.Context) {
	for {
		way, stop := context.WithCancel(ctx)
		undoing := w.set(stop)
		var err error
		if undoing {
			err = w.back(way)
		} else {
			err = w.forward(way)
		}
		stop()
		t := w.takeTurn()
		switch {
		case ctx.Err() != nil:
			err := closing()
			if lost := context.Cause(ctx); errors.Is(lost, strangler.ErrSuperseded) {
				err = lost
				w.log.Warn("another daemon has the run; this one leaves it")
			}
			t.answer(err)
			w.end(err, false)
		case t != nil:
			if w.give(ctx, t) {
				continue
			}
		case errors.Is(err, errPaused):
			w.at, err = -1, w.halt(ctx)
			if err == nil && !w.ended() {
				continue // somebody has said "go on" meanwhile
			}
			if err != nil {
				w.fail(ctx, err)
				break
			}
			w.end(nil, false)
		case err != nil:
			w.fail(ctx, err)
		default:
			w.end(nil, false)
		}
		w.takeTurn().answer(errOver)
		return
	}
}

// give takes a turn, and answers it. It reports whether the worker goes on.
func (w *worker) give(ctx context.Context, t *turn) bool {
	w.at = -1
	err := w.settle(ctx)
	if err != nil && ctx.Err() != nil {
		t.answer(closing())
		w.end(closing(), false)
		return false
	}
	if err == nil {
		err = t.take(ctx)
	}
	switch {
	case (err == nil || errors.Is(err, strangler.ErrRefused)) && w.ended(): // also of itself, while it was asked
		w.end(nil, false)
		t.answer(err)
		return false
	case err == nil, errors.Is(err, strangler.ErrRefused):
		t.answer(err)
		return true
	}
	t.answer(fmt.Errorf("%w; whether it was done is not known: ask for it again", err))
	w.fail(ctx, err)
	return false
}

// settle waits until what was interrupted has ended: what is found before that may be changed by it.
func (w *worker) settle(ctx context.Context) error {
	if w.capability.Stateless() {
		return nil
	}
	if err := w.cfg.Owners.Settle(ctx, w.capability.Name); err != nil {
		return fmt.Errorf("waiting for what is under way to end: %w", err)
	}
	return nil
}

// errPaused ends a direction because a person wants nothing more begun.
var errPaused = errors.New("paused")

// halt journals that the run is paused, unless nobody wants that any more.
func (w *worker) halt(ctx context.Context) error {
	return w.saveRun(ctx, func(r *strangler.Run) {
		if r.Paused != "" {
			r.State, r.Waiting = strangler.RunPaused, ""
		}
	})
}

// forward takes each step of the run in turn. Those that are done are recognised by their checks, and
// those that a person has skipped are passed over.
func (w *worker) forward(ctx context.Context) error {
	if err := w.agree(ctx); err != nil {
		return err
	}
	run, _, _, _ := w.view()
	for i, record := range run.Steps {
		if record.State == strangler.StepSkipped {
			continue
		}
		if err := w.advance(ctx, i, record.Name); err != nil {
			return fmt.Errorf("step %s: %w", record.Name, err)
		}
		if record.Name == run.Until {
			break
		}
	}
	w.at = -1
	now := w.cfg.Now()
	if err := w.saveRun(ctx, func(r *strangler.Run) { r.State, r.Waiting, r.Ended = strangler.RunDone, "", now }); err != nil {
		return err
	}
	w.log.Info("the run is done")
	return nil
}

// advance takes one step until its Check finds it done.
func (w *worker) advance(ctx context.Context, i int, name string) error {
	w.at = i
	place, ok := w.list.find(name)
	if !ok {
		return fmt.Errorf("this version knows no such step: %w", strangler.ErrConfig)
	}
	d := w.list[place]
	if d.NeedsTables && w.capability.Stateless() {
		return w.finish(ctx, i, strangler.StepDone, noTables)
	}
	s, tries, did, fresh := d.make(), 0, "", false
	for {
		if !fresh { // what has just been done is told to the ledger before anything else
			if w.pausing() {
				return errPaused
			}
			if v, is := w.guarded(ctx, i); is {
				return w.trip(ctx, i, v)
			}
		}
		fresh = false
		v, err := w.probe(ctx, i, s)
		if err != nil {
			return err
		}
		a := w.act(i)
		switch {
		case v.answer == isTripped:
			return w.trip(ctx, i, v)
		case v.answer == isDone:
			w.log.Info("step done", strangler.LogStep, name, "detail", v.text)
			return w.finish(ctx, i, strangler.StepDone, v.text)
		case v.answer == isMissing:
			err = w.pause(ctx, i, v, v.person)
		case a.recordedDone() && w.unattended:
			err = strangler.Refuse("ledger", "the step was done in this run and has been taken back since: it would be "+v.text+" once more",
				"strangler playbook run "+a.name()+" does it again", "strangler playbook rollback "+a.name())
		case a.record.Approved == "" && d.asks(w.capability):
			err = w.pause(ctx, i, question(a.name(), d.Description, v), true)
		case did == v.text:
			did = ""
			err = w.sort(ctx, i, again{fmt.Errorf("%s went well, and yet it does not show", v.text)}, &tries)
		default:
			if old, is, err := a.outdated(ctx, d); err != nil {
				return err
			} else if is {
				if err := w.pause(ctx, i, old, false); err != nil {
					return err
				}
				continue
			}
			if err = w.intend(ctx, i, d.Description, v); err != nil {
				return err
			}
			if err = s.Do(ctx, w.act(i)); err == nil {
				did, fresh = v.text, true
				continue
			}
			did = ""
			err = w.sort(ctx, i, err, &tries)
		}
		if err != nil {
			return err
		}
	}
}

// probe is Check, asked again while it fails for a reason that may pass.
func (w *worker) probe(ctx context.Context, i int, s step) (verdict, error) {
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return verdict{}, err
		}
		if err := w.readable(ctx); err != nil {
			return verdict{}, err
		}
		v, err := s.Check(ctx, w.act(i))
		if err == nil || ctx.Err() != nil || decided(err) || n == probeTries {
			return v, err
		}
		trouble := missing("a check to come through: %v", err)
		trouble.blind = true
		if err := w.pause(ctx, i, trouble, false); err != nil {
			return v, err
		}
	}
}

// intend journals that the effect will now be brought about, and says so where it cannot be undone.
func (w *worker) intend(ctx context.Context, i int, d Description, v verdict) error {
	detail := v.text
	if d.Final {
		detail += "; " + pointOfNoReturn
		w.log.Warn("the point of no return", strangler.LogStep, d.Name, "detail", detail)
	}
	return w.begin(ctx, i, strangler.StepDoing, strangler.RunRunning, detail)
}

const pointOfNoReturn = "this is the point of no return: it cannot be undone"

func question(capability string, d Description, v verdict) verdict {
	q := missing("approval: strangler playbook approve %s %s", capability, d.Name)
	q.detail = q.text + "; next is " + v.text
	if d.Final {
		q.detail += "; " + pointOfNoReturn
	}
	return q
}

// sort decides what the error of an effect means: wait and call again, bounded or not, or fail.
func (w *worker) sort(ctx context.Context, i int, err error, tries *int) error {
	var l later
	var g again
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &l):
		return w.pause(ctx, i, missing("%s", l.waitingFor), false)
	case errors.As(err, &g), errors.Is(err, strangler.ErrConflict):
		most := w.cfg.Tries
		if f := (fewer{}); errors.As(err, &f) {
			most = f.of
		}
		if *tries++; *tries >= most {
			return fmt.Errorf("%d attempts, the last: %w", *tries, err)
		}
		w.log.Info("an attempt is repeated", "attempt", *tries, strangler.LogError, err)
		v := missing("attempt %d of %d, because %v", *tries+1, most, err)
		v.pause = min(w.cfg.Poll<<min(*tries-1, 10), longestPause)
		return w.pause(ctx, i, v, false)
	}
	return err
}

// back undoes the steps from the end down to the one that the run goes back to. All of them, whatever
// the ledger says of them: each Undo finds out what there is to take back.
func (w *worker) back(ctx context.Context) error {
	run, _, _, _ := w.view()
	for i := len(run.Steps) - 1; i >= 0 && !w.list.before(run.Steps[i].Name, run.BackTo); i-- {
		if err := w.takeBack(ctx, i, run.Steps[i].Name); err != nil {
			return fmt.Errorf("undoing step %s: %w", run.Steps[i].Name, err)
		}
	}
	w.at = -1
	now := w.cfg.Now()
	if err := w.saveRun(ctx, func(r *strangler.Run) { r.State, r.Waiting, r.Ended = strangler.RunRolledBack, "", now }); err != nil {
		return err
	}
	w.log.Info("the run is rolled back", "to", run.BackTo)
	return nil
}

// skippedBack reports whether a person has skipped a step since the run was turned back.
func skippedBack(run strangler.Run, name string) bool {
	for _, act := range slices.Backward(run.Acts) {
		switch {
		case act.What == "rollback":
			return false
		case act.What == "skip" && act.Step == name:
			return true
		}
	}
	return false
}

func (w *worker) takeBack(ctx context.Context, i int, name string) error {
	w.at = i
	place, ok := w.list.find(name)
	if !ok {
		return fmt.Errorf("this version knows no such step: %w", strangler.ErrConfig)
	}
	d := w.list[place]
	if d.NeedsTables && w.capability.Stateless() {
		return w.finish(ctx, i, strangler.StepUndone, noTables)
	}
	if a := w.act(i); a.record.State == strangler.StepSkipped && skippedBack(a.run, name) {
		return w.finish(ctx, i, strangler.StepUndone, "not undone: "+a.record.Detail)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.begin(ctx, i, strangler.StepUndoing, strangler.RunUndoing, "undoing"); err != nil {
		return err
	}
	s, tries := d.make(), 0
	for {
		if w.pausing() {
			return errPaused
		}
		if err := w.readable(ctx); err != nil {
			return err
		}
		detail, err := s.Undo(ctx, w.act(i))
		if err == nil {
			w.log.Info("step undone", strangler.LogStep, name, "detail", detail)
			return w.finish(ctx, i, strangler.StepUndone, detail)
		}
		if err := w.sort(ctx, i, err, &tries); err != nil {
			return err
		}
	}
}
