package control

import (
	"context"
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/strangler-fig/strangler"
)

// Split reads the record of a capability's split; one of PhaseNone when there is none.
func (s *Store) Split(ctx context.Context, capability string) (strangler.Split, error) {
	split, err := readSplit(s.db.WithContext(ctx), capability)
	if err != nil {
		return strangler.Split{}, readError("the split of "+capability, err)
	}
	return split, nil
}

func readSplit(db *gorm.DB, capability string) (strangler.Split, error) {
	var r splitRow
	err := db.Where("capability = ?", capability).Take(&r).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return strangler.Split{Capability: capability, Phase: strangler.PhaseNone}, nil
	}
	return strangler.Split{Capability: r.Capability, Phase: r.Phase, Error: r.Error,
		Verified:  strangler.Verify{At: moment(r.VerifiedAt), Rows: r.VerifiedRows, Mismatches: r.Mismatches},
		Verifying: r.Verifying, Updated: moment(r.Updated)}, err
}

// SaveSplit stores the record as a whole; the last call wins. The store sets Updated. Only the worker that has
// the split's lease may: strangler.ErrSuperseded where the lease has passed to another since, so that one which slept
// does not write over what its successor has done. strangler.ErrNotFound for a capability that Ensure has not
// seen; after strangler.ErrUnknown call it again with the same record.
func (s *Store) SaveSplit(ctx context.Context, worker string, split strangler.Split) error {
	return s.write(ctx, pointSaveSplit, func(tx *gorm.DB) error {
		if _, err := lockToggle(tx, split.Capability); err != nil {
			return err
		}
		if err := onlyHolder(tx, strangler.SplitLease(split.Capability), worker); err != nil {
			return err
		}
		now, err := s.now(tx)
		if err != nil {
			return err
		}
		row := splitRow{Capability: split.Capability, Phase: split.Phase, Error: split.Error, VerifiedAt: stamp(split.Verified.At),
			VerifiedRows: split.Verified.Rows, Mismatches: split.Verified.Mismatches, Verifying: split.Verifying, Updated: stamp(now)}
		return tx.Clauses(clause.OnConflict{UpdateAll: true}).Create(&row).Error
	})
}
