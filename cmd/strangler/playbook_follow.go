package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/client"
	"github.com/strangler-fig/strangler/playbook"
)

const (
	usualPatience = time.Minute     // for a daemon that is watched and does not answer
	lookTime      = 5 * time.Second // for one answer of it
)

// followRun shows a run until it ends, or waits for what takes a person or days.
func (a *app) followRun(ctx context.Context, c *client.Client, p *progress, capability string) (admin.RunStatus, error) {
	status, err := a.watchRun(ctx, c, p, capability, settled)
	if ctx.Err() != nil {
		err = fmt.Errorf("nobody watches the run of %s any more, and it goes on in the daemon; look with strangler playbook status %s",
			capability, capability)
	}
	return status, err
}

// watchRun shows a run until over says that watching it on is of no use, or ctx ends. The run belongs to the daemon: one that goes
// away while it is watched is asked again until a.patience is over.
func (a *app) watchRun(ctx context.Context, c *client.Client, p *progress, capability string,
	over func(strangler.Run) bool) (admin.RunStatus, error) {
	ticker := time.NewTicker(a.poll)
	defer ticker.Stop()
	var status admin.RunStatus
	var lost time.Time // since when nothing answers
	for {
		asked := time.Now()
		next, err := lookAtRun(ctx, c, capability)
		switch {
		case ctx.Err() != nil:
			return status, ctx.Err()
		case err == nil:
			status, lost = next, time.Time{}
			p.show(drawRun(p, status, a.next(status.Run), ""), runLine(status.Run))
			if over(status.Run) {
				return status, nil
			}
		case status.ID == 0 || final(err):
			return status, err
		default:
			if lost.IsZero() {
				lost = asked
			}
			patience := usualPatience
			if a.patience > 0 {
				patience = a.patience
			}
			if time.Since(lost) >= patience {
				return status, fmt.Errorf("the daemon has not answered for %s: %v; nothing is lost: the run of %s goes on where it was "+
					"as soon as a daemon runs; look with strangler playbook status %s", lasting(patience), err, capability, capability)
			}
			gone := time.Since(lost)
			note := fmt.Sprintf("the daemon has not answered for %s, and is asked for another %s; this is what was so before",
				lasting(gone), lasting(patience-gone))
			p.show(drawRun(p, status, a.next(status.Run), note), "the daemon does not answer; it is asked again for "+lasting(patience))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func lookAtRun(ctx context.Context, c *client.Client, capability string) (admin.RunStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return c.WholeRun(ctx, capability)
}

// final reports whether an error is the daemon's answer, which asking again would not change.
func final(err error) bool {
	return errors.Is(err, strangler.ErrConfig) || errors.Is(err, strangler.ErrNotFound) || errors.Is(err, strangler.ErrRefused)
}

// settled reports whether watching a run on is of no use. Short gates (lag, a canary's time) are
// watched; an approval and the soak are not.
func settled(run strangler.Run) bool {
	if run.State == strangler.RunWaiting {
		step, person := awaitsPerson(run)
		return person || changedSettings(run) || step == playbook.Soak
	}
	return !goesOn(run)
}

// changedSettings reports whether a run waits for somebody to accept what strangler.yaml says now.
func changedSettings(run strangler.Run) bool {
	return run.State == strangler.RunWaiting && strings.HasPrefix(run.Waiting, "waiting for changed settings to be accepted: ")
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
	return run.State == strangler.RunWaiting && strings.HasPrefix(run.Waiting, "waiting for approval: ")
}

func waitingStep(run strangler.Run) strangler.StepRun {
	for _, s := range run.Steps {
		if s.State == strangler.StepWaiting {
			return s
		}
	}
	return strangler.StepRun{}
}

// runLine is one line for the step that a run is at.
func runLine(run strangler.Run) string {
	line := "run " + string(run.State)
	for _, s := range run.Steps {
		switch s.State {
		case strangler.StepDoing, strangler.StepUndoing, strangler.StepWaiting:
			line = fmt.Sprintf("%s: %s", s.Name, s.State)
			if who := approvedBy(run); who != "" {
				line += ", approved by " + who
			} else if run.Waiting != "" {
				line += ", " + run.Waiting
			}
		case strangler.StepFailed:
			line = fmt.Sprintf("%s: failed: %s", s.Name, s.Detail)
		}
	}
	return line
}
