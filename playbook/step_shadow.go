package playbook

import (
	"context"
	"fmt"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// shadowStep holds the toggle at shadow for a time, or for a number of requests.
type shadowStep struct {
	hold    hold
	applied bool   // by every instance, heard in this process
	base    counts // at that moment
}

func (s *shadowStep) Check(ctx context.Context, a *act) (verdict, error) {
	t, err := a.toggle(ctx)
	if err != nil {
		return verdict{}, err
	}
	switch t.Mode {
	case strangler.ModeCanary, strangler.ModeExtracted:
		return done("the toggle is further already: %s", describe(t.Mode, t.Percent)), nil
	case strangler.ModeShadow:
	default:
		if err := a.takenBack(t); err != nil {
			return verdict{}, err
		}
		return ready("setting the toggle to shadow"), nil
	}
	if a.recordedDone() {
		return done("the toggle is shadow"), nil
	}
	if !s.applied {
		return ready("having shadow applied by every instance"), nil
	}
	seen := a.counts(s.base)
	if a.ShadowRequests > 0 && seen.service >= a.ShadowRequests {
		return done("shadowed: %s", seen), nil
	}
	if until, over := s.hold.over(a, t.Since, a.pace(a.capability.Playbook.Shadow, a.ShadowHold)); !over {
		v := missing("the shadow to be held until %s", clock(until))
		if a.ShadowRequests > 0 {
			v.text += fmt.Sprintf(", or for %d requests", a.ShadowRequests)
		}
		v.detail = fmt.Sprintf("%s; %s", v.text, seen)
		return v, nil
	}
	return done("shadowed: %s", seen), nil
}

func (s *shadowStep) Do(ctx context.Context, a *act) error {
	if err := a.flip(ctx, strangler.ModeShadow, 0); err != nil {
		return err
	}
	s.applied, s.base = true, a.counts(counts{})
	return nil
}

func (s *shadowStep) Undo(ctx context.Context, a *act) (string, error) { return a.toLegacy(ctx) }

// clock writes a moment to the second, so that a text that names it stays the same while it waits.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
