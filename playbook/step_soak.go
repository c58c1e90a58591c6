package playbook

import (
	"context"
	"fmt"
	"strings"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// soakStep waits. It has no effect of its own; passed lets its approval, if one is asked for, come
// after the wait.
type soakStep struct {
	hold   hold
	passed bool
}

func (s *soakStep) Check(ctx context.Context, a *act) (verdict, error) {
	t, err := a.toggle(ctx)
	if err != nil {
		return verdict{}, err
	}
	since, lag := t.Since, strangler.Lag{}
	if a.capability.Stateless() {
		if t.Mode != strangler.ModeExtracted {
			return verdict{}, notMoved(a, "the toggle is "+describe(t.Mode, t.Percent))
		}
	} else {
		st, err := a.status(ctx)
		switch {
		case err != nil:
			return verdict{}, err
		case st.Phase == strangler.PhaseComplete:
			return done("the split is complete"), nil
		case st.Owner != strangler.Service:
			return verdict{}, notMoved(a, "legacy owns it")
		case st.Phase == strangler.PhaseStopped:
			return verdict{}, stopped(st)
		case st.Phase != strangler.PhaseReversed:
			return missing("the stream back to the legacy tables"), nil
		}
		if c := st.Cutover; c != nil && c.State == strangler.Committed && c.To == strangler.Service && !c.Ended.IsZero() {
			since = c.Ended
		}
		lag = st.Lag
	}
	if s.passed || a.recordedDone() {
		return done("soaked since %s", clock(since)), nil
	}
	if until, over := s.hold.over(a, since, a.capability.Playbook.Soak); !over {
		return missing("the soak of %s to end at %s", span(a.capability.Playbook.Soak), clock(until)), nil
	}
	if v, is := a.behind(lag); is {
		return v, nil
	}
	return ready("ending the soak"), nil
}

func (s *soakStep) Do(context.Context, *act) error {
	s.passed = true
	return nil
}

func (s *soakStep) Undo(context.Context, *act) (string, error) { return "nothing to undo", nil }

func notMoved(a *act, why string) error {
	return strangler.Refuse("owner", fmt.Sprintf("the service has not taken over %s: %s", a.name(), why), "strangler playbook run "+a.name())
}

// span writes a duration as the configuration does: 14d, 1d12h, 90m.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d < day {
		return short(d)
	}
	s := fmt.Sprintf("%dd", d/day)
	if rest := d % day; rest > 0 {
		s += short(rest)
	}
	return s
}

// short leaves out the zero minutes and seconds at the end.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
