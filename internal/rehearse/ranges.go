package rehearse

import (
	"context"
	"errors"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// ranges are stretches of a table, spread over its keys, with as many rows as were asked for.
func (s *sampler) ranges(ctx context.Context, i int, whole int64) (out []migrations.Range, err error) {
	if whole <= int64(s.Rows) {
		return s.chunked(ctx, i, migrations.Range{}, s.Rows)
	}
	var cuts []migrations.Key
	err = patiently(ctx, func() (err error) { cuts, err = s.from.Cut(ctx, i, blocks, 0); return err })
	if err == nil && cuts == nil {
		cuts, err = s.walk(ctx, i, int(whole/blocks))
	}
	if err != nil {
		return nil, err
	}
	var after migrations.Key
	for n := range len(cuts) + 1 {
		x := migrations.Range{After: after}
		if n < len(cuts) {
			x.Upto, after = cuts[n], cuts[n]
		}
		some, err := s.chunked(ctx, i, x, s.Rows*(n+1)/(len(cuts)+1)-s.Rows*n/(len(cuts)+1))
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

// walk finds every n-th key, where an engine does not cut.
func (s *sampler) walk(ctx context.Context, i, n int) (cuts []migrations.Key, err error) {
	for x := (migrations.Range{}); len(cuts) < blocks-1; {
		var k migrations.Key
		err := patiently(ctx, func() (err error) { k, err = s.from.Bound(ctx, i, x, max(n, 1)); return err })
		if err != nil || k == nil {
			return cuts, err
		}
		cuts, x.After = append(cuts, k), k
	}
	return cuts, nil
}

// chunkRows is how many rows one transaction brings, but for what they refer to.
const chunkRows = 1000

// chunked is the first n rows of a stretch, in pieces of which each fits into one transaction.
func (s *sampler) chunked(ctx context.Context, i int, x migrations.Range, n int) (out []migrations.Range, err error) {
	for n > 0 {
		var bound migrations.Key
		some := min(n, chunkRows)
		if err := patiently(ctx, func() (err error) { bound, err = s.from.Bound(ctx, i, x, some); return err }); err != nil {
			return nil, err
		}
		if bound == nil { // there are fewer
			return append(out, x), nil
		}
		out = append(out, migrations.Range{After: x.After, Upto: bound})
		x.After = bound
		n -= some
	}
	return out, nil
}

// inside takes more of the rows that the share of a table has: the sample of the whole may have few of them.
func (s *sampler) inside(ctx context.Context, i int) (err error) {
	b := binding(s.t.production, strangler.Legacy, s.t.names[i:i+1])
	b.Shares = []migrations.Share{{Where: s.t.where[i].Where}}
	shared, err := engines.Open(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shared.Close()) }()
	part := &sampler{run: s.run, from: shared}
	ranges, err := part.chunked(ctx, 0, migrations.Range{}, s.Rows)
	if err != nil {
		return err
	}
	for _, x := range ranges {
		if err := s.block(ctx, i, func(yield func(migrations.Row) error) error { return shared.Range(ctx, 0, x, yield) }); err != nil {
			return err
		}
	}
	return nil
}
