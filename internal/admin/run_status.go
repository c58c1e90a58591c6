package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/strangler-fig/strangler"
)

// splitTime bounds the look at the databases: a run is shown also while one of them does not answer.
const splitTime = 3 * time.Second

func (s *Server) runStatus(c echo.Context) error {
	capability, err := s.capability(c)
	if err != nil {
		return err
	}
	ctx, done := s.reading(c)
	defer done()
	run, err := s.cfg.Runs.Status(ctx, capability.Name)
	if err != nil {
		return err
	}
	status := RunStatus{Run: shown(run), At: time.Now().UTC()}
	if status.Toggle, err = s.cfg.Toggles.Toggle(ctx, capability.Name); err != nil {
		return err
	}
	scene := strangler.Scene{Capability: capability, Run: run, Toggle: status.Toggle, Now: status.At}
	if !capability.Stateless() {
		status.Split, scene.Split = s.runSplit(ctx, capability.Name)
	}
	if s.cfg.Counts != nil {
		if status.Traffic, err = s.traffic(ctx, capability.Name); err != nil {
			return err
		}
	}
	if s.cfg.Ahead != nil {
		status.Outlook, status.Waits = s.cfg.Ahead(scene)
	}
	return c.JSON(http.StatusOK, status)
}

// runSplit is the split as a run's status shows it, and the whole of it. One that cannot be read says why, and is nil whole.
func (s *Server) runSplit(ctx context.Context, capability string) (*RunSplit, *strangler.SplitStatus) {
	ctx, cancel := context.WithTimeout(ctx, splitTime)
	defer cancel()
	split, err := s.cfg.Splits.Status(ctx, capability)
	if err != nil {
		return &RunSplit{Error: "its status could not be read: " + err.Error(), Tables: []strangler.TableProgress{}}, nil
	}
	out := &RunSplit{Phase: split.Phase, Doing: split.Doing, Error: split.Error, Throttled: split.Throttled, Lag: split.Lag,
		Tables: filled(split.Tables), LastVerify: split.LastVerify, Verifying: split.Verifying}
	if out.Error == "" {
		out.Error = split.Retrying
	}
	if out.Verifying != nil { // its place is the worker's own
		place := *out.Verifying
		place.After, place.Differences = nil, nil
		out.Verifying = &place
	}
	return out, &split
}

func (s *Server) traffic(ctx context.Context, capability string) (*Traffic, error) {
	instances, err := s.cfg.Toggles.Instances(ctx)
	if err != nil {
		return nil, err
	}
	var t Traffic
	for _, instance := range instances {
		if instance.Live {
			t.Instances++
		}
	}
	t.Legacy.Requests, t.Legacy.Errors = s.cfg.Counts.Requests(capability, strangler.Legacy)
	t.Service.Requests, t.Service.Errors = s.cfg.Counts.Requests(capability, strangler.Service)
	return &t, nil
}
