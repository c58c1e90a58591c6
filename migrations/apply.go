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
// each time, and what was applied but not forgotten is simply applied again. Behind the commit, with the batch's
// snapshot still there, the follower holds what that sees, no more and no less: then settled is called; nil: nothing is.
func (s *split) applyBatch(ctx context.Context, from, to Database, settled func(context.Context, Batch)) (changes int64, err error) {
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
	}
	if settled != nil {
		settled(ctx, b)
	}
	if b.Changes() > 0 {
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

// misfit stops a split whose next attempt would meet the same row.
func (s *split) misfit(err error) error {
	if !errors.Is(err, ErrMisfit) {
		return err
	}
	return fmt.Errorf("%w: %w: the follower's table does not take what the owner's does; nothing was skipped, nothing was lost, and the owner goes on serving. Give it the owner's constraints and types, or change the value at the owner, then: strangler split start %s",
		strangler.ErrStopped, err, s.c.Name)
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
		if b.Truncated(t) {
			if err := empty(ctx, a, t, marks); err != nil {
				return err
			}
		}
		at := standings(t, marks)
		err := b.Keys(ctx, t, at.ranges, func(k Key, i int) error {
			switch what, part := at.of(i); what {
			case rangeDone:
				if err := a.Delete(ctx, t, k); err != nil {
					return err
				}
				if at.finished {
					return a.Keep(ctx, Unverified, t, k)
				}
			case rangeInFlight:
				return a.Keep(ctx, Queued(part), t, k)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for t := range s.c.Tables {
		at := standings(t, marks)
		err := b.Rows(ctx, t, at.ranges, func(r Row, i int) error {
			if what, _ := at.of(i); what != rangeDone {
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

// empty follows a TRUNCATE: the copy of the table begins anew, in the same parts. What was queued for a range in flight
// is forgotten: drained with another range, its row would stand there before its own range is copied.
func empty(ctx context.Context, a Apply, t int, marks []Mark) error {
	if err := a.Empty(ctx, t); err != nil {
		return err
	}
	for i, m := range marks {
		if m.Table != t {
			continue
		}
		marks[i] = Mark{Table: t, Part: m.Part, Bounds: m.Bounds, Attempt: m.Attempt + 1, Finished: m.Finished, Loose: m.Loose}
		if err := a.SetMark(ctx, m.Attempt, marks[i]); err != nil {
			return err
		}
		if err := unqueue(ctx, a, t, m.Part); err != nil {
			return err
		}
	}
	return nil
}

func unqueue(ctx context.Context, a Apply, t, part int) error {
	for {
		keys, err := a.Kept(ctx, Queued(part), t, 1000)
		if err != nil || len(keys) == 0 {
			return err
		}
		for _, k := range keys {
			if err := a.Drop(ctx, Queued(part), t, k); err != nil {
				return err
			}
		}
	}
}

type standing int

const (
	rangeToCome standing = iota
	rangeInFlight
	rangeDone
)

// stands says where the keys of a table stand: ranges are those that are done or in flight.
type stands struct {
	ranges   []Range
	standing []standing
	part     []int
	finished bool // all of them are done, none is loose, and there are no ranges
}

// standings reads a table's marks. What is done without a gap is one range.
func standings(t int, marks []Mark) stands {
	var s stands
	seen, done := 0, 0
	whole := false // the range before ends where its part does
	add := func(r Range, what standing, part int) {
		if n := len(s.ranges); n > 0 && whole && what == rangeDone && s.standing[n-1] == rangeDone {
			s.ranges[n-1].Upto = r.Upto
			return
		}
		s.ranges, s.standing, s.part = append(s.ranges, r), append(s.standing, what), append(s.part, part)
	}
	for _, m := range marks {
		if m.Table != t {
			continue
		}
		seen++
		copied := rangeDone
		if m.Loose {
			copied = rangeInFlight
		}
		if m.Finished {
			if !m.Loose {
				done++
			}
			add(m.Bounds, copied, m.Part)
			whole = true
			continue
		}
		if m.Done != nil {
			add(Range{After: m.Bounds.After, Upto: m.Done}, copied, m.Part)
		}
		if m.InFlight {
			add(m.flight(), rangeInFlight, m.Part)
		}
		whole = false
	}
	if s.finished = seen > 0 && done == seen; s.finished {
		s.ranges = nil
	}
	return s
}

// of reads the answer to where a key is: an index into ranges, or -1.
func (s stands) of(at int) (what standing, part int) {
	switch {
	case s.finished:
		return rangeDone, 0
	case at < 0:
		return rangeToCome, 0
	}
	return s.standing[at], s.part[at]
}

// flight is the range in flight, or the one that will be next.
func (m Mark) flight() Range {
	r := m.Bounds
	if m.Done != nil {
		r.After = m.Done
	}
	if m.InFlight && m.Flight != nil {
		r.Upto = m.Flight
	}
	return r
}
