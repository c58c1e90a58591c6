package playbook

import (
	"context"
	"fmt"

	strangler "github.com/strangler-fig/strangler"
)

// verifyStep compares both sides. A verification of this run, or a fresh one, counts.
type verifyStep struct{ clean strangler.Verify }

func (s *verifyStep) Check(ctx context.Context, a *act) (verdict, error) {
	st, err := a.status(ctx)
	if err != nil {
		return verdict{}, err
	}
	switch {
	case moved(st):
		return done("the service owns the rows"), nil
	case st.Phase == strangler.PhaseStopped:
		return verdict{}, stopped(st)
	case st.Phase == strangler.PhaseCopying:
		return missing("the copy"), nil
	case st.Phase != strangler.PhaseSyncing:
		return verdict{}, strangler.Refuse("phase", fmt.Sprintf("there is nothing to verify: the split of %s is %q", a.name(), st.Phase),
			"strangler playbook run "+a.name())
	case !s.clean.At.IsZero():
		return done("%d rows, no mismatch", s.clean.Rows), nil
	case fresh(a, st.LastVerify):
		return done("%d rows, no mismatch", st.LastVerify.Rows), nil
	}
	return ready("comparing both sides"), nil
}

func (s *verifyStep) Do(ctx context.Context, a *act) error {
	v, err := verify(ctx, a)
	if err != nil {
		return err
	}
	s.clean = v.Verify
	if s.clean.At.IsZero() {
		s.clean.At = a.Now()
	}
	return nil
}

func (s *verifyStep) Undo(context.Context, *act) (string, error) { return "nothing to undo", nil }

// fresh reports whether a verification is clean and recent enough to rely on.
func fresh(a *act, v strangler.Verify) bool {
	recent := !v.At.Before(a.run.Started) || a.aged(v.At) <= a.VerifyFresh
	return !v.At.IsZero() && v.Mismatches == 0 && recent && !v.At.Before(a.retried())
}

// verify refuses when it finds a mismatch.
func verify(ctx context.Context, a *act) (strangler.Verification, error) {
	v, err := a.Splits.Verify(ctx, a.name())
	if err != nil {
		return v, fmt.Errorf("verifying %s: %w", a.name(), err)
	}
	if v.Mismatches > 0 {
		return v, strangler.Refuse("verify", fmt.Sprintf("%d of %d rows of %s differ between the two sides", v.Mismatches, v.Rows, a.name()),
			"strangler split verify "+a.name()+" names them, and with --repair brings the owner's rows again", "strangler split writers "+a.name()+" says who writes")
	}
	return v, nil
}
