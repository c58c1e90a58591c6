package migrations

import (
	"context"
	"errors"
	"fmt"

	"github.com/strangler-fig/strangler"
)

// inlineKeys is how many keys of a table that were applied are compared behind a batch, and restKeys behind one in which
// nothing was, while some are left.
const (
	inlineKeys = 1000
	restKeys   = 5000
)

// findings are keys that were compared at one position of both sides.
type findings []finding

type finding struct {
	table int
	key   Key
	equal bool
}

// add takes in keys of a table of which some differ.
func (f *findings) add(t int, keys, differ []Key) {
	apart := make(map[string]bool, len(differ))
	for _, k := range differ {
		apart[string(Encode(k))] = true
	}
	for _, k := range keys {
		*f = append(*f, finding{t, k, !apart[string(Encode(k))]})
	}
}

// compareApplied compares keys that were applied and not compared since, up to n of each table. The follower holds what
// in sees of the owner, no more and no less, so a row that differs is a mismatch. More says whether keys are left.
func (s *split) compareApplied(ctx context.Context, in looker, from, to Database, n int) (out findings, more bool, err error) {
	for t := range s.c.Tables {
		keys, err := to.Kept(ctx, Unverified, t, n)
		if err != nil {
			return nil, false, err
		}
		if len(keys) == 0 {
			continue
		}
		here, err := hashes(ctx, in, from, t, keys)
		if err != nil {
			return nil, false, err
		}
		there, err := hashes(ctx, to, to, t, keys)
		if err != nil {
			return nil, false, err
		}
		for _, k := range keys {
			h, ok := here[string(Encode(k))]
			g, found := there[string(Encode(k))]
			out = append(out, finding{t, k, h == g && ok == found})
		}
		more = more || len(keys) == n
	}
	return out, more, nil
}

// verified applies a batch and compares behind it, while both sides are at its snapshot: what was applied and not
// compared since, up to n keys of each table, and the suspects of a verification that runs beside the stream. Behind a
// batch that is not the whole of its snapshot they wait for another one. More says that applied keys are left.
func (s *split) verified(ctx context.Context, from, to Database, n int) (changes int64, more bool, err error) {
	var found findings
	var failed error
	tell := func(error) {}
	changes, err = s.applyBatch(ctx, from, to, func(ctx context.Context, b Batch) {
		if b.Started().IsZero() {
			return
		}
		found, more, failed = s.compareApplied(ctx, b, from, to, n)
		var judged findings
		judged, tell = s.judge(ctx, b, from, to)
		found = append(found, judged...)
	})
	if failed == nil {
		failed = s.note(ctx, to, found) // whatever came behind the commit
	}
	tell(failed)
	return changes, more, errors.Join(err, failed)
}

// note forgets the keys that were equal, and keeps at the follower those that were not.
func (s *split) note(ctx context.Context, to Database, found findings) error {
	if len(found) == 0 {
		return nil
	}
	apart := 0
	err := s.transact(ctx, to, func(a Apply) error {
		for _, f := range found {
			if err := a.Drop(ctx, Unverified, f.table, f.key); err != nil {
				return err
			}
			put := a.Drop
			if !f.equal {
				put = a.Keep
				apart++
			}
			if err := put(ctx, Differing, f.table, f.key); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && apart > 0 {
		s.cfg.Log.Error("rows differ between the two sides; bring the owner's again: strangler split verify "+s.c.Name+" --repair", strangler.LogCapability, s.c.Name, "rows", apart)
	}
	return err
}

// kept counts the keys of one kind, up to limit in each table.
func (s *split) kept(ctx context.Context, to Database, kind KeyKind, limit int) (n int64, err error) {
	for t := range s.c.Tables {
		keys, err := to.Kept(ctx, kind, t, limit)
		if err != nil {
			return n, err
		}
		n += int64(len(keys))
	}
	return n, nil
}

// frozenEqual compares, both sides frozen at one position, what was applied and not compared since; a difference is an
// error.
func (s *split) frozenEqual(ctx context.Context, from, to Database) error {
	found, more, err := s.compareApplied(ctx, from, from, to, s.cfg.Bounds.Dirty*100)
	if err != nil {
		return err
	}
	for _, f := range found {
		if !f.equal {
			return fmt.Errorf("table %s: the row with key %s differs between the two sides; run: strangler split verify %s --repair", s.c.Tables[f.table].From, keyText(f.key), s.c.Name)
		}
	}
	if more {
		return fmt.Errorf("more than %d keys of a table wait to be compared: %w", s.cfg.Bounds.Dirty*100, ErrSlow)
	}
	return nil
}
