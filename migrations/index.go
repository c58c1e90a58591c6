package migrations

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
)

// drainKeys is about how many keys one transaction brings up to date behind the indexes: batches of the stream pass
// between two of them.
const drainKeys = 10_000

// index makes the keys and indexes of tables that were filled without, then brings up to date what was queued for
// them meanwhile. Killed anywhere, it goes on from there: the script is done or not, a part is loose or not.
func (s *split) index(ctx context.Context, from, to Database) error {
	if err := s.planning().run(ctx, strangler.Service, StageIndexed, true); err != nil {
		return err
	}
	marks, err := to.Marks(ctx)
	if err != nil {
		return err
	}
	for _, m := range marks {
		conflicts := 0
		for loose := m.Loose; loose; {
			var err error
			switch loose, err = s.fasten(ctx, from, to, part{m.Table, m.Part}); {
			case passing(err) && conflicts < conflictRetries:
				conflicts++
				if err := s.passedAfter(ctx, time.Now()); err != nil {
					return err
				}
				loose = true
			case err != nil:
				return err
			default:
				conflicts = 0
			}
		}
	}
	return nil
}

// fasten brings some of what was queued for a loose part up to date, in one transaction; the one that leaves nothing in the
// queue ends the looseness.
func (s *split) fasten(ctx context.Context, from, to Database, p part) (loose bool, err error) {
	m, err := s.mark(ctx, to, p)
	if err != nil || !m.Loose {
		return false, err
	}
	next := m
	next.Attempt++
	err = s.transact(ctx, to, func(a Apply) error {
		if err := a.SetMark(ctx, m.Attempt, next); err != nil {
			return err
		}
		all, err := s.drain(ctx, from, a, p, drainKeys)
		if err != nil || !all {
			return err
		}
		next.Loose = false
		return a.SetMark(ctx, next.Attempt, next)
	})
	if errors.Is(err, strangler.ErrSuperseded) && s.truncated(ctx, to, p, m.Attempt) {
		return true, nil
	}
	return next.Loose, err
}

// bind begins to make what holds between rows, unique indexes and foreign keys; its end comes from bound. The follower has to stand still meanwhile, with the rows of one moment. To that moment it is taken
// by whole batches, read behind the end of the copy: until then a unique value that moved from row to row may be in both.
func (s *split) bind(ctx context.Context, from, to Database, making *sync.WaitGroup, bound chan<- error) error {
	done := s.owner == strangler.Service
	if !done {
		at, _, err := to.Version(ctx)
		if err != nil {
			return err
		}
		done = Stage(at) >= StageWhole
	}
	if done {
		bound <- nil
		return nil
	}
	for whole := false; !whole; {
		_, err := s.applyBatch(ctx, from, to, func(_ context.Context, b Batch) { whole = !b.Started().IsZero() })
		if err != nil {
			return err
		}
	}
	making.Go(func() { bound <- s.planning().run(ctx, strangler.Service, StageWhole, true) })
	return nil
}
