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
)

// worker is the goroutine of one active run. A run that is turned back keeps its worker.
type worker struct {
	cfg        *Config
	capability strangler.Capability
	list       list
	unattended bool
	log        *slog.Logger
	woken      chan struct{} // an approval may have come; holds one signal

	at int // the goroutine's own: the step it is at, -1 for none

	mu      sync.Mutex // guards what follows, and is held over writes to the ledger
	run     strangler.Run
	left    strangler.Run      // names and states as this worker left them in the ledger, or found them
	unsure  bool               // a write of this worker failed, and may be in the ledger
	person  bool               // it waits for a person
	turn    *turn              // asked for, not yet taken
	stop    context.CancelFunc // interrupts the present direction
	changed chan struct{}      // closed at the next change of what view returns
	over    bool
	err     error // why it is over, unless by the book
	failed  bool  // over because the run failed
}

// newWorker makes a worker for a run as it is in the ledger. One that is attended goes forward as if what
// the run had begun or failed were seen for the first time: a person has looked at it since.
func newWorker(cfg *Config, c strangler.Capability, run strangler.Run, unattended bool) *worker {
	left := copyRun(run)
	run = copyRun(run)
	for i, record := range run.Steps {
		if !unattended && run.State == strangler.RunRunning && record.State != strangler.StepDone {
			run.Steps[i].State = strangler.StepPending
		}
	}
	return &worker{
		cfg: cfg, capability: c, list: listOf(c), unattended: unattended,
		log:     cfg.Log.With(strangler.LogCapability, c.Name, strangler.LogRun, run.ID),
		woken:   make(chan struct{}, 1),
		at:      -1,
		run:     run,
		left:    left,
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
		case t != nil && w.completed():
			t.answer(pastReturn(w.capability.Name))
			w.end(nil, false)
		case t != nil:
			if w.at, err = -1, w.saveRun(ctx, t.change); err == nil {
				t.answer(nil)
				continue
			}
			t.answer(fmt.Errorf("%w; whether the rollback was begun is not known: ask for it again", err))
			w.fail(ctx, err)
		case err != nil:
			w.fail(ctx, err)
		default:
			w.end(nil, false)
		}
		w.takeTurn().answer(errOver)
		return
	}
}

// forward takes each step of the run in turn. Those that are done are recognised by their checks.
func (w *worker) forward(ctx context.Context) error {
	run, _, _, _ := w.view()
	for i, record := range run.Steps {
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
	s, tries, did := d.make(), 0, ""
	for {
		v, err := w.probe(ctx, i, s)
		if err != nil {
			return err
		}
		a := w.act(i)
		switch {
		case v.answer == isDone:
			w.log.Info("step done", strangler.LogStep, name, "detail", v.text)
			return w.finish(ctx, i, strangler.StepDone, v.text)
		case v.answer == isMissing:
			err = w.pause(ctx, i, v, v.person)
		case a.recordedDone() && w.unattended:
			err = strangler.Refuse("ledger", "the step was done in this run and has been taken back since: it would be "+v.text+" once more",
				"strangler playbook run "+a.name()+" does it again", "strangler playbook rollback "+a.name())
		case a.record.Approved == "" && slices.Contains(w.capability.Playbook.Approve, name):
			err = w.pause(ctx, i, question(a.name(), d.Description, v), true)
		case did == v.text:
			did = ""
			err = w.sort(ctx, i, again{fmt.Errorf("%s went well, and yet it does not show", v.text)}, &tries)
		default:
			if err = w.intend(ctx, i, d.Description, v); err != nil {
				return err
			}
			if err = s.Do(ctx, w.act(i)); err == nil {
				did = v.text
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
		v, err := verdict{}, w.mine(ctx)
		if err == nil {
			v, err = s.Check(ctx, w.act(i))
		}
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
	if err := ctx.Err(); err != nil {
		return err
	}
	begun := w.begun(i)
	if err := w.begin(ctx, i, strangler.StepUndoing, strangler.RunUndoing, "undoing"); err != nil {
		return err
	}
	s, tries := d.make(), 0
	for {
		detail, err := "", w.mine(ctx)
		if err == nil {
			a := w.act(i)
			a.begun = begun
			detail, err = s.Undo(ctx, a)
		}
		if err == nil {
			w.log.Info("step undone", strangler.LogStep, name, "detail", detail)
			return w.finish(ctx, i, strangler.StepUndone, detail)
		}
		if err := w.sort(ctx, i, err, &tries); err != nil {
			return err
		}
	}
}
