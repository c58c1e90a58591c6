package control

import (
	"context"

	"gorm.io/gorm"
)

// NextTerm gives out the next term. One counter serves all capabilities and processes, and every call
// returns a higher number than every call that ended before it. After strangler.ErrUnknown call it
// again: a term that nobody uses is no harm.
func (s *Store) NextTerm(ctx context.Context) (int64, error) { return s.NextTermAbove(ctx, 0) }

// NextTermAbove is NextTerm, and the term is also above floor: the highest that a database carries,
// for a store that was restored from an older copy.
func (s *Store) NextTermAbove(ctx context.Context, floor int64) (int64, error) {
	var term int64
	err := s.write(ctx, pointNextTerm, func(tx *gorm.DB) error {
		row, err := readStore(forUpdate(tx))
		if err != nil {
			return err
		}
		term = max(row.Term, floor) + 1
		return tx.Model(&storeRow{}).Where("id = ?", row.ID).Update("term", term).Error
	})
	if err != nil {
		return 0, err
	}
	return term, nil
}
