package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler"
)

// Lease takes the lease of that name for ttl, or renews it when holder has it, and says whether holder
// has it now. It is free when nobody took it, when it was given back, and when its ttl is over. After
// any error holder must take it that it has not got it, and call again.
//
// A lease keeps two workers from doing the same work; it does not keep a worker that slept past its
// ttl from writing to the databases of the two sides. Terms do. The records of splits and runs, in this store, take writes from the
// holder alone.
func (s *Store) Lease(ctx context.Context, name, holder string, ttl time.Duration) (held bool, err error) {
	if name == "" || holder == "" || ttl <= 0 {
		return false, fmt.Errorf("%w: a lease needs a name, a holder and a time above zero, not %q, %q, %s; nothing was changed",
			strangler.ErrConfig, name, holder, ttl)
	}
	switch present, err := s.LeaseHolder(ctx, name); { // those who wait for it do not take the write lock
	case err != nil:
		return false, err
	case present != "" && present != holder:
		return false, nil
	}
	err = s.write(ctx, pointLease, func(tx *gorm.DB) error {
		held = false
		if _, err := insertMissing(tx, &leaseRow{Name: name}); err != nil {
			return err
		}
		var row leaseRow
		if err := forUpdate(tx).Where("name = ?", name).Take(&row).Error; err != nil {
			return err
		}
		now, err := s.now(tx)
		if err != nil {
			return err
		}
		if present := row.holderAt(now); present != "" && present != holder {
			return errUnchanged
		}
		held = true
		return tx.Model(&leaseRow{}).Where("name = ?", name).Updates(map[string]any{"holder": holder, "expires": stamp(now.Add(ttl))}).Error
	})
	if err != nil {
		return false, err
	}
	return held, nil
}

// Unlease gives a lease back. Nothing happens when holder has not got it.
func (s *Store) Unlease(ctx context.Context, name, holder string) error {
	return s.write(ctx, pointUnlease, func(tx *gorm.DB) error {
		r := tx.Model(&leaseRow{}).Where("name = ? AND holder = ?", name, holder).Updates(map[string]any{"holder": "", "expires": 0})
		if r.Error == nil && r.RowsAffected == 0 {
			return errUnchanged
		}
		return r.Error
	})
}

// LeaseHolder is who has the lease now; empty: nobody.
func (s *Store) LeaseHolder(ctx context.Context, name string) (string, error) {
	db := s.db.WithContext(ctx)
	var row leaseRow
	err := db.Where("name = ?", name).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return "", nil
	}
	if err != nil {
		return "", readError("the lease "+name, err)
	}
	now, err := s.now(db)
	if err != nil {
		return "", readError("the time", err)
	}
	return row.holderAt(now), nil
}

// onlyHolder is strangler.ErrSuperseded unless worker was the last to get the lease; nobody else gets it until the transaction has
// ended. One whose time is over, and that nobody has taken since, is still worker's.
func onlyHolder(tx *gorm.DB, name, worker string) error {
	var lease leaseRow
	err := forUpdate(tx).Where("name = ?", name).Take(&lease).Error
	if err != nil && !errors.Is(err, gorm.ErrRecordNotFound) {
		return err
	}
	if lease.Holder != worker {
		return fmt.Errorf("%w: %s is with %s, and %s has lost it; nothing was changed", strangler.ErrSuperseded, name, cmp.Or(lease.Holder, "nobody"), worker)
	}
	return nil
}

func (r leaseRow) holderAt(now time.Time) string {
	if stamp(now) >= r.Expires {
		return ""
	}
	return r.Holder
}
