package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/client"
	"github.com/strangler-fig/strangler/playbook"
)

// followRun shows a run until it ends, or waits for what takes a person or days.
func (a *app) followRun(ctx context.Context, c *client.Client, capability string) (strangler.Run, error) {
	var run strangler.Run
	p := a.progress()
	err := a.follow(ctx, "the run of "+capability, "strangler playbook status "+capability, func() (bool, error) {
		var err error
		if run, err = c.RunStatus(ctx, capability); err != nil {
			return false, err
		}
		p.show(drawRun(p, run))
		return settled(run), nil
	})
	return run, err
}

// settled reports whether watching a run on is of no use. Short gates (lag, a canary's time) are
// watched; an approval and the soak are not.
func settled(run strangler.Run) bool {
	switch run.State {
	case strangler.RunDone, strangler.RunFailed, strangler.RunRolledBack:
		return true
	case strangler.RunWaiting:
		_, person := awaitsPerson(run)
		return person || waitingStep(run).Name == playbook.Soak
	}
	return false
}

// awaitsPerson reports whether a run waits for an approval that nobody has given yet, and of which step.
func awaitsPerson(run strangler.Run) (step string, waits bool) {
	at := waitingStep(run)
	return at.Name, at.Name != "" && at.Approved == "" && saysApproval(run)
}

// approvedBy is who has approved the step at which a run still stands, or "".
func approvedBy(run strangler.Run) string {
	if !saysApproval(run) {
		return ""
	}
	return waitingStep(run).Approved
}

func saysApproval(run strangler.Run) bool {
	return run.State == strangler.RunWaiting && strings.Contains(run.Waiting, "approval")
}

func waitingStep(run strangler.Run) strangler.StepRun {
	for _, s := range run.Steps {
		if s.State == strangler.StepWaiting {
			return s
		}
	}
	return strangler.StepRun{}
}

// drawRun is a block with a line for each step, and one line for the step that it is at.
func drawRun(p *progress, run strangler.Run) (block []string, line string) {
	line = "run " + string(run.State)
	var done int64
	for _, s := range run.Steps {
		mark := " "
		switch s.State {
		case strangler.StepDone:
			mark = p.paint(good, "✔")
			done++
		case strangler.StepDoing, strangler.StepUndoing, strangler.StepWaiting:
			mark = p.paint(busy, "…")
			line = fmt.Sprintf("%s: %s", s.Name, s.State)
			if who := approvedBy(run); who != "" {
				line += ", approved by " + who
			} else if run.Waiting != "" {
				line += ", " + run.Waiting
			}
		case strangler.StepFailed:
			mark = p.paint(bad, "✘")
			line = fmt.Sprintf("%s: failed: %s", s.Name, s.Detail)
		case strangler.StepUndone:
			mark = "↩"
		}
		block = append(block, strings.TrimRight(fmt.Sprintf("%s %-9s %-8s %s", mark, s.Name, s.State, s.Detail), " "))
	}
	total := int64(len(run.Steps))
	block = append(block, fmt.Sprintf("%s %d of %d steps, run %s", p.bar(done, total), done, total, run.State))
	return block, line
}
