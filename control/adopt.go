package control

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler"
)

// NextEpoch raises a capability's epoch by one, with audit, and changes nothing else: a fence that is
// put back needs an epoch that no fence has seen. Two calls never return the same number. Refused
// while a cutover is preparing, because its decision takes the next epoch, and without a reason;
// strangler.ErrNotFound. After strangler.ErrUnknown call it again: an epoch that nobody uses is no harm.
func (s *Store) NextEpoch(ctx context.Context, capability, who, why string) (int64, error) {
	if err := needWhy(why); err != nil {
		return 0, err
	}
	var epoch int64
	err := s.write(ctx, pointNextEpoch, func(tx *gorm.DB) error {
		row, err := lockToggle(tx, capability)
		if err != nil {
			return err
		}
		open, err := openCutovers(tx, capability)
		if err != nil {
			return err
		}
		for _, c := range open {
			if c.State == strangler.Preparing {
				return strangler.Refuse("cutover", fmt.Sprintf("cutover %d of %s is preparing", c.ID, capability),
					"decide it first: strangler split status "+capability)
			}
		}
		next := row
		next.Epoch++
		epoch = next.Epoch
		return s.swap(tx, row, &next, who, why, "")
	})
	if err != nil {
		return 0, err
	}
	return epoch, nil
}

// Adopt records that a person has named the owner, whatever the store believed. In one transaction it
// aborts a cutover that is preparing, marks one that is not yet released as released, ends the gate, and sets owner
// and mode at an epoch above both the store's and floor, the highest that a database carries. An
// aborted cutover takes an epoch of its own, below the one returned, so that whoever still acts on it
// is fenced off by what the caller writes into the databases. Refused without a reason;
// strangler.ErrConfig for a side that does not exist; strangler.ErrNotFound; strangler.ErrUnknown:
// Toggle tells.
func (s *Store) Adopt(ctx context.Context, capability string, owner strangler.Side, floor int64, who, why string) (strangler.Toggle, error) {
	if err := checkSide(owner); err != nil {
		return strangler.Toggle{}, err
	}
	if err := needWhy(why); err != nil {
		return strangler.Toggle{}, err
	}
	var next toggleRow
	err := s.write(ctx, pointAdopt, func(tx *gorm.DB) error {
		row, err := lockToggle(tx, capability)
		if err != nil {
			return err
		}
		open, err := openCutovers(tx, capability)
		if err != nil {
			return err
		}
		for _, c := range open {
			if c.State == strangler.Preparing {
				reason := fmt.Sprintf("%s names %s the owner: %s", who, owner, why)
				if row, err = s.decide(tx, row, &c, strangler.Aborted, "", reason); err != nil {
					return err
				}
			}
			if err := tx.Model(&cutoverRow{}).Where("id = ?", c.ID).Update("released", true).Error; err != nil {
				return err
			}
		}
		next = row
		next.Owner, next.Mode, next.Percent, next.Gated = owner, modeOf(owner), 0, false
		next.Epoch = max(row.Epoch, floor) + 1
		return s.swap(tx, row, &next, who, why, "")
	})
	if err != nil {
		return strangler.Toggle{}, err
	}
	return next.toggle(), nil
}
