package migrations

import (
	"context"
	"fmt"
	"slices"

	"github.com/strangler-fig/strangler"
)

// A table of which nothing comes back (`reverse: false`) follows the monolith like any other. Once the service owns, the stream
// passes its changes over, nobody compares it, and a rollback leaves the monolith's table as it was at the cutover: the team
// has said that it gives up what the service wrote there. In exchange its mapping need not have a way back. Several values may
// be one at the service: all of the split but the service's own database knows the first of them only.

// hasOneWay reports whether a capability has such a table.
func hasOneWay(c strangler.Capability) bool {
	return slices.ContainsFunc(c.Tables, func(t strangler.Table) bool { return t.OneWay })
}

// leaning is what other tables have against a table of which nothing comes back: the monolith would have rows that refer to none.
func leaning(s Schema, tables []strangler.Table) (out []Problem) {
	for i, t := range s.Tables {
		for _, r := range t.References {
			if !tables[i].OneWay && tables[r.Parent].OneWay {
				out = append(out, Problem{"mapping", fmt.Sprintf("%s comes back, and refers by %s to %s, of which nothing does", t.Name, r.Name, s.Tables[r.Parent].Name),
					"say reverse: false of both, or of neither"})
			}
		}
	}
	return out
}

// oneWay is the monolith's database where there are such tables.
type oneWay struct {
	Database
	tables []strangler.Table
}

// like is one row for all that are the same at the service.
func (d *oneWay) like(ctx context.Context, table int, yield func(Row) error) (func(Row) error, error) {
	m := d.tables[table]
	if !m.OneWay || len(m.Values) == 0 {
		return yield, nil
	}
	names, err := d.Database.Columns(ctx, table)
	if err != nil {
		return nil, err
	}
	codes := make([]*code, len(names))
	for i, name := range names {
		if values := m.Values[name]; len(values) > 0 {
			if codes[i], err = newCode("", values, true); err != nil {
				return nil, err
			}
		}
	}
	return func(r Row) error {
		for i, c := range codes {
			if c != nil {
				r[i] = c.first(r[i])
			}
		}
		return yield(r)
	}, nil
}

func (d *oneWay) Range(ctx context.Context, table int, r Range, yield func(Row) error) error {
	yield, err := d.like(ctx, table, yield)
	if err != nil {
		return err
	}
	return d.Database.Range(ctx, table, r, yield)
}

func (d *oneWay) Lookup(ctx context.Context, table int, keys []Key, yield func(Row) error) error {
	yield, err := d.like(ctx, table, yield)
	if err != nil {
		return err
	}
	return d.Database.Lookup(ctx, table, keys, yield)
}

func (d *oneWay) Read(ctx context.Context, applied Position) (Batch, error) {
	b, err := d.Database.Read(ctx, applied)
	if err != nil {
		return nil, err
	}
	return oneWayBatch{b, d}, nil
}

func (d *oneWay) Forget(ctx context.Context, b Batch) error {
	return d.Database.Forget(ctx, b.(oneWayBatch).Batch)
}

func (d *oneWay) Begin(ctx context.Context, term int64) (Apply, error) {
	a, err := d.Database.Begin(ctx, term)
	if err != nil {
		return nil, err
	}
	return oneWayApply{a, d}, nil
}

type oneWayBatch struct {
	Batch
	d *oneWay
}

func (b oneWayBatch) Rows(ctx context.Context, table int, ranges []Range, yield func(r Row, at int) error) error {
	place := 0
	like, err := b.d.like(ctx, table, func(r Row) error { return yield(r, place) })
	if err != nil {
		return err
	}
	return b.Batch.Rows(ctx, table, ranges, func(r Row, at int) error {
		place = at
		return like(r)
	})
}

func (b oneWayBatch) Lookup(ctx context.Context, table int, keys []Key, yield func(Row) error) error {
	yield, err := b.d.like(ctx, table, yield)
	if err != nil {
		return err
	}
	return b.Batch.Lookup(ctx, table, keys, yield)
}

// oneWayApply passes over what does not come back.
type oneWayApply struct {
	Apply
	d *oneWay
}

func (a oneWayApply) Delete(ctx context.Context, table int, k Key) error {
	if a.d.tables[table].OneWay {
		return nil
	}
	return a.Apply.Delete(ctx, table, k)
}

func (a oneWayApply) Insert(ctx context.Context, table int, r Row) error {
	if a.d.tables[table].OneWay {
		return nil
	}
	return a.Apply.Insert(ctx, table, r)
}

func (a oneWayApply) Empty(ctx context.Context, table int) error {
	if a.d.tables[table].OneWay {
		return nil
	}
	return a.Apply.Empty(ctx, table)
}

// Keep takes down no key that is to be compared where nothing was written.
func (a oneWayApply) Keep(ctx context.Context, kind KeyKind, table int, k Key) error {
	if kind == Unverified && a.d.tables[table].OneWay {
		return nil
	}
	return a.Apply.Keep(ctx, kind, table, k)
}
