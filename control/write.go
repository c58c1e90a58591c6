package control

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/strangler-fig/strangler"
)

// point names one kind of durable write.
type point string

const (
	pointOpen        point = "open"
	pointEnsure      point = "ensure"
	pointSet         point = "set"
	pointPrepare     point = "prepare"
	pointDecide      point = "decide"
	pointRelease     point = "release"
	pointNextEpoch   point = "next-epoch"
	pointAdopt       point = "adopt"
	pointNextTerm    point = "next-term"
	pointLease       point = "lease"
	pointUnlease     point = "unlease"
	pointSaveSplit   point = "save-split"
	pointRegister    point = "register"
	pointHeartbeat   point = "heartbeat"
	pointAcknowledge point = "acknowledge"
	pointLeave       point = "leave"
	pointStartRun    point = "start-run"
	pointSaveRun     point = "save-run"
	pointSaveStep    point = "save-step"
	pointApprove     point = "approve"
)

// FaultPoints are the names of all durable writes. Config.Fault sees each with ".before" and ".after";
// a call that finds nothing to change does not commit, and Fault does not see it.
func FaultPoints() []string {
	return []string{
		string(pointOpen), string(pointEnsure), string(pointSet), string(pointPrepare), string(pointDecide),
		string(pointRelease), string(pointNextEpoch), string(pointAdopt), string(pointNextTerm), string(pointLease),
		string(pointUnlease), string(pointSaveSplit), string(pointRegister), string(pointHeartbeat), string(pointAcknowledge),
		string(pointLeave), string(pointStartRun), string(pointSaveRun), string(pointSaveStep), string(pointApprove),
	}
}

// errUnchanged is returned by a write's work when there is nothing to do: the transaction ends
// without a commit, and the write has succeeded.
var errUnchanged = errors.New("unchanged")

// deadlockRetries is how often a write begins anew that a server has rolled back because another one waited for it while
// it waited for that one.
const deadlockRetries = 5

// write runs work in the one kind of transaction that changes the store. Nil: committed (or
// errUnchanged). strangler.ErrUnknown: the commit was begun and its outcome is not certain. Any other
// error: rolled back. work may run several times, each in a transaction of its own.
func (s *Store) write(ctx context.Context, p point, work func(tx *gorm.DB) error) error {
	if s.turn != nil {
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return notDone(p, ctx.Err())
		}
	}
	err := s.commit(ctx, p, work)
	for range deadlockRetries {
		if !deadlocked(err) {
			break
		}
		err = s.commit(ctx, p, work)
	}
	if s.turn != nil {
		<-s.turn
	}
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.fault(string(p) + ".after"); err != nil {
		return unknown(p, err)
	}
	return nil
}

func (s *Store) commit(ctx context.Context, p point, work func(tx *gorm.DB) error) error {
	tx := s.db.WithContext(ctx).Begin(&s.dialect.begin)
	if tx.Error != nil {
		return notDone(p, tx.Error)
	}
	open := true
	defer func() {
		if open {
			tx.Rollback() // its error is that of a connection that is gone, and the transaction with it
		}
	}()
	if s.dialect.settings != "" {
		if err := tx.Exec(s.dialect.settings).Error; err != nil {
			return notDone(p, err)
		}
	}
	if err := work(tx); err != nil {
		return notDone(p, err)
	}
	if err := s.fault(string(p) + ".before"); err != nil {
		return notDone(p, err)
	}
	open = false
	if err := tx.Commit().Error; err != nil {
		return unknown(p, err)
	}
	return nil
}

// notDone leaves what this package says itself as it is, and puts a database's error into a sentence.
func notDone(p point, err error) error {
	for _, own := range []error{errUnchanged, strangler.ErrRefused, strangler.ErrConflict, strangler.ErrSuperseded, strangler.ErrNotFound, strangler.ErrConfig} {
		if errors.Is(err, own) {
			return err
		}
	}
	if unfit(err) {
		return fmt.Errorf("%w: the control store cannot hold what %s was to store, and never will; nothing was changed: %w", strangler.ErrConfig, p, err)
	}
	return fmt.Errorf("control store: %s failed, nothing was changed, it may be tried again: %w", p, explain(err))
}

func unknown(p point, err error) error {
	return fmt.Errorf("control store: %s: %w, it may or may not be stored; read it back before anything else is done: %w",
		p, strangler.ErrUnknown, err)
}

// readError puts the error of a read outside a write into a sentence.
func readError(what string, err error) error {
	if err = missing(what, err); errors.Is(err, strangler.ErrNotFound) {
		return err
	}
	return fmt.Errorf("control store: reading %s failed, nothing was changed: %w", what, explain(err))
}

// missing turns the error of a row that is not there into strangler.ErrNotFound.
func missing(what string, err error) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return fmt.Errorf("%s: %w in the control store; nothing was changed", what, strangler.ErrNotFound)
	}
	return err
}

// forUpdate locks the rows that a write reads, on the dialects that have row locks.
func forUpdate(tx *gorm.DB) *gorm.DB {
	return tx.Clauses(clause.Locking{Strength: "UPDATE"})
}

// insertMissing inserts a row unless its key is there, and says whether it did.
func insertMissing(tx *gorm.DB, row any) (bool, error) {
	r := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(row)
	return r.RowsAffected > 0, r.Error
}
