package playbook

import (
	"context"

	strangler "github.com/strangler-fig/strangler"
)

// approveStep is done when a person has approved it. Who may is for Engine.Approve to check.
type approveStep struct{ own strangler.OwnStep }

func (s *approveStep) Check(_ context.Context, a *act) (verdict, error) {
	switch {
	case a.record.Approved != "":
		return done("approved by %s", a.record.Approved), nil
	case a.recordedDone():
		return done("%s", a.record.Detail), nil
	}
	v := missing("approval: strangler playbook approve %s %s", a.name(), s.own.Name)
	v.detail, v.person = v.text, true
	if len(s.own.Approve.By) > 0 {
		v.detail += "; it takes " + s.own.Approve.Who()
	}
	return v, nil
}

func (s *approveStep) Do(context.Context, *act) error { return nil }

func (s *approveStep) Undo(context.Context, *act) (string, error) { return "nothing to undo", nil }
