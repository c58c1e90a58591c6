package migrations

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strangler-fig/strangler"
)

// suspectKeys is how many suspects are compared at once.
const suspectKeys = 500

type rowHash [sha256.Size]byte

func hashRow(r Row) rowHash { return sha256.Sum256(Encode(r)) }

// verify compares both sides by hashes of canonical rows. Each side is walked in its own order and
// looked up at the other, so no order and no collation is assumed to be the same. A row that differs
// may be on its way, so it is a suspect only: the worker compares it again where both sides are at one position.
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
		n, err := s.differing(ctx, i, suspects)
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
	err = s.walk(ctx, from, t, func(keys []Key, read []rowHash) error {
		rows += int64(len(keys))
		there, err := hashes(ctx, to, to, t, keys)
		for i, k := range keys {
			if h, ok := there[string(Encode(k))]; !ok || h != read[i] {
				suspects = append(suspects, k)
			}
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	err = s.walk(ctx, to, t, func(keys []Key, _ []rowHash) error {
		there, err := hashes(ctx, from, from, t, keys)
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
		var read []rowHash
		if err := d.Range(ctx, t, Range{After: after, Upto: upto}, func(r Row) error {
			keys, read = append(keys, d.KeyOf(t, r)), append(read, hashRow(r))
			return nil
		}); err != nil {
			return err
		}
		if err := f(keys, read); err != nil || upto == nil {
			return err
		}
		after = upto
	}
}

// looker finds rows: a database as it is, or a batch's snapshot of it.
type looker interface {
	Lookup(ctx context.Context, table int, keys []Key, yield func(Row) error) error
}

// hashes looks up rows of a database, by encoded key.
func hashes(ctx context.Context, in looker, of Database, t int, keys []Key) (map[string]rowHash, error) {
	out := make(map[string]rowHash, len(keys))
	err := in.Lookup(ctx, t, keys, func(r Row) error {
		out[string(Encode(of.KeyOf(t, r)))] = hashRow(r)
		return nil
	})
	return out, err
}

// suspects are keys of a table that one look has found different.
type suspects struct {
	table   int
	keys    []Key
	verdict chan verdict // for one
}

type verdict struct {
	mismatches int64
	err        error
}

// differing has the worker compare suspects, and counts those that really differ.
func (s *split) differing(ctx context.Context, t int, keys []Key) (mismatches int64, err error) {
	for some := range slices.Chunk(keys, suspectKeys) {
		x := suspects{t, some, make(chan verdict, 1)}
		for asked, done := false, false; !done; {
			put := s.suspects
			if asked {
				put = nil
			}
			select {
			case put <- x:
				asked = true
				s.rouse()
			case v := <-x.verdict:
				if v.err != nil {
					return 0, v.err
				}
				mismatches += v.mismatches
				done = true
			case <-time.After(time.Second):
				if rec, err := s.cfg.Records.Split(ctx, s.c.Name); err != nil || !s.holding.Load() || !following(rec.Phase) {
					return 0, errors.Join(err, fmt.Errorf("%w: the split of %s is no longer followed here, so its two sides cannot be compared; run the verification again", strangler.ErrConflict, s.c.Name))
				}
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
	}
	return mismatches, nil
}

// judge compares the suspects of verifications, the follower being at the batch's snapshot.
func (s *split) judge(ctx context.Context, b Batch, from, to Database) {
	select {
	case x := <-s.suspects:
		x.verdict <- compareAt(ctx, b, from, to, x)
	default:
	}
}

func compareAt(ctx context.Context, b Batch, from, to Database, x suspects) verdict {
	here, err := hashes(ctx, b, from, x.table, x.keys)
	if err != nil {
		return verdict{err: err}
	}
	there, err := hashes(ctx, to, to, x.table, x.keys)
	if err != nil {
		return verdict{err: err}
	}
	var v verdict
	for _, k := range x.keys {
		e := string(Encode(k))
		h, ok := here[e]
		g, found := there[e]
		if h != g || ok != found {
			v.mismatches++
		}
	}
	return v
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
		here, err := hashes(ctx, from, from, t, keys)
		if err != nil {
			return err
		}
		there, err := hashes(ctx, to, to, t, keys)
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
