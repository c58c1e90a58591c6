package playbook

import (
	"context"
	"fmt"
	"slices"

	strangler "github.com/strangler-fig/strangler"
)

// ForetellBack says what Rollback would do: every statement, flip and call, in order, and nothing of a step that has nothing to take
// back. The run is the one that would go back, as far as its BackTo. It reads, and changes nothing; what refuses a rollback refuses this.
func (e *Engine) ForetellBack(ctx context.Context, capability, to string) (strangler.Run, []strangler.Planned, error) {
	run, err := e.Rollback(ctx, capability, RunOptions{To: to, Dry: true})
	if err != nil {
		return run, nil, err
	}
	c := e.capabilities[capability]
	f, err := e.foretelling(ctx, c)
	if err != nil {
		return run, nil, err
	}
	b := &foretellingBack{foretelling: f}
	if !c.Stateless() {
		if b.split, err = e.cfg.Splits.Status(ctx, capability); err != nil {
			return run, nil, fmt.Errorf("reading the status of the split of %s: %w", capability, err)
		}
	}
	steps := listOf(c)
	for _, record := range slices.Backward(run.Steps) {
		if steps.before(record.Name, run.BackTo) {
			break
		}
		if err := b.step(ctx, record); err != nil {
			return run, nil, fmt.Errorf("undoing step %s: %w", record.Name, err)
		}
	}
	return run, b.out, nil
}

// foretellingBack is a way back told in advance: toggle and split move along in it.
type foretellingBack struct {
	*foretelling
	split strangler.SplitStatus
	read  bool // the scripts that have run
}

// step is told as its Undo finds the world.
func (b *foretellingBack) step(ctx context.Context, record strangler.StepRun) error {
	b.at = record.Name
	switch record.Name {
	case Expand:
		return b.cancel(ctx, strangler.PhaseNone)
	case Copy:
		return b.cancel(ctx, strangler.PhaseNone, strangler.PhasePlanned)
	case Shadow, Canary:
		b.toLegacy()
	case Cutover:
		if b.c.Stateless() {
			b.toLegacy()
			return nil
		}
		return b.takeOver(ctx)
	}
	for _, o := range b.c.Playbook.Own {
		if o.Name == record.Name && o.Run != nil {
			b.program(*o.Run, record.Begun)
		}
	}
	return nil
}

func (b *foretellingBack) toLegacy() {
	if b.toggle.Mode != strangler.ModeLegacy {
		b.flip(strangler.ModeLegacy, 0)
	}
}

// takeOver tells of the cutover with the roles swapped.
func (b *foretellingBack) takeOver(ctx context.Context) error {
	switch {
	case undecided(b.split):
		b.say(atClock, "waits until cutover %d is settled; where it made the service the owner, the writes are handed back then", b.split.Cutover.ID)
		return nil
	case b.split.Owner != strangler.Service && b.split.Phase == strangler.PhaseReversed:
		b.say(atClock, "waits until the decided rollback is finished: legacy owns, and the stream has not turned yet")
		return nil
	case b.split.Owner != strangler.Service:
		return nil
	}
	if err := b.handOver(ctx, strangler.Legacy); err != nil {
		return err
	}
	b.split.Owner, b.split.Phase = strangler.Legacy, strangler.PhaseSyncing
	// What the cutover did to the foreign keys that cross is taken back right behind it.
	return b.down(ctx, func(s strangler.Script) bool { return s.Side == strangler.Legacy && s.Stage == "armed" })
}

// cancel tells of the split's end, unless it is in one of the phases in which there is nothing to take back.
func (b *foretellingBack) cancel(ctx context.Context, nothing ...strangler.Phase) error {
	if b.c.Stateless() || slices.Contains(nothing, b.split.Phase) {
		return nil
	}
	if b.split.Phase != strangler.PhaseCancelled {
		b.say(atBoth, "the copy and the stream stop")
		if err := b.down(ctx, func(strangler.Script) bool { return true }); err != nil {
			return err
		}
	}
	b.say(atBoth, "removes the version tables of the scripts and what else Strangler has made there; the monolith's rows stay as they are")
	b.split.Phase = strangler.PhaseNone
	return nil
}

// down tells of scripts that run down; then they have.
func (b *foretellingBack) down(ctx context.Context, which func(strangler.Script) bool) (err error) {
	if b.e.cfg.Scripts == nil {
		return nil
	}
	if !b.read {
		if b.scripts, err = b.e.cfg.Scripts.AppliedScripts(ctx, b.c.Name); err != nil {
			return fmt.Errorf("what scripts would run down: %w", err)
		}
		b.read = true
	}
	b.scripts = slices.DeleteFunc(b.scripts, func(s strangler.Script) bool {
		if !which(s) {
			return false
		}
		b.script(s)
		return true
	})
	return nil
}

// program tells of a program of the team's own that takes a step back.
func (b *foretellingBack) program(r strangler.RunStep, begun bool) {
	switch {
	case r.Undo == nil, !begun && r.Check == nil:
	case !begun:
		b.say(atMachine, "runs %s, which tells whether the step is done; where it is, runs %s", r.Checker(), r.Undoer())
	default:
		b.say(atMachine, "runs %s", r.Undoer())
	}
}
