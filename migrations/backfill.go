package migrations

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
)

// conflictRetries is how often a chunk is read again because a unique value had moved between rows
// while it was read. Each reading sees a newer state, so a conflict that stays is a real one.
const conflictRetries = 100

// partsPerLane is into how many parts a large table is cut for each lane: a lane that is done early takes another.
const partsPerLane = 2

// Chunks are sized by time, unless Bounds.Chunk sizes them: the next is to take chunkTime (shortChunk where the copy has
// limits, or everybody who writes at the follower waits for it), and has at most chunkGrowth times as many rows as the one before, and mostRows.
// Rows that are read one by one may all be in memory at once: their chunks begin small, and have mostUnpiped at most.
const (
	chunkTime   = time.Second
	chunkGrowth = 4
	firstChunk  = 50_000
	mostRows    = 1_000_000
	mostUnpiped = 50_000
)

// part names one part of a table.
type part struct{ table, number int }

// backfill copies every table, part by part and range by range, beside the stream; as many parts at once as the
// follower has lanes. It returns when all are finished. The range gate is the one of docs/CUTOVER.md, section 6.
func (s *split) backfill(ctx context.Context, from, to Database) error {
	for i := range s.paces {
		s.paces[i].restart()
	}
	limits, err := meter(s.c, from)
	if err != nil {
		return err
	}
	defer s.throttle.end()
	lanes := to.Lanes()
	if lanes > 1 {
		if err := s.divide(ctx, from, to, lanes*partsPerLane); err != nil {
			return err
		}
	}
	marks, err := to.Marks(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan part, len(marks))
	for _, m := range marks {
		todo <- part{m.Table, m.Part}
	}
	close(todo)
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			for p := range todo {
				if err := s.copyPart(ctx, from, to, p, limits); err != nil {
					cancel(err) // the first one counts, the others end for it
					return
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return s.index(ctx, from, to)
}

// divide cuts large tables into parts, once, before anything of them is copied.
func (s *split) divide(ctx context.Context, from, to Database, n int) error {
	marks, err := to.Marks(ctx)
	if err != nil {
		return err
	}
	count := map[int]int{}
	for _, m := range marks {
		count[m.Table]++
	}
	for _, m := range marks {
		if count[m.Table] > 1 || m.InFlight || m.Finished || m.Done != nil {
			continue
		}
		keys, err := from.Cut(ctx, m.Table, n, s.cfg.Bounds.Part)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			continue
		}
		err = s.transact(ctx, to, func(a Apply) error { return a.Divide(ctx, m.Attempt, m.Table, keys) })
		if err != nil && !(errors.Is(err, strangler.ErrSuperseded) && s.truncated(ctx, to, part{m.Table, m.Part}, m.Attempt)) {
			return err
		}
	}
	return nil
}

// copyPart copies what is left of one part, while the throttle lets it.
func (s *split) copyPart(ctx context.Context, from, to Database, p part, limits Meter) error {
	form, err := s.form(ctx, from, to, p.table)
	if err != nil {
		return err
	}
	sized := s.cfg.Bounds.Chunk == 0
	rows, goal, most := s.cfg.Bounds.chunk(), chunkTime, int64(mostRows)
	switch {
	case sized && form == "":
		goal, most = shortChunk, mostUnpiped
	case sized && (limits != nil || to.Lanes() == 1):
		rows, goal = shortFirst, shortChunk
	case sized:
		rows = firstChunk
	}
	s.paces[p.table].add(time.Now(), 0)
	var m Mark // as this worker has set it
	conflicts := 0
	for {
		if err := s.throttle.pass(ctx, limits); err != nil {
			return err
		}
		if !m.InFlight {
			if err := patiently(ctx, func() (err error) { m, err = s.markFlight(ctx, from, to, p, rows); return err }); err != nil || m.Finished {
				return err
			}
		}
		began, before := time.Now(), m.Rows
		m, err = s.copyRange(ctx, from, to, m, form, rows)
		switch {
		case passing(err) && conflicts < conflictRetries:
			conflicts++
			if err := s.passedAfter(ctx, time.Now()); err != nil {
				return err
			}
			continue
		case errors.Is(err, ErrDuplicate):
			return fmt.Errorf("%w: %w: the service's table has a unique key that the monolith's rows do not keep; nothing was skipped. Mend the rows, then: strangler split start %s",
				strangler.ErrStopped, err, s.c.Name)
		case err != nil:
			return s.misfit(err)
		}
		s.hasRoom(ctx, workCopy)
		if m.Finished {
			return nil
		}
		conflicts = 0
		if sized && m.InFlight {
			rows = nextChunk(rows, m.Rows-before, time.Since(began), goal, most)
		}
	}
}

// patiently does again what waited too long for a lock.
func patiently(ctx context.Context, f func() error) error {
	for {
		if err := f(); !errors.Is(err, ErrSlow) || !pause(ctx, 100*time.Millisecond) {
			return err
		}
	}
}

// passing tells a failure that a newer snapshot may not meet: a unique value that was moving between rows, or a wait
// for one that crossed another's.
func passing(err error) bool { return errors.Is(err, ErrDuplicate) || errors.Is(err, ErrSlow) }

// nextChunk is the size of the chunk that is to take a time, behind one that had n rows and took so long.
func nextChunk(rows int, n int64, took, goal time.Duration, most int64) int {
	want := int64(float64(n) * float64(goal) / float64(max(took, time.Millisecond)))
	return int(min(max(want, defaultChunk), int64(rows)*chunkGrowth, most))
}

// form is the one in which both sides write a table's rows; empty where they have to be read.
func (s *split) form(ctx context.Context, from, to Database, t int) (string, error) {
	form, err := from.Form(ctx, t)
	if err != nil || form == "" {
		return "", err
	}
	if there, err := to.Form(ctx, t); err != nil || there != form {
		return "", err
	}
	return form, nil
}

// copyRange copies the range in flight, and marks the next one of about so many rows, in one transaction. The mark,
// which the stream waits for, is set when the rows have come. It returns the part's mark; the zero Mark where the
// range has to be marked anew.
func (s *split) copyRange(ctx context.Context, from, to Database, m Mark, form string, rows int) (Mark, error) {
	p := part{m.Table, m.Part}
	next := Mark{Table: m.Table, Part: m.Part, Bounds: m.Bounds, Done: m.Flight, Attempt: m.Attempt, Finished: m.Flight == nil, Loose: m.Loose}
	var looking sync.WaitGroup
	defer looking.Wait()
	var errLook error
	if !next.Finished { // beside the copy
		looking.Go(func() { errLook = s.look(ctx, from, &next, rows) })
	}
	err := s.transact(ctx, to, func(a Apply) error {
		n, err := s.carry(ctx, from, a, m.Table, m.flight(), form)
		looking.Wait()
		if err := errors.Join(err, errLook); err != nil {
			return err
		}
		next.Rows = m.Rows + n
		if err := a.SetMark(ctx, m.Attempt, next); err != nil || m.Loose {
			return err
		}
		_, err = s.drain(ctx, from, a, p, math.MaxInt)
		return err
	})
	switch {
	case errors.Is(err, strangler.ErrSuperseded) && s.truncated(ctx, to, p, m.Attempt):
		return Mark{}, nil // the owner emptied the table; begin it anew
	case err != nil:
		return Mark{}, err
	}
	s.paces[m.Table].add(time.Now(), next.Rows-m.Rows)
	return next, nil
}

// look puts the next range of a part in flight, in a mark that is not yet set.
func (s *split) look(ctx context.Context, from Database, m *Mark, rows int) (err error) {
	m.Flight, err = from.Bound(ctx, m.Table, m.flight(), rows)
	m.InFlight = true
	m.Attempt++
	return err
}

// carry brings the rows of a range into the follower's transaction, unread where both sides write them in one form.
func (s *split) carry(ctx context.Context, from Database, a Apply, t int, r Range, form string) (rows int64, err error) {
	if form == "" {
		err = from.Range(ctx, t, r, func(row Row) error {
			rows++
			return a.Insert(ctx, t, row)
		})
		return rows, err
	}
	const buffer = 64 << 10 // a row at a time would change goroutines at each
	in, out := io.Pipe()
	var sent error
	var wg sync.WaitGroup
	wg.Go(func() {
		w := bufio.NewWriterSize(out, buffer)
		if sent = from.Send(ctx, t, r, w); sent == nil {
			sent = w.Flush()
		}
		out.CloseWithError(sent)
	})
	rows, err = a.Receive(ctx, t, in)
	in.CloseWithError(io.ErrClosedPipe)
	wg.Wait()
	if sent != nil && !errors.Is(sent, io.ErrClosedPipe) {
		err = sent // it is why the rows ended
	}
	return rows, err
}

// markFlight commits the mark before the chunk's snapshot is taken. A mark left by a dead worker keeps
// its bounds, since changes may be queued for it, and gets a new attempt.
func (s *split) markFlight(ctx context.Context, from, to Database, p part, rows int) (Mark, error) {
	m, err := s.mark(ctx, to, p)
	if err != nil || m.Finished {
		return m, err
	}
	attempt := m.Attempt
	if m.InFlight {
		m.Attempt++
	} else if err := s.look(ctx, from, &m, rows); err != nil {
		return m, err
	}
	return m, s.transact(ctx, to, func(a Apply) error { return a.SetMark(ctx, attempt, m) })
}

// truncated tells a mark that a TRUNCATE has reset from one that a newer worker has taken.
func (s *split) truncated(ctx context.Context, to Database, p part, attempt int64) bool {
	f, err := to.Fence(ctx)
	if err != nil || f.Term != s.term {
		return false
	}
	m, err := s.mark(ctx, to, p)
	return err == nil && m.Attempt > attempt
}

// mark reads one part's mark. It is gone where another worker has taken the split back.
func (s *split) mark(ctx context.Context, to Database, p part) (Mark, error) {
	marks, err := to.Marks(ctx)
	if err != nil {
		return Mark{}, err
	}
	for _, m := range marks {
		if m.Table == p.table && m.Part == p.number {
			return m, nil
		}
	}
	return Mark{}, fmt.Errorf("%w: the split of %s was taken back while its rows were copied; nothing more is copied", strangler.ErrSuperseded, s.c.Name)
}

// drain applies what was queued for a part, about limit keys at most, from a snapshot newer than every batch that queued
// them. The part's mark is set before, in the same transaction: no batch comes in between.
func (s *split) drain(ctx context.Context, from Database, a Apply, p part, limit int) (all bool, err error) {
	for n := 0; n < limit; {
		keys, err := a.Kept(ctx, Queued(p.number), p.table, 1000)
		if err != nil || len(keys) == 0 {
			return true, err
		}
		n += len(keys)
		for _, k := range keys {
			if err := a.Delete(ctx, p.table, k); err != nil {
				return false, err
			}
			if err := a.Drop(ctx, Queued(p.number), p.table, k); err != nil {
				return false, err
			}
		}
		if err := from.Lookup(ctx, p.table, keys, func(r Row) error { return a.Insert(ctx, p.table, r) }); err != nil {
			return false, err
		}
	}
	return false, nil
}
