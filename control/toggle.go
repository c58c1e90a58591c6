package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler"
)

// Ensure makes the rows of capabilities that the store does not know: mode legacy, owner legacy,
// epoch 1. Of those that it knows it changes one thing only, whether they are stateless, and a
// capability whose split has begun does not become stateless because the configuration no longer
// lists its tables: that is logged, and the split has to be completed or cancelled first.
func (s *Store) Ensure(ctx context.Context, capabilities []strangler.Capability) error {
	for _, c := range capabilities {
		if c.Name == "" {
			return fmt.Errorf("%w: a capability without a name; nothing was changed", strangler.ErrConfig)
		}
	}
	// One order for all processes: two that start at once do not lock each other out.
	capabilities = slices.SortedFunc(slices.Values(capabilities), func(a, b strangler.Capability) int { return strings.Compare(a.Name, b.Name) })
	var kept []string
	err := s.write(ctx, pointEnsure, func(tx *gorm.DB) error {
		kept = nil
		now, err := s.now(tx)
		if err != nil {
			return err
		}
		changed := false
		for _, c := range capabilities {
			row := toggleRow{Capability: c.Name, Mode: strangler.ModeLegacy, Owner: strangler.Legacy, Epoch: 1,
				Stateless: c.Stateless(), Since: stamp(now)}
			made, err := insertMissing(tx, &row)
			if err != nil {
				return err
			}
			if made {
				changed = true
				continue
			}
			outcome, err := followTables(tx, c)
			if err != nil {
				return err
			}
			changed = changed || outcome == tablesFollowed
			if outcome == tablesKept {
				kept = append(kept, c.Name)
			}
		}
		if !changed {
			return errUnchanged
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range kept {
		s.log.Warn("the configuration lists no tables, but a split of them has begun; it stays a capability with tables until "+
			"the split is completed or cancelled", strangler.LogCapability, name)
	}
	return nil
}

type tablesOutcome int

const (
	tablesSame tablesOutcome = iota
	tablesFollowed
	tablesKept
)

// followTables brings the record of whether a known capability is stateless up to its configuration.
// Only a stateless toggle changes the owner without a cutover, so it is not given while rows move.
func followTables(tx *gorm.DB, c strangler.Capability) (tablesOutcome, error) {
	row, err := lockToggle(tx, c.Name)
	if err != nil || row.Stateless == c.Stateless() {
		return tablesSame, err
	}
	if c.Stateless() {
		split, err := readSplit(tx, c.Name)
		if err != nil {
			return tablesSame, err
		}
		switch split.Phase {
		case strangler.PhaseNone, strangler.PhaseComplete, strangler.PhaseCancelled:
		default:
			return tablesKept, nil
		}
	}
	return tablesFollowed, tx.Model(&toggleRow{}).Where("capability = ?", c.Name).Update("stateless", c.Stateless()).Error
}

// Toggle reads one toggle, or strangler.ErrNotFound.
func (s *Store) Toggle(ctx context.Context, capability string) (strangler.Toggle, error) {
	var row toggleRow
	if err := s.db.WithContext(ctx).Where("capability = ?", capability).Take(&row).Error; err != nil {
		return strangler.Toggle{}, readError(fmt.Sprintf("the capability %q", capability), err)
	}
	return row.toggle(), nil
}

// Set changes where a capability's requests go, by a compare-and-swap on the epoch at which the call
// began. It returns the new toggle, its epoch risen by one. Errors: strangler.ErrRefused without a
// reason, with a percentage that does not fit the mode, under a cutover that is not yet released, and
// against the owner (a stateless capability has none to contradict: its owner follows its mode);
// strangler.ErrConflict when the toggle was changed by someone else meanwhile; strangler.ErrConfig
// for a mode that does not exist; strangler.ErrNotFound; strangler.ErrUnknown.
func (s *Store) Set(ctx context.Context, capability string, change strangler.ToggleChange) (strangler.Toggle, error) {
	if err := checkChange(change); err != nil {
		return strangler.Toggle{}, err
	}
	seen, err := s.Toggle(ctx, capability)
	if err != nil {
		return strangler.Toggle{}, err
	}
	var next toggleRow
	err = s.write(ctx, pointSet, func(tx *gorm.DB) error {
		row, err := lockToggle(tx, capability)
		if err != nil {
			return err
		}
		if err := noCutover(tx, capability); err != nil {
			return err
		}
		if row.Epoch != seen.Epoch {
			return changedMeanwhile(row)
		}
		next = row
		next.Mode, next.Percent = change.Mode, change.Percent
		if row.Stateless {
			next.Owner = ownerOf(change.Mode)
		} else if err := row.toggle().Contradiction(change.Mode); err != nil {
			return err
		}
		next.Epoch++
		return s.swap(tx, row, &next, change.Who, change.Why, "")
	})
	if err != nil {
		return strangler.Toggle{}, err
	}
	return next.toggle(), nil
}

// checkChange refuses what no state of the store could make valid.
func checkChange(change strangler.ToggleChange) error {
	if _, err := strangler.ParseMode(string(change.Mode)); err != nil {
		return fmt.Errorf("%w: %w; nothing was changed", strangler.ErrConfig, err)
	}
	if err := needWhy(change.Why); err != nil {
		return err
	}
	canary := change.Mode == strangler.ModeCanary
	switch {
	case canary && (change.Percent < 1 || change.Percent > strangler.Hundred):
		return strangler.Refuse("percent", fmt.Sprintf("a canary takes a share of more than 0%% and at most 100%%, not %s", change.Percent),
			"--percent 10")
	case !canary && change.Percent != 0:
		return strangler.Refuse("percent", fmt.Sprintf("%s takes no percentage", change.Mode), "leave --percent out", "canary")
	}
	return nil
}

func needWhy(why string) error {
	if why == "" {
		return strangler.Refuse("why", "a change of routing or ownership is recorded with its reason, and there is none", "--why TEXT")
	}
	return nil
}

// History is every change of a capability's toggle and owner, the oldest first; empty when there was
// none since Ensure. strangler.ErrNotFound for an unknown capability.
func (s *Store) History(ctx context.Context, capability string) ([]strangler.AuditEntry, error) {
	if _, err := s.Toggle(ctx, capability); err != nil {
		return nil, err
	}
	var rows []auditRow
	if err := s.db.WithContext(ctx).Where("capability = ?", capability).Order("id").Find(&rows).Error; err != nil {
		return nil, readError("the history of "+capability, err)
	}
	entries := make([]strangler.AuditEntry, len(rows))
	for i, r := range rows {
		entries[i] = r.entry()
	}
	return entries, nil
}

// lockToggle reads a toggle that nobody else can change before the transaction ends.
func lockToggle(tx *gorm.DB, capability string) (toggleRow, error) {
	var row toggleRow
	if err := forUpdate(tx).Where("capability = ?", capability).Take(&row).Error; err != nil {
		return toggleRow{}, missing(fmt.Sprintf("the capability %q", capability), err)
	}
	return row, nil
}

// swap replaces a toggle, conditional on its epoch, and writes the audit row. It is the only place
// where an epoch rises. note is put behind the new state in the audit.
func (s *Store) swap(tx *gorm.DB, from toggleRow, to *toggleRow, who, why, note string) error {
	now, err := s.now(tx)
	if err != nil {
		return err
	}
	to.Since = stamp(now)
	r := tx.Model(&toggleRow{}).Where("capability = ? AND epoch = ?", from.Capability, from.Epoch).Updates(map[string]any{
		"mode": to.Mode, "percent": to.Percent, "owner": to.Owner, "epoch": to.Epoch, "gated": to.Gated, "since": to.Since,
	})
	if r.Error != nil {
		return r.Error
	}
	if r.RowsAffected != 1 {
		return changedMeanwhile(from)
	}
	if err := audit(tx, from, *to, now, who, why, note); err != nil {
		return err
	}
	return s.tell(tx)
}

// tell has everybody who watches look at the toggles, once this transaction has committed.
func (s *Store) tell(tx *gorm.DB) error {
	if s.dialect.notify == "" {
		return nil
	}
	return tx.Exec(s.dialect.notify).Error
}

func audit(tx *gorm.DB, from, to toggleRow, now time.Time, who, why, note string) error {
	return tx.Create(&auditRow{Capability: to.Capability, Epoch: to.Epoch, At: stamp(now), Who: who, Why: why,
		From: from.toggle().Describe(), To: to.toggle().Describe() + note}).Error
}

func changedMeanwhile(now toggleRow) error {
	return fmt.Errorf("the toggle of %s was %w (%s at epoch %d); nothing was changed by this call; look at it, then decide again",
		now.Capability, strangler.ErrConflict, now.toggle().Describe(), now.Epoch)
}

func ownerOf(m strangler.Mode) strangler.Side {
	if m == strangler.ModeExtracted {
		return strangler.Service
	}
	return strangler.Legacy
}

func modeOf(owner strangler.Side) strangler.Mode {
	if owner == strangler.Service {
		return strangler.ModeExtracted
	}
	return strangler.ModeLegacy
}

func checkSide(side strangler.Side) error {
	if side != strangler.Legacy && side != strangler.Service {
		return fmt.Errorf("%w: the owner is legacy or service, not %q; nothing was changed", strangler.ErrConfig, side)
	}
	return nil
}
