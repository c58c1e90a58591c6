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

// inFleet has two daemons, a and b, on one world.
func inFleet(t *testing.T, test func(t *testing.T, w *world, a, b *Engine, stop func())) {
	synctest.Test(t, func(t *testing.T) {
		w, all := newWorld(delivery()), newLeases()
		still := make(chan struct{})
		daemon := func(name string, l Leases) *Engine {
			cfg := w.config()
			cfg.Leases, cfg.Worker = l, name
			e, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			return e
		}
		a, b := daemon("daemon-a", frozen{all, still}), daemon("daemon-b", all)
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

func (c *severed) SaveRun(ctx context.Context, run strangler.Run) error {
	if c.away.Load() {
		return errInjected
	}
	c.wrote.Add(1)
	return c.world.SaveRun(ctx, run)
}

func (c *severed) SaveStep(ctx context.Context, id int64, s strangler.StepRun) error {
	if c.away.Load() {
		return errInjected
	}
	c.wrote.Add(1)
	return c.world.SaveStep(ctx, id, s)
}

// TestCutOffFromTheStore: a daemon that waits to write to the ledger, while another one takes its run over, writes nothing when it can
// again.
func TestCutOffFromTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, all := newWorld(delivery()), newLeases()
		c := &severed{world: w, leases: all}
		daemon := func(name string, ledger Ledger, l Leases) *Engine {
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
		a, b := daemon("daemon-a", c, c), daemon("daemon-b", w, all)
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
