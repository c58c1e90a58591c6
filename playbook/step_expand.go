package playbook

import (
	"context"
	"fmt"

	strangler "github.com/strangler-fig/strangler"
)

// expandStep makes both databases ready for the copy.
type expandStep struct{ ran bool }

// Check cannot tell from PhasePlanned whether scripts were only written or also run, so it lets Do run
// once: running them again is no harm.
func (s *expandStep) Check(ctx context.Context, a *act) (verdict, error) {
	st, err := a.status(ctx)
	if err != nil {
		return verdict{}, err
	}
	switch st.Phase {
	case strangler.PhaseNone, strangler.PhaseCancelled:
		return ready("writing and running the scripts"), nil
	case strangler.PhasePlanned:
		if !s.ran && !a.recordedDone() {
			return ready("running the scripts"), nil
		}
	}
	return done("the scripts have run"), nil
}

func (s *expandStep) Do(ctx context.Context, a *act) error {
	if err := a.Splits.Expand(ctx, a.name()); err != nil {
		return fmt.Errorf("running the scripts of %s: %w", a.name(), err)
	}
	s.ran = true
	return nil
}

func (s *expandStep) Undo(ctx context.Context, a *act) (string, error) {
	return cancelSplit(ctx, a, strangler.PhaseNone)
}

// cancelSplit takes a split back unless it is in one of the phases in which there is nothing to take back.
// A cancelled one is cancelled again: whoever did it may have been cut off before all was removed.
func cancelSplit(ctx context.Context, a *act, nothing ...strangler.Phase) (string, error) {
	st, err := a.status(ctx)
	if err != nil {
		return "", err
	}
	if moved(st) {
		return "", strangler.Refuse("owner", "the service owns "+a.name(), "strangler playbook rollback "+a.name())
	}
	for _, phase := range nothing {
		if st.Phase == phase {
			return "nothing to undo", nil
		}
	}
	if err := a.Splits.Cancel(ctx, a.name()); err != nil {
		return "", fmt.Errorf("cancelling the split of %s: %w", a.name(), err)
	}
	return "the split is cancelled, both databases are as they were", nil
}
