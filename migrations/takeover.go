package migrations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strangler-fig/strangler"
)

// errOvertaken: another cutover began while this worker took over; it looks again.
var errOvertaken = errors.New("another cutover began meanwhile")

// takeover makes this worker the one that streams, whatever the one before it left: it settles the
// decision, opens the owner, releases the gates, and only then raises the terms, reads the row again
// and streams (docs/CUTOVER.md, section 4). It ends with s.owner and s.term set.
func (s *split) takeover(ctx context.Context) error {
	for {
		err := s.settle(ctx)
		if err == nil {
			err = s.establish(ctx)
		}
		if !errors.Is(err, errOvertaken) {
			return err
		}
	}
}

// settle aborts an undecided cutover: whoever prepared it is gone.
func (s *split) settle(ctx context.Context) error {
	row, err := s.cfg.Decisions.LatestCutover(ctx, s.c.Name)
	if errors.Is(err, strangler.ErrNotFound) {
		return nil
	}
	if err == nil && row.State == strangler.Preparing {
		_, err = s.decide(ctx, row.ID, strangler.Aborted, "", "its worker ended before the decision")
	}
	return err
}

// decide takes the row out of preparing and returns it as it was decided, by this call or another. An
// error is an unknown outcome, so it reads back; read back as preparing, it aborts and reads again,
// until the row is decided or ctx ends. Until then every fence stays closed.
func (s *split) decide(ctx context.Context, id int64, state strangler.CutoverState, position, why string) (strangler.Cutover, error) {
	row, err := s.cfg.Decisions.Decide(ctx, id, state, position, why)
	for {
		if (err == nil || errors.Is(err, strangler.ErrConflict)) && row.State != strangler.Preparing && row.ID == id {
			return row, nil
		}
		s.cfg.Log.Warn("the decision is not known; reading it back, both sides stay closed", strangler.LogCapability, s.c.Name, strangler.LogError, err)
		if row, err = s.cfg.Decisions.CutoverByID(ctx, id); err == nil && row.State == strangler.Preparing {
			row, err = s.cfg.Decisions.Decide(ctx, id, strangler.Aborted, "", "the decision was not known: "+why)
		}
		if err != nil && !errors.Is(err, strangler.ErrConflict) && !pause(ctx, 50*time.Millisecond) {
			return strangler.Cutover{}, fmt.Errorf("%w: cutover %d of %s: both sides stay closed until a worker reads the decision", strangler.ErrUnknown, id, s.c.Name)
		}
	}
}

// establish opens the side that the decided row names, releases, raises both terms, reads the row
// again, and sets the direction of the stream.
func (s *split) establish(ctx context.Context) error {
	row, err := s.latest(ctx)
	if err != nil {
		return err
	}
	t, err := s.cfg.Records.Toggle(ctx, s.c.Name)
	if err != nil {
		return err
	}
	if err := s.evidence(ctx, t); err != nil {
		return s.outdated(ctx, t, err)
	}
	owner, err := s.db(ctx, t.Owner)
	if err != nil {
		return err
	}
	if err := owner.SetFence(ctx, t.Epoch, FenceOpen); err != nil {
		return s.overtaken(ctx, row, err)
	}
	if row.ID != 0 && !row.Released {
		if err := s.cfg.Decisions.Release(ctx, row.ID); err != nil {
			return err
		}
	}
	if err := s.cfg.Gates.Released(ctx, s.c.Name); err != nil {
		s.cfg.Log.Warn("an instance has not yet released; it will read the decision by itself", strangler.LogCapability, s.c.Name, strangler.LogError, err)
	}
	follower, err := s.db(ctx, t.Owner.Other())
	if err != nil {
		return err
	}
	if err := s.closeFollower(ctx, follower, t); err != nil {
		return err
	}
	term, err := s.cfg.Records.NextTerm(ctx)
	if err != nil {
		return err
	}
	for _, d := range []Database{follower, owner} {
		if err := d.RaiseTerm(ctx, term); err != nil {
			return err
		}
	}
	again, err := s.latest(ctx)
	if err != nil {
		return err
	}
	if again.ID != row.ID || again.State != row.State {
		return errOvertaken
	}
	s.term, s.owner, s.known = term, t.Owner, row.ID
	if s.passed.Load().owner != t.Owner {
		s.passed.Store(&instant{owner: t.Owner, next: s.passed.Load().next})
	}
	return nil
}

// latest is the latest cutover; the zero Cutover when there was none. One that is not decided belongs
// to a newer worker.
func (s *split) latest(ctx context.Context) (strangler.Cutover, error) {
	row, err := s.cfg.Decisions.LatestCutover(ctx, s.c.Name)
	switch {
	case errors.Is(err, strangler.ErrNotFound):
		return strangler.Cutover{}, nil
	case err == nil && row.State == strangler.Preparing:
		return row, errOvertaken
	}
	return row, err
}

// overtaken turns a refused opening into errOvertaken where a newer cutover explains it.
func (s *split) overtaken(ctx context.Context, row strangler.Cutover, cause error) error {
	now, err := s.latest(ctx)
	if errors.Is(err, errOvertaken) || err == nil && now.ID != row.ID {
		return errOvertaken
	}
	return cause
}

// evidence refuses to open anything where the databases know more than the control store, or belong to
// another one: something was put back from an older copy.
func (s *split) evidence(ctx context.Context, t strangler.Toggle) error {
	for _, side := range []strangler.Side{t.Owner, t.Owner.Other()} {
		d, err := s.db(ctx, side)
		if err != nil && side == t.Owner {
			return err
		}
		if err != nil {
			continue // a follower that cannot be reached must not keep the owner closed
		}
		f, err := d.Fence(ctx)
		switch {
		case err != nil && side != t.Owner:
			continue
		case err != nil:
			return err
		case !f.Installed && side != t.Owner:
			continue // it stops the stream, once the owner is open
		case !f.Installed:
			return fmt.Errorf("%w: the %s database of %s has lost its fence row; nothing was opened. Look at: strangler split adopt %s", strangler.ErrStopped, side, s.c.Name, s.c.Name)
		case f.ControlID != s.cfg.ControlID:
			return strangler.Refuse("control", fmt.Sprintf("the %s database of %s belongs to another control store (%s); nothing was opened", side, s.c.Name, f.ControlID), "strangler split adopt "+s.c.Name)
		case f.Moved != "":
			return strangler.Refuse("restore", fmt.Sprintf("the %s database of %s is not the one that its fence was made in: %s; it was put back from a copy, or another server took over; nothing was opened", side, s.c.Name, f.Moved), "strangler split adopt "+s.c.Name)
		case f.Epoch > t.Epoch:
			return strangler.Refuse("restore", fmt.Sprintf("the %s database of %s has seen epoch %d, the control store only %d, so the store was put back from an older copy, or an adoption did not end; nothing was opened", side, s.c.Name, f.Epoch, t.Epoch), "strangler split adopt "+s.c.Name)
		}
	}
	return nil
}

// outdated turns evidence against a toggle that has changed since it was read into errOvertaken.
func (s *split) outdated(ctx context.Context, t strangler.Toggle, cause error) error {
	if now, err := s.cfg.Records.Toggle(ctx, s.c.Name); err != nil || now.Epoch == t.Epoch {
		return cause
	}
	return errOvertaken
}

// closeFollower puts the fence back where it is open or its triggers are gone, under a fresh epoch.
func (s *split) closeFollower(ctx context.Context, d Database, t strangler.Toggle) error {
	f, err := d.Fence(ctx)
	if err != nil {
		return err
	}
	if !f.Installed {
		return fmt.Errorf("%w: the %s database of %s has lost its fence row. Look at: strangler split adopt %s", strangler.ErrStopped, t.Owner.Other(), s.c.Name, s.c.Name)
	}
	mended, err := d.Mend(ctx)
	if err != nil || !mended && f.State == FenceClosed {
		return err
	}
	epoch, err := s.cfg.Records.NextEpoch(ctx, s.c.Name, s.cfg.Worker, "the fence of the side that does not own was put back")
	if err != nil {
		return err
	}
	return d.SetFence(ctx, epoch, FenceClosed)
}
