package migrations

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

// hasShare reports whether a capability takes only some columns or some rows of a table.
func hasShare(c strangler.Capability) bool {
	return slices.ContainsFunc(c.Tables, func(t strangler.Table) bool { return len(t.Drop) > 0 || t.Where != "" })
}

// unshared is what tables have against what is taken of them: whatever the service does, the monolith's table has to have a
// place for it.
func unshared(s Schema, tables []strangler.Table) (out []Problem) {
	for i, t := range s.Tables {
		m := tables[i]
		problem := func(next, format string, args ...any) {
			out = append(out, Problem{"mapping", fmt.Sprintf(format, args...), next})
		}
		for _, name := range m.Drop {
			switch {
			case slices.Contains(t.Key, name):
				problem("take it out of drop", "column %s is part of the key of %s, by which both sides know a row, and cannot be left out", name, t.Name)
			case !slices.ContainsFunc(t.Stays, func(c Column) bool { return c.Name == name }):
				problem("correct it in strangler.yaml", "%s has no column %s to be left out", t.Name, name)
			}
		}
		if len(m.Drop) == 0 || m.OneWay {
			continue
		}
		for _, u := range t.Uniques {
			problem("leave the table whole, or drop that index", "the unique index over %s of %s: where columns stay, a row is written in place, and two rows that exchange values would meet", strings.Join(u, ", "), t.Name)
		}
		if m.Where == "" {
			for _, c := range t.Stays {
				if c.NotNull && !c.Default {
					problem("give it a default, or say by where which rows go", "column %s of %s stays, and has no value for a row that the service makes", c.Name, t.Name)
				}
			}
			continue
		}
		for _, c := range t.Columns {
			if c.NotNull && !c.Default && !slices.Contains(t.Key, c.Name) {
				problem("give it a default, or let it be NULL", "column %s of %s goes, and has no value for a row that the service gives up", c.Name, t.Name)
			}
		}
	}
	return out
}

// shared is the monolith's database where tables are shared. A row of which columns stay is written in place, so what a batch
// takes away and brings again must not be gone in between: it goes with the transaction's end.
type shared struct {
	Database
	tables []strangler.Table
}

func (d *shared) Begin(ctx context.Context, term int64) (Apply, error) {
	a, err := d.Database.Begin(ctx, term)
	if err != nil {
		return nil, err
	}
	gone := make([]map[string]Key, len(d.tables))
	for t := range gone {
		if len(d.tables[t].Drop) > 0 {
			gone[t] = map[string]Key{}
		}
	}
	return &sharedApply{a, d, ctx, gone}, nil
}

type sharedApply struct {
	Apply
	d    *shared
	ctx  context.Context  // of the transaction
	gone []map[string]Key // by table, rows that are to go; nil: its rows are whole, and go at once
}

func (a *sharedApply) Delete(ctx context.Context, table int, k Key) error {
	if gone := a.gone[table]; gone != nil {
		gone[string(Encode(k))] = k
		return nil
	}
	return a.Apply.Delete(ctx, table, k)
}

func (a *sharedApply) Insert(ctx context.Context, table int, r Row) error {
	delete(a.gone[table], string(Encode(a.d.KeyOf(table, r))))
	return a.Apply.Insert(ctx, table, r)
}

func (a *sharedApply) Empty(ctx context.Context, table int) error {
	clear(a.gone[table])
	return a.Apply.Empty(ctx, table)
}

func (a *sharedApply) Get(ctx context.Context, table int, keys []Key, yield func(Row) error) error {
	if err := a.settle(ctx); err != nil {
		return err
	}
	return a.Apply.Get(ctx, table, keys, yield)
}

// settle lets go what was not brought again.
func (a *sharedApply) settle(ctx context.Context) error {
	for table, gone := range a.gone {
		for _, k := range gone {
			if err := a.Apply.Delete(ctx, table, k); err != nil {
				return err
			}
		}
		clear(gone)
	}
	return nil
}

func (a *sharedApply) Commit() error {
	if err := a.settle(a.ctx); err != nil {
		return errors.Join(err, a.Rollback())
	}
	return a.Apply.Commit()
}
