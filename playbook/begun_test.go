package playbook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// TestPauseKeepsWhatAProgramDid: a program that ended well while somebody paused the run is done, and is not run once more.
func TestPauseKeepsWhatAProgramDid(t *testing.T) {
	d := newDiary(t)
	b := outside(t, ownRun("warm", Verify, strangler.RunStep{Command: d.script("do", fmt.Sprintf("while [ ! -e %q ]; do sleep 0.01; done", d.path+".go"))}))
	b.run()
	eventually(t, "a line of the program's", func() bool { return len(d.lines()) > 0 })
	b.pauseWhile(d)
	if run := b.wait(strangler.RunPaused); record(run, "warm").State != strangler.StepDone {
		t.Errorf("the program that ended well is %s: %s", record(run, "warm").State, record(run, "warm").Detail)
	}
	b.may(b.e.Continue(b.Context(), "delivery", whoWhy()))
	b.wait(strangler.RunDone)
	d.want("warm do forward 1")
}

// TestWhatWasBegunIsUndone, whatever people have said of the step since; and what was not is not.
func TestWhatWasBegunIsUndone(t *testing.T) {
	failing := func(d diary) strangler.OwnStep {
		return ownRun("warm", Verify, strangler.RunStep{Command: d.script("do", "exit 7"), Undo: d.script("undo", ":")})
	}
	t.Run("skipped when it had failed", func(t *testing.T) {
		d := newDiary(t)
		b := outside(t, failing(d))
		b.may(b.e.Run(b.Context(), "delivery", RunOptions{Until: Soak}))
		b.wait(strangler.RunFailed)
		b.may(b.e.Skip(b.Context(), "delivery", skipping("warm")))
		b.wait(strangler.RunDone)
		b.rollback(Expand)
		b.wait(strangler.RunRolledBack)
		d.want("warm do forward 1", "warm undo back 1")
	})
	t.Run("aborted between two tries", func(t *testing.T) {
		d, c := newDiary(t), stateless()
		step := failing(d)
		step.Retries = 20
		c.Playbook.Own = []strangler.OwnStep{step}
		inBed(t, c, nil, func(b *bed) {
			b.run()
			b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "attempt 2 of 21") })
			b.may(b.e.Abort(b.Context(), "delivery", whoWhy()))
			n := len(d.lines())
			b.rollback(Expand)
			b.wait(strangler.RunRolledBack)
			if lines := d.lines(); len(lines) != n+1 || lines[n] != "warm undo back 1" {
				b.Errorf("the programs did %q", lines)
			}
		})
	})
	t.Run("failed in a run before this one", func(t *testing.T) {
		d := newDiary(t)
		b := outside(t, failing(d))
		b.run()
		b.wait(strangler.RunFailed)
		b.may(b.e.Abort(b.Context(), "delivery", whoWhy()))
		b.may(b.e.Run(b.Context(), "delivery", RunOptions{Until: Copy}))
		b.wait(strangler.RunDone)
		b.rollback(Expand)
		b.wait(strangler.RunRolledBack)
		d.want("warm do forward 1", "warm undo back 1")
	})
	t.Run("paused before the undo of what was never begun", func(t *testing.T) {
		d := newDiary(t)
		never := ownRun("never", Verify, strangler.RunStep{Command: d.script("do", ":"), Undo: d.script("undo", ":")})
		slow := ownRun("slow", Verify, strangler.RunStep{Command: d.script("do", ":"), Undo: d.script("undo", fmt.Sprintf("while [ ! -e %q ]; do sleep 0.01; done", d.path+".go"))})
		never.Before, never.After = "", Verify
		slow.After = Shadow
		c := stateless()
		c.Playbook.Own, c.Playbook.Approve, c.Playbook.Soak = []strangler.OwnStep{never, slow}, []string{"never"}, 0
		b := &bed{T: t, w: newWorld(c)}
		b.begin()
		t.Cleanup(func() { b.e.Close(); complain(t, b.w) })
		b.may(b.e.Run(b.Context(), "delivery", RunOptions{Until: Soak}))
		b.wait(strangler.RunWaiting)
		b.may(b.e.Skip(b.Context(), "delivery", skipping("never")))
		b.wait(strangler.RunDone)
		b.rollback(Expand)
		eventually(t, "the slow undo", func() bool { return len(d.lines()) == 2 })
		b.pauseWhile(d)
		b.wait(strangler.RunPaused)
		b.may(b.e.Continue(b.Context(), "delivery", whoWhy()))
		b.wait(strangler.RunRolledBack)
		d.want("slow do forward 1", "slow undo back 1")
	})
}

// TestARefusedWishEndsWithTheRun: what is asked while a run comes to its end, and is refused since it has, does not set it going again.
func TestARefusedWishEndsWithTheRun(t *testing.T) {
	w := newWorld(stateless())
	cfg := w.config().withDefaults()
	for _, state := range []strangler.RunState{strangler.RunRolledBack, strangler.RunDone, strangler.RunAborted} {
		worker := newWorker(&cfg, w.capability, strangler.Run{ID: 1, Capability: "delivery", State: state, Steps: pending(listOf(w.capability).descriptions())}, false)
		wish := &turn{reply: make(chan error, 1), take: func(context.Context) error { return strangler.Refuse("run", "it has ended") }}
		if worker.give(t.Context(), wish) || !worker.over {
			t.Errorf("behind a refused wish a run that is %s goes on", state)
		}
		if err := <-wish.reply; !errors.Is(err, strangler.ErrRefused) {
			t.Errorf("the wish was answered with %v", err)
		}
	}
}

// TestWaitThatIsPaused goes by when it began.
func TestWaitThatIsPaused(t *testing.T) {
	c := stateless()
	c.Playbook.Own = []strangler.OwnStep{{Name: "night", Before: Shadow, Wait: &strangler.WaitStep{For: 24 * time.Hour}}}
	inBed(t, c, nil, func(b *bed) {
		begun := time.Now()
		b.run()
		b.atGate("night")
		time.Sleep(23 * time.Hour)
		b.may(b.e.Pause(b.Context(), "delivery", whoWhy()))
		b.wait(strangler.RunPaused)
		b.may(b.e.Continue(b.Context(), "delivery", whoWhy()))
		b.approval(Cutover)
		if took := time.Since(begun); took > 25*time.Hour {
			b.Errorf("the wait of a day took %v", took)
		}
	})
}

// TestGatesBeforeAnyStep are asked again when the step begins that stood behind them, waiting for somebody.
func TestGatesBeforeAnyStep(t *testing.T) {
	server, c := newTold(t), delivery()
	c.Playbook.Own = []strangler.OwnStep{ownHTTP("unread", Complete, server.URL)}
	inBed(t, c, nil, func(b *bed) {
		b.toSoak()
		b.approval(Complete)
		server.set(503, "")
		b.approve(Complete)
		b.until(func(r strangler.Run) bool {
			return r.Waiting == "waiting for the gate unread, which was met before, to be met again"
		})
		if b.w.phase == strangler.PhaseComplete {
			b.Error("the tables are gone")
		}
		server.set(200, `{"state":"ready"}`)
		b.wait(strangler.RunDone)
	})
}

// TestOnlyWhoMayApprovePassesOver a step that waits for certain people.
func TestOnlyWhoMayApprovePassesOver(t *testing.T) {
	c := stateless()
	c.Playbook.Own = []strangler.OwnStep{{Name: "sign_off", Before: Shadow, Approve: &strangler.ApproveStep{By: []string{"ann"}}}}
	inBed(t, c, nil, func(b *bed) {
		b.run()
		b.approval("sign_off")
		b.refused("eve may not approve step sign_off")(b.e.Skip(b.Context(), "delivery", skipping("sign_off")))
		o := skipping("sign_off")
		o.Who = "ann@desk"
		b.may(b.e.Skip(b.Context(), "delivery", o))
		b.approval(Cutover)
	})
}

// TestAcceptLeavesARunPaused, also where its steps have changed.
func TestAcceptLeavesARunPaused(t *testing.T) {
	after := delivery()
	after.Playbook.Own = []strangler.OwnStep{{Name: "dawn", After: Shadow, Wait: &strangler.WaitStep{For: time.Hour}}}
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.atGate(Shadow)
		b.may(b.e.Pause(b.Context(), "delivery", whoWhy()))
		b.wait(strangler.RunPaused)
		b.with(after)
		if run, _, err := b.e.Accept(b.Context(), "delivery", whoWhy()); err != nil || run.Paused != "eve" {
			b.Fatalf("accepted, the run is %s, paused by %q, %v", run.State, run.Paused, err)
		}
		b.wait(strangler.RunPaused)
		effects := len(b.w.effects)
		time.Sleep(24 * time.Hour)
		if len(b.w.effects) != effects {
			b.Errorf("paused, it did %q", b.w.effects[effects:])
		}
		b.may(b.e.Continue(b.Context(), "delivery", whoWhy()))
		b.atGate("dawn")
	})
}

// TestAStepByHandEndsNoRun that nobody works on just now: it is under way all the same.
func TestAStepByHandEndsNoRun(t *testing.T) {
	inBed(t, delivery(), nil, func(b *bed) {
		b.run()
		b.approval(Cutover)
		b.e.Close()
		idle, err := New(b.w.config())
		if err != nil {
			b.Fatal(err)
		}
		b.e = idle // which has taken nothing up yet
		b.refused("is waiting")(b.e.Only(b.Context(), "delivery", Cutover, RunOptions{Who: "eve"}))
		if b.w.runs[0].State != strangler.RunWaiting || len(b.w.runs) != 1 {
			b.Errorf("the run is %s, of %d", doing(b.w.runs[0]), len(b.w.runs))
		}
	})
}

// pauseWhile pauses the run while a program waits for the diary's leave, and then gives that.
func (b *bed) pauseWhile(d diary) {
	b.Helper()
	paused := make(chan error)
	go func() {
		_, err := b.e.Pause(b.Context(), "delivery", whoWhy())
		paused <- err
	}()
	eventually(b.T, "the wish to pause", func() bool {
		run, err := b.e.Status(b.Context(), "delivery")
		return err == nil && run.Paused != ""
	})
	touch(b.T, d.path+".go")
	if err := <-paused; err != nil {
		b.Fatal(err)
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
