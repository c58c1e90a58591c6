package migrations

import (
	"context"
	"errors"
	"fmt"

	"github.com/strangler-fig/strangler"
)

// applyBatch reads what has changed at the owner and applies it at the follower, in one transaction
// with the position. It returns how many changes there were.
//
// After a failure, wherever it was, calling it again is right: the position is read from the follower
// each time, and what was applied but not forgotten is simply applied again.
func (s *split) applyBatch(ctx context.Context, from, to Database) (changes int64, err error) {
	applied, err := to.Applied(ctx)
	if err != nil {
		return 0, err
	}
	b, err := from.Read(ctx, applied)
	if err != nil {
		return 0, s.overtakenReading(ctx, to, applied, err)
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if b.Changes() > 0 {
		if err := s.transact(ctx, to, func(a Apply) error { return s.replay(ctx, from, b, a, applied) }); err != nil {
			return 0, err
		}
		if err := from.Forget(ctx, b); err != nil {
			return 0, err
		}
	}
	s.pass(b.Started())
	return b.Changes(), nil
}

// overtakenReading tells positions that a restore has torn apart from a position that another worker has
// moved between the reading of the two sides.
func (s *split) overtakenReading(ctx context.Context, to Database, applied Position, cause error) error {
	if !errors.Is(cause, strangler.ErrStopped) {
		return cause
	}
	if now, err := to.Applied(ctx); err != nil || now == applied {
		return cause
	}
	return fmt.Errorf("%w: another worker follows %s; nothing was written", strangler.ErrSuperseded, s.c.Name)
}

// transact runs f in one transaction of the applier.
func (s *split) transact(ctx context.Context, to Database, f func(Apply) error) error {
	a, err := to.Begin(ctx, s.term)
	if err != nil {
		return err
	}
	if err := f(a); err != nil {
		return errors.Join(err, a.Rollback())
	}
	if err := a.Commit(); err != nil {
		return errors.Join(err, a.Rollback())
	}
	return nil
}

// replay deletes and inserts anew every key of the batch whose range is done, keeps those in flight for
// the chunk, and leaves out those whose range will be copied later. The marks are read behind the
// batch's own snapshot.
func (s *split) replay(ctx context.Context, from Database, b Batch, a Apply, applied Position) error {
	marks, err := a.Locked(ctx)
	if err != nil {
		return err
	}
	for t := range s.c.Tables {
		m := &marks[t]
		if b.Truncated(t) {
			if err := a.Empty(ctx, t); err != nil {
				return err
			}
			attempt := m.Attempt
			*m = Mark{Table: t, Attempt: attempt + 1, Finished: m.Finished}
			if err := a.SetMark(ctx, attempt, *m); err != nil {
				return err
			}
		}
		err := b.Keys(ctx, t, m.ranges(), func(k Key, at int) error {
			switch m.standing(at) {
			case rangeDone:
				if err := a.Delete(ctx, t, k); err != nil {
					return err
				}
				if m.Finished {
					return a.Keep(ctx, Unverified, t, k)
				}
			case rangeInFlight:
				return a.Keep(ctx, Queued, t, k)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for t := range s.c.Tables {
		m := marks[t]
		err := b.Rows(ctx, t, m.ranges(), func(r Row, at int) error {
			if m.standing(at) != rangeDone {
				return nil
			}
			return a.Insert(ctx, t, r)
		})
		if err != nil {
			return err
		}
	}
	return a.Advance(ctx, applied, b.Next())
}

type standing int

const (
	rangeToCome standing = iota
	rangeInFlight
	rangeDone
)

// ranges are the stretches that a key is looked up in; standing reads the answer.
func (m Mark) ranges() []Range {
	if m.Finished {
		return nil
	}
	var rs []Range
	if m.Done != nil {
		rs = append(rs, Range{Upto: m.Done})
	}
	if m.InFlight {
		rs = append(rs, Range{After: m.Done, Upto: m.Flight})
	}
	return rs
}

func (m Mark) standing(at int) standing {
	switch {
	case m.Finished || at == 0 && m.Done != nil:
		return rangeDone
	case at >= 0:
		return rangeInFlight
	}
	return rangeToCome
}
