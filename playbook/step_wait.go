package playbook

import (
	"context"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// waitStep lets time pass from when the step is reached. It adds up what it sees pass, so that a clock that is set back neither ends it
// early nor holds it for longer than its time once more. Across a restart the ledger says when it began.
type waitStep struct {
	own    strangler.OwnStep
	last   time.Time     // the last look; zero before the first
	passed time.Duration // until then
	over   bool          // Do has ended it
}

func (s *waitStep) Check(_ context.Context, a *act) (verdict, error) {
	if s.over || a.recordedDone() {
		return done("%s have passed", span(s.own.Wait.For)), nil
	}
	now := a.Now()
	switch {
	case !s.last.IsZero():
		s.passed += max(now.Sub(s.last), 0)
	case a.under():
		s.passed = max(now.Sub(a.record.Started), 0)
	}
	s.last = now
	left := s.own.Wait.For - s.passed
	if left <= 0 {
		return ready("ending the wait of %s", span(s.own.Wait.For)), nil
	}
	return unmet(min(left, longestPause), span(s.own.Wait.For)+" to pass", (left+time.Second-1).Truncate(time.Second).String()+" are left", ""), nil
}

func (s *waitStep) Do(context.Context, *act) error {
	s.over = true
	return nil
}

func (s *waitStep) Undo(context.Context, *act) (string, error) { return "nothing to undo", nil }
