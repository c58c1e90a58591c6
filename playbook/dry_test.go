package playbook

import (
	"context"
	"errors"
	"testing"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// asking is what a person asks of a run.
type asking func(e *Engine, ctx context.Context, o RunOptions) (strangler.Run, error)

var askings = map[string]asking{
	"pause": func(e *Engine, ctx context.Context, o RunOptions) (strangler.Run, error) {
		return e.Pause(ctx, "delivery", o)
	},
	"continue": func(e *Engine, ctx context.Context, o RunOptions) (strangler.Run, error) {
		return e.Continue(ctx, "delivery", o)
	},
	"abort": func(e *Engine, ctx context.Context, o RunOptions) (strangler.Run, error) {
		return e.Abort(ctx, "delivery", o)
	},
	"skip": func(e *Engine, ctx context.Context, o RunOptions) (strangler.Run, error) {
		return e.Skip(ctx, "delivery", o)
	},
	"retry": func(e *Engine, ctx context.Context, o RunOptions) (strangler.Run, error) {
		return e.Retry(ctx, "delivery", o)
	},
	"rollback": func(e *Engine, ctx context.Context, o RunOptions) (strangler.Run, error) {
		return e.Rollback(ctx, "delivery", o)
	},
	"approve": func(e *Engine, ctx context.Context, o RunOptions) (strangler.Run, error) {
		return strangler.Run{}, e.Approve(ctx, "delivery", o)
	},
	"accept": func(e *Engine, ctx context.Context, o RunOptions) (strangler.Run, error) {
		run, _, err := e.Accept(ctx, "delivery", o)
		return run, err
	},
}

// dry asks without having it done, and finds nothing written.
func (b *bed) dry(what string, o RunOptions) (strangler.Run, error) {
	b.Helper()
	writes := b.w.writes
	o.Dry = true
	run, err := askings[what](b.e, b.Context(), o)
	time.Sleep(time.Minute) // the bubble's
	if b.w.writes != writes {
		b.Errorf("%s of %q, not to be done, wrote %d times", what, o.Step, b.w.writes-writes)
	}
	return run, err
}

// TestWhatIsRefusedIsRefusedBeforehand: asked what would be done, the answer is the refusal that the real thing meets, and nothing is
// written either way.
func TestWhatIsRefusedIsRefusedBeforehand(t *testing.T) {
	c := delivery()
	c.Playbook.Own = []strangler.OwnStep{{Name: "sign_off", Before: Shadow, Approve: &strangler.ApproveStep{By: []string{"carol"}}}}
	inBed(t, c, nil, func(b *bed) {
		both := func(what string, o RunOptions, is error) {
			b.Helper()
			_, told := b.dry(what, o)
			_, real := askings[what](b.e, b.Context(), o)
			if told == nil || real == nil || told.Error() != real.Error() || !errors.Is(told, is) {
				b.Errorf("%s of %q: told %v, and really %v", what, o.Step, told, real)
			}
		}
		for what := range askings {
			if what != "rollback" {
				both(what, RunOptions{Step: Shadow, Why: "x"}, strangler.ErrNotFound) // there is no run yet
			}
		}
		b.run()
		b.approval("sign_off")
		both("approve", RunOptions{Step: "sign_off", Who: "ann"}, strangler.ErrRefused)
		both("approve", RunOptions{Step: Cutover, Who: "ann"}, strangler.ErrRefused) // it does not wait yet
		both("approve", RunOptions{Step: "nope", Who: "ann"}, strangler.ErrNotFound)
		both("skip", RunOptions{Step: Cutover, Why: "x"}, strangler.ErrRefused)
		both("skip", RunOptions{Step: Verify}, strangler.ErrRefused) // without a reason
		both("skip", RunOptions{Step: "sign_off", Why: "x", Who: "eve"}, strangler.ErrRefused)
		both("skip", RunOptions{Step: "nope", Why: "x"}, strangler.ErrNotFound)
		both("retry", RunOptions{Step: "nope"}, strangler.ErrNotFound)
		both("continue", RunOptions{}, strangler.ErrRefused)
		both("rollback", RunOptions{To: Soak}, strangler.ErrRefused)

		if _, err := b.dry("approve", RunOptions{Step: "sign_off", Who: "carol"}); err != nil {
			b.Errorf("approving is told to be refused: %v", err)
		}
		for what, want := range map[string]strangler.RunState{"pause": strangler.RunPaused, "abort": strangler.RunAborted, "rollback": strangler.RunUndoing, "skip": strangler.RunWaiting, "retry": strangler.RunWaiting, "accept": strangler.RunWaiting} {
			run, err := b.dry(what, RunOptions{Step: "sign_off", Why: "x", Who: "carol"})
			if err != nil || run.State != want {
				b.Errorf("told of %s, the run would be %s, %v", what, run.State, err)
			}
		}
		if run, err := b.e.Status(b.Context(), "delivery"); err != nil || run.State != strangler.RunWaiting || len(run.Acts) != 1 {
			b.Errorf("behind all of it the run is %s with %v, %v", run.State, acts(run), err)
		}
		b.may(b.e.Abort(b.Context(), "delivery", whoWhy()))
		for _, what := range []string{"pause", "continue", "abort", "skip", "retry", "accept"} { // it has ended
			both(what, RunOptions{Step: Shadow, Why: "x"}, strangler.ErrRefused)
		}
	})
}

// TestAnotherDaemonsRunsAreNotToldOf: what that daemon would have to be asked is refused beforehand, and no lease is taken for it.
func TestAnotherDaemonsRunsAreNotToldOf(t *testing.T) {
	inFleet(t, func(t *testing.T, w *world, a, b *Engine, _ func()) {
		if _, err := a.Run(t.Context(), "delivery", RunOptions{}); err != nil {
			t.Fatal(err)
		}
		waiting(t, a, Cutover)
		for what, ask := range askings {
			if what == "approve" { // any daemon takes that
				continue
			}
			o := RunOptions{Step: Shadow, Why: "x", Dry: true}
			if _, err := ask(a, t.Context(), o); (err != nil) != (what == "continue") {
				t.Errorf("%s, of the daemon that has the run: %v", what, err)
			}
			if _, err := ask(b, t.Context(), o); !errors.Is(err, strangler.ErrRefused) && what != "accept" {
				t.Errorf("%s, of the other daemon: %v", what, err)
			}
		}
	})
}
