package migrations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strangler-fig/strangler"
)

// conflictRetries is how often a chunk is read again because a unique value had moved between rows
// while it was read. Each reading sees a newer state, so a conflict that stays is a real one.
const conflictRetries = 100

// backfill copies every table, range by range, beside the stream. It returns when all are finished.
// The range gate is the one of docs/CUTOVER.md, section 6.
func (s *split) backfill(ctx context.Context, from, to Database) error {
	for t := range s.c.Tables {
		for conflicts := 0; ; {
			finished, err := s.copyRange(ctx, from, to, t)
			switch {
			case errors.Is(err, ErrDuplicate) && conflicts < conflictRetries:
				conflicts++
				if err := s.passedAfter(ctx, time.Now()); err != nil {
					return err
				}
				continue
			case errors.Is(err, ErrDuplicate):
				return fmt.Errorf("%w: %w: the service's table has a unique key that the monolith's rows do not keep; nothing was skipped. Mend the rows, then: strangler split start %s",
					strangler.ErrStopped, err, s.c.Name)
			case err != nil:
				return err
			}
			conflicts = 0
			if finished {
				break
			}
		}
	}
	return nil
}

// copyRange copies the next range of a table, or the one that was in flight when a worker died.
func (s *split) copyRange(ctx context.Context, from, to Database, t int) (finished bool, err error) {
	m, err := s.markFlight(ctx, from, to, t)
	if err != nil || m.Finished {
		return m.Finished, err
	}
	var rows []Row
	if err := from.Range(ctx, t, Range{After: m.Done, Upto: m.Flight}, func(r Row) error {
		rows = append(rows, r)
		return nil
	}); err != nil {
		return false, err
	}
	done := Mark{Table: t, Done: m.Flight, Attempt: m.Attempt, Finished: m.Flight == nil, Rows: m.Rows + int64(len(rows))}
	err = s.transact(ctx, to, func(a Apply) error {
		if err := a.SetMark(ctx, m.Attempt, done); err != nil {
			return err
		}
		for _, r := range rows {
			if err := a.Insert(ctx, t, r); err != nil {
				return err
			}
		}
		return s.drain(ctx, from, a, t)
	})
	if errors.Is(err, strangler.ErrSuperseded) && s.truncated(ctx, to, t, m.Attempt) {
		return false, nil // the owner emptied the table; begin it anew
	}
	return err == nil && done.Finished, err
}

// markFlight commits the mark before the chunk's snapshot is taken. A mark left by a dead worker keeps
// its bounds, since changes may be queued for it, and gets a new attempt.
func (s *split) markFlight(ctx context.Context, from, to Database, t int) (Mark, error) {
	m, err := s.mark(ctx, to, t)
	if err != nil || m.Finished {
		return m, err
	}
	attempt := m.Attempt
	if !m.InFlight {
		if m.Flight, err = from.Bound(ctx, t, m.Done, s.cfg.Bounds.Chunk); err != nil {
			return m, err
		}
	}
	m.InFlight = true
	m.Attempt++
	return m, s.transact(ctx, to, func(a Apply) error { return a.SetMark(ctx, attempt, m) })
}

// truncated tells a mark that a TRUNCATE has reset from one that a newer worker has taken.
func (s *split) truncated(ctx context.Context, to Database, t int, attempt int64) bool {
	f, err := to.Fence(ctx)
	if err != nil || f.Term != s.term {
		return false
	}
	m, err := s.mark(ctx, to, t)
	return err == nil && m.Attempt > attempt
}

// mark reads one table's mark. It is gone where another worker has taken the split back.
func (s *split) mark(ctx context.Context, to Database, t int) (Mark, error) {
	marks, err := to.Marks(ctx)
	if err == nil && t >= len(marks) {
		err = fmt.Errorf("%w: the split of %s was taken back while its rows were copied; nothing more is copied", strangler.ErrSuperseded, s.c.Name)
	}
	if err != nil {
		return Mark{}, err
	}
	return marks[t], nil
}

// drain applies what was queued for the range while it was in flight, from a snapshot newer than every
// batch that queued it.
func (s *split) drain(ctx context.Context, from Database, a Apply, t int) error {
	for {
		keys, err := a.Kept(ctx, Queued, t, 1000)
		if err != nil || len(keys) == 0 {
			return err
		}
		for _, k := range keys {
			if err := a.Delete(ctx, t, k); err != nil {
				return err
			}
			if err := a.Drop(ctx, Queued, t, k); err != nil {
				return err
			}
		}
		if err := from.Lookup(ctx, t, keys, func(r Row) error { return a.Insert(ctx, t, r) }); err != nil {
			return err
		}
	}
}
