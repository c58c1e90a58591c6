package playbook

import (
	"context"
	"fmt"

	strangler "github.com/strangler-fig/strangler"
)

// completeStep ends the split. It is the one step that cannot be undone.
type completeStep struct{ ended bool }

func (s *completeStep) Check(ctx context.Context, a *act) (verdict, error) {
	if a.capability.Stateless() {
		if s.ended || a.recordedDone() {
			return done("no tables, nothing to remove"), nil
		}
		t, err := a.toggle(ctx)
		if err == nil && t.Mode != strangler.ModeExtracted {
			err = notMoved(a, "the toggle is "+describe(t.Mode, t.Percent))
		}
		return ready("recording that %s has moved", a.name()), err
	}
	st, err := a.status(ctx)
	switch {
	case err != nil:
		return verdict{}, err
	case st.Phase == strangler.PhaseComplete && a.record.State == strangler.StepDoing && !s.ended:
		return ready("removing what may be left of the split of %s", a.name()), nil // it was cut off
	case st.Phase == strangler.PhaseComplete:
		return done("the split is complete; the service alone has the rows"), nil
	case st.Owner != strangler.Service:
		return verdict{}, notMoved(a, "legacy owns it")
	case st.Phase == strangler.PhaseStopped:
		return verdict{}, stopped(st)
	case undecided(st):
		return missing("cutover %d to be settled", st.Cutover.ID), nil
	}
	return ready("removing the legacy tables of %s with their fence", a.name()), nil
}

func (s *completeStep) Do(ctx context.Context, a *act) error {
	if a.capability.Stateless() {
		s.ended = true
		return nil
	}
	if err := a.Owners.Complete(ctx, a.name(), a.who()); err != nil {
		return fmt.Errorf("completing %s: %w", a.name(), err)
	}
	s.ended = true
	return nil
}

// Undo finds out whether there is still something to go back to.
func (s *completeStep) Undo(ctx context.Context, a *act) (string, error) {
	if a.capability.Stateless() {
		return "nothing to undo", nil
	}
	st, err := a.status(ctx)
	if err != nil {
		return "", err
	}
	if st.Phase == strangler.PhaseComplete {
		return "", pastReturn(a.name())
	}
	return "nothing to undo", nil
}

func pastReturn(capability string) error {
	return strangler.Refuse("complete", capability+" is complete, which is the point of no return: nothing feeds the legacy side any more, so going back would lose writes")
}
