package playbook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// deaf is a ledger that takes a step's waiting, and reports that it did not.
type deaf struct{ *world }

func (d *deaf) SaveStep(ctx context.Context, worker string, id int64, s strangler.StepRun) error {
	err := d.world.SaveStep(ctx, worker, id, s)
	if err == nil && s.Name == Cutover && s.State == strangler.StepWaiting {
		err = errInjected
	}
	return err
}

// TestRollbackOfAWriteReportedFailed: a record that nobody knows the state of, since a rollback came before it was written again, does
// not look like another worker's.
func TestRollbackOfAWriteReportedFailed(t *testing.T) {
	inBed(t, delivery(), func(w *world, cfg *Config) { cfg.Ledger = &deaf{w} }, func(b *bed) {
		b.run()
		b.until(func(r strangler.Run) bool { return record(r, Cutover).State == strangler.StepWaiting })
		b.rollback(Shadow)
		b.wait(strangler.RunRolledBack)
	})
}

// picky is a ledger that can hold no NUL, and says so.
type picky struct{ *world }

func (p *picky) SaveStep(ctx context.Context, worker string, id int64, s strangler.StepRun) error {
	if strings.Contains(s.Detail, "\x00") {
		return fmt.Errorf("invalid byte sequence: %w", strangler.ErrConfig)
	}
	return p.world.SaveStep(ctx, worker, id, s)
}

func (p *picky) SaveRun(ctx context.Context, worker string, run strangler.Run) error {
	if strings.Contains(run.Error, "\x00") || slices.ContainsFunc(run.Acts, func(a strangler.Act) bool { return strings.Contains(a.Why, "\x00") }) {
		return fmt.Errorf("invalid byte sequence: %w", strangler.ErrConfig)
	}
	return p.world.SaveRun(ctx, worker, run)
}

// TestWhatTheLedgerNeverTakes is not waited for: the run fails, and can be asked for again; a failure is told in what it takes.
func TestWhatTheLedgerNeverTakes(t *testing.T) {
	inBed(t, delivery(), func(w *world, cfg *Config) { cfg.Ledger = &picky{w} }, func(b *bed) {
		b.toSoak()
		b.w.set(func() { b.w.stuck = errors.New("no \x00 more") })
		if _, err := b.e.Rollback(b.Context(), "delivery", RunOptions{Why: "\x00"}); !errors.Is(err, strangler.ErrConfig) {
			b.Fatalf("a reason that it does not take: %v", err)
		}
		b.wait(strangler.RunFailed)
		b.rollback(All)
		if run := b.wait(strangler.RunFailed); !strings.HasSuffix(run.Error, "no   more") {
			b.Errorf("it failed with %q", run.Error)
		}
		b.w.set(func() { b.w.stuck = nil })
		b.rollback("")
		b.wait(strangler.RunRolledBack)
	})
}

// hopeful is a ledger that takes no failure.
type hopeful struct{ *world }

func (h *hopeful) SaveRun(ctx context.Context, worker string, run strangler.Run) error {
	if run.State == strangler.RunFailed {
		return fmt.Errorf("the ledger cannot hold it: %w", strangler.ErrConfig)
	}
	return h.world.SaveRun(ctx, worker, run)
}

// TestAFailureThatIsNotInTheLedger is shown all the same, and the daemon that had it does not begin the run again by itself.
func TestAFailureThatIsNotInTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(delivery())
		w.leases, w.mismatch = newLeases(), 1
		a := joins(t, w, "daemon-a", &hopeful{w}, w.leases)
		defer a.Close()
		if _, err := a.Run(t.Context(), "delivery", RunOptions{}); err != nil {
			t.Fatal(err)
		}
		if run, err := a.Wait(t.Context(), "delivery"); run.State != strangler.RunFailed || err == nil {
			t.Fatalf("the run is %s, %v", doing(run), err)
		}
		writes := w.writes
		time.Sleep(time.Minute)
		if run, err := a.Status(t.Context(), "delivery"); err != nil || run.State != strangler.RunFailed || w.writes != writes {
			t.Errorf("the run is %s, %v; %d writes since", doing(run), err, w.writes-writes)
		}
		complain(t, w)
	})
}
