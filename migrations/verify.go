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

// differingAgain is how many keys of a table that were found different a verification looks at once more.
const differingAgain = 100_000

// savedChunks is behind how many chunks a verification's progress is recorded.
const savedChunks = 50

// verification is one comparison of both sides.
type verification struct {
	*split
	owner    strangler.Side
	from, to Database
	repairs  bool
	at       strangler.Verifying // how far it is
	v        strangler.Verification
	found    [][]Key // the mismatches, by table, where they are to be repaired
	keys     []Key   // of v.Differences
}

// verify compares both sides by hashes of canonical rows. Each side is walked in its own order and
// looked up at the other, so no order and no collation is assumed to be the same. A row that differs
// may be on its way, so it is a suspect only: the worker compares it again where both sides are at one position.
//
// How far it is, is recorded: cut off, the next one goes on from there, unless the toggle has changed meanwhile or what
// was compared is too old. One that repairs begins anew, since it has to hold every mismatch. There is one at a time;
// another waits.
func (s *split) verify(ctx context.Context, repair bool) (strangler.Verification, error) {
	select {
	case s.verifying <- struct{}{}:
		defer func() { <-s.verifying }()
	case <-ctx.Done():
		return strangler.Verification{}, ctx.Err()
	}
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
	x := &verification{split: s, owner: t.Owner, from: from, to: to, repairs: repair, found: make([][]Key, len(s.c.Tables)),
		at: strangler.Verifying{Started: time.Now().UTC(), Epoch: t.Epoch}}
	if was := rec.Verifying; was != nil && !repair && was.Epoch == t.Epoch && time.Since(was.Started) < s.cfg.Bounds.Fresh {
		x.at = *was
	}
	x.v = strangler.Verification{Verify: strangler.Verify{At: x.at.Started, Rows: x.at.Rows, Mismatches: x.at.Mismatches}, Differences: x.at.Differences}
	for x.at.Table < len(s.c.Tables) {
		if err := x.compare(ctx); err != nil {
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
	return x.v, s.update(ctx, func(r *strangler.Split) { r.Verified, r.Verifying = x.v.Verify, nil })
}

// compare goes on with the table and the direction that the verification is at, to their end: the owner's rows are
// looked up at the follower, then the follower's at the owner. Those that really differ are taken down.
func (x *verification) compare(ctx context.Context) error {
	t := x.at.Table
	if x.c.Tables[t].OneWay && x.owner == strangler.Service { // nothing of it comes back
		return x.save(ctx, t+1, false, nil)
	}
	here, there := x.from, x.to
	if x.at.Back {
		here, there = there, here
	}
	after, err := decodeKey(x.at.After)
	if err != nil {
		return err
	}
	if !x.at.Back && after == nil {
		if err := x.lookAgain(ctx, t); err != nil {
			return err
		}
	}
	var suspects []Key
	chunks := 0
	err = x.walk(ctx, here, t, after, func(keys []Key, read []rowHash, upto Key) error {
		var found map[string]rowHash
		err := patiently(ctx, func() (err error) { found, err = hashes(ctx, there, there, t, keys); return err })
		if err != nil {
			return err
		}
		for i, k := range keys {
			if h, ok := found[string(Encode(k))]; !ok || !x.at.Back && h != read[i] {
				suspects = append(suspects, k)
			}
		}
		if !x.at.Back {
			x.v.Rows += int64(len(keys))
		}
		if chunks++; upto == nil || chunks%savedChunks != 0 {
			return nil
		}
		if err := x.takeDown(ctx, t, suspects); err != nil {
			return err
		}
		suspects = nil
		return x.save(ctx, t, x.at.Back, upto)
	})
	if err != nil {
		return err
	}
	if err := x.takeDown(ctx, t, suspects); err != nil {
		return err
	}
	if !x.at.Back {
		return x.save(ctx, t, true, nil)
	}
	return x.save(ctx, t+1, false, nil)
}

// lookAgain has the worker compare what was found different before, and forget it where it no longer is. Where it is, the
// walk finds it.
func (x *verification) lookAgain(ctx context.Context, t int) error {
	keys, err := x.to.Kept(ctx, Differing, t, differingAgain)
	if err == nil {
		_, err = x.differing(ctx, t, keys, 0)
	}
	return err
}

// takeDown adds those of the suspects that really differ.
func (x *verification) takeDown(ctx context.Context, t int, suspects []Key) error {
	differ, err := x.differing(ctx, t, suspects, named-len(x.v.Differences))
	if err != nil {
		return err
	}
	x.v.Mismatches += int64(len(differ.keys))
	if x.repairs {
		x.found[t] = append(x.found[t], differ.keys...)
		x.keys = append(x.keys, differ.keys[:len(differ.named)]...)
	}
	x.v.Differences = append(x.v.Differences, differ.named...)
	return nil
}

// save records that everything up to there has been compared and judged.
func (x *verification) save(ctx context.Context, table int, back bool, after Key) error {
	x.at.Table, x.at.Back, x.at.After = table, back, nil
	if after != nil {
		x.at.After = Encode(after)
	}
	x.at.Rows, x.at.Mismatches, x.at.Differences = x.v.Rows, x.v.Mismatches, slices.Clone(x.v.Differences)
	at := x.at
	return x.update(ctx, func(r *strangler.Split) { r.Verifying = &at })
}

func decodeKey(b []byte) (Key, error) {
	if len(b) == 0 {
		return nil, nil
	}
	return Decode(b)
}

// walk reads what follows a key of a table, in chunks; nil: all. The last chunk has no end.
func (s *split) walk(ctx context.Context, d Database, t int, after Key, f func(keys []Key, read []rowHash, upto Key) error) error {
	for {
		var upto Key
		var keys []Key
		var read []rowHash
		err := patiently(ctx, func() (err error) {
			if upto, err = d.Bound(ctx, t, Range{After: after}, s.cfg.Bounds.chunk()); err != nil {
				return err
			}
			keys, read = nil, nil
			return d.Range(ctx, t, Range{After: after, Upto: upto}, func(r Row) error {
				keys, read = append(keys, d.KeyOf(t, r)), append(read, hashRow(r))
				return nil
			})
		})
		if err != nil {
			return err
		}
		if err := f(keys, read, upto); err != nil || upto == nil {
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

// judge compares the suspects of one verification, the follower being at the batch's snapshot. The verdict is to be told
// once the findings are taken down.
func (s *split) judge(ctx context.Context, b Batch, from, to Database) (out findings, tell func(error)) {
	select {
	case x := <-s.suspects:
		v := compareAt(ctx, b, from, to, x)
		for i := range v.named {
			v.named[i].Table = s.c.Tables[x.table].From
		}
		if v.err == nil {
			out.add(x.table, x.keys, v.keys)
		}
		return out, func(err error) {
			v.err = errors.Join(v.err, err)
			x.verdict <- v
		}
	default:
		return nil, func(error) {}
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
