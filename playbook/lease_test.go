package playbook

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// leases are those of a control store.
type leases struct {
	mu   sync.Mutex
	held map[string]string
	ends map[string]time.Time
}

func newLeases() *leases { return &leases{held: map[string]string{}, ends: map[string]time.Time{}} }

func (l *leases) Lease(_ context.Context, name, holder string, ttl time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.held[name]; h != "" && h != holder && time.Now().Before(l.ends[name]) {
		return false, nil
	}
	l.held[name], l.ends[name] = holder, time.Now().Add(ttl)
	return true, nil
}

func (l *leases) Unlease(_ context.Context, name, holder string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[name] == holder {
		delete(l.held, name)
	}
	return nil
}

func (l *leases) LeaseHolder(_ context.Context, name string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().Before(l.ends[name]) {
		return l.held[name], nil
	}
	return "", nil
}

// frozen are the leases as a daemon sees them that no longer renews any: one that is stopped, or was killed.
type frozen struct {
	*leases
	still chan struct{} // closed when it is
}

func (f frozen) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	select {
	case <-f.still:
		<-ctx.Done()
		return false, ctx.Err()
	default:
		return f.leases.Lease(ctx, name, holder, ttl)
	}
}

// joins starts a daemon of a fleet, which sees the ledger and the leases in its own way.
func joins(t *testing.T, w *world, name string, ledger Ledger, l Leases) *Engine {
	t.Helper()
	cfg := w.config()
	cfg.Ledger, cfg.Leases, cfg.Worker = ledger, l, name
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

// inFleet has two daemons, a and b, on one world.
func inFleet(t *testing.T, test func(t *testing.T, w *world, a, b *Engine, stop func())) {
	synctest.Test(t, func(t *testing.T) {
		w, all := newWorld(delivery()), newLeases()
		w.leases = all
		still := make(chan struct{})
		a, b := joins(t, w, "daemon-a", w, frozen{all, still}), joins(t, w, "daemon-b", w, all)
		defer b.Close()
		defer a.Close()
		test(t, w, a, b, func() { close(still) })
		complain(t, w)
	})
}

func waiting(t *testing.T, e *Engine, step string) {
	t.Helper()
	for range 1000 {
		run, err := e.Status(t.Context(), "delivery")
		if err == nil && strings.Contains(run.Waiting, "approve delivery "+step) {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("the run never waited for %s", step)
}

// awaitDone waits until the run is; Wait would return at once where it waits for an approval that was given elsewhere.
func awaitDone(t *testing.T, e *Engine) {
	t.Helper()
	for range 1000 {
		if run, err := e.Status(t.Context(), "delivery"); err == nil && run.State == strangler.RunDone {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatal("the run was never done")
}

// TestOneDaemonWorksOnARun: what another daemon is asked to do with a run is refused, and it says who has it; an approval is taken
// by any of them.
func TestOneDaemonWorksOnARun(t *testing.T) {
	inFleet(t, func(t *testing.T, w *world, a, b *Engine, _ func()) {
		if _, err := a.Run(t.Context(), "delivery", RunOptions{Who: "bob"}); err != nil {
			t.Fatal(err)
		}
		for what, ask := range map[string]func() error{
			"run":      func() error { _, err := b.Run(t.Context(), "delivery", RunOptions{}); return err },
			"rollback": func() error { _, err := b.Rollback(t.Context(), "delivery", RunOptions{To: Expand}); return err },
			"only":     func() error { _, err := b.Only(t.Context(), "delivery", Verify, RunOptions{Who: "eve"}); return err },
		} {
			var told *strangler.Refusal
			if err := ask(); !errors.As(err, &told) || told.Check != "run" || !strings.Contains(told.Why, "daemon-a") {
				t.Errorf("%s at the other daemon: %v", what, err)
			}
		}
		waiting(t, a, Cutover)
		if err := b.Approve(t.Context(), "delivery", RunOptions{Step: Cutover, Who: "ann", Confirm: "delivery"}); err != nil {
			t.Fatal(err)
		}
		waiting(t, a, Complete)
		if err := b.Approve(t.Context(), "delivery", RunOptions{Step: Complete, Who: "ann", Confirm: "delivery"}); err != nil {
			t.Fatal(err)
		}
		awaitDone(t, a)
		synctest.Wait()
		if _, err := b.Run(t.Context(), "delivery", RunOptions{}); err != nil {
			t.Errorf("a run behind one that is over: %v", err)
		}
		if run, err := b.Wait(t.Context(), "delivery"); err != nil || run.State != strangler.RunDone {
			t.Errorf("%+v, %v", run, err)
		}
	})
}

// TestAnotherDaemonTakesOver: a run whose daemon is closed, or no longer renews its lease, goes on at another one; the first, should
// it only have slept, leaves it there.
func TestAnotherDaemonTakesOver(t *testing.T) {
	for name, gone := range map[string]func(a *Engine, stop func()){
		"closed":  func(a *Engine, _ func()) { a.Close() },
		"stopped": func(_ *Engine, stop func()) { stop() },
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, w *world, a, b *Engine, stop func()) {
				if _, err := a.Run(t.Context(), "delivery", RunOptions{Who: "bob"}); err != nil {
					t.Fatal(err)
				}
				waiting(t, a, Cutover)
				gone(a, stop)
				time.Sleep(10 * time.Second)
				if err := b.Approve(t.Context(), "delivery", RunOptions{Step: Cutover, Who: "ann", Confirm: "delivery"}); err != nil {
					t.Fatal(err)
				}
				waiting(t, b, Complete)
				if err := b.Approve(t.Context(), "delivery", RunOptions{Step: Complete, Who: "ann", Confirm: "delivery"}); err != nil {
					t.Fatal(err)
				}
				awaitDone(t, b)
			})
		})
	}
}

// severed is the store as a daemon sees it that is cut off from it for a while.
type severed struct {
	*world
	*leases
	away  atomic.Bool
	wrote atomic.Int64 // since it is back
}

func (c *severed) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	if c.away.Load() {
		return false, errInjected
	}
	return c.leases.Lease(ctx, name, holder, ttl)
}

func (c *severed) LatestRun(ctx context.Context, capability string) (strangler.Run, error) {
	if c.away.Load() {
		return strangler.Run{}, errInjected
	}
	return c.world.LatestRun(ctx, capability)
}

func (c *severed) SaveRun(ctx context.Context, worker string, run strangler.Run) error {
	if c.away.Load() {
		return errInjected
	}
	c.wrote.Add(1)
	return c.world.SaveRun(ctx, worker, run)
}

func (c *severed) SaveStep(ctx context.Context, worker string, id int64, s strangler.StepRun) error {
	if c.away.Load() {
		return errInjected
	}
	c.wrote.Add(1)
	return c.world.SaveStep(ctx, worker, id, s)
}

// TestCutOffFromTheStore: a daemon that waits to write to the ledger, while another one takes its run over, writes nothing when it can
// again.
func TestCutOffFromTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, all := newWorld(delivery()), newLeases()
		w.leases = all
		c := &severed{world: w, leases: all}
		a, b := joins(t, w, "daemon-a", c, c), joins(t, w, "daemon-b", w, all)
		defer b.Close()
		defer a.Close()
		w.held, w.entered = make(chan struct{}), make(chan struct{})
		if _, err := a.Run(t.Context(), "delivery", RunOptions{Who: "bob"}); err != nil {
			t.Fatal(err)
		}
		waiting(t, a, Cutover)
		if err := a.Approve(t.Context(), "delivery", RunOptions{Step: Cutover, Who: "ann"}); err != nil {
			t.Fatal(err)
		}
		<-w.entered
		c.away.Store(true)
		close(w.held) // what it does goes well, and it cannot say so
		waiting(t, b, Complete)
		c.wrote.Store(0)
		c.away.Store(false)
		time.Sleep(time.Minute)
		if run, err := b.Status(t.Context(), "delivery"); err != nil || run.State != strangler.RunWaiting || c.wrote.Load() > 0 {
			t.Errorf("the run is %s, %v; the daemon that was cut off wrote %d times", doing(run), err, c.wrote.Load())
		}
		if _, err := a.Wait(t.Context(), "delivery"); !errors.Is(err, strangler.ErrSuperseded) {
			t.Errorf("it ended with %v", err)
		}
		complain(t, w)
	})
}

// TestAFailedWriteBlindsNobody: a daemon that had to write to the ledger twice sees what others write there since: an approval, and that
// the run is no more its own.
func TestAFailedWriteBlindsNobody(t *testing.T) {
	for _, stored := range []bool{false, true} {
		inFleet(t, func(t *testing.T, w *world, a, b *Engine, _ func()) {
			w.set(func() { w.fault = fault{at: 2, after: stored} })
			if _, err := a.Run(t.Context(), "delivery", RunOptions{Who: "bob"}); err != nil {
				t.Fatal(err)
			}
			waiting(t, a, Cutover)
			if w.writes < w.fault.at {
				t.Fatalf("of %d writes none failed", w.writes)
			}
			if err := b.Approve(t.Context(), "delivery", RunOptions{Step: Cutover, Who: "ann"}); err != nil {
				t.Fatal(err)
			}
			waiting(t, a, Complete)
			w.set(func() { w.runs[0].State = strangler.RunAborted })
			time.Sleep(10 * time.Second)
			if _, err := a.Wait(t.Context(), "delivery"); !errors.Is(err, strangler.ErrSuperseded) {
				t.Errorf("the run is somebody else's, and it ends with %v", err)
			}
		})
	}
}

// TestARunComesBack: a daemon at which a run failed, paused or ended takes it over like any other when it went on elsewhere, and says
// meanwhile how it stands there.
func TestARunComesBack(t *testing.T) {
	may := func(t *testing.T, _ strangler.Run, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		here, there func(t *testing.T, w *world, e *Engine)
		state       strangler.RunState
	}{
		"failed": {func(t *testing.T, w *world, e *Engine) {
			w.set(func() { w.mismatch = 1 })
			_, err := e.Run(t.Context(), "delivery", RunOptions{})
			may(t, strangler.Run{}, err)
			if run, _ := e.Wait(t.Context(), "delivery"); run.State != strangler.RunFailed {
				t.Fatalf("the run is %s", doing(run))
			}
			w.set(func() { w.mismatch = 0 })
		}, func(t *testing.T, w *world, e *Engine) {
			run, err := e.Run(t.Context(), "delivery", RunOptions{})
			may(t, run, err)
			waiting(t, e, Cutover)
		}, strangler.RunWaiting},
		"paused": {func(t *testing.T, w *world, e *Engine) {
			run, err := e.Run(t.Context(), "delivery", RunOptions{})
			may(t, run, err)
			waiting(t, e, Cutover)
			run, err = e.Pause(t.Context(), "delivery", RunOptions{})
			may(t, run, err)
		}, func(t *testing.T, w *world, e *Engine) {
			run, err := e.Continue(t.Context(), "delivery", RunOptions{})
			may(t, run, err)
			waiting(t, e, Cutover)
		}, strangler.RunWaiting},
		"done": {func(t *testing.T, w *world, e *Engine) {
			run, err := e.Run(t.Context(), "delivery", RunOptions{Until: Shadow})
			may(t, run, err)
			if run, err := e.Wait(t.Context(), "delivery"); run.State != strangler.RunDone {
				t.Fatalf("the run is %s, %v", doing(run), err)
			}
		}, func(t *testing.T, w *world, e *Engine) {
			w.set(func() { w.cutover = &strangler.Cutover{ID: 9, State: strangler.Preparing} })
			run, err := e.Rollback(t.Context(), "delivery", RunOptions{To: All})
			may(t, run, err)
			for !strings.Contains(run.Waiting, "cutover 9") {
				time.Sleep(time.Second)
				run, err = e.Status(t.Context(), "delivery")
				may(t, run, err)
			}
		}, strangler.RunUndoing},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, w *world, a, b *Engine, stop func()) {
				c.here(t, w, b)
				synctest.Wait() // it gives its lease back
				c.there(t, w, a)
				if run, err := b.Status(t.Context(), "delivery"); err != nil || run.State != c.state {
					t.Errorf("while another daemon works on it the run is %s, %v", doing(run), err)
				}
				stop()
				time.Sleep(10 * time.Second)
				if b.live("delivery") == nil {
					t.Fatal("nobody goes on with the run")
				}
				if c.state == strangler.RunUndoing {
					w.set(func() { w.cutover = nil })
					if run, err := b.Wait(t.Context(), "delivery"); err != nil || run.State != strangler.RunRolledBack {
						t.Errorf("the run is %s, %v", doing(run), err)
					}
					return
				}
				if err := b.Approve(t.Context(), "delivery", RunOptions{Step: Cutover, Who: "ann"}); err != nil {
					t.Fatal(err)
				}
				waiting(t, b, Complete)
			})
		})
	}
}

// remote are leases, and a ledger, that take their time.
type remote struct {
	*world
	*leases
	slow atomic.Bool // beginning a run takes nearly as long as a lease lasts
}

func (r *remote) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	time.Sleep(time.Millisecond)
	return r.leases.Lease(ctx, name, holder, ttl)
}

func (r *remote) Unlease(ctx context.Context, name, holder string) error {
	time.Sleep(100 * time.Millisecond)
	return r.leases.Unlease(ctx, name, holder)
}

func (r *remote) StartRun(ctx context.Context, worker string, run strangler.Run) (strangler.Run, error) {
	if r.slow.Load() {
		time.Sleep(2900 * time.Millisecond)
	}
	return r.world.StartRun(ctx, worker, run)
}

// TestTheLeaseStaysWithWhoGoesOn: a worker that ends does not give back what its successor has just taken, and one that begins has its
// lease for its whole length.
func TestTheLeaseStaysWithWhoGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(delivery())
		w.leases = newLeases()
		r := &remote{world: w, leases: w.leases}
		holder := func(when string) {
			t.Helper()
			if held, _ := r.LeaseHolder(t.Context(), strangler.RunLease("delivery")); held != "daemon-a" {
				t.Errorf("%s the lease is with %q", when, held)
			}
		}
		first := joins(t, w, "daemon-a", r, r)
		r.slow.Store(true)
		if _, err := first.Run(t.Context(), "delivery", RunOptions{Who: "bob"}); err != nil {
			t.Fatal(err)
		}
		r.slow.Store(false)
		time.Sleep(200 * time.Millisecond)
		holder("behind a slow beginning")
		waiting(t, first, Cutover)
		first.Close()
		w.capability.Playbook.Own = []strangler.OwnStep{{Name: "night", After: Verify, Wait: &strangler.WaitStep{For: time.Hour}}}
		a := joins(t, w, "daemon-a", r, r)
		defer a.Close()
		for run := (strangler.Run{}); !strings.Contains(run.Waiting, "accept"); run, _ = a.Status(t.Context(), "delivery") {
			time.Sleep(time.Second)
		}
		if run, _, err := a.Accept(t.Context(), "delivery", RunOptions{Who: "ann"}); err != nil || run.ID != 2 {
			t.Fatalf("%+v, %v", run, err)
		}
		time.Sleep(200 * time.Millisecond)
		holder("behind a change of steps")
		complain(t, w)
	})
}

// drowsy is the ledger of a process that is stopped between reading the ledger and writing to it.
type drowsy struct {
	*world
	stopped atomic.Bool
}

func (d *drowsy) LatestRun(ctx context.Context, capability string) (strangler.Run, error) {
	run, err := d.world.LatestRun(ctx, capability)
	if d.stopped.CompareAndSwap(true, false) {
		time.Sleep(time.Minute)
	}
	return run, err
}

// TestWokenBehindAnother: a daemon that wakes behind its lease, with a run in hand that another has rolled back since, writes nothing.
func TestWokenBehindAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, all := newWorld(delivery()), newLeases()
		w.leases, w.mismatch = all, 1
		d := &drowsy{world: w}
		a, b := joins(t, w, "daemon-a", d, all), joins(t, w, "daemon-b", w, all)
		defer b.Close()
		defer a.Close()
		if _, err := a.Run(t.Context(), "delivery", RunOptions{}); err != nil {
			t.Fatal(err)
		}
		if run, _ := a.Wait(t.Context(), "delivery"); run.State != strangler.RunFailed {
			t.Fatalf("the run is %s", doing(run))
		}
		synctest.Wait() // it gives its lease back
		d.stopped.Store(true)
		woken := make(chan error)
		go func() {
			_, err := a.Run(t.Context(), "delivery", RunOptions{})
			woken <- err
		}()
		time.Sleep(10 * time.Second)
		if _, err := b.Rollback(t.Context(), "delivery", RunOptions{To: All}); err != nil {
			t.Fatal(err)
		}
		if run, err := b.Wait(t.Context(), "delivery"); err != nil || run.State != strangler.RunRolledBack {
			t.Fatalf("the run is %s, %v", doing(run), err)
		}
		if err := <-woken; !errors.Is(err, strangler.ErrSuperseded) {
			t.Errorf("the one that was stopped says %v", err)
		}
		if run, err := b.Status(t.Context(), "delivery"); err != nil || run.State != strangler.RunRolledBack {
			t.Errorf("the run is %s, %v", doing(run), err)
		}
		complain(t, w)
	})
}
