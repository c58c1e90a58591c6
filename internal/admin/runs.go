package admin

import (
	"context"
	"fmt"

	"github.com/labstack/echo/v4"

	"github.com/strangler-fig/strangler"
)

func (s *Server) run(c echo.Context) error {
	return s.change(c, ActionRun, func(ctx context.Context, capability string, o Order) (any, error) {
		run, err := s.cfg.Runs.Run(ctx, capability, o.Until, o.Who)
		return shown(run), err
	})
}

func (s *Server) runBack(c echo.Context) error {
	return s.change(c, ActionRunBack, func(ctx context.Context, capability string, o Order) (any, error) {
		run, err := s.cfg.Runs.Rollback(ctx, capability, o.To, o.Who)
		return shown(run), err
	})
}

func (s *Server) approve(c echo.Context) error {
	return s.change(c, ActionApprove, func(ctx context.Context, capability string, o Order) (any, error) {
		if err := named(ActionApprove, o); err != nil {
			return nil, err
		}
		if err := s.cfg.Runs.Approve(ctx, capability, o); err != nil {
			return nil, err
		}
		run, err := s.cfg.Runs.Status(ctx, capability)
		if err != nil {
			return nil, fmt.Errorf("the approval is recorded, but the run could not be read; ask again with strangler playbook status %s: %w", capability, err)
		}
		return shown(run), nil
	})
}

// runVerbs are what a person asks of a run that is there, by the last part of the path.
var runVerbs = map[string]Action{
	"pause": ActionPause, "continue": ActionContinue, "abort": ActionAbort, "skip": ActionSkip, "retry": ActionRetry, "accept": ActionAccept,
}

func (s *Server) ask(action Action) echo.HandlerFunc {
	return func(c echo.Context) error {
		return s.change(c, action, func(ctx context.Context, capability string, o Order) (any, error) {
			if err := named(action, o); err != nil {
				return nil, err
			}
			run, changes, err := s.cfg.Runs.Ask(ctx, action, capability, o)
			return Asked{shown(run), changes}, err
		})
	}
}

// named wants the step of what is about one.
func named(action Action, o Order) error {
	if o.Step == "" && (action == ActionApprove || action == ActionSkip || action == ActionRetry) {
		return fmt.Errorf("%w: step is missing: say which step is meant; nothing was changed", strangler.ErrConfig)
	}
	return nil
}

func shown(run strangler.Run) strangler.Run {
	run.Steps, run.Acts = filled(run.Steps), filled(run.Acts)
	return run
}
