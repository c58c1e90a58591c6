package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/strangler-fig/strangler"
)

// change is the frame of every POST: it finds the capability, reads the order, answers a dry run with
// its preview, and otherwise lets do run for as long as it takes.
func (s *Server) change(c echo.Context, action Action, do func(context.Context, string, Order) (any, error)) error {
	capability, err := s.capability(c)
	if err != nil {
		return err
	}
	order, err := s.order(c)
	if err != nil {
		return err
	}
	dry, err := dryRun(c)
	if err != nil {
		return err
	}
	if dry {
		do = func(ctx context.Context, _ string, order Order) (any, error) {
			return s.preview(ctx, capability, action, order)
		}
	}
	ctx, done := s.operation(c)
	defer done()
	answer, err := do(ctx, capability.Name, order)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, answer)
}

func (s *Server) splitStatus(c echo.Context) error {
	capability, err := s.capability(c)
	if err != nil {
		return err
	}
	ctx, done := s.reading(c)
	defer done()
	status, err := s.status(ctx, capability.Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, status)
}

func (s *Server) status(ctx context.Context, capability string) (strangler.SplitStatus, error) {
	status, err := s.cfg.Splits.Status(ctx, capability)
	status.Tables, status.NextSteps = filled(status.Tables), filled(status.NextSteps)
	return status, err
}

func (s *Server) writers(c echo.Context) error {
	capability, err := s.capability(c)
	if err != nil {
		return err
	}
	ctx, done := s.reading(c)
	defer done()
	writers, err := s.cfg.Splits.Writers(ctx, capability.Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, Writers{Writers: filled(writers)})
}

func (s *Server) start(c echo.Context) error {
	return s.change(c, ActionStart, func(ctx context.Context, capability string, _ Order) (any, error) {
		if err := s.cfg.Splits.Start(ctx, capability); err != nil {
			return nil, err
		}
		return s.afterwards(ctx, capability, "the split is under way")
	})
}

func (s *Server) verify(c echo.Context) error {
	return s.change(c, ActionVerify, func(ctx context.Context, capability string, o Order) (any, error) {
		if o.Repair {
			return s.cfg.Splits.Repair(ctx, capability)
		}
		return s.cfg.Splits.Verify(ctx, capability)
	})
}

func (s *Server) cutover(c echo.Context) error {
	return s.change(c, ActionCutover, func(ctx context.Context, capability string, o Order) (any, error) {
		return s.cfg.Owners.Cutover(ctx, capability, o.Who, o.Why)
	})
}

func (s *Server) rollback(c echo.Context) error {
	return s.change(c, ActionRollback, func(ctx context.Context, capability string, o Order) (any, error) {
		return s.cfg.Owners.Rollback(ctx, capability, o.Who, o.Why)
	})
}

func (s *Server) complete(c echo.Context) error {
	return s.change(c, ActionComplete, func(ctx context.Context, capability string, o Order) (any, error) {
		if err := s.cfg.Owners.Complete(ctx, capability, o.Who, o.Confirm); err != nil {
			return nil, err
		}
		return s.afterwards(ctx, capability, "the split is complete")
	})
}

func (s *Server) cancel(c echo.Context) error {
	return s.change(c, ActionCancel, func(ctx context.Context, capability string, _ Order) (any, error) {
		if err := s.cfg.Splits.Cancel(ctx, capability); err != nil {
			return nil, err
		}
		return s.afterwards(ctx, capability, "the split is cancelled")
	})
}

// afterwards is the status behind something that has succeeded. That it cannot be read does not
// unmake it, and the error says so.
func (s *Server) afterwards(ctx context.Context, capability, done string) (strangler.SplitStatus, error) {
	status, err := s.status(ctx, capability)
	if err != nil {
		return status, fmt.Errorf("%s, but its status could not be read; ask again with strangler split status %s: %w", done, capability, err)
	}
	return status, nil
}

// adopt shows the evidence, and with an owner lets a person decide.
func (s *Server) adopt(c echo.Context) error {
	return s.change(c, ActionAdopt, func(ctx context.Context, capability string, o Order) (any, error) {
		switch o.Owner {
		case "", strangler.Legacy, strangler.Service:
		default:
			return nil, fmt.Errorf("%w: owner %q: it is legacy or service; nothing was changed", strangler.ErrConfig, o.Owner)
		}
		if o.Lost && o.Owner == "" {
			return nil, fmt.Errorf("%w: lost says that the other side is gone for good, so it needs an owner; nothing was changed", strangler.ErrConfig)
		}
		if o.Owner != "" && strings.TrimSpace(o.Why) == "" {
			return nil, fmt.Errorf("%w: naming an owner by hand needs a reason: give why; nothing was changed", strangler.ErrConfig)
		}
		return s.evidence(ctx, capability, o)
	})
}

func (s *Server) evidence(ctx context.Context, capability string, o Order) (Evidence, error) {
	evidence, err := s.cfg.Owners.Adopt(ctx, capability, o)
	evidence.Lines = filled(evidence.Lines)
	return evidence, err
}
