package rehearse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// tables are those of one side that are copied.
type tables struct {
	*place
	names  []string // as strangler.yaml or the catalog names them
	moves  []bool   // by table
	sample []bool   // by table: rows are taken of it, not only those that others refer to
	leaf   []bool   // by table: it is there because it refers to what moves, and what else it refers to is not
	where  []migrations.Share
	keys   []reference
}

// reference is a foreign key between two of the tables.
type reference struct {
	from, to int
	columns  []string
	targets  []string // in the parent; an empty one is of its key
}

func (t *tables) add(name string, moves, sample, leaf bool, share migrations.Share) {
	t.names, t.moves, t.sample = append(t.names, name), append(t.moves, moves), append(t.sample, sample)
	t.leaf, t.where = append(t.leaf, leaf), append(t.where, share)
}

// at finds a table by its name in strangler.yaml or in the catalog, which may leave out the schema that is looked into first.
func (t *tables) at(name string) int {
	k := kindOf(t.production)
	return slices.IndexFunc(t.names, func(other string) bool { return same(k, name, other) })
}

func same(k kind, a, b string) bool {
	if k != postgresKind {
		return strings.EqualFold(a, b)
	}
	schema, table := schemaOf(a)
	otherSchema, other := schemaOf(b)
	return table == other && (schema == otherSchema || schema == "" && otherSchema == "public" || schema == "public" && otherSchema == "")
}

// legacyTables are the monolith's that move, those that refer to them, and all that they refer to themselves.
func (r *run) legacyTables(ctx context.Context) (*tables, error) {
	out := &tables{place: &r.legacy}
	for _, table := range r.Capability.Tables {
		if out.at(table.From) < 0 {
			out.add(table.From, true, true, false, migrations.Share{Stays: table.Drop, Where: table.Where})
		}
	}
	catalog, err := engines.Catalog(ctx, r.legacy.production)
	if err != nil {
		return nil, err
	}
	moved := len(out.names)
	for _, name := range out.names {
		if !slices.ContainsFunc(catalog.Tables, func(other string) bool { return same(kindOf(r.legacy.production), name, other) }) {
			r.notes.leaves("foreign keys of %s or to it: the catalog has it under another name than strangler.yaml", name)
		}
	}
	if err := r.settled(ctx, out); err != nil {
		return nil, err
	}
	for _, k := range catalog.Keys {
		if parent := out.at(k.Parent); parent >= 0 && parent < moved && out.at(k.Table) < 0 {
			if err := r.beside(ctx, out, k.Table, true, true); err != nil {
				return nil, err
			}
		}
	}
	return out, r.related(ctx, out, catalog)
}

// serviceTables are the service's that are there already, and all that they refer to.
func (r *run) serviceTables(ctx context.Context) (*tables, error) {
	out := &tables{place: &r.service}
	catalog, err := engines.Catalog(ctx, r.service.production)
	if err != nil {
		return nil, err
	}
	k := kindOf(r.service.production)
	for _, table := range r.Capability.AtService().Tables {
		if slices.ContainsFunc(catalog.Tables, func(name string) bool { return same(k, name, table.To) }) && out.at(table.To) < 0 {
			out.add(table.To, true, false, false, migrations.Share{})
		}
	}
	if err := r.settled(ctx, out); err != nil {
		return nil, err
	}
	return out, r.related(ctx, out, catalog)
}

// related adds what the tables refer to, on and on, and takes down all foreign keys between them. What tables that stay refer
// to beside is left out.
func (r *run) related(ctx context.Context, out *tables, catalog migrations.Catalog) error {
	refused := map[string]bool{}
	for more := true; more; {
		more = false
		for _, k := range catalog.Keys {
			child := out.at(k.Table)
			if child < 0 || out.leaf[child] || out.at(k.Parent) >= 0 || refused[k.Parent] || !slices.ContainsFunc(catalog.Tables, func(name string) bool { return name == k.Parent }) {
				continue
			}
			before := len(out.names)
			if err := r.beside(ctx, out, k.Parent, out.side == strangler.Service, false); err != nil {
				return err
			}
			if more = len(out.names) > before; !more {
				refused[k.Parent] = true
			}
		}
	}
	for _, k := range catalog.Keys {
		switch from, to := out.at(k.Table), out.at(k.Parent); {
		case from >= 0 && to >= 0:
			out.keys = append(out.keys, reference{from, to, k.Columns, k.Targets})
		case from >= 0:
			r.notes.leaves("the foreign key %s → %s", k, k.Parent)
		}
	}
	return nil
}

// settled refuses tables that move and cannot: the plan would refuse them in production.
func (r *run) settled(ctx context.Context, t *tables) error {
	if len(t.names) == 0 {
		return nil
	}
	s, err := r.inspect(ctx, t.place, t.names)
	if err != nil {
		return err
	}
	if len(s.Problems) > 0 {
		var what, next []string
		for _, p := range s.Problems {
			what, next = append(what, p.What), append(next, p.Next)
		}
		return strangler.Refuse(s.Problems[0].Check, "the plan would refuse "+r.Capability.Name+": "+strings.Join(what, "; "), next...)
	}
	return nil
}

// beside adds a table that does not move, if it can be copied.
func (r *run) beside(ctx context.Context, t *tables, name string, sample, leaf bool) error {
	s, err := r.inspect(ctx, t.place, []string{name})
	if err != nil {
		return err
	}
	if len(s.Problems) > 0 {
		r.notes.leaves("%s and the foreign keys to it or from it: %s", name, s.Problems[0].What)
		return nil
	}
	t.add(name, false, sample, leaf, migrations.Share{})
	return nil
}

// inspect reads what tables are, as those of a monolith: rows in them are no problem.
func (r *run) inspect(ctx context.Context, p *place, names []string) (s migrations.Schema, err error) {
	d, err := engines.Open(ctx, binding(p.production, strangler.Legacy, names))
	if err != nil {
		return s, err
	}
	s, err = d.Inspect(ctx)
	if errClose := d.Close(); err == nil {
		err = errClose
	}
	if err != nil {
		return s, fmt.Errorf("the %s side in production: %w", p.side, err)
	}
	return s, nil
}

func binding(dsn string, side strangler.Side, names []string) migrations.Binding {
	b := migrations.Binding{Capability: copying, Side: side, DSN: dsn, Tables: names, ControlID: copying}
	if kindOf(dsn) != sqliteKind {
		b.Capture = strangler.CaptureTriggers
	}
	return b
}

// counts are the rows of the tables in production, estimates where they are large.
func (t *tables) counts(ctx context.Context) (out []int64, err error) {
	d, err := engines.Open(ctx, binding(t.production, strangler.Legacy, t.names))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for i, name := range t.names {
		var n int64
		if err := patiently(ctx, func() (err error) { n, err = d.Count(ctx, i); return err }); err != nil {
			return nil, fmt.Errorf("count the rows of %s: %w", name, err)
		}
		out = append(out, n)
	}
	return out, nil
}
