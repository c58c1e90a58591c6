package rehearse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

const (
	blocks    = 20  // stretches of a large table that its sample is of
	gathered  = 200 // rows that are looked at together for what they refer to
	readTries = 20  // of a block, where production's own DDL is in its way
	// beyond bounds what foreign keys bring: so many times the rows asked for of each table.
	beyond = 10
)

// sampler brings rows of one side's production into its copy.
type sampler struct {
	*run
	t        *tables
	from, to migrations.Database
	columns  [][]string // by table, in the order of a row's values
	keys     [][]string // by table
	copied   []int64    // by table, what is committed
	pending  []int64    // and what this transaction has brought
	apply    migrations.Apply
}

// rows copies the sample. Every block is a transaction of its own, with all that its rows refer to.
func (r *run) rows(ctx context.Context, t *tables, from, to migrations.Database) error {
	s := &sampler{run: r, t: t, from: from, to: to, copied: make([]int64, len(t.names)), pending: make([]int64, len(t.names))}
	schema, err := from.Inspect(ctx)
	if err != nil {
		return err
	}
	whole := make([]int64, len(t.names))
	for i := range t.names {
		columns, err := from.Columns(ctx, i)
		if err != nil {
			return err
		}
		s.columns, s.keys = append(s.columns, columns), append(s.keys, schema.Tables[i].Key)
		if err := patiently(ctx, func() (err error) { whole[i], err = from.Count(ctx, i); return err }); err != nil {
			return fmt.Errorf("count the rows of %s: %w", t.names[i], err)
		}
	}
	if err := r.already(ctx, t, whole); err != nil {
		return err
	}
	for i := range t.names {
		if !t.sample[i] {
			continue
		}
		ranges, err := s.ranges(ctx, i, whole[i])
		if err != nil {
			return err
		}
		for _, x := range ranges {
			if err := s.block(ctx, i, func(yield func(migrations.Row) error) error { return from.Range(ctx, i, x, yield) }); err != nil {
				return fmt.Errorf("%s: %w", t.names[i], err)
			}
			r.Progress(Progress{Phase: "copies of both databases", Tables: s.progress(whole)})
		}
		if t.where[i].Where != "" {
			if err := s.inside(ctx, i); err != nil {
				return fmt.Errorf("rows of %s that move: %w", t.names[i], err)
			}
		}
	}
	for i, name := range t.names {
		r.report.Copied = append(r.report.Copied, Copied{Side: t.side, Table: name, Moves: t.moves[i], Rows: s.copied[i], Production: whole[i]})
	}
	return s.sequences(ctx)
}

// already notes rows in the service's tables that no split has brought there: the plan will refuse them.
func (r *run) already(ctx context.Context, t *tables, whole []int64) (err error) {
	if t.side == strangler.Legacy {
		return nil
	}
	b := binding(t.production, strangler.Service, t.names)
	b.Capability = r.Capability.Name
	d, err := engines.Open(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	fence, err := d.Fence(ctx)
	if err != nil {
		return err
	}
	for i, n := range whole {
		if t.moves[i] && n > 0 && !fence.Installed {
			r.notes.surprise("the service's table %s has %d rows already, and the plan will refuse it: empty it, or name another one in strangler.yaml", t.names[i], n)
		}
	}
	return nil
}

func (s *sampler) progress(whole []int64) (out []strangler.TableProgress) {
	for i, name := range s.t.names {
		out = append(out, strangler.TableProgress{Name: name, RowsCopied: s.copied[i], RowsTotal: min(whole[i], max(int64(s.Rows), s.copied[i]))})
	}
	return out
}

// block brings the rows that read yields, with all that they refer to, in one transaction.
func (s *sampler) block(ctx context.Context, i int, read func(yield func(migrations.Row) error) error) error {
	return patiently(ctx, func() (err error) {
		if s.apply, err = s.to.Begin(ctx, 0); err != nil {
			return err
		}
		clear(s.pending)
		var some []migrations.Row
		err = read(func(r migrations.Row) error {
			if some = append(some, slices.Clone(r)); len(some) < gathered {
				return nil
			}
			err := s.bring(ctx, i, some)
			some = some[:0]
			return err
		})
		if err == nil {
			err = s.bring(ctx, i, some)
		}
		if err != nil {
			return errors.Join(err, s.apply.Rollback())
		}
		if err := s.apply.Commit(); err != nil {
			return err
		}
		for t, n := range s.pending {
			s.copied[t] += n
		}
		return nil
	})
}

// bring inserts those of the rows that are not there yet, behind what they refer to.
func (s *sampler) bring(ctx context.Context, i int, rows []migrations.Row) error {
	keys := make([]migrations.Key, len(rows))
	for n, r := range rows {
		keys[n] = s.from.KeyOf(i, r)
	}
	there, err := s.there(ctx, i, keys)
	if err != nil {
		return err
	}
	var fresh []migrations.Row
	for n, r := range rows {
		if e := string(migrations.Encode(keys[n])); !there[e] {
			there[e] = true
			fresh = append(fresh, r)
		}
	}
	for _, r := range fresh {
		if err := s.apply.Insert(ctx, i, r); err != nil {
			return err
		}
	}
	s.pending[i] += int64(len(fresh))
	for _, ref := range s.t.keys {
		if ref.from == i {
			if err := s.parents(ctx, ref, fresh); err != nil {
				return err
			}
		}
	}
	return nil
}

// there says which keys the copy has.
func (s *sampler) there(ctx context.Context, i int, keys []migrations.Key) (map[string]bool, error) {
	out := map[string]bool{}
	err := s.apply.Get(ctx, i, keys, func(r migrations.Row) error {
		out[string(migrations.Encode(s.to.KeyOf(i, r)))] = true
		return nil
	})
	return out, err
}

// parents brings the rows that a foreign key of some rows refers to.
func (s *sampler) parents(ctx context.Context, ref reference, rows []migrations.Row) error {
	at := s.places(ref)
	if at == nil {
		s.notes.leaves("rows of %s to which %s refers by other columns than their key", s.t.names[ref.to], s.t.names[ref.from])
		return nil
	}
	var keys []migrations.Key
	seen := map[string]bool{}
	for _, r := range rows {
		k := make(migrations.Key, len(at))
		for n, place := range at {
			k[n] = r[place]
		}
		if e := string(migrations.Encode(k)); !slices.Contains(k, nil) && !seen[e] {
			seen[e] = true
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	if s.copied[ref.to]+s.pending[ref.to] > int64(beyond*s.Rows) {
		s.notes.leaves("more than %d rows of %s, to which %s refers", beyond*s.Rows, s.t.names[ref.to], s.t.names[ref.from])
		return nil
	}
	there, err := s.there(ctx, ref.to, keys)
	if err != nil {
		return err
	}
	keys = slices.DeleteFunc(keys, func(k migrations.Key) bool { return there[string(migrations.Encode(k))] })
	var found []migrations.Row
	if err := s.from.Lookup(ctx, ref.to, keys, func(r migrations.Row) error { found = append(found, slices.Clone(r)); return nil }); err != nil || len(found) == 0 {
		return err
	}
	return s.bring(ctx, ref.to, found)
}

// places are where a row has the values of the parent's key, in its order; nil where the foreign key is of other columns.
func (s *sampler) places(ref reference) (at []int) {
	for n, column := range s.keys[ref.to] {
		place := slices.Index(ref.targets, column)
		if len(ref.targets) == 0 || len(ref.targets) > n && ref.targets[n] == "" {
			place = n
		}
		if place < 0 || place >= len(ref.columns) {
			return nil
		}
		column := slices.Index(s.columns[ref.from], ref.columns[place])
		if column < 0 {
			return nil
		}
		at = append(at, column)
	}
	if len(at) != len(ref.columns) {
		return nil
	}
	return at
}

// sequences puts generated keys where production's are. A role that may only read tables may not know.
func (s *sampler) sequences(ctx context.Context) error {
	next, err := s.from.Sequences(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.notes.leaves("where the generated keys of the %s database are: this role may not read that", s.t.side)
		}
		return ctx.Err()
	}
	a, err := s.to.Begin(ctx, 0)
	if err != nil {
		return err
	}
	if err := a.SetSequences(ctx, next); err != nil {
		return errors.Join(err, a.Rollback())
	}
	return a.Commit()
}

// patiently repeats what was in the way of production's DDL, or read rows of two moments.
func patiently(ctx context.Context, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		if !errors.Is(err, migrations.ErrSlow) && !errors.Is(err, migrations.ErrDuplicate) || n == readTries {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
