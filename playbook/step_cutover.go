package playbook

import (
	"context"
	"errors"
	"fmt"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// cutoverStep hands the writes over. Each Do is one whole attempt.
type cutoverStep struct {
	applied   bool // stateless: by every instance, heard in this process
	settling  int  // checks that found an older cutover undecided
	reverify  bool // the last attempt was refused for its verification
	committed bool // Undo: the rollback that was asked for
}

func (s *cutoverStep) Check(ctx context.Context, a *act) (verdict, error) {
	t, err := a.toggle(ctx)
	if err != nil {
		return verdict{}, err
	}
	if a.capability.Stateless() {
		if t.Mode == strangler.ModeExtracted && (s.applied || a.recordedDone()) {
			return done("the toggle is extracted; no tables, no owner to change"), nil
		}
		if t.Mode != strangler.ModeExtracted {
			if err := s.canaryStands(a, t); err != nil {
				return verdict{}, err
			}
			if v, is, err := a.stale(ctx, Cutover); is || err != nil {
				return v, err
			}
		}
		return ready("setting the toggle to extracted"), nil
	}
	st, err := a.status(ctx)
	if err != nil {
		return verdict{}, err
	}
	if st.Phase == strangler.PhaseComplete || st.Owner == strangler.Service {
		if st.Phase == strangler.PhaseSyncing {
			return missing("the decided cutover to be finished: the service owns, the stream back has not begun"), nil
		}
		return done("%s", outcome(st)), nil
	}
	switch st.Phase {
	case strangler.PhaseSyncing:
	case strangler.PhaseCopying:
		return missing("the copy"), nil
	case strangler.PhaseStopped:
		return verdict{}, stopped(st)
	default:
		return verdict{}, strangler.Refuse("phase", fmt.Sprintf("there is nothing to cut over: the split of %s is %q", a.name(), st.Phase),
			"strangler playbook run "+a.name())
	}
	if undecided(st) && s.settling < a.Tries {
		s.settling++
		return missing("cutover %d to be settled", st.Cutover.ID), nil
	}
	if err := s.canaryStands(a, t); err != nil {
		return verdict{}, err
	}
	if v, is := a.behind(st.Lag); is {
		return v, nil
	}
	if v, is, err := a.stale(ctx, Cutover); is || err != nil {
		return v, err
	}
	return ready("cutting over to the service"), nil
}

// canaryStands refuses a cutover when the canary that this run completed has been taken back since.
func (s *cutoverStep) canaryStands(a *act, t strangler.Toggle) error {
	if t.Mode == strangler.ModeCanary || t.Mode == strangler.ModeExtracted || len(a.capability.Playbook.Canary) == 0 {
		return nil
	}
	for _, record := range a.run.Steps {
		if record.Name == Canary && record.State == strangler.StepDone {
			return strangler.Refuse("toggle", fmt.Sprintf("the canary of %s was taken back to %s at %s", a.name(), t.Mode, clock(t.Since)),
				"strangler toggle history "+a.name()+" says who and why; then strangler playbook run "+a.name()+" begins the canary anew")
		}
	}
	return nil
}

func (s *cutoverStep) Do(ctx context.Context, a *act) error {
	if a.capability.Stateless() {
		err := a.flip(ctx, strangler.ModeExtracted, 0)
		s.applied = err == nil
		return err
	}
	st, err := a.status(ctx)
	if err != nil {
		return err
	}
	if v := st.LastVerify; s.reverify || v.Mismatches > 0 || a.aged(v.At) > a.VerifyFresh {
		if _, err := verify(ctx, a); err != nil {
			return err
		}
		s.reverify = false
	}
	c, err := a.Owners.Cutover(ctx, a.name(), a.who(), a.why())
	return s.attempted(c, err)
}

// attempted sorts the outcome of one whole cutover or rollback: committed, worth another attempt, or
// not for the playbook to repeat.
func (s *cutoverStep) attempted(c strangler.Cutover, err error) error {
	var refusal *strangler.Refusal
	switch {
	case err == nil && c.State == strangler.Committed:
		return nil
	case err == nil && c.State == strangler.Aborted:
		return again{fmt.Errorf("the cutover of %s was aborted: %s; %s still owns, nothing was lost", c.Capability, c.Why, c.Owner())}
	case err == nil:
		return fmt.Errorf("cutover %d of %s came back %q: %w", c.ID, c.Capability, c.State, strangler.ErrUnknown)
	case errors.Is(err, strangler.ErrUnknown), errors.Is(err, strangler.ErrStopped), errors.Is(err, strangler.ErrSuperseded):
		return err
	case errors.As(err, &refusal):
		switch refusal.Check {
		case "verify":
			s.reverify = true
			return again{err}
		case "lag", "dirty", "locks", "instances", "cutover":
			return again{err}
		}
		return err
	case c.State == strangler.Aborted:
		return again{err}
	}
	return err
}

// Undo is the cutover with the roles swapped. While anything is undecided it waits: what is undecided
// may still make the service the owner.
func (s *cutoverStep) Undo(ctx context.Context, a *act) (string, error) {
	if a.capability.Stateless() {
		return a.toLegacy(ctx)
	}
	st, err := a.status(ctx)
	if err != nil {
		return "", err
	}
	switch {
	case st.Phase == strangler.PhaseComplete:
		return "", pastReturn(a.name())
	case undecided(st):
		return "", later{fmt.Sprintf("cutover %d to be settled", st.Cutover.ID)}
	case st.Owner != strangler.Service && st.Phase == strangler.PhaseReversed:
		return "", later{"the decided rollback to be finished: legacy owns, the stream has not turned yet"}
	case st.Owner != strangler.Service:
		return "legacy owns", nil
	case s.committed:
		return "", later{"the decided rollback to show"}
	}
	c, err := a.Owners.Rollback(ctx, a.name(), a.who(), a.why())
	if err := s.attempted(c, err); err != nil {
		return "", err
	}
	s.committed = true
	return s.Undo(ctx, a)
}

func undecided(st strangler.SplitStatus) bool {
	return st.Cutover != nil && st.Cutover.State == strangler.Preparing
}

func outcome(st strangler.SplitStatus) string {
	s := "the service owns"
	if st.Cutover != nil && !st.Cutover.Ended.IsZero() {
		s += " since " + st.Cutover.Ended.UTC().Format(time.RFC3339)
	}
	if st.Pause > 0 {
		s += fmt.Sprintf("; writes were held for %.0f ms at most", st.Pause)
	}
	return s
}
