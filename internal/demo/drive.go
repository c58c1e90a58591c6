package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
)

const (
	who      = "demo"
	lastStep = "soak" // complete cannot be undone, so the demo leaves it to a person

	followPoll = 150 * time.Millisecond
	actTime    = 3 * time.Minute
)

// forward runs the playbook to the end of the soak.
func (s *system) forward(ctx context.Context, show *stage, result *Result, title string) error {
	show.Act(title, capability)
	run, err := s.admin.Run(ctx, capability, admin.Order{Who: who, Why: "the demo", Until: lastStep})
	if err == nil {
		run, err = s.follow(ctx, show, run, strangler.RunDone)
	}
	result.add(run, strangler.StepDone)
	if err != nil {
		return fmt.Errorf("%s: %w", fmt.Sprintf(title, capability), err)
	}
	pause, err := s.handed(ctx, strangler.Service)
	result.Cutover.PauseMS = max(result.Cutover.PauseMS, pause)
	return err
}

// back rolls the cutover back.
func (s *system) back(ctx context.Context, show *stage, result *Result) error {
	show.Act("rolling back behind the cutover")
	run, err := s.admin.RollbackRun(ctx, capability, admin.Order{Who: who, Why: "the demo shows that it can be taken back", To: "cutover"})
	if err == nil {
		run, err = s.follow(ctx, show, run, strangler.RunRolledBack)
	}
	result.add(run, strangler.StepUndone)
	if err != nil {
		return fmt.Errorf("rolling %s back: %w", capability, err)
	}
	pause, err := s.handed(ctx, strangler.Legacy)
	result.Rollback.PauseMS = max(result.Rollback.PauseMS, pause)
	return err
}

// follow watches a run until it has ended, as wanted or not.
func (s *system) follow(ctx context.Context, show *stage, run strangler.Run, want strangler.RunState) (strangler.Run, error) {
	limited, cancel := context.WithTimeout(ctx, actTime)
	defer cancel()
	poll := time.NewTicker(followPoll)
	defer poll.Stop()
	for {
		show.Run(run)
		switch run.State {
		case want:
			return run, nil
		case strangler.RunFailed, strangler.RunDone, strangler.RunRolledBack:
			return run, fmt.Errorf("the run is %s: %s", run.State, run.Error)
		}
		select {
		case <-poll.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return run, ctx.Err()
			}
			return run, fmt.Errorf("it is not over after %v: %s", actTime, waitingFor(run))
		}
		next, err := s.admin.RunStatus(ctx, capability)
		if err != nil {
			return run, err
		}
		run = next
	}
}

// waitingFor says where a run is.
func waitingFor(run strangler.Run) string {
	for _, step := range run.Steps {
		if step.State == strangler.StepDoing || step.State == strangler.StepWaiting || step.State == strangler.StepUndoing {
			return fmt.Sprintf("step %s is %s: %s %s", step.Name, step.State, step.Detail, run.Waiting)
		}
	}
	return string(run.State) + " " + run.Waiting
}

// handed makes sure of the owner, and returns the longest hold of a write in milliseconds.
func (s *system) handed(ctx context.Context, to strangler.Side) (pause float64, err error) {
	status, err := s.admin.SplitStatus(ctx, capability)
	if err != nil {
		return 0, err
	}
	if status.Owner != to {
		return status.Pause, fmt.Errorf("the run is over, and %s owns %s, not %s", status.Owner, capability, to)
	}
	return status.Pause, nil
}
