package playbook

import (
	"context"
	"fmt"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// shadowStep holds the toggle at shadow for a time and a number of requests.
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
	until, over := s.hold.over(a, t.Since, a.pace(a.capability.Playbook.Shadow, a.ShadowHold))
	seen := a.counts(s.base)
	v, short := a.tooFew(Shadow, "in the shadow", seen)
	switch {
	case !over:
		v = missing("the shadow to be held until %s", clock(until))
		v.detail = v.text
	case short:
	case a.tooMany(seen):
		v = missing("the service to answer what is shadowed: its errors are more than %s above the monolith's", a.capability.Guard.MaxErrorDelta)
		v.detail = fmt.Sprintf("%s; mend it, then strangler playbook retry %s %s counts anew", v.text, a.name(), Shadow)
	case !canSee(a.capability, Shadow):
		return done("held; none of the capability's requests is shadowed"), nil
	default:
		return done("shadowed: %s", seen), nil
	}
	v.detail += "; " + seen.String()
	return v, nil
}

func (s *shadowStep) Do(ctx context.Context, a *act) error {
	if err := a.flip(ctx, strangler.ModeShadow, 0); err != nil {
		return err
	}
	s.applied, s.base = true, a.counts(counts{})
	a.recent.forget() // what was shadowed before says nothing of a service that has been mended since
	return nil
}

func (s *shadowStep) Undo(ctx context.Context, a *act) (string, error) { return a.toLegacy(ctx) }

// clock writes a moment to the second, so that a text that names it stays the same while it waits.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
