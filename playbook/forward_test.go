package playbook

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	strangler "github.com/strangler-fig/strangler"
)

// bed is a world with an Engine at work on it, in a bubble where time passes when all wait.
type bed struct {
	*testing.T
	w *world
	e *Engine
}

func inBed(t *testing.T, c strangler.Capability, change func(*world, *Config), test func(b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(c)
		cfg := w.config()
		if change != nil {
			change(w, &cfg)
		}
		e, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		b := &bed{t, w, e}
		defer func() { b.e.Close() }()
		test(b)
		complain(t, w)
	})
}

func (b *bed) restart() {
	b.Helper()
	b.e.Close()
	b.e = b.w.engine(b.T)
}

func (b *bed) run() {
	b.Helper()
	if _, err := b.e.Run(b.Context(), "delivery", RunOptions{Who: "bob"}); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) approve(step string) {
	b.Helper()
	if err := b.e.Approve(b.Context(), "delivery", RunOptions{Step: step, Who: "ann", Confirm: "delivery"}); err != nil {
		b.Fatal(err)
	}
}

// wait waits until the run has settled in the state, and checks that the ledger agrees.
func (b *bed) wait(state strangler.RunState) strangler.Run {
	b.Helper()
	run, err := b.e.Wait(b.Context(), "delivery")
	if run.State != state || (err != nil) != (state == strangler.RunFailed) {
		b.Fatalf("the run is %s, error %v; want %s\nsteps %+v", doing(run), err, state, run.Steps)
	}
	stored, err := b.w.LatestRun(b.Context(), "delivery")
	if err != nil {
		b.Fatal(err)
	}
	if diff := cmp.Diff(run, stored); diff != "" {
		b.Errorf("memory and ledger differ (-memory +ledger):\n%s", diff)
	}
	return run
}

func (b *bed) approval(step string) strangler.Run {
	b.Helper()
	run := b.wait(strangler.RunWaiting)
	if want := "waiting for approval: strangler playbook approve delivery " + step; run.Waiting != want {
		b.Fatalf("it is %q, want %q", run.Waiting, want)
	}
	return run
}

// toSoak goes forward behind the cutover.
func (b *bed) toSoak() {
	b.Helper()
	b.run()
	b.approval(Cutover)
	b.approve(Cutover)
	b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "soak") })
}

// until waits for a moment of the run as the ledger has it.
func (b *bed) until(is func(strangler.Run) bool) strangler.Run {
	b.Helper()
	for range 1000 {
		synctest.Wait()
		if run, err := b.e.Status(b.Context(), "delivery"); err == nil && is(run) {
			return run
		}
		time.Sleep(100 * time.Millisecond) // the bubble's time, which passes when all wait
	}
	run, err := b.e.Status(b.Context(), "delivery")
	b.Fatalf("it never comes to that; the run is %s, %v", doing(run), err)
	return run
}

func (b *bed) effects(want ...string) {
	b.Helper()
	if diff := cmp.Diff(want, b.w.effects); diff != "" {
		b.Errorf("effects (-want +got):\n%s", diff)
	}
}

func record(run strangler.Run, name string) strangler.StepRun {
	for _, s := range run.Steps {
		if s.Name == name {
			return s
		}
	}
	return strangler.StepRun{}
}

func TestForward(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.run() // the same run
		b.approval(Cutover)
		b.approve(Cutover)
		begun := time.Now()
		run := b.approval(Complete)
		if waited := time.Since(begun); waited < 20*time.Second || waited > 25*time.Second {
			b.Errorf("the soak of 20s took %v", waited)
		}
		if d := record(run, Complete).Detail; !strings.Contains(d, "point of no return") {
			b.Errorf("complete asks without saying what it is: %q", d)
		}
		b.approve(Complete)
		run = b.wait(strangler.RunDone)
		if len(b.w.runs) != 1 || run.Who != "bob" || run.Ended.IsZero() || run.Waiting != "" {
			b.Errorf("the run is %+v", run)
		}
		if got := record(run, Cutover); got.Approved != "ann" || b.w.cutover.Who != "ann" || !strings.Contains(b.w.cutover.Why, "run 1") {
			b.Errorf("the cutover is %+v, its step %+v", b.w.cutover, got)
		}
		if d := record(run, Canary).Detail; !strings.Contains(d, "service") || !strings.Contains(d, "10.00% errors") {
			b.Errorf("the canary does not show both sides: %q", d)
		}
		b.effects("expand", "start", "verify", "shadow", "canary 1%", "canary 50%", "canary 100%", "owner service", "complete")

		// All of it is recognised, nothing is done again.
		before := len(b.w.effects)
		b.run()
		b.wait(strangler.RunDone)
		if len(b.w.effects) != before {
			b.Errorf("done again: %q", b.w.effects[before:])
		}
	})
}

func TestStateless(t *testing.T) {
	inBed(t, stateless(), nil, func(b *bed) {
		b.run()
		b.approval(Cutover)
		b.approve(Cutover)
		b.approval(Complete)
		b.approve(Complete)
		run := b.wait(strangler.RunDone)
		for _, name := range []string{Expand, Copy, Verify} {
			if s := record(run, name); s.State != strangler.StepDone || s.Detail != "no tables" {
				b.Errorf("%s is %+v", name, s)
			}
		}
		b.effects("shadow", "canary 1%", "canary 50%", "canary 100%", "extracted")
		if _, err := b.e.Rollback(b.Context(), "delivery", RunOptions{}); !errors.Is(err, strangler.ErrRefused) || !strings.Contains(err.Error(), "point of no return") {
			b.Errorf("rollback after complete: %v", err)
		}
	})
}

func TestUntil(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		if _, err := b.e.Run(b.Context(), "delivery", RunOptions{Until: Verify}); err != nil {
			b.Fatal(err)
		}
		if _, err := b.e.Run(b.Context(), "delivery", RunOptions{}); !errors.Is(err, strangler.ErrRefused) {
			b.Errorf("another run meanwhile: %v", err)
		}
		run := b.wait(strangler.RunDone)
		if record(run, Verify).State != strangler.StepDone || record(run, Shadow).State != strangler.StepPending {
			b.Errorf("the steps are %+v", run.Steps)
		}
		b.run()
		b.approval(Cutover)
		b.effects("expand", "start", "verify", "shadow", "canary 1%", "canary 50%", "canary 100%")
	})
}

// TestApproval also shows that nothing is asked of the world while a person is waited for.
func TestApproval(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		if err := b.e.Approve(b.Context(), "delivery", RunOptions{Step: Cutover, Who: "ann", Confirm: "delivery"}); !errors.Is(err, strangler.ErrRefused) {
			b.Errorf("an approval of what nobody has seen yet: %v", err)
		}
		b.approval(Cutover)
		for step, want := range map[string]error{Complete: strangler.ErrRefused, Shadow: strangler.ErrRefused, "nonsense": strangler.ErrNotFound} {
			if err := b.e.Approve(b.Context(), "delivery", RunOptions{Step: step, Who: "ann", Confirm: "delivery"}); !errors.Is(err, want) {
				b.Errorf("approving %s: %v, want %v", step, err, want)
			}
		}
		b.restart()
		b.approval(Cutover)
		synctest.Wait()
		statuses, writes := b.w.statuses, b.w.writes
		time.Sleep(24 * time.Hour) // the bubble's
		if b.w.statuses != statuses || b.w.writes != writes {
			b.Errorf("a day of waiting: %d statuses, %d writes", b.w.statuses-statuses, b.w.writes-writes)
		}
		b.approve(Cutover)
		b.approve(Cutover)
		b.approval(Complete)
		// A day later the verification was stale, and was repeated before the cutover.
		b.effects("expand", "start", "verify", "shadow", "canary 1%", "canary 50%", "canary 100%", "verify", "owner service")
	})
}

// TestApprovedWhileDown: the ledger is where approvals are, whoever writes them.
func TestApprovedWhileDown(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.approval(Cutover)
		b.e.Close()
		if err := b.w.Approve(b.Context(), 1, Cutover, "eve"); err != nil {
			b.Fatal(err)
		}
		b.e = b.w.engine(b.T)
		run := b.approval(Complete)
		if got := record(run, Cutover).Approved; got != "eve" || b.w.cutover.Who != "eve" {
			b.Errorf("approved by %q, done by %q", got, b.w.cutover.Who)
		}
	})
}

// TestApprovedThoughReportedFailed: the worker finds the approval in the ledger.
func TestApprovedThoughReportedFailed(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.approval(Cutover)
		b.w.set(func() { b.w.fault = fault{at: b.w.writes + 1, after: true} })
		if err := b.e.Approve(b.Context(), "delivery", RunOptions{Step: Cutover, Who: "ann", Confirm: "delivery"}); !errors.Is(err, errInjected) {
			b.Fatalf("approve: %v", err)
		}
		b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "approve delivery complete") })
	})
}

// TestLedgerUnreachable: a run waits for a ledger that is away, however long, and begins nothing meanwhile; it can be asked to go
// back all the same, as soon as the ledger is there. Nobody has to ask for it to go on.
func TestLedgerUnreachable(t *testing.T) {
	for name, l := range map[string]*brittle{"written": {good: 7, bad: 1000}, "read": {good: 1 << 30, blind: 1000}} {
		t.Run(name, func(t *testing.T) {
			inBed(t, delivery(), func(w *world, cfg *Config) { l.world = w; cfg.Ledger = l }, func(b *bed) {
				b.run()
				if run := b.approval(Cutover); run.ID != 1 || run.Error != "" {
					b.Errorf("it went on as run %d, %q", run.ID, run.Error)
				}
				b.effects("expand", "start", "verify", "shadow", "canary 1%", "canary 50%", "canary 100%")
				if time.Since(b.w.booted) < time.Hour {
					b.Errorf("the ledger was away for %v only", time.Since(b.w.booted))
				}
			})
		})
	}
}

// TestLedgerUnreachableWhenClosed: Close does not wait for it.
func TestLedgerUnreachableWhenClosed(t *testing.T) {
	inBed(t, delivery(), func(w *world, cfg *Config) { cfg.Ledger = &brittle{world: w, good: 7, bad: 1 << 30} }, func(b *bed) {
		b.run()
		time.Sleep(time.Minute)
		began := time.Now()
		b.restart()
		if took := time.Since(began); took > time.Minute {
			b.Errorf("closing took %v", took)
		}
		b.approval(Cutover)
	})
}

// TestWriteReportedFailed: a write that is in the ledger though it was reported failed is made again, and does not look like another
// worker's.
func TestWriteReportedFailed(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		const start, step = 1, 1
		b.w.set(func() { b.w.fault = fault{at: start + step, after: true} })
		b.run()
		b.approval(Cutover)
		b.effects("expand", "start", "verify", "shadow", "canary 1%", "canary 50%", "canary 100%")
	})
}

// brittle is a ledger that takes some writes, then for a while none; or cannot be read for a while.
type brittle struct {
	*world
	good, bad, blind int
}

func (l *brittle) SaveStep(ctx context.Context, worker string, id int64, s strangler.StepRun) error {
	if err := l.next(); err != nil {
		return err
	}
	return l.world.SaveStep(ctx, worker, id, s)
}

func (l *brittle) SaveRun(ctx context.Context, worker string, run strangler.Run) error {
	if err := l.next(); err != nil {
		return err
	}
	return l.world.SaveRun(ctx, worker, run)
}

func (l *brittle) LatestRun(ctx context.Context, capability string) (strangler.Run, error) {
	if len(l.effects) > 2 && l.blind > 0 {
		l.blind--
		return strangler.Run{}, errInjected
	}
	return l.world.LatestRun(ctx, capability)
}

func (l *brittle) next() error {
	if l.good--; l.good < 0 && l.bad > 0 {
		l.bad--
		return errInjected
	}
	return nil
}

func TestGates(t *testing.T) {
	for name, gate := range map[string]struct {
		close, open func(*world)
		says        string
		to          func(*bed)
	}{
		"lag before the cutover": {
			func(w *world) { w.lag = strangler.Lag{Changes: 5000, Seconds: 3} }, func(w *world) { w.lag.Changes = 10 },
			"lag to fall to 1000 changes", func(b *bed) { b.approval(Cutover) }},
		"age of the lag": {
			func(w *world) { w.lag = strangler.Lag{Seconds: 60} }, func(w *world) { w.lag.Seconds = 1 },
			"10s", func(b *bed) { b.approval(Cutover) }},
		"lag that nobody knows": {
			func(w *world) { w.lag = strangler.Lag{Unknown: "the legacy database does not answer"} }, func(w *world) { w.lag.Unknown = "" },
			"the lag to be known", func(b *bed) { b.approval(Cutover) }},
		"no traffic": {
			func(w *world) { w.silent = true }, func(w *world) { w.silent = false },
			"30 requests answered by the service at canary 1%", func(b *bed) { b.approval(Cutover) }},
		"pending instance": {
			func(w *world) { w.pending = 1_000_000 }, func(w *world) { w.pending = 0 },
			"not applied shadow yet: proxy-2", func(b *bed) { b.approval(Cutover) }},
		"cutover to be settled": {
			func(w *world) { w.cutover = &strangler.Cutover{ID: 7, State: strangler.Preparing} }, func(w *world) { w.cutover = nil },
			"cutover 7 to be settled", func(b *bed) { b.approval(Cutover) }},
	} {
		t.Run(name, func(t *testing.T) {
			inBed(t, delivery(), func(w *world, cfg *Config) {
				gate.close(w)
				cfg.Capabilities[0].Playbook.Requests, cfg.Tries = 30, 1000
			}, func(b *bed) {
				b.run()
				b.until(func(r strangler.Run) bool {
					return r.State == strangler.RunWaiting && strings.Contains(r.Waiting, gate.says)
				})
				time.Sleep(time.Minute) // the bubble's
				if run := b.until(func(strangler.Run) bool { return true }); !strings.Contains(run.Waiting, gate.says) {
					b.Errorf("a minute later it is %s", doing(run))
				}
				b.w.set(func() { gate.open(b.w) })
				gate.to(b)
			})
		})
	}
}

// TestSoakEndsOnlyWhereTheLagIsKnown: a database that is away is no lag of nothing, and the point of no return is not offered.
func TestSoakEndsOnlyWhereTheLagIsKnown(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.toSoak()
		b.w.set(func() { b.w.lag.Unknown = "the service database could not be asked: connection refused" })
		run := b.until(func(r strangler.Run) bool { return r.Waiting == "waiting for the lag to be known" })
		if d := record(run, Soak).Detail; d != "waiting for the lag to be known: the service database could not be asked: connection refused" {
			b.Errorf("its detail is %q", d)
		}
		time.Sleep(time.Hour) // the bubble's
		if run, err := b.e.Status(b.Context(), "delivery"); err != nil || record(run, Complete).State != strangler.StepPending {
			b.Errorf("an hour later it is %s, %v", doing(run), err)
		}
		b.w.set(func() { b.w.lag.Unknown = "" })
		b.approval(Complete)
	})
}

// TestCopyWithoutRoom: what the split waits for is said of the step.
func TestCopyWithoutRoom(t *testing.T) {
	inBed(t, delivery(), func(w *world, _ *Config) { w.stopped = "the service database is full" }, func(b *bed) {
		b.run()
		b.until(func(r strangler.Run) bool {
			s := record(r, Copy)
			return s.State == strangler.StepWaiting && strings.Contains(s.Detail, "the service database is full")
		})
		b.approval(Cutover)
	})
}

// taken is the run after the guard has taken its canary back, with the evidence in it.
func (b *bed) taken() strangler.Run {
	b.Helper()
	run := b.wait(strangler.RunFailed)
	if err := b.last(); !errors.Is(err, strangler.ErrRefused) || !strings.Contains(err.Error(), `"guard"`) || !strings.Contains(err.Error(), "errors are more than 1% above the monolith's") {
		b.Errorf("it failed with %v", err)
	}
	if b.w.toggle.Mode != strangler.ModeLegacy || b.w.toggle.Owner != strangler.Legacy {
		b.Errorf("the toggle is %s", b.w.toggle.Describe())
	}
	trips := slices.DeleteFunc(slices.Clone(b.w.events), func(e strangler.Event) bool { return e.Kind != strangler.EventTrip })
	if len(trips) != 1 || !strings.Contains(trips[0].Text, "the guard took the canary back to legacy") {
		b.Errorf("told of trips: %+v", trips)
	}
	return run
}

// TestGuardTakesACanaryBack on evidence, and not on less. A person who has seen to it begins the canary anew.
func TestGuardTakesACanaryBack(t *testing.T) {
	c := delivery()
	c.Guard = strangler.Guard{MinRequests: 10, MaxErrorDelta: 10_000}
	traffic := &tally{}
	inBed(t, c, func(_ *world, cfg *Config) { cfg.Traffic = traffic }, func(b *bed) {
		b.run()
		b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "canary 1%") })
		traffic.beside(1000, 0)
		traffic.set(9, 9) // too few to say anything
		b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "canary 50%") })
		traffic.set(109, 59)
		if run := b.taken(); record(run, Canary).State != strangler.StepFailed {
			b.Errorf("the canary is %+v", record(run, Canary))
		}
		b.run()
		b.approval(Cutover)
		b.effects("expand", "start", "verify", "shadow", "canary 1%", "canary 50%", "legacy", "shadow", "canary 1%", "canary 50%", "canary 100%")
	})
}

// TestGuardComparesWithWhatTheMonolithWas: of a canary of all users it answers nobody, and has errors of its own on other days.
func TestGuardComparesWithWhatTheMonolithWas(t *testing.T) {
	c := delivery()
	c.Guard = strangler.Guard{MinRequests: 10, MaxErrorDelta: 10_000}
	for _, known := range []bool{true, false} {
		traffic := &tally{}
		inBed(t, c, func(_ *world, cfg *Config) { cfg.Traffic = traffic }, func(b *bed) {
			b.run()
			b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "canary 50%") })
			traffic.set(1000, 50)
			if known {
				traffic.beside(1000, 50) // five in a hundred, on both sides
			} else {
				traffic.beside(5, 0) // too few to compare with
			}
			b.approval(Cutover)
			traffic.set(3000, 150)
			time.Sleep(10 * time.Minute)
			b.approval(Cutover)
			if known {
				traffic.set(4000, 250)
			} else {
				traffic.set(30_000, 20_000) // which needs no comparison
			}
			time.Sleep(5 * time.Minute)
			b.taken()
		})
	}
}

// TestGuardWatchesWhilePeopleThink: days of good answers, in which somebody made up their mind, do not cover the errors of the last
// minutes.
func TestGuardWatchesWhilePeopleThink(t *testing.T) {
	c := delivery()
	c.Guard = strangler.Guard{MinRequests: 10, MaxErrorDelta: 10_000}
	traffic := &tally{}
	inBed(t, c, func(_ *world, cfg *Config) { cfg.Traffic = traffic }, func(b *bed) {
		serve := func(requests, failed int64) { // in ten minutes, evenly
			for range 600 {
				time.Sleep(time.Second)
				traffic.requests.Add(requests / 600)
				traffic.failed.Add(failed / 600)
			}
		}
		b.run()
		b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "canary 1%") })
		traffic.beside(1000, 0)
		b.approval(Cutover)
		for range 10 {
			serve(600_000, 0)
		}
		b.approval(Cutover)
		serve(6_000, 1_200)
		b.taken()
	})
}

// tally is a Traffic whose numbers the test sets.
type tally struct{ requests, failed, legacy, legacyFailed atomic.Int64 }

func (n *tally) set(requests, failed int64) {
	n.requests.Store(requests)
	n.failed.Store(failed)
}

func (n *tally) Requests(_ string, side strangler.Side) (int64, int64) {
	if side == strangler.Service {
		return n.requests.Load(), n.failed.Load()
	}
	return n.legacy.Load(), n.legacyFailed.Load()
}

// beside sets what the monolith has answered.
func (n *tally) beside(requests, failed int64) {
	n.legacy.Store(requests)
	n.legacyFailed.Store(failed)
}

func TestPreview(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		steps, err := b.e.Preview(b.Context(), "delivery")
		if err != nil || steps[0].State != strangler.StepPending || steps[0].Detail == "" {
			b.Errorf("before: %+v, %v", steps, err)
		}
		b.run()
		b.approval(Cutover)
		steps, err = b.e.Preview(b.Context(), "delivery")
		if err != nil || steps[3].State != strangler.StepDone || steps[4].State != strangler.StepDone || steps[5].State != strangler.StepPending || steps[5].Detail == "" || steps[6].Detail != "" {
			b.Errorf("at the cutover: %+v, %v", steps, err)
		}
		if b.w.writes == 0 || len(b.w.runs) != 1 {
			b.Errorf("%d runs", len(b.w.runs))
		}
	})
}

func TestWaitEnds(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		if _, err := b.e.Wait(b.Context(), "delivery"); !errors.Is(err, strangler.ErrNotFound) {
			b.Errorf("with no run: %v", err)
		}
		b.toSoak()
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		if _, err := b.e.Wait(ctx, "delivery"); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("with a deadline: %v", err)
		}
		b.e.Close()
		b.e.Close()
		if run, err := b.e.Wait(b.Context(), "delivery"); !errors.Is(err, strangler.ErrStopped) || run.State != strangler.RunWaiting {
			b.Errorf("closed: %s, %v", doing(run), err)
		}
		if _, err := b.e.Run(b.Context(), "delivery", RunOptions{}); !errors.Is(err, strangler.ErrStopped) {
			b.Errorf("run after close: %v", err)
		}
	})
}

func TestUnknown(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		ctx := b.Context()
		_, run := b.e.Run(ctx, "billing", RunOptions{})
		_, until := b.e.Run(ctx, "delivery", RunOptions{Until: "x"})
		_, to := b.e.Rollback(ctx, "delivery", RunOptions{To: "x"})
		_, only := b.e.Only(ctx, "delivery", "", RunOptions{Who: "bob"})
		_, status := b.e.Status(ctx, "billing")
		_, preview := b.e.Preview(ctx, "billing")
		for name, err := range map[string]error{"run": run, "until": until, "to": to, "only": only, "status": status, "preview": preview,
			"approve": b.e.Approve(ctx, "delivery", RunOptions{Step: Cutover, Who: "ann", Confirm: "delivery"})} {
			if !errors.Is(err, strangler.ErrNotFound) {
				b.Errorf("%s: %v", name, err)
			}
		}
	})
}
