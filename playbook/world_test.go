package playbook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	strangler "github.com/strangler-fig/strangler"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errInjected = errors.New("injected")
	errKilled   = errors.New("killed")
)

// fault breaks the write number at: before its effect or after it, by an error or by the death of the
// process, after which nothing answers until the world is revived.
type fault struct {
	at    int
	after bool
	kill  bool
}

// world is everything behind the Engine's interfaces: a ledger, a toggle, a split, an owner. It objects
// to every effect that would do harm, that no intent in the ledger precedes, or that nobody approved.
type world struct {
	mu         sync.Mutex
	capability strangler.Capability
	fault      fault
	writes     int
	dead       bool
	violations []string
	effects    []string // in order

	runs   []strangler.Run
	walked [][2]strangler.RunState // ways from one state of a run to another
	events []strangler.Event

	toggle   strangler.Toggle
	pending  int // flips that come back with an instance pending
	phase    strangler.Phase
	stopped  string
	stuck    error     // of every cancel
	copied   time.Time // when the copy will be through
	verified strangler.Verify
	mismatch int64
	lag      strangler.Lag
	cutover  *strangler.Cutover
	outcomes []error // of the next cutovers and rollbacks; nil commits, others abort
	held     chan struct{}
	goesOn   bool // a cutover whose caller has gone commits a second later
	going    sync.WaitGroup
	entered  chan struct{}
	slow     chan struct{} // holds Complete, whatever becomes of its context
	probe    int           // statuses that fail
	statuses int
	booted   time.Time
	silent   bool         // no traffic
	jump     atomic.Int64 // of all clocks, in nanoseconds
	unread   []bool       // of the next readings of the latest run, which of them fail
	queries  Queries
	leases   *leases // of a fleet; nil: the ledger does not ask who writes
}

var (
	_ Ledger    = (*world)(nil)
	_ Approvals = (*world)(nil)
	_ Toggles   = (*world)(nil)
	_ Splits    = (*world)(nil)
	_ Owners    = (*world)(nil)
	_ Traffic   = (*world)(nil)
)

func delivery() strangler.Capability {
	return strangler.Capability{
		Name:    "delivery",
		Routes:  []strangler.Route{{Method: "POST", Pattern: "/couriers"}, {Method: "GET", Pattern: "/couriers/{id}"}},
		Touches: []strangler.Touch{{Route: strangler.Route{Method: "POST", Pattern: "/orders/{id}/accept"}, Seam: true}},
		Tables: []strangler.Table{{From: "couriers", To: "couriers"}, {From: "courier_actions", To: "actions"},
			{From: "orders", To: "deliveries", Columns: map[string]string{"id": "order_id"}, Drop: []string{"total"}, Where: "courier <> 0", OneWay: true}},
		OnDelete: map[string]strangler.Delete{"invoices(order_id)": strangler.DeleteCascade, "couriers(zone)": strangler.DeleteRestrict},
		Legacy:   strangler.Upstream{URLs: []string{"http://monolith.test"}},
		Service:  strangler.Upstream{URLs: []string{"http://delivery.test"}},
		Playbook: strangler.PlaybookSettings{
			Canary: []strangler.Percent{10_000, 500_000, strangler.Hundred}, Soak: 20 * time.Second, Approve: []string{Cutover, Complete},
		},
	}
}

func stateless() strangler.Capability {
	c := delivery()
	c.Tables, c.OnDelete, c.Touches = nil, nil, nil
	return c
}

func newWorld(c strangler.Capability) *world {
	w := &world{capability: c, booted: time.Now(), toggle: strangler.Toggle{Capability: c.Name, Mode: strangler.ModeLegacy, Epoch: 1, Since: time.Now()}}
	if !c.Stateless() {
		w.toggle.Owner = strangler.Legacy
	}
	return w
}

func (w *world) config() Config {
	return Config{
		Capabilities: []strangler.Capability{w.capability},
		Ledger:       w, Past: w, Approvals: w, Toggles: w, Splits: w, Owners: w, Traffic: w, Queries: w.queries,
		Tell:       func(e strangler.Event) { w.set(func() { w.events = append(w.events, e) }) },
		ShadowHold: 3 * time.Second, CanaryHold: 3 * time.Second, VerifyFresh: 10 * time.Minute,
	}
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.jump.Load())) }

func (w *world) engine(t *testing.T) *Engine {
	t.Helper()
	e, err := New(w.config())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

// write is every durable change, counted and broken where the fault says.
func (w *world) write(effect func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return errKilled
	}
	w.writes++
	hit := w.writes == w.fault.at
	broken := errInjected
	if hit && w.fault.kill {
		broken = errKilled
	}
	if hit && !w.fault.after {
		w.dead = w.fault.kill
		return broken
	}
	if err := effect(); err != nil {
		return err
	}
	if hit {
		w.dead = w.fault.kill
		return broken
	}
	return nil
}

func (w *world) read() (func(), error) {
	w.mu.Lock()
	if w.dead {
		w.mu.Unlock()
		return nil, errKilled
	}
	return w.mu.Unlock, nil
}

// set changes the world behind the Engine's back.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) object(format string, args ...any) error {
	s := fmt.Sprintf(format, args...)
	w.violations = append(w.violations, s)
	return strangler.Refuse("world", s)
}

// intent demands that the ledger has one of the steps in a state that announces the effect.
func (w *world) intent(effect string, state strangler.StepState, steps ...string) *strangler.StepRun {
	w.effects = append(w.effects, effect)
	if len(w.runs) > 0 {
		run := &w.runs[len(w.runs)-1]
		for i := range run.Steps {
			if s := &run.Steps[i]; s.State == state && slices.Contains(steps, s.Name) {
				return s
			}
		}
	}
	_ = w.object("%s without the intent in the ledger: no step of %v is %s", effect, steps, state)
	return &strangler.StepRun{}
}

func (w *world) StartRun(_ context.Context, worker string, run strangler.Run) (strangler.Run, error) {
	err := w.write(func() error {
		if err := w.fenced(worker); err != nil {
			return err
		}
		for _, r := range w.runs {
			if active(r) {
				return w.object("run %d is active when another begins", r.ID)
			}
		}
		run.ID = int64(len(w.runs) + 1)
		w.runs = append(w.runs, copyRun(run))
		return w.walk("", run.State)
	})
	return run, err
}

func (w *world) LatestRun(context.Context, string) (strangler.Run, error) {
	unlock, err := w.read()
	if err != nil {
		return strangler.Run{}, err
	}
	defer unlock()
	if len(w.unread) > 0 {
		fails := w.unread[0]
		if w.unread = w.unread[1:]; fails {
			return strangler.Run{}, errors.New("connection refused")
		}
	}
	if len(w.runs) == 0 {
		return strangler.Run{}, strangler.ErrNotFound
	}
	return copyRun(w.runs[len(w.runs)-1]), nil
}

func (w *world) Runs(_ context.Context, _ string, limit int) (runs []strangler.Run, err error) {
	unlock, err := w.read()
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, run := range slices.Backward(w.runs) {
		runs = append(runs, copyRun(run))
	}
	return runs[:min(len(runs), limit)], nil
}

func (w *world) ActiveRuns(context.Context) ([]strangler.Run, error) {
	unlock, err := w.read()
	if err != nil {
		return nil, err
	}
	defer unlock()
	var runs []strangler.Run
	for _, r := range w.runs {
		if active(r) {
			runs = append(runs, copyRun(r))
		}
	}
	return runs, nil
}

func (w *world) SaveRun(_ context.Context, worker string, run strangler.Run) error {
	return w.write(func() error {
		if err := w.fenced(worker); err != nil {
			return err
		}
		old := w.runs[run.ID-1]
		run.Steps = old.Steps
		w.runs[run.ID-1] = run
		return w.walk(old.State, run.State)
	})
}

// fenced is ErrSuperseded unless the worker has the lease.
func (w *world) fenced(worker string) error {
	if w.leases == nil || worker == "" {
		return nil
	}
	w.leases.mu.Lock()
	defer w.leases.mu.Unlock()
	if holder := w.leases.held[strangler.RunLease(w.capability.Name)]; holder != worker {
		return fmt.Errorf("%s has lost its lease to %q: %w", worker, holder, strangler.ErrSuperseded)
	}
	return nil
}

// walk objects to a way that the picture of the states has not.
func (w *world) walk(from, to strangler.RunState) error {
	if from == to {
		return nil
	}
	if !slices.ContainsFunc(edges, func(e edge) bool { return e.from == from && e.to == to }) {
		return w.object("a run went from %q to %q", from, to)
	}
	w.walked = append(w.walked, [2]strangler.RunState{from, to})
	return nil
}

func (w *world) SaveStep(_ context.Context, worker string, id int64, step strangler.StepRun) error {
	return w.write(func() error {
		if err := w.fenced(worker); err != nil {
			return err
		}
		for i, s := range w.runs[id-1].Steps {
			if s.Name == step.Name {
				step.Approved = s.Approved
				w.runs[id-1].Steps[i] = step
				return nil
			}
		}
		return w.object("step %s is not of run %d", step.Name, id)
	})
}

func (w *world) Approve(_ context.Context, id int64, step, who string) error {
	return w.write(func() error {
		for i, s := range w.runs[id-1].Steps {
			if s.Name == step && s.Approved == "" {
				w.runs[id-1].Steps[i].Approved = who
			}
		}
		return nil
	})
}

func (w *world) Toggle(context.Context, string) (strangler.Toggle, error) {
	unlock, err := w.read()
	if err != nil {
		return strangler.Toggle{}, err
	}
	defer unlock()
	return w.toggle, nil
}

func (w *world) Flip(_ context.Context, _ string, change strangler.ToggleChange) (flip strangler.Flip, err error) {
	err = w.write(func() error {
		state := strangler.StepDoing
		if change.Mode == strangler.ModeLegacy && change.Who != guardName {
			state = strangler.StepUndoing
		}
		if change.Why == "" || change.Who == "" {
			return w.object("a flip without who or why")
		}
		if err := w.toggle.Contradiction(change.Mode); err != nil {
			return w.object("%v", err)
		}
		if w.toggle.Mode != change.Mode || w.toggle.Percent != change.Percent {
			w.intent(describe(change.Mode, change.Percent), state, Shadow, Canary, Cutover)
			w.setToggle(change.Mode, change.Percent)
		}
		flip.Toggle = w.toggle
		if w.pending > 0 {
			w.pending--
			flip.Pending = []string{"proxy-2"}
		}
		return nil
	})
	return flip, err
}

func (w *world) setToggle(mode strangler.Mode, percent strangler.Percent) {
	w.toggle.Mode, w.toggle.Percent, w.toggle.Since = mode, percent, w.now()
	w.toggle.Epoch++
}

func (w *world) Expand(context.Context, string) error {
	return w.write(func() error {
		w.intent("expand", strangler.StepDoing, Expand)
		if w.toggle.Owner == strangler.Service {
			return w.object("expand while the service owns")
		}
		if w.phase == strangler.PhaseNone || w.phase == strangler.PhaseCancelled {
			w.phase = strangler.PhasePlanned
		}
		return nil
	})
}

func (w *world) Start(context.Context, string) error {
	return w.write(func() error {
		w.intent("start", strangler.StepDoing, Copy)
		switch w.settle(); w.phase {
		case strangler.PhasePlanned, strangler.PhaseStopped:
			w.phase, w.copied = strangler.PhaseCopying, time.Now().Add(3*time.Second)
		case strangler.PhaseCopying:
		default:
			return w.object("start in phase %q", w.phase)
		}
		return nil
	})
}

// settle lets time do what the split's worker would.
func (w *world) settle() {
	if w.phase == strangler.PhaseCopying && !time.Now().Before(w.copied) {
		w.phase = strangler.PhaseSyncing
	}
}

func (w *world) Verify(context.Context, string) (v strangler.Verification, err error) {
	err = w.write(func() error {
		w.intent("verify", strangler.StepDoing, Verify, Cutover)
		if w.settle(); w.phase != strangler.PhaseSyncing {
			return w.object("verify in phase %q", w.phase)
		}
		w.verified = strangler.Verify{At: w.now(), Rows: 100, Mismatches: w.mismatch}
		v.Verify = w.verified
		return nil
	})
	return v, err
}

func (w *world) Status(context.Context, string) (strangler.SplitStatus, error) {
	unlock, err := w.read()
	if err != nil {
		return strangler.SplitStatus{}, err
	}
	defer unlock()
	w.statuses++
	if w.probe > 0 {
		w.probe--
		return strangler.SplitStatus{}, errors.New("connection refused")
	}
	w.settle()
	st := strangler.SplitStatus{Capability: w.capability.Name, Phase: w.phase, Error: w.stopped, Owner: w.toggle.Owner, Epoch: w.toggle.Epoch,
		Lag: w.lag, LastVerify: w.verified, Tables: []strangler.TableProgress{{Name: "couriers", RowsCopied: 50, RowsTotal: 100}}}
	if w.cutover != nil {
		c := *w.cutover
		st.Cutover = &c
	}
	return st, nil
}

func (w *world) Cancel(context.Context, string) error {
	return w.write(func() error {
		if w.stuck != nil {
			return w.stuck
		}
		w.intent("cancel", strangler.StepUndoing, Copy, Expand)
		if w.toggle.Owner == strangler.Service {
			return w.object("cancel while the service owns")
		}
		if w.toggle.Mode != strangler.ModeLegacy {
			return w.object("cancel under toggle %s", w.toggle.Mode)
		}
		w.phase, w.verified = strangler.PhaseCancelled, strangler.Verify{}
		return nil
	})
}

func (w *world) Cutover(ctx context.Context, _, who, why string) (strangler.Cutover, error) {
	if w.held != nil {
		w.entered <- struct{}{}
		select {
		case <-w.held:
		case <-ctx.Done():
			if w.goesOn {
				w.going.Go(func() {
					time.Sleep(time.Second)
					w.hand(strangler.Service, strangler.StepDoing, who, why)
				})
			}
			return strangler.Cutover{State: strangler.Aborted, From: strangler.Legacy, To: strangler.Service}, ctx.Err()
		}
	}
	return w.hand(strangler.Service, strangler.StepDoing, who, why)
}

// Settle waits for a cutover that goes on though nobody waits for it any more.
func (w *world) Settle(context.Context, string) error {
	w.going.Wait()
	return nil
}

func (w *world) Rollback(_ context.Context, _, who, why string) (strangler.Cutover, error) {
	return w.hand(strangler.Legacy, strangler.StepUndoing, who, why)
}

func (w *world) hand(to strangler.Side, intent strangler.StepState, who, why string) (c strangler.Cutover, err error) {
	err = w.write(func() error {
		w.settle()
		step := w.intent("owner "+string(to), intent, Cutover)
		c = strangler.Cutover{ID: 1, Capability: w.capability.Name, From: to.Other(), To: to, State: strangler.Aborted, Who: who, Why: why, Started: w.now(), Ended: w.now()}
		want := map[strangler.Side]strangler.Phase{strangler.Service: strangler.PhaseSyncing, strangler.Legacy: strangler.PhaseReversed}[to]
		switch {
		case w.toggle.Owner == to:
			return w.object("%s takes over from itself", to)
		case w.phase != want:
			return w.object("the owner changes to %s in phase %q", to, w.phase)
		case to == strangler.Service && step.Approved == "":
			return w.object("a cutover that nobody approved")
		case to == strangler.Service && w.now().Sub(w.verified.At) > 10*time.Minute:
			return w.object("a cutover on a stale verification")
		}
		if len(w.outcomes) > 0 {
			outcome := w.outcomes[0]
			if w.outcomes = w.outcomes[1:]; outcome != nil {
				return outcome
			}
		}
		c.State = strangler.Committed
		w.cutover, w.toggle.Owner = &c, to
		if to == strangler.Service {
			w.phase = strangler.PhaseReversed
			w.setToggle(strangler.ModeExtracted, 0)
		} else {
			w.phase = strangler.PhaseSyncing
			w.setToggle(strangler.ModeLegacy, 0)
		}
		return nil
	})
	return c, err
}

func (w *world) Complete(context.Context, string, string) error {
	if w.slow != nil {
		<-w.slow
	}
	return w.write(func() error {
		step := w.intent("complete", strangler.StepDoing, Complete)
		if w.phase != strangler.PhaseReversed && w.phase != strangler.PhaseComplete || step.Approved == "" || !strings.Contains(step.Detail, "point of no return") {
			return w.object("complete in phase %q, approved by %q, announced as %q", w.phase, step.Approved, step.Detail)
		}
		w.phase = strangler.PhaseComplete
		return nil
	})
}

// Requests counts ten requests a second on each side, one in ten with an error.
func (w *world) Requests(string, strangler.Side) (requests, failed int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent {
		return 0, 0
	}
	n := int64(time.Since(w.booted)/time.Second) * 10
	return n, n / 10
}
