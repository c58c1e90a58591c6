package migrations

import (
	"context"
	"errors"
	"fmt"

	"github.com/strangler-fig/strangler"
)

// complete drops the monolith's tables together with their fence, and takes everything of Strangler out
// of the service's database. Killed half-way it goes on when it is called again.
func (s *split) complete(ctx context.Context) error {
	rec, err := s.cfg.Records.Split(ctx, s.c.Name)
	if err != nil {
		return err
	}
	t, err := s.cfg.Records.Toggle(ctx, s.c.Name)
	if err != nil {
		return err
	}
	if rec.Phase == strangler.PhaseComplete {
		return s.sweep(ctx)
	}
	p := s.planning()
	begun, err := s.begun(ctx, StageComplete)
	if err != nil {
		return err
	}
	if !begun && (t.Owner != strangler.Service || rec.Phase != strangler.PhaseReversed || t.Gated) {
		return strangler.Refuse("owner", fmt.Sprintf("the service does not own %s yet (phase %q)", s.c.Name, rec.Phase), "strangler split cutover "+s.c.Name)
	}
	// The stream has ended: this runs on its goroutine, and the phase is no longer one that is followed.
	if err := p.Up(ctx, StageComplete); err != nil {
		return err
	}
	if err := s.update(ctx, func(r *strangler.Split) { r.Phase, r.Error = strangler.PhaseComplete, "" }); err != nil {
		return err
	}
	return s.sweep(ctx)
}

// begun reports whether the scripts of a side have reached the stage.
func (s *split) begun(ctx context.Context, stage Stage) (bool, error) {
	status, err := s.planning().Status(ctx)
	for _, st := range status {
		if Stage(st.Version) == stage {
			return true, err
		}
	}
	return false, err
}

// cancelled runs the scripts down and leaves nothing behind. It is refused while the service owns.
func (s *split) cancelled(ctx context.Context) error {
	t, err := s.cfg.Records.Toggle(ctx, s.c.Name)
	if err != nil {
		return err
	}
	rec, err := s.cfg.Records.Split(ctx, s.c.Name)
	if err != nil {
		return err
	}
	switch {
	case rec.Phase == strangler.PhaseComplete:
		return strangler.Refuse("phase", s.c.Name+" is complete: the monolith's tables are gone, and there is no way back")
	case rec.Phase == strangler.PhaseCancelled:
		return s.sweep(ctx)
	case t.Owner == strangler.Service:
		return strangler.Refuse("owner", fmt.Sprintf("the service owns %s; its tables have writes that the monolith's must have first", s.c.Name), "strangler split rollback "+s.c.Name)
	case t.Gated:
		return strangler.Refuse("cutover", "a cutover of "+s.c.Name+" is under way", "wait for its end")
	case t.Mode != strangler.ModeLegacy:
		return strangler.Refuse("toggle", fmt.Sprintf("the toggle of %s is %s, and its readers would find no rows", s.c.Name, t.Mode), "strangler toggle set "+s.c.Name+" legacy --why \"cancel the split\"")
	}
	s.halt()
	if s.planning().Written() {
		if err := s.planning().To(ctx, StageNone); err != nil {
			return err
		}
	}
	if err := s.update(ctx, func(r *strangler.Split) {
		r.Phase, r.Error, r.Verified, r.Verifying = strangler.PhaseCancelled, "", strangler.Verify{}, nil
	}); err != nil {
		return err
	}
	return s.sweep(ctx)
}

// sweep removes the version tables and what else no script can.
func (s *split) sweep(ctx context.Context) error {
	var errs []error
	for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
		d, err := s.db(ctx, side)
		if err == nil {
			err = d.Sweep(ctx)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
