package playbook

import (
	"context"
	"fmt"

	strangler "github.com/strangler-fig/strangler"
)

// canaryStep raises the toggle percentage by percentage. It goes on from wherever the toggle is.
type canaryStep struct {
	hold    hold
	target  strangler.Percent // what Do sets, chosen by Check
	applied strangler.Percent // by every instance, heard in this process
	base    counts            // at that moment
}

func (s *canaryStep) Check(ctx context.Context, a *act) (verdict, error) {
	t, err := a.toggle(ctx)
	if err != nil {
		return verdict{}, err
	}
	ramp := a.capability.Playbook.Canary
	switch {
	case t.Mode == strangler.ModeExtracted:
		return done("the toggle is further already: extracted"), nil
	case len(ramp) == 0:
		return done("no percentages are configured"), nil
	case t.Mode != strangler.ModeCanary, t.Percent == 0:
		if err := a.takenBack(t); err != nil {
			return verdict{}, err
		}
		return s.aim(ramp[0]), nil
	}
	last := ramp[len(ramp)-1]
	if a.recordedDone() && t.Percent >= last {
		return done("the toggle is canary %s", t.Percent), nil
	}
	if s.applied != t.Percent {
		return s.aim(t.Percent), nil
	}
	seen := a.counts(s.base)
	if v, ok := s.held(a, t, seen); !ok {
		if v.detail == "" {
			v.detail = v.text
		}
		v.detail += "; " + seen.String()
		return v, nil
	}
	for _, p := range ramp {
		if p > t.Percent {
			return s.aim(p), nil
		}
	}
	if !canSee(a.capability, Canary) {
		return done("canary %s held; none of the capability's requests goes to the service before the cutover", t.Percent), nil
	}
	return done("canary %s held: %s", t.Percent, seen), nil
}

// held says what is missing before the canary may go on from where it is.
func (s *canaryStep) held(a *act, t strangler.Toggle, seen counts) (verdict, bool) {
	until, over := s.hold.over(a, t.Since, a.pace(a.capability.Playbook.Hold, a.CanaryHold))
	switch {
	case a.tooMany(seen):
		return a.tripped(seen), false
	case !over:
		return missing("canary %s to be held until %s", t.Percent, clock(until)), false
	}
	v, short := a.tooFew(Canary, fmt.Sprintf("at canary %s", t.Percent), seen)
	return v, !short
}

func (s *canaryStep) aim(p strangler.Percent) verdict {
	s.target = p
	return ready("setting the toggle to canary %s", p)
}

func (s *canaryStep) Do(ctx context.Context, a *act) error {
	if err := a.flip(ctx, strangler.ModeCanary, s.target); err != nil {
		return err
	}
	s.applied, s.base = s.target, a.counts(counts{})
	return nil
}

func (s *canaryStep) Undo(ctx context.Context, a *act) (string, error) { return a.toLegacy(ctx) }
