package migrations

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
)

// suspectKeys is how many suspects are compared at once.
const suspectKeys = 500

type rowHash [sha256.Size]byte

func hashRow(r Row) rowHash { return sha256.Sum256(Encode(r)) }

// named is how many mismatches a verification names.
const named = 20

// verification is one comparison of both sides.
type verification struct {
	*split
	owner    strangler.Side
	from, to Database
	v        strangler.Verification
	found    [][]Key // the mismatches, by table
	keys     []Key   // of v.Differences
}

// verify compares both sides by hashes of canonical rows. Each side is walked in its own order and
// looked up at the other, so no order and no collation is assumed to be the same. A row that differs
// may be on its way, so it is a suspect only: the worker compares it again where both sides are at one position.
func (s *split) verify(ctx context.Context, repair bool) (strangler.Verification, error) {
	if !s.holding.Load() {
		return strangler.Verification{}, fmt.Errorf("%w: another worker follows %s; verify there", strangler.ErrConflict, s.c.Name)
	}
	rec, err := s.cfg.Records.Split(ctx, s.c.Name)
	if err != nil {
		return strangler.Verification{}, err
	}
	if rec.Phase != strangler.PhaseSyncing && rec.Phase != strangler.PhaseReversed {
		return strangler.Verification{}, strangler.Refuse("phase", fmt.Sprintf("the split of %s is %q; there are two whole sides to compare once it is syncing", s.c.Name, rec.Phase), "strangler split status "+s.c.Name)
	}
	t, err := s.cfg.Records.Toggle(ctx, s.c.Name)
	if err != nil {
		return strangler.Verification{}, err
	}
	from, to, err := s.both(ctx, t.Owner)
	if err != nil {
		return strangler.Verification{}, err
	}
	x := &verification{split: s, owner: t.Owner, from: from, to: to, v: strangler.Verification{Verify: strangler.Verify{At: time.Now().UTC()}}, found: make([][]Key, len(s.c.Tables))}
	for i := range s.c.Tables {
		if err := x.compare(ctx, i); err != nil {
			return x.v, err
		}
	}
	if repair && x.v.Mismatches > 0 {
		if err := x.repair(ctx); err != nil {
			return x.v, err
		}
	}
	if again, err := s.cfg.Records.Toggle(ctx, s.c.Name); err != nil || again.Owner != t.Owner {
		return x.v, errors.Join(err, fmt.Errorf("%w: the owner of %s changed during the verification; run it again", strangler.ErrConflict, s.c.Name))
	}
	return x.v, s.update(ctx, func(r *strangler.Split) { r.Verified = x.v.Verify })
}

// compare walks the owner's rows of a table and the follower's, and takes down those that really differ.
func (x *verification) compare(ctx context.Context, t int) error {
	var suspects []Key
	err := x.walk(ctx, x.from, t, func(keys []Key, read []rowHash) error {
		x.v.Rows += int64(len(keys))
		there, err := hashes(ctx, x.to, x.to, t, keys)
		for i, k := range keys {
			if h, ok := there[string(Encode(k))]; !ok || h != read[i] {
				suspects = append(suspects, k)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	err = x.walk(ctx, x.to, t, func(keys []Key, _ []rowHash) error {
		there, err := hashes(ctx, x.from, x.from, t, keys)
		for _, k := range keys {
			if _, ok := there[string(Encode(k))]; !ok {
				suspects = append(suspects, k)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	differ, err := x.differing(ctx, t, suspects, named-len(x.v.Differences))
	if err != nil {
		return err
	}
	x.v.Mismatches += int64(len(differ.keys))
	x.found[t] = append(x.found[t], differ.keys...)
	x.v.Differences = append(x.v.Differences, differ.named...)
	x.keys = append(x.keys, differ.keys[:len(differ.named)]...)
	return nil
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

// suspects are keys of a table that one look has found different. The first of those that really differ are to be named.
type suspects struct {
	table   int
	keys    []Key
	names   int
	verdict chan verdict // for one
}

// verdict has the keys that really differ, and names for the first of them.
type verdict struct {
	keys  []Key
	named []strangler.Difference
	err   error
}

// differing has the worker compare suspects, and returns those that really differ.
func (s *split) differing(ctx context.Context, t int, keys []Key, names int) (all verdict, err error) {
	for some := range slices.Chunk(keys, suspectKeys) {
		x := suspects{t, some, names - len(all.named), make(chan verdict, 1)}
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
					return all, v.err
				}
				all.keys, all.named = append(all.keys, v.keys...), append(all.named, v.named...)
				done = true
			case <-time.After(time.Second):
				if err := s.waitsForRoom(); err != nil {
					return all, err
				}
				if rec, err := s.cfg.Records.Split(ctx, s.c.Name); err != nil || !s.holding.Load() || !following(rec.Phase) {
					return all, errors.Join(err, fmt.Errorf("%w: the split of %s is no longer followed here, so its two sides cannot be compared; run the verification again", strangler.ErrConflict, s.c.Name))
				}
			case <-ctx.Done():
				return all, ctx.Err()
			}
		}
	}
	return all, nil
}

// judge compares the suspects of verifications, the follower being at the batch's snapshot. Behind a batch that is not
// the whole of it they wait for another one.
func (s *split) judge(ctx context.Context, b Batch, from, to Database) {
	if b.Started().IsZero() {
		return
	}
	select {
	case x := <-s.suspects:
		v := compareAt(ctx, b, from, to, x)
		for i := range v.named {
			v.named[i].Table = s.c.Tables[x.table].From
		}
		x.verdict <- v
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
		if h == g && ok == found {
			continue
		}
		v.keys = append(v.keys, k)
		if len(v.named) >= x.names {
			continue
		}
		d := strangler.Difference{Key: keyText(k)}
		switch {
		case !found:
			d.Kind = strangler.DifferenceMissing
		case !ok:
			d.Kind = strangler.DifferenceExtra
		default:
			d.Kind = strangler.DifferenceDiffers
			if d.Columns, err = columnsApart(ctx, b, from, to, x.table, k); err != nil {
				return verdict{err: err}
			}
		}
		v.named = append(v.named, d)
	}
	return v
}

// columnsApart names the columns in which the two rows of a key differ.
func columnsApart(ctx context.Context, b Batch, from, to Database, t int, k Key) (apart []string, err error) {
	names, err := from.Columns(ctx, t)
	if err != nil {
		return nil, err
	}
	var here, there Row
	if err := b.Lookup(ctx, t, []Key{k}, func(r Row) error { here = r; return nil }); err != nil {
		return nil, err
	}
	if err := to.Lookup(ctx, t, []Key{k}, func(r Row) error { there = r; return nil }); err != nil {
		return nil, err
	}
	for i := range min(len(names), len(here), len(there)) {
		if !bytes.Equal(Encode(here[i:i+1]), Encode(there[i:i+1])) {
			apart = append(apart, names[i])
		}
	}
	return apart, nil
}

// keyText is a key as people read it.
func keyText(k Key) string {
	out := make([]string, len(k))
	for i, v := range k {
		if b, ok := v.([]byte); ok {
			out[i] = fmt.Sprintf("x'%x'", b)
		} else {
			out[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(out, ", ")
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
