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

// Adopt takes a person's word for who owns. The control id, a new term and the highest epoch + 1 are
// set wherever they can be reached: the other side is closed first, then the owner opened. If one side
// lacks what the other has given away, the stream says so and stops.
func (s *Splits) Adopt(ctx context.Context, capability string, owner strangler.Side, who, why string) (strangler.Toggle, error) {
	return do(ctx, s, capability, func(x *split, ctx context.Context) (strangler.Toggle, error) {
		_, highest, err := s.Evidence(ctx, capability)
		if err != nil {
			return strangler.Toggle{}, err
		}
		t, err := s.cfg.Adopter.Adopt(ctx, capability, owner, highest, who, why)
		if err != nil {
			return t, err
		}
		term, err := s.cfg.Records.NextTerm(ctx)
		if err != nil {
			return t, err
		}
		for _, f := range []struct {
			side  strangler.Side
			state FenceState
		}{{owner.Other(), FenceClosed}, {owner, FenceOpen}} {
			d, err := x.db(ctx, f.side)
			if err == nil {
				err = d.Claim(ctx, t.Epoch, f.state, term)
			}
			if err != nil && f.side == owner {
				return t, err
			}
			if err != nil {
				s.cfg.Log.Warn("the side that does not own could not be reached; its fence is as it was", strangler.LogCapability, capability, strangler.LogError, err)
			}
		}
		phase := strangler.PhaseSyncing
		if owner == strangler.Service {
			phase = strangler.PhaseReversed
		}
		return t, x.update(ctx, func(r *strangler.Split) { r.Phase, r.Error = phase, "" })
	})
}
