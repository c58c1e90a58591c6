package migrations

import (
	"context"
	"fmt"

	"github.com/strangler-fig/strangler"
)

// Evidence shows what the control store and both databases know of a capability, in lines for people
// to read, with the highest epoch of all.
func (s *Splits) Evidence(ctx context.Context, capability string) (lines []string, highest int64, err error) {
	x, err := s.split(capability)
	if err != nil {
		return nil, 0, err
	}
	t, err := s.cfg.Records.Toggle(ctx, capability)
	if err != nil {
		return nil, 0, err
	}
	highest = t.Epoch
	lines = append(lines, fmt.Sprintf("control store %s: owner %s, epoch %d", s.cfg.ControlID, t.Owner, t.Epoch))
	for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
		d, err := x.db(ctx, side)
		if err != nil {
			lines = append(lines, fmt.Sprintf("%s database: cannot be reached (%v)", side, err))
			continue
		}
		f, err := d.Fence(ctx)
		switch {
		case err != nil:
			lines = append(lines, fmt.Sprintf("%s database: cannot be read (%v)", side, err))
			continue
		case !f.Installed:
			lines = append(lines, fmt.Sprintf("%s database: no fence", side))
			continue
		}
		highest = max(highest, f.Epoch)
		applied, _ := d.Applied(ctx)
		end, _ := d.End(ctx)
		pending, _ := d.Pending(ctx)
		lines = append(lines, fmt.Sprintf("%s database: control store %s, fence %s at epoch %d, term %d, applied here up to %s, given away up to %s, %d changes not yet given away",
			side, f.ControlID, f.State, f.Epoch, f.Term, applied, end, pending))
		if f.Moved != "" {
			lines = append(lines, fmt.Sprintf("%s database: %s", side, f.Moved))
		}
	}
	return lines, highest, nil
}

// Adopt takes a person's word for who owns. The other side's fence is closed first, at an epoch above
// all that are known; then the control store names the owner and the owner's fence opens, both at the
// next. Both get this store's control id and a new term. A loss in between leaves both sides closed, or
// the store refuted by a fence, and nothing opens until the same is asked for again.
//
// Where the other side cannot be closed nothing is changed and the error wraps strangler.ErrRefused,
// unless the order says that it is lost for good. If one side lacks what the other has given away, the
// stream says so and stops.
func (s *Splits) Adopt(ctx context.Context, capability string, o AdoptOrder) (strangler.Toggle, error) {
	return do(ctx, s, capability, func(x *split, ctx context.Context) (strangler.Toggle, error) {
		x.owner = "" // whatever was followed, this worker takes over anew
		_, highest, err := s.Evidence(ctx, capability)
		if err != nil {
			return strangler.Toggle{}, err
		}
		term, err := s.cfg.Records.NextTerm(ctx)
		if err != nil {
			return strangler.Toggle{}, err
		}
		highest++
		if err := x.claim(ctx, o.Owner.Other(), highest, FenceClosed, term); err != nil && !o.Lost {
			return strangler.Toggle{}, strangler.Refuse("fence", fmt.Sprintf("the %s database could not be closed, so nothing was opened and the owner is named as before: %v", o.Owner.Other(), err),
				"the same again, once that database can be reached", "--lost, if it is gone for good")
		} else if err != nil {
			s.cfg.Log.Warn("the side that is said to be lost is as it was", strangler.LogCapability, capability, strangler.LogError, err)
		}
		t, err := s.cfg.Adopter.Adopt(ctx, capability, o.Owner, highest, o.Who, o.Why)
		if err != nil {
			return t, err
		}
		if err := x.claim(ctx, o.Owner, t.Epoch, FenceOpen, term); err != nil {
			return t, fmt.Errorf("the control store names the %s side, but its fence could not be opened; both sides stay closed, nothing was lost; ask for the same again: %w", o.Owner, err)
		}
		phase := strangler.PhaseCopying // which ends at once where everything is copied
		if o.Owner == strangler.Service {
			phase = strangler.PhaseReversed
		}
		return t, x.update(ctx, func(r *strangler.Split) { r.Phase, r.Error = phase, "" })
	})
}

// AdoptOrder names the owner. Who and Why are kept in the audit; Lost says that the other side's
// database will not come back.
type AdoptOrder struct {
	Owner    strangler.Side
	Who, Why string
	Lost     bool
}

func (s *split) claim(ctx context.Context, side strangler.Side, epoch int64, state FenceState, term int64) error {
	d, err := s.db(ctx, side)
	if err != nil {
		return err
	}
	return d.Claim(ctx, epoch, state, term)
}
