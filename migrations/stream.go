package migrations

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
)

// follow takes over, then applies the owner's changes at the other side until a command has changed
// what there is to do, or an error ends it.
func (s *split) follow(ctx context.Context) error {
	s.at = workTakeover
	if err := s.takeover(ctx); err != nil {
		return err
	}
	if err := s.sameMapping(ctx); err != nil {
		return err
	}
	if err := s.restoreKeys(ctx); err != nil {
		return err
	}
	owner := s.owner
	from, to, err := s.both(ctx, owner)
	if err != nil {
		return err
	}
	if err := from.Ready(ctx); err != nil {
		return err
	}
	s.hasRoom(ctx, workTakeover)
	s.at = workStream
	// The copy runs beside the stream and ends before this function does.
	copyCtx, cancel := context.WithCancel(ctx)
	var copying sync.WaitGroup
	s.halt = func() { cancel(); copying.Wait() }
	defer s.halt()
	copied, bound := make(chan error, 1), make(chan error, 1)
	still := false // the follower's rows are bound, and stay as they are until that has ended
	finished, err := s.finished(ctx, to)
	if err != nil {
		return err
	}
	s.inheritsFullness(ctx, !finished)
	if !finished {
		copying.Go(func() { copied <- s.backfill(copyCtx, from, to) })
	} else {
		copied <- nil
	}
	conflicts, keys := 0, inlineKeys
	rested := time.Now()
	for {
		select {
		case cmd := <-s.commands:
			err := cmd.f(ctx)
			cmd.done <- err
			if next, errRec := s.cfg.Records.Split(ctx, s.c.Name); errRec != nil || s.owner != owner || !following(next.Phase) {
				return errRec
			}
			continue
		case err := <-copied:
			if err == nil {
				err = s.bind(copyCtx, from, to, &copying, bound)
			}
			if err != nil {
				s.at = workCopy
				return err
			}
			still = true
			continue
		case err := <-bound:
			still = false
			if errors.Is(err, ErrDuplicate) {
				return fmt.Errorf("%w: %w; the owner's rows do not fit together, and nothing was skipped. Mend them, then: strangler split start %s", strangler.ErrStopped, err, s.c.Name)
			}
			if err != nil {
				s.at = workCopy
				return err
			}
			s.hasRoom(ctx, workCopy)
			if err := s.settlePhase(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		default:
		}
		if still {
			select {
			case <-s.wake:
			case err := <-bound:
				bound <- err
			case <-ctx.Done():
			}
			continue
		}
		n, more, err := s.verified(ctx, from, to, keys)
		switch {
		case passing(err) && conflicts < conflictRetries:
			conflicts++ // a chunk may hold a newer state than the batch; the next batch is newer still
			continue
		case errors.Is(err, ErrDuplicate):
			return fmt.Errorf("%w: %w: a row of the owner has a unique value that another row holds at the follower; nothing was skipped", strangler.ErrStopped, err)
		case err != nil:
			return s.misfit(err)
		}
		conflicts = 0
		s.hasRoom(ctx, workStream)
		if keys = inlineKeys; n == 0 && more {
			keys = restKeys
		}
		if n > 0 || more {
			rested = time.Now()
			continue
		}
		if time.Since(rested) >= restPause { // what the follower's own capture keeps is let go in such a transaction
			if err := s.transact(ctx, to, func(Apply) error { return nil }); err != nil {
				return err
			}
			rested = time.Now()
		}
		if err := s.await(ctx, from, copied); err != nil {
			return err
		}
		// A prepare whose answer was lost may land now; then nobody else would settle it.
		if row, err := s.latest(ctx); errors.Is(err, errOvertaken) || err == nil && row.ID != s.known {
			return nil
		}
	}
}

// restPause is how long the follower is left alone at most.
const restPause = 10 * time.Second

func following(p strangler.Phase) bool {
	return p == strangler.PhaseCopying || p == strangler.PhaseSyncing || p == strangler.PhaseReversed
}

// await returns when the owner may have changed, or a command or the end of the copy waits.
func (s *split) await(ctx context.Context, from Database, copied chan error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		select {
		case <-s.wake:
			cancel()
		case err := <-copied:
			copied <- err
			cancel()
		case <-ctx.Done():
		}
	})
	return from.Wait(ctx)
}

// finished reports whether every table is copied.
func (s *split) finished(ctx context.Context, to Database) (bool, error) {
	if s.owner == strangler.Service {
		return true, nil
	}
	marks, err := to.Marks(ctx)
	if err != nil {
		return false, err
	}
	for t := range s.c.Tables {
		if !standings(t, marks).finished {
			return false, nil
		}
	}
	return true, nil
}

// settlePhase records syncing or reversed, as the owner tells.
func (s *split) settlePhase(ctx context.Context) error {
	phase := strangler.PhaseSyncing
	if s.owner == strangler.Service {
		phase = strangler.PhaseReversed
	}
	r, err := s.cfg.Records.Split(ctx, s.c.Name)
	if err != nil || r.Phase == phase {
		return err
	}
	return s.update(ctx, func(r *strangler.Split) {
		if following(r.Phase) { // it was not stopped meanwhile
			r.Phase, r.Error = phase, ""
		}
	})
}

// pass publishes that the follower holds every commit before at.
func (s *split) pass(at time.Time) {
	old := s.passed.Swap(&instant{owner: s.owner, at: at, next: make(chan struct{})})
	close(old.next)
}

// passedAfter waits until the follower holds every commit before t.
func (s *split) passedAfter(ctx context.Context, t time.Time) error {
	for {
		p := s.passed.Load()
		if p.at.After(t) {
			return nil
		}
		select {
		case <-p.next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Passed is an instant before which every acknowledged write of the capability is at the side that
// follows; zero when this process does not know.
func (s *Splits) Passed(capability string) time.Time {
	x, err := s.split(capability)
	if err != nil || !x.holding.Load() {
		return time.Time{}
	}
	return x.passed.Load().at
}
