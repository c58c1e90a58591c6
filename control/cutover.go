package control

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler"
)

// Prepare begins an attempt to hand a capability's writes to a side. In one transaction it makes the
// row, raises the capability's epoch to the row's, and gates the capability. Of several calls at once
// one wins. after is the latest cutover that the caller knows, 0 for none: where another one has been
// since, the caller's view of who streams is old, and the answer is strangler.ErrConflict. Refused
// (strangler.ErrRefused) while another cutover is not yet released, when the side already owns, and
// without a reason; strangler.ErrNotFound; strangler.ErrUnknown: LatestCutover tells.
func (s *Store) Prepare(ctx context.Context, capability string, to strangler.Side, after int64, who, why string) (strangler.Cutover, error) {
	if err := checkSide(to); err != nil {
		return strangler.Cutover{}, err
	}
	if err := needWhy(why); err != nil {
		return strangler.Cutover{}, err
	}
	var row cutoverRow
	err := s.write(ctx, pointPrepare, func(tx *gorm.DB) error {
		toggle, err := lockToggle(tx, capability)
		if err != nil {
			return err
		}
		if err := noCutover(tx, capability); err != nil {
			return err
		}
		var latest int64
		if err := tx.Model(&cutoverRow{}).Where("capability = ?", capability).Select("coalesce(max(id), 0)").Scan(&latest).Error; err != nil {
			return err
		}
		if latest != after {
			return fmt.Errorf("%w: cutover %d of %s has been since cutover %d; nothing was changed; try again", strangler.ErrConflict, latest, capability, after)
		}
		if toggle.Owner == to {
			return strangler.Refuse("owner", fmt.Sprintf("the %s side owns %s already", to, capability), "strangler split status "+capability)
		}
		now, err := s.now(tx)
		if err != nil {
			return err
		}
		next := toggle
		next.Epoch, next.Gated = toggle.Epoch+1, true
		row = cutoverRow{Capability: capability, From: toggle.Owner, To: to, State: strangler.Preparing, Epoch: next.Epoch,
			Who: who, Why: why, Started: stamp(now)}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		return s.swap(tx, toggle, &next, who, why, fmt.Sprintf(", writes held for cutover %d to %s", row.ID, to))
	})
	if err != nil {
		return strangler.Cutover{}, err
	}
	return row.cutover(), nil
}

// Decide ends a cutover as committed or aborted: one compare-and-swap, conditional on the row being
// preparing and on nothing else. Committed changes owner and mode, and stores the position from which
// the other direction's stream begins; aborted leaves both. Either takes the capability's next epoch,
// which opens the side that the row now names (Cutover.Owner), in one transaction with the audit. The
// capability stays gated until Release.
//
// A row that was decided before is returned together with strangler.ErrConflict: it is the decision.
// After strangler.ErrUnknown no fence may be touched until CutoverByID shows a decided row; a row that
// is read back as preparing is decided as aborted and read again.
func (s *Store) Decide(ctx context.Context, id int64, state strangler.CutoverState, position, why string) (strangler.Cutover, error) {
	if state != strangler.Committed && state != strangler.Aborted {
		return strangler.Cutover{}, fmt.Errorf("%w: a cutover is decided as committed or aborted, not %q; nothing was changed",
			strangler.ErrConfig, state)
	}
	var row cutoverRow
	already := false
	err := s.write(ctx, pointDecide, func(tx *gorm.DB) error {
		capability, err := capabilityOf(tx, id)
		if err != nil {
			return err
		}
		toggle, err := lockToggle(tx, capability)
		if err != nil {
			return err
		}
		if row, err = readCutover(tx, id); err != nil {
			return err
		}
		if already = row.State != strangler.Preparing; already {
			return fmt.Errorf("cutover %d of %s was %w: it is %s at epoch %d since %s; nothing was changed by this call; go by what it says",
				id, row.Capability, strangler.ErrConflict, row.State, row.Decided, moment(row.Ended))
		}
		_, err = s.decide(tx, toggle, &row, state, position, why)
		return err
	})
	if err != nil && !already {
		return strangler.Cutover{}, err
	}
	return row.cutover(), err
}

// decide is the commit point, inside a transaction that holds the toggle's lock. It returns the
// toggle as it is afterwards.
func (s *Store) decide(tx *gorm.DB, toggle toggleRow, row *cutoverRow, state strangler.CutoverState, position, why string) (toggleRow, error) {
	now, err := s.now(tx)
	if err != nil {
		return toggleRow{}, err
	}
	if why == "" {
		why = row.Why
	}
	next := toggle
	next.Epoch++
	row.State, row.Decided, row.Position, row.Ended = state, next.Epoch, position, stamp(now)
	if state == strangler.Committed {
		next.Owner, next.Mode, next.Percent = row.To, modeOf(row.To), 0
	} else {
		row.Why = why
	}
	r := tx.Model(&cutoverRow{}).Where("id = ? AND state = ?", row.ID, strangler.Preparing).Updates(map[string]any{
		"state": row.State, "decided": row.Decided, "position": row.Position, "why": row.Why, "ended": row.Ended,
	})
	if r.Error != nil {
		return toggleRow{}, r.Error
	}
	if r.RowsAffected != 1 {
		return toggleRow{}, fmt.Errorf("cutover %d was %w; nothing was changed by this call; read it again", row.ID, strangler.ErrConflict)
	}
	return next, s.swap(tx, toggle, &next, row.Who, fmt.Sprintf("cutover %d %s: %s", row.ID, state, why), "")
}

// CutoverByID reads one cutover, or strangler.ErrNotFound.
func (s *Store) CutoverByID(ctx context.Context, id int64) (strangler.Cutover, error) {
	row, err := readCutover(s.db.WithContext(ctx), id)
	if err != nil {
		return strangler.Cutover{}, readError(fmt.Sprintf("cutover %d", id), err)
	}
	return row.cutover(), nil
}

// LatestCutover reads a capability's last attempt, or strangler.ErrNotFound when there was none. Once
// it is released the capability's toggle, not the cutover, says who owns.
func (s *Store) LatestCutover(ctx context.Context, capability string) (strangler.Cutover, error) {
	var row cutoverRow
	err := s.db.WithContext(ctx).Where("capability = ?", capability).Order("id DESC").Take(&row).Error
	if err != nil {
		return strangler.Cutover{}, readError("a cutover of "+capability, err)
	}
	return row.cutover(), nil
}

// Release marks a decided cutover as released and ends the capability's gate; the epoch stays. A
// cutover that was released before is left alone, and so is the gate of a later one. Refused while
// the row is preparing; strangler.ErrNotFound; strangler.ErrUnknown: call it again.
func (s *Store) Release(ctx context.Context, id int64) error {
	return s.write(ctx, pointRelease, func(tx *gorm.DB) error {
		capability, err := capabilityOf(tx, id)
		if err != nil {
			return err
		}
		if _, err := lockToggle(tx, capability); err != nil {
			return err
		}
		row, err := readCutover(tx, id)
		if err != nil {
			return err
		}
		switch {
		case row.State == strangler.Preparing:
			return strangler.Refuse("cutover", fmt.Sprintf("cutover %d of %s is not decided, so no side may take the writes that are held", id, capability),
				"strangler split status "+capability)
		case row.Released:
			return errUnchanged
		}
		if err := tx.Model(&cutoverRow{}).Where("id = ?", id).Update("released", true).Error; err != nil {
			return err
		}
		if err := tx.Model(&toggleRow{}).Where("capability = ?", capability).Update("gated", false).Error; err != nil {
			return err
		}
		return s.tell(tx)
	})
}

// capabilityOf reads the one thing of a cutover that never changes, so that its toggle can be locked
// before the rest is read.
func capabilityOf(tx *gorm.DB, id int64) (string, error) {
	row, err := readCutover(tx, id)
	return row.Capability, err
}

func readCutover(db *gorm.DB, id int64) (cutoverRow, error) {
	var row cutoverRow
	if err := db.Where("id = ?", id).Take(&row).Error; err != nil {
		return cutoverRow{}, missing(fmt.Sprintf("cutover %d", id), err)
	}
	return row, nil
}

// openCutovers are those that are not yet released, under the toggle's lock: one at most.
func openCutovers(tx *gorm.DB, capability string) ([]cutoverRow, error) {
	var rows []cutoverRow
	err := tx.Where("capability = ? AND released = ?", capability, false).Order("id").Find(&rows).Error
	return rows, err
}

// noCutover refuses while a cutover is under way.
func noCutover(tx *gorm.DB, capability string) error {
	rows, err := openCutovers(tx, capability)
	if err != nil || len(rows) == 0 {
		return err
	}
	return strangler.Refuse("cutover", fmt.Sprintf("cutover %d of %s to %s is %s and not yet released", rows[0].ID, capability, rows[0].To, rows[0].State),
		"wait until it is released: strangler split status "+capability, "when it stands still: strangler split adopt "+capability)
}
