package control

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/strangler-fig/strangler"
)

const (
	// LiveFor is how long an instance counts as live after it was last seen. Heartbeats come at least
	// three times as often. A cutover and `toggle set` wait for live instances only; the fence refuses the writes
	// of one that is alive and cut off.
	LiveFor = 3 * time.Second

	// forgetAfter is how long an instance that has not left is listed after it was last seen.
	forgetAfter = 24 * time.Hour
)

// Register makes an instance known and live, with exactly the epochs that it says it has applied: a
// process that takes an earlier one's id starts without that one's acknowledgements. An instance
// registers before it reads the toggles. The store sets Seen, and Started when it is zero. Instances
// not seen for a day are removed. Repeating it is safe.
func (s *Store) Register(ctx context.Context, instance strangler.Instance) error {
	if instance.ID == "" {
		return fmt.Errorf("%w: an instance without an id; nothing was changed", strangler.ErrConfig)
	}
	return s.write(ctx, pointRegister, func(tx *gorm.DB) error {
		now, err := s.now(tx)
		if err != nil {
			return err
		}
		if _, err := forget(tx, "id = ? OR seen < ?", instance.ID, stamp(now.Add(-forgetAfter))); err != nil {
			return err
		}
		row := instanceRow{ID: instance.ID, Admin: instance.Admin, Started: stamp(instance.Started), Seen: stamp(now)}
		if row.Started == 0 {
			row.Started = row.Seen
		}
		if err := tx.Create(&row).Error; err != nil {
			return err
		}
		for capability, epoch := range instance.Epochs {
			if err := tx.Create(&appliedRow{Instance: instance.ID, Capability: capability, Epoch: epoch}).Error; err != nil {
				return err
			}
		}
		return nil
	})
}

// forget removes the instances of a condition, and their acknowledgements, and says how many.
func forget(tx *gorm.DB, condition string, args ...any) (int, error) {
	var found []string // without locks: MariaDB would wait for every row that it looks at
	if err := tx.Model(&instanceRow{}).Where(condition, args...).Order("id").Pluck("id", &found).Error; err != nil {
		return 0, err
	}
	gone := 0
	for _, id := range found {
		var still []string // locked before its acknowledgements, as Acknowledge does
		if err := forUpdate(tx).Model(&instanceRow{}).Where("id = ?", id).Where(condition, args...).Pluck("id", &still).Error; err != nil {
			return 0, err
		}
		if len(still) == 0 {
			continue
		}
		if err := tx.Where("instance = ?", id).Delete(&appliedRow{}).Error; err != nil {
			return 0, err
		}
		if err := tx.Where("id = ?", id).Delete(&instanceRow{}).Error; err != nil {
			return 0, err
		}
		gone++
	}
	return gone, nil
}

// Heartbeat says that the instance is alive, and what it has counted since it last said so. strangler.ErrNotFound when the store does
// not know it (it has left, or the store was replaced): it registers again.
func (s *Store) Heartbeat(ctx context.Context, id string, more ...strangler.Traffic) error {
	return s.write(ctx, pointHeartbeat, func(tx *gorm.DB) error {
		row, err := lockInstance(tx, id)
		if err != nil {
			return err
		}
		now, err := s.now(tx)
		if err != nil {
			return err
		}
		if err := tx.Model(&instanceRow{}).Where("id = ?", row.ID).Update("seen", stamp(now)).Error; err != nil {
			return err
		}
		return count(tx, more)
	})
}

// Acknowledge says that the instance serves a capability by the toggle of that epoch, or a later one.
// It never lowers what was acknowledged. strangler.ErrNotFound when the store does not know the
// instance; repeating it is safe.
func (s *Store) Acknowledge(ctx context.Context, id, capability string, epoch int64) error {
	return s.write(ctx, pointAcknowledge, func(tx *gorm.DB) error {
		if _, err := lockInstance(tx, id); err != nil {
			return err
		}
		made, err := insertMissing(tx, &appliedRow{Instance: id, Capability: capability, Epoch: epoch})
		if err != nil || made {
			return err
		}
		r := tx.Model(&appliedRow{}).Where("instance = ? AND capability = ? AND epoch < ?", id, capability, epoch).Update("epoch", epoch)
		if r.Error == nil && r.RowsAffected == 0 {
			return errUnchanged
		}
		return r.Error
	})
}

// Instances lists all that are known, by id. Live: seen within LiveFor.
func (s *Store) Instances(ctx context.Context) ([]strangler.Instance, error) {
	db := s.db.WithContext(ctx)
	var rows []instanceRow
	if err := db.Order("id").Find(&rows).Error; err != nil {
		return nil, readError("the instances", err)
	}
	var applied []appliedRow
	if err := db.Find(&applied).Error; err != nil {
		return nil, readError("the instances' epochs", err)
	}
	now, err := s.now(db)
	if err != nil {
		return nil, readError("the time", err)
	}
	epochs := make(map[string]map[string]int64, len(rows))
	instances := make([]strangler.Instance, len(rows))
	for i, r := range rows {
		epochs[r.ID] = map[string]int64{}
		instances[i] = strangler.Instance{ID: r.ID, Admin: r.Admin, Started: moment(r.Started), Seen: moment(r.Seen),
			Live: now.Sub(moment(r.Seen)) <= LiveFor, Epochs: epochs[r.ID]}
	}
	for _, a := range applied {
		if of, ok := epochs[a.Instance]; ok {
			of[a.Capability] = a.Epoch
		}
	}
	return instances, nil
}

// Leave removes an instance that ends in good order, so that nobody waits for it. Repeating it is safe.
func (s *Store) Leave(ctx context.Context, id string) error {
	return s.write(ctx, pointLeave, func(tx *gorm.DB) error {
		n, err := forget(tx, "id = ?", id)
		if err == nil && n == 0 {
			return errUnchanged
		}
		return err
	})
}

func lockInstance(tx *gorm.DB, id string) (instanceRow, error) {
	var row instanceRow
	if err := forUpdate(tx).Where("id = ?", id).Take(&row).Error; err != nil {
		return instanceRow{}, missing(fmt.Sprintf("the instance %q", id), err)
	}
	return row, nil
}
