package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

// Action is something that a POST asks for.
type Action string

const (
	ActionStart    Action = "split start"
	ActionVerify   Action = "split verify"
	ActionCutover  Action = "split cutover"
	ActionRollback Action = "split rollback"
	ActionComplete Action = "split complete"
	ActionCancel   Action = "split cancel"
	ActionAdopt    Action = "split adopt"
	ActionRun      Action = "playbook run"
	ActionRunBack  Action = "playbook rollback"
	ActionApprove  Action = "playbook approve"
	ActionPause    Action = "playbook pause"
	ActionContinue Action = "playbook continue"
	ActionAbort    Action = "playbook abort"
	ActionSkip     Action = "playbook skip"
	ActionRetry    Action = "playbook retry"
	ActionAccept   Action = "playbook accept"
)

// preview says what an action would do. It reads and changes nothing. The evidence of adopt is its
// own preview.
func (s *Server) preview(ctx context.Context, capability strangler.Capability, action Action, o Order) (any, error) {
	if action == ActionAdopt {
		o.Owner, o.Lost = "", false
		return s.evidence(ctx, capability.Name, o)
	}
	var p Preview
	err := named(action, o)
	if err != nil {
		return nil, err
	}
	switch action {
	case ActionRun:
		p, err = s.wouldRun(ctx, capability, o)
	case ActionRunBack:
		p, err = s.wouldRunBack(ctx, capability, o)
	case ActionApprove, ActionPause, ActionContinue, ActionAbort, ActionSkip, ActionRetry, ActionAccept:
		p, err = s.wouldAsk(ctx, capability.Name, action, o)
	default:
		p, err = s.wouldSplit(ctx, capability, action, o)
	}
	if err != nil {
		return nil, err
	}
	p.DryRun = true
	p.Lines, p.NextSteps = filled(p.Lines), filled(p.NextSteps)
	return p, nil
}

func (s *Server) wouldSplit(ctx context.Context, capability strangler.Capability, action Action, o Order) (Preview, error) {
	status, err := s.status(ctx, capability.Name)
	if err != nil {
		return Preview{}, err
	}
	var tables []string
	for _, table := range capability.Tables {
		tables = append(tables, table.From)
	}
	lag := fmt.Sprintf("lag %d changes", status.Lag.Changes)
	if status.Lag.Unknown != "" {
		lag = "lag not known: " + strings.ReplaceAll(status.Lag.Unknown, "\n", " ")
	}
	p := Preview{Lines: []string{fmt.Sprintf("now: %s, owner %s, epoch %d, %s", phase(status), status.Owner, status.Epoch, lag)}}
	p.NextSteps = []string{fmt.Sprintf("strangler %s %s", action, capability.Name)}
	switch action {
	case ActionStart:
		p.Lines = append(p.Lines, "copy the rows of "+strings.Join(tables, ", ")+" into the service's database, and follow every change meanwhile", "legacy goes on owning every write")
	case ActionVerify:
		if !o.Repair {
			p.Lines = append(p.Lines, "compare both sides row by row; nothing is changed")
			break
		}
		p.NextSteps = []string{p.NextSteps[0] + " --repair"}
		p.Lines = append(p.Lines, "compare both sides row by row", "log the key of every row that differs at the owner, so that the stream brings the owner's row to the other side; the owner's rows stay as they are")
	case ActionCutover:
		return s.wouldHandOver(ctx, p, status, strangler.Service)
	case ActionRollback:
		return s.wouldHandOver(ctx, p, status, strangler.Legacy)
	case ActionComplete:
		p.Lines = append(p.Lines, "stop the stream back to legacy", "drop "+strings.Join(tables, ", ")+" in the legacy database, each together with its fence", "this is the point of no return: nothing feeds the legacy side any more")
	case ActionCancel:
		p.Lines = append(p.Lines, "stop the copy and the stream", "run the scripts down in both databases, and remove all that Strangler made; the rows in the legacy database stay as they are")
	}
	return p, nil
}

// wouldHandOver is a cutover or a rollback to a side, with the one statement outside scripts, at either side.
func (s *Server) wouldHandOver(ctx context.Context, p Preview, status strangler.SplitStatus, to strangler.Side) (Preview, error) {
	from := to.Other()
	if status.Owner == to {
		p.Lines = append(p.Lines, fmt.Sprintf("%s owns already: nothing would be done", to))
		p.NextSteps = nil
		return p, nil
	}
	p.Lines = append(p.Lines,
		"hold new writes at every proxy, and let those in flight end",
		fmt.Sprintf("close the fence of %s", from),
		fmt.Sprintf("let %s catch up to the last write, and check the rows written lately", to),
		fmt.Sprintf("decide, in one compare-and-swap: %s owns, at epoch %d or later", to, status.Epoch+1),
		fmt.Sprintf("open the fence of %s, release the held writes, and let %s follow", to, from))
	if s.cfg.Previews == nil {
		return p, nil
	}
	if to == strangler.Legacy { // a rollback by hand is one of the playbook, and refused as that is
		if _, _, err := s.cfg.Previews.ForetellBack(ctx, status.Capability, "cutover"); err != nil {
			return p, err
		}
	}
	var err error
	p.Statements, err = s.cfg.Previews.Fences(ctx, status.Capability, from)
	return p, err
}

func phase(status strangler.SplitStatus) string {
	if status.Phase == strangler.PhaseNone {
		return "not yet planned"
	}
	return string(status.Phase)
}

func (s *Server) wouldRun(ctx context.Context, capability strangler.Capability, o Order) (Preview, error) {
	p := Preview{NextSteps: []string{"strangler playbook run " + capability.Name}}
	until := "the end"
	if o.Until != "" {
		until = "the step " + o.Until
		p.NextSteps[0] += " --until " + o.Until
	}
	p.Lines = []string{"run the playbook of " + capability.Name + " up to " + until}
	if s.cfg.Previews == nil {
		return p, nil
	}
	steps, err := s.cfg.Previews.Steps(ctx, capability.Name)
	if err != nil {
		return p, err
	}
	if o.Until != "" {
		last := slices.IndexFunc(steps, func(step strangler.StepRun) bool { return step.Name == o.Until })
		if last < 0 {
			return p, fmt.Errorf("step %q: %w; strangler playbook list names them; nothing was changed", o.Until, strangler.ErrNotFound)
		}
		steps = steps[:last+1]
	}
	p.Steps = steps
	p.Planned, err = s.cfg.Previews.Foretell(ctx, capability.Name, o.Until)
	return p, err
}

// wouldRunBack says what a rollback would do.
func (s *Server) wouldRunBack(ctx context.Context, capability strangler.Capability, o Order) (Preview, error) {
	p := Preview{NextSteps: []string{"strangler playbook rollback " + capability.Name}}
	switch o.To {
	case "":
	case "all":
		p.NextSteps[0] += " --all"
	default:
		p.NextSteps[0] += " --to " + o.To
	}
	if s.cfg.Previews == nil {
		p.Lines = []string{"undo the steps of " + capability.Name + " from the last one down"}
		return p, nil
	}
	run, planned, err := s.cfg.Previews.ForetellBack(ctx, capability.Name, o.To)
	p.Planned = planned
	p.Lines = []string{fmt.Sprintf("undo the steps of %s from the last one down to %s", capability.Name, run.BackTo)}
	if len(planned) == 0 {
		p.Lines = append(p.Lines, "none of them has anything to take back")
	}
	return p, err
}

// wouldAsk says what a person would change of the latest run.
func (s *Server) wouldAsk(ctx context.Context, capability string, action Action, o Order) (Preview, error) {
	run, err := s.cfg.Runs.Status(ctx, capability)
	if err != nil {
		return Preview{}, err
	}
	now := fmt.Sprintf("now: run %d of %s is %s", run.ID, capability, run.State)
	if run.Waiting != "" {
		now += ", " + run.Waiting
	}
	p := Preview{Lines: []string{now}}
	would := map[Action]string{
		ActionApprove:  fmt.Sprintf("step %s would be approved by %s, and the run would go on", o.Step, o.Who),
		ActionPause:    "nothing more of it would be begun; an effect that is under way would end first",
		ActionContinue: "it would go on where it was paused",
		ActionAbort:    "it would end where it stands; what it has done would stay, and strangler playbook rollback " + capability + " --all would still take it back",
		ActionSkip:     fmt.Sprintf("it would go on without step %s, and the ledger would keep who wanted that and why: %s", o.Step, o.Why),
		ActionRetry:    fmt.Sprintf("step %s would be done anew, and the run go on from there", o.Step),
	}
	var changes []string
	if s.cfg.Previews != nil {
		if changes, err = s.cfg.Previews.Ask(ctx, action, capability, o); err != nil {
			return p, err
		}
	}
	switch {
	case action != ActionAccept:
		p.Lines = append(p.Lines, would[action])
	case len(changes) == 0:
		p.Lines = append(p.Lines, "its settings have not changed, and there is nothing to accept")
	default:
		p.Lines = append(p.Lines, changes...)
	}
	return p, nil
}
