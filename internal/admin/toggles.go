package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/strangler-fig/strangler"
)

func (s *Server) snapshot(c echo.Context) error {
	ctx, done := s.reading(c)
	defer done()
	snapshot, err := s.cfg.Toggles.Snapshot(ctx)
	if err != nil {
		return err
	}
	snapshot.Toggles = filled(snapshot.Toggles)
	return c.JSON(http.StatusOK, snapshot)
}

func (s *Server) toggle(c echo.Context) error {
	capability, err := s.capability(c)
	if err != nil {
		return err
	}
	ctx, done := s.reading(c)
	defer done()
	toggle, err := s.cfg.Toggles.Toggle(ctx, capability.Name)
	if err != nil {
		return err
	}
	answer := Noticed{Toggle: toggle}
	if s.cfg.Notices != nil {
		answer.Notices = s.cfg.Notices(capability.Name)
	}
	return c.JSON(http.StatusOK, answer)
}

// flip changes a toggle; the body is a strangler.ToggleChange.
func (s *Server) flip(c echo.Context) error {
	capability, err := s.capability(c)
	if err != nil {
		return err
	}
	var change strangler.ToggleChange
	if err := s.read(c, &change); err != nil {
		return err
	}
	if err := usable(change); err != nil {
		return err
	}
	dry, err := dryRun(c)
	if err != nil {
		return err
	}
	ctx, done := s.operation(c)
	defer done()
	var flip strangler.Flip
	if dry {
		flip, err = s.wouldFlip(ctx, capability, change)
	} else {
		flip, err = s.cfg.Toggles.Flip(ctx, capability.Name, change)
	}
	if err != nil {
		return err
	}
	flip.Applied, flip.Pending = filled(flip.Applied), filled(flip.Pending)
	return c.JSON(http.StatusOK, flip)
}

func usable(change strangler.ToggleChange) error {
	_, err := strangler.ParseMode(string(change.Mode))
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", strangler.ErrConfig, err)
	case strings.TrimSpace(change.Who) == "" || strings.TrimSpace(change.Why) == "":
		return fmt.Errorf("%w: a toggle is changed by somebody for a reason; give who and why; nothing was changed", strangler.ErrConfig)
	case change.Mode == strangler.ModeCanary && (change.Percent <= 0 || change.Percent > strangler.Hundred):
		return fmt.Errorf("%w: a canary needs a percentage above 0%% and up to 100%%; nothing was changed", strangler.ErrConfig)
	case change.Mode != strangler.ModeCanary && change.Percent != 0:
		return fmt.Errorf("%w: only a canary has a percentage; nothing was changed", strangler.ErrConfig)
	}
	return storable("who", change.Who, "why", change.Why)
}

// wouldFlip is a flip's outcome without the flip: every live instance would be asked to apply it.
func (s *Server) wouldFlip(ctx context.Context, capability strangler.Capability, change strangler.ToggleChange) (strangler.Flip, error) {
	toggle, err := s.cfg.Toggles.Toggle(ctx, capability.Name)
	if err != nil {
		return strangler.Flip{}, err
	}
	if toggle.Gated {
		return strangler.Flip{}, strangler.Refuse("cutover", "a cutover of "+capability.Name+" is under way", "strangler split status "+capability.Name+" until it has ended")
	}
	if !capability.Stateless() {
		if err := toggle.Contradiction(change.Mode); err != nil {
			return strangler.Flip{}, err
		}
	}
	instances, err := s.cfg.Toggles.Instances(ctx)
	if err != nil {
		return strangler.Flip{}, err
	}
	toggle.Mode, toggle.Percent = change.Mode, change.Percent
	toggle.Epoch++
	flip := strangler.Flip{Toggle: toggle}
	for _, instance := range instances {
		if instance.Live {
			flip.Pending = append(flip.Pending, instance.ID)
		}
	}
	return flip, nil
}

func (s *Server) history(c echo.Context) error {
	capability, err := s.capability(c)
	if err != nil {
		return err
	}
	ctx, done := s.reading(c)
	defer done()
	entries, err := s.cfg.Toggles.History(ctx, capability.Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, History{History: filled(entries)})
}

func (s *Server) instances(c echo.Context) error {
	ctx, done := s.reading(c)
	defer done()
	instances, err := s.cfg.Toggles.Instances(ctx)
	if err != nil {
		return err
	}
	instances = filled(slices.Clone(instances))
	for i := range instances {
		if instances[i].Epochs == nil {
			instances[i].Epochs = map[string]int64{}
		}
	}
	return c.JSON(http.StatusOK, Instances{Instances: instances})
}

// filled makes an empty list [] instead of null.
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
