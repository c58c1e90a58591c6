package playbook

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// toldBack is what a rollback is told to do, a line each, and how far it goes. Nothing may be written for it.
func (b *bed) toldBack(to string) (lines []string, backTo string) {
	b.Helper()
	writes, acts := b.w.writes, len(b.w.runs)
	run, told, err := b.e.ForetellBack(b.Context(), "delivery", to)
	if err != nil || b.w.writes != writes || len(b.w.runs) != acts {
		b.Fatalf("back to %q: %v, %d writes", to, err, b.w.writes-writes)
	}
	for _, p := range told {
		lines = append(lines, p.Step+" | "+p.Where+" | "+p.Do)
	}
	return lines, run.BackTo
}

func (b *bed) tellsBack(to, backTo string, want ...string) {
	b.Helper()
	got, at := b.toldBack(to)
	if at != backTo {
		b.Errorf("it goes back to %s, want %s", at, backTo)
	}
	if len(got) != len(want) {
		b.Fatalf("it tells\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			b.Errorf("it tells %q, want %q", got[i], want[i])
		}
	}
}

var (
	toldHandBack = []string{
		"cutover | proxies | every instance holds new writes",
		"cutover | service's database | -- closes the fence\nUPDATE strangler_fence SET epoch = 7, open = false -- service",
		"cutover | both databases | reads the position of the service's database, catches up to it",
		"cutover | control store | one compare-and-swap: the owner is legacy, the toggle legacy; this decides",
		"cutover | legacy database | -- opens the fence\nUPDATE strangler_fence SET epoch = 8, open = true -- legacy",
		"cutover | proxies | every instance releases the held writes to the monolith; the stream to the service's database begins",
		"cutover | legacy database | -- armed.down.sql\nDROP armed;",
	}
	toldCancel = []string{
		"copy | both databases | the copy and the stream stop",
		"copy | service's database | -- capture.down.sql\nDROP capture;", "copy | service's database | -- first.down.sql\nDROP first;",
		"copy | legacy database | -- capture.down.sql\nDROP capture;", "copy | legacy database | -- first.down.sql\nDROP first;",
		"copy | both databases | removes the version tables",
	}
)

// TestForetellBack: what is told of a rollback is what it does, and nothing of steps that have nothing to take back.
func TestForetellBack(t *testing.T) {
	inBed(t, delivery(), func(_ *world, cfg *Config) { cfg.Scripts = scripts{} }, func(b *bed) {
		b.toSoak()
		b.tellsBack("", Cutover, toldHandBack...)
		b.tellsBack(Canary, Canary, toldHandBack...) // the toggle is legacy by then
		b.tellsBack(All, Expand, slices.Concat(toldHandBack, []string{"copy | both databases | the copy and the stream stop", "copy | service's database | -- armed.down.sql"}, toldCancel[1:])...)
		before := len(b.w.effects)
		b.rollback(All)
		b.wait(strangler.RunRolledBack)
		if got := slices.Compact(b.w.effects[before:]); !slices.Equal(got, []string{"owner legacy", "cancel"}) || b.w.toggle.Epoch != 8-1 {
			b.Errorf("it did %v, at epoch %d", got, b.w.toggle.Epoch)
		}
		b.tellsBack(All, Expand, "copy | both databases | removes the version tables") // of a split that is cancelled, whatever is left
	})
	inBed(t, delivery(), nil, func(b *bed) { // without scripts the moments remain
		b.run()
		b.approval(Cutover)
		b.tellsBack("", Shadow, "canary | toggle | canary 100% → legacy, epoch 6")
		b.tellsBack(Copy, Copy, "canary | toggle | canary 100% → legacy", "copy | both databases | the copy and the stream stop", "copy | both databases | removes")
		b.w.set(func() { b.w.cutover = &strangler.Cutover{ID: 9, State: strangler.Preparing} })
		b.tellsBack(Cutover, Cutover, "cutover | clock | waits until cutover 9 is settled")
	})
	inBed(t, stateless(), nil, func(b *bed) {
		b.run()
		b.approval(Cutover)
		b.approve(Cutover)
		b.approval(Complete)
		b.tellsBack("", Cutover, "cutover | toggle | extracted → legacy, epoch 7")
	})
}

// TestForetellBackWithoutARunOfThePlaybook: where there is none, or the latest is one step by hand, it tells what Rollback does there.
func TestForetellBackWithoutARunOfThePlaybook(t *testing.T) {
	inBed(t, delivery(), func(w *world, cfg *Config) {
		cfg.Scripts = scripts{}
		w.phase, w.toggle.Owner = strangler.PhaseReversed, strangler.Service
		w.toggle.Epoch = 6
		w.setToggle(strangler.ModeExtracted, 0)
		w.toggle.Epoch = 6
	}, func(b *bed) {
		b.tellsBack("", Cutover, toldHandBack...)
		b.w.set(func() {
			b.w.runs = []strangler.Run{{ID: 1, Capability: "delivery", State: strangler.RunDone, Until: Cutover, Steps: []strangler.StepRun{{Name: Cutover, State: strangler.StepDone}}}}
		})
		b.tellsBack("", Cutover, toldHandBack...)
		b.w.set(func() { b.w.runs = nil })
		b.rollback("")
		b.wait(strangler.RunRolledBack)
		b.effects("owner legacy")
	})
}

// TestForetellBackGoesOn to where a rollback that failed went.
func TestForetellBackGoesOn(t *testing.T) {
	inBed(t, delivery(), func(_ *world, cfg *Config) { cfg.Scripts = scripts{} }, func(b *bed) {
		b.toSoak()
		b.w.set(func() { b.w.stuck = errInjected })
		b.rollback(All)
		b.wait(strangler.RunFailed)
		b.tellsBack("", Expand, slices.Concat([]string{toldCancel[0], "copy | service's database | -- armed.down.sql"}, toldCancel[1:3], []string{"copy | legacy database | -- armed.down.sql"}, toldCancel[3:])...)
	})
}

// TestForetellBackOfPrograms: a step of the team's own is taken back where it was begun, or where its check says that it is done.
func TestForetellBackOfPrograms(t *testing.T) {
	c := delivery()
	undo := strangler.RunStep{Command: []string{"/bin/do", "secret"}, Undo: []string{"/bin/undo", "secret"}}
	checked := undo
	checked.Check = []string{"/bin/check"}
	c.Playbook.Own = []strangler.OwnStep{
		ownRun("begun", Shadow, undo), ownRun("never", Shadow, undo), ownRun("checked", Shadow, checked), ownRun("nothing", Shadow, strangler.RunStep{Command: []string{"/bin/do"}}),
		{Name: "told", After: Shadow, Timeout: time.Second, Notify: &strangler.NotifyStep{URL: "http://x.test", Text: "x"}},
	}
	inBed(t, c, func(w *world, _ *Config) {
		w.phase = strangler.PhaseSyncing
		w.setToggle(strangler.ModeShadow, 0)
		steps := pending(StepsOf(c))
		for i := range steps {
			if steps[i].Name == "begun" || steps[i].Name == "nothing" || steps[i].Name == "told" {
				steps[i].State, steps[i].Begun = strangler.StepFailed, true
			}
		}
		w.runs = []strangler.Run{{ID: 1, Capability: "delivery", State: strangler.RunFailed, Steps: steps}}
	}, func(b *bed) {
		b.tellsBack("", Shadow, "canary | toggle | shadow → legacy, epoch 3", "checked | this machine | runs check, which tells whether the step is done; where it is, runs undo", "begun | this machine | runs undo")
	})
}

// TestForetellBackRefused: what refuses a rollback refuses to tell of it.
func TestForetellBackRefused(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		refused := func(to, words string) {
			b.Helper()
			_, _, err := b.e.ForetellBack(b.Context(), "delivery", to)
			_, real := b.e.Rollback(b.Context(), "delivery", RunOptions{To: to})
			if err == nil || real == nil || err.Error() != real.Error() || !strings.Contains(err.Error(), words) {
				b.Errorf("back to %q: %v, and really %v", to, err, real)
			}
		}
		refused("nope", "there is no step")
		refused(Soak, "has nothing that can be taken back")
		b.toSoak()
		b.approval(Complete)
		if err := b.e.Approve(b.Context(), "delivery", RunOptions{Step: Complete, Confirm: "delivery"}); err != nil {
			b.Fatal(err)
		}
		b.wait(strangler.RunDone)
		refused("", "point of no return")
		refused(All, "point of no return")
		if _, _, err := b.e.ForetellBack(b.Context(), "nothing", ""); !errors.Is(err, strangler.ErrNotFound) {
			b.Errorf("of an unknown capability: %v", err)
		}
	})
}
