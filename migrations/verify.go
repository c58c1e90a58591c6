package migrations

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/strangler-fig/strangler"
)

// A row that differs is looked at again each time the stream has passed, settleRounds times at most. It
// is a mismatch when both sides stood still and different for stillRounds of them.
const (
	settleRounds = 40
	stillRounds  = 4
)

type rowHash [sha256.Size]byte

func hashRow(r Row) rowHash { return sha256.Sum256(Encode(r)) }

// verify compares both sides by hashes of canonical rows. Each side is walked in its own order and
// looked up at the other, so no order and no collation is assumed to be the same. A row that differs
// may be on its way: settleSuspects looks again.
func (s *split) verify(ctx context.Context) (strangler.Verify, error) {
	if !s.holding.Load() {
		return strangler.Verify{}, fmt.Errorf("%w: another worker follows %s; verify there", strangler.ErrConflict, s.c.Name)
	}
	rec, err := s.cfg.Records.Split(ctx, s.c.Name)
	if err != nil {
		return strangler.Verify{}, err
	}
	if rec.Phase != strangler.PhaseSyncing && rec.Phase != strangler.PhaseReversed {
		return strangler.Verify{}, strangler.Refuse("phase", fmt.Sprintf("the split of %s is %q; there are two whole sides to compare once it is syncing", s.c.Name, rec.Phase), "strangler split status "+s.c.Name)
	}
	t, err := s.cfg.Records.Toggle(ctx, s.c.Name)
	if err != nil {
		return strangler.Verify{}, err
	}
	from, to, err := s.both(ctx, t.Owner)
	if err != nil {
		return strangler.Verify{}, err
	}
	v := strangler.Verify{At: time.Now().UTC()}
	for i := range s.c.Tables {
		suspects, rows, err := s.compare(ctx, from, to, i)
		if err != nil {
			return v, err
		}
		v.Rows += rows
		n, err := s.settleSuspects(ctx, from, to, i, suspects)
		if err != nil {
			return v, err
		}
		v.Mismatches += n
	}
	if again, err := s.cfg.Records.Toggle(ctx, s.c.Name); err != nil || again.Owner != t.Owner {
		return v, errors.Join(err, fmt.Errorf("%w: the owner of %s changed during the verification; run it again", strangler.ErrConflict, s.c.Name))
	}
	return v, s.update(ctx, func(r *strangler.Split) { r.Verified = v })
}

// compare walks the owner's rows and the follower's, and returns the keys that differ.
func (s *split) compare(ctx context.Context, from, to Database, t int) (suspects []Key, rows int64, err error) {
	err = s.walk(ctx, from, t, func(keys []Key, hashes []rowHash) error {
		rows += int64(len(keys))
		there, err := s.hashes(ctx, to, t, keys)
		for i, k := range keys {
			if h, ok := there[string(Encode(k))]; !ok || h != hashes[i] {
				suspects = append(suspects, k)
			}
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	err = s.walk(ctx, to, t, func(keys []Key, _ []rowHash) error {
		there, err := s.hashes(ctx, from, t, keys)
		for _, k := range keys {
			if _, ok := there[string(Encode(k))]; !ok {
				suspects = append(suspects, k)
			}
		}
		return err
	})
	return suspects, rows, err
}

// walk reads a table in chunks.
func (s *split) walk(ctx context.Context, d Database, t int, f func([]Key, []rowHash) error) error {
	var after Key
	for {
		upto, err := d.Bound(ctx, t, Range{After: after}, s.cfg.Bounds.chunk())
		if err != nil {
			return err
		}
		var keys []Key
		var hashes []rowHash
		if err := d.Range(ctx, t, Range{After: after, Upto: upto}, func(r Row) error {
			keys, hashes = append(keys, d.KeyOf(t, r)), append(hashes, hashRow(r))
			return nil
		}); err != nil {
			return err
		}
		if err := f(keys, hashes); err != nil || upto == nil {
			return err
		}
		after = upto
	}
}

// hashes looks rows up, by encoded key.
func (s *split) hashes(ctx context.Context, d Database, t int, keys []Key) (map[string]rowHash, error) {
	out := make(map[string]rowHash, len(keys))
	err := d.Lookup(ctx, t, keys, func(r Row) error {
		out[string(Encode(d.KeyOf(t, r)))] = hashRow(r)
		return nil
	})
	return out, err
}

// settleSuspects counts the keys that really differ.
func (s *split) settleSuspects(ctx context.Context, from, to Database, t int, keys []Key) (int64, error) {
	type seen struct {
		here, there         rowHash
		atOwner, atFollower bool
	}
	last, still := map[string]seen{}, map[string]int{}
	var mismatches int64
	for round := 0; len(keys) > 0 && round < settleRounds; round++ {
		here, err := s.hashes(ctx, from, t, keys)
		if err != nil {
			return 0, err
		}
		if err := s.passedAfter(ctx, time.Now()); err != nil {
			return 0, err
		}
		there, err := s.hashes(ctx, to, t, keys)
		if err != nil {
			return 0, err
		}
		var open []Key
		for _, k := range keys {
			e := string(Encode(k))
			h, ok := here[e]
			g, found := there[e]
			if h == g && ok == found {
				continue
			}
			now := seen{h, g, ok, found}
			if last[e] != now {
				last[e], still[e] = now, 0
			}
			if still[e]++; still[e] == stillRounds {
				mismatches++
				continue
			}
			open = append(open, k)
		}
		keys = open
	}
	return mismatches, nil // what never stood still was applied meanwhile, and is kept as dirty
}

// verifyDirty compares keys that were applied since the last verification, up to n of each table, and
// forgets those that are equal. With n < 0 it compares all of them, both sides frozen, and a
// difference is an error.
func (s *split) verifyDirty(ctx context.Context, from, to Database, n int) error {
	frozen := n < 0
	if frozen {
		n = s.cfg.Bounds.Dirty * 100
	}
	for t := range s.c.Tables {
		keys, err := to.Dirty(ctx, t, n)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			continue
		}
		here, err := s.hashes(ctx, from, t, keys)
		if err != nil {
			return err
		}
		there, err := s.hashes(ctx, to, t, keys)
		if err != nil {
			return err
		}
		err = s.transact(ctx, to, func(a Apply) error {
			for _, k := range keys {
				e := string(Encode(k))
				h, ok := here[e]
				g, found := there[e]
				if h == g && ok == found {
					if err := a.Drop(ctx, Unverified, t, k); err != nil {
						return err
					}
				} else if frozen {
					return fmt.Errorf("table %s: the row with key %v differs between the two sides; run: strangler split verify %s", s.c.Tables[t].From, k, s.c.Name)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
