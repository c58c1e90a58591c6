package playbook

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// own makes a step of the capability's own.
func own(o strangler.OwnStep) entry {
	return entry{Description: describeOwn(o), make: func() step {
		switch {
		case o.Run != nil:
			return &runStep{own: o}
		case o.HTTP != nil:
			return &gateStep{gate: httpGate{o}}
		case o.SQL != nil:
			return &gateStep{gate: sqlGate{o}}
		case o.Prometheus != nil:
			return &gateStep{gate: prometheusGate{o}}
		case o.Approve != nil:
			return &approveStep{o}
		case o.Wait != nil:
			return &waitStep{own: o}
		}
		return &notifyStep{own: o}
	}}
}

// describeOwn says of a step of the capability's own what the others say of themselves.
func describeOwn(o strangler.OwnStep) Description {
	words := o.Words()
	d := Description{
		Name: o.Name, Kind: o.Kind(), Does: strings.ToUpper(words[:min(1, len(words))]) + words[min(1, len(words)):] + ".",
		Changes: "Nothing; it waits.", Undo: "There is nothing to undo.", Commands: []string{"strangler playbook status CAP"},
	}
	switch {
	case o.Run != nil:
		d.Changes = "What the program changes."
		if o.Run.Check != nil {
			d.Does += " It is done when " + o.Run.Checker() + " exits with 0."
		}
		if o.Run.Undo != nil {
			d.Undo = "Runs " + o.Run.Undoer() + ", where the step was begun."
		}
	case o.Notify != nil:
		d.Changes = "Nothing; it tells."
		d.Undo = "There is nothing to undo: what was told stays told."
	case o.HTTP != nil:
		d.Commands = append(d.Commands, look(o))
	case o.Approve != nil:
		d.Approvers = slices.Clone(o.Approve.By)
	}
	return d
}

// look is the command that shows more of what an http gate asks.
func look(o strangler.OwnStep) string { return "curl -i " + strangler.Shown(o.HTTP.URL) }

// gate is what a step of the capability's own waits for. ask changes nothing, and answers that it is met (done, with what was found) or
// what is missing. Its errors are those of Check.
type gate interface {
	ask(ctx context.Context, a *act) (verdict, error)
}

// gateStep is done once its gate was met.
type gateStep struct {
	gate
	met   string // what the last look found, if it was met
	found string // what it was passed on
}

func (s *gateStep) Check(ctx context.Context, a *act) (verdict, error) {
	switch {
	case s.found != "":
		return done("%s", s.found), nil
	case a.recordedDone():
		return done("%s", a.record.Detail), nil
	}
	v, err := s.ask(ctx, a)
	if err == nil && v.answer == isDone {
		s.met = v.text
		return ready("letting the run pass: %s", v.text), nil
	}
	return v, err
}

func (s *gateStep) Do(context.Context, *act) error {
	s.found = s.met
	return nil
}

func (s *gateStep) Undo(context.Context, *act) (string, error) { return "nothing to undo", nil }

// unmet is the verdict of a gate that is not: what it waits for, what there is instead, and what shows more.
func unmet(pause time.Duration, what, found, more string) verdict {
	v := missing("%s", what)
	v.detail, v.pause = v.text+": "+found, pause
	if more != "" {
		v.detail += "; " + more + " shows more"
	}
	return v
}

// outdated asks, before the first effect of a step of the playbook's, what is missing of the gates right before it by then: it may have
// waited for somebody. The cutover asks by itself, before each attempt.
func (a *act) outdated(ctx context.Context, e entry) (v verdict, is bool, err error) {
	if e.Kind != "" || e.Name == Cutover || a.record.Begun {
		return verdict{}, false, nil
	}
	return a.stale(ctx, e.Name)
}

// stale asks once more the gates that this run has passed right before a step of the playbook's, since what they found grows old while
// the step waits for somebody. It answers what is missing now.
func (a *act) stale(ctx context.Context, before string) (v verdict, is bool, err error) {
	var gates []entry
	for _, e := range listOf(a.capability) {
		if e.Name == before {
			break
		}
		if e.Kind == "" {
			gates = nil
		} else {
			gates = append(gates, e)
		}
	}
	for _, e := range gates {
		s, evidence := e.make().(*gateStep)
		passed := slices.ContainsFunc(a.run.Steps, func(r strangler.StepRun) bool { return r.Name == e.Name && r.State == strangler.StepDone })
		if !evidence || !passed {
			continue
		}
		v, err := s.ask(ctx, a)
		switch {
		case err != nil:
			return v, false, fmt.Errorf("asking the gate %s once more: %w", e.Name, err)
		case v.answer == isMissing:
			again := missing("the gate %s, which was met before, to be met again", e.Name)
			again.detail, again.pause = again.text+": "+v.text, v.pause
			if v.detail != "" {
				again.detail = again.text + ": " + v.detail
			}
			return again, true, nil
		}
	}
	return verdict{}, false, nil
}

// fewer is an attempt that may be repeated like any other, but of times in all instead of Config.Tries.
type fewer struct {
	again
	of int
}

func (f fewer) Unwrap() error { return f.again }
