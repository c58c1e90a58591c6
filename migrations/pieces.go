package migrations

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

// A table of the monolith's whose rows go to several tables of the service's is one table to all of the split but the service's
// own database: joined takes its rows apart as they go in, and puts them together as they come out. The first of these pieces has a
// row for each; another one has a row where one of the columns that it alone has is not NULL. So every row has one form at
// either side, and a row that the service leaves out, or adds, comes back as NULLs, or as values.

// hasPieces reports whether a capability has such a table.
func hasPieces(c strangler.Capability) bool {
	return slices.ContainsFunc(c.Tables, func(t strangler.Table) bool { return t.Pieces != nil })
}

// places are the numbers of the service's tables, by the monolith's.
func places(c strangler.Capability) (out [][]int) {
	n := 0
	for _, t := range c.Tables {
		of := make([]int, max(1, len(t.Pieces)))
		for i := range of {
			of[i] = n
			n++
		}
		out = append(out, of)
	}
	return out
}

// inPieces is the monolith's schema with the service's tables in the monolith's names, and what the pieces have against each other.
// Its notes are of what the service's tables cannot have.
func inPieces(s Schema, c strangler.Capability) (out Schema, problems []Problem) {
	out, of := s, places(c)
	out.Tables, out.Notes = nil, nil
	for i, t := range s.Tables {
		if c.Tables[i].Pieces == nil {
			t.References = referring(t.References, nil, of, s.Tables)
			out.Tables = append(out.Tables, t)
			continue
		}
		problems = append(problems, divided(t, c.Tables[i])...)
		first := len(out.Tables)
		for j, m := range c.Tables[i].Pieces {
			piece := t
			piece.Columns, piece.Uniques = nil, nil
			piece.Stays = slices.Clone(t.Stays)
			for _, column := range t.Columns {
				if slices.Contains(m.Drop, column.Name) {
					piece.Stays = append(piece.Stays, column)
					continue
				}
				column.Auto = column.Auto && j == 0 // the first has the key, and the others' are the same
				piece.Columns = append(piece.Columns, column)
			}
			for _, u := range t.Uniques {
				if piece.has(u) {
					piece.Uniques = append(piece.Uniques, u)
				}
			}
			piece.References = referring(t.References, piece.has, of, s.Tables)
			if j > 0 {
				piece.References = append(piece.References, Reference{Name: fmt.Sprintf("%s_piece%d_fkey", t.Name, j), Columns: t.Key, Targets: t.Key, Parent: of[i][0]})
			}
			out.Tables = append(out.Tables, piece)
		}
		out.Notes = append(out.Notes, unmade(t, out.Tables[first:])...)
	}
	return out, problems
}

// unmade says what of a table's constraints none of its pieces has.
func unmade(t Table, pieces []Table) (notes Notes) {
	say := func(what string, columns []string, has func(piece Table) bool) {
		if !slices.ContainsFunc(pieces, has) {
			notes = append(notes, note("have the service itself keep to it", "the %s (%s) of %s is not made at the service, where no table has all that it is about: what it would refuse there stops the split on its way back", what, strings.Join(columns, ", "), t.Name))
		}
	}
	for _, u := range t.Uniques {
		say("unique key", u, func(piece Table) bool { return piece.has(u) })
	}
	for _, r := range t.References {
		say("foreign key", r.Columns, func(piece Table) bool {
			return slices.ContainsFunc(piece.References, func(made Reference) bool { return made.Name == r.Name })
		})
	}
	return notes
}

func (t Table) has(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		return !slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Name == name })
	})
}

// referring are the references whose columns are there, each to the first piece of its parent. One that is not to the parent's
// key is left out where the parent has pieces.
func referring(all []Reference, there func([]string) bool, of [][]int, tables []Table) (out []Reference) {
	for _, r := range all {
		toKey := !slices.ContainsFunc(r.Targets, func(name string) bool { return !slices.Contains(tables[r.Parent].Key, name) })
		if there != nil && !there(r.Columns) || len(of[r.Parent]) > 1 && !toKey {
			continue
		}
		r.Parent = of[r.Parent][0]
		out = append(out, r)
	}
	return out
}

// divided is what is wrong about the columns of the pieces.
func divided(t Table, m strangler.Table) (out []Problem) {
	problem := func(format string, args ...any) {
		out = append(out, Problem{"mapping", fmt.Sprintf(format, args...), "correct drop in strangler.yaml: the key goes to each, every other column to one of them at most"})
	}
	in := map[string]string{}
	for _, piece := range m.Pieces {
		own := 0
		for _, name := range piece.Drop {
			switch {
			case slices.Contains(t.Key, name):
				problem("%s drops %s, which is part of the key of %s", piece.To, name, t.Name)
			case !slices.ContainsFunc(slices.Concat(t.Columns, t.Stays), func(c Column) bool { return c.Name == name }):
				problem("%s has no column %s to be left out of %s", t.Name, name, piece.To)
			}
		}
		for _, c := range t.Columns {
			if slices.Contains(piece.Drop, c.Name) || slices.Contains(t.Key, c.Name) {
				continue
			}
			own++
			if other, twice := in[c.Name]; twice {
				problem("column %s of %s would be in %s and in %s, and nobody could tell which value comes back", c.Name, t.Name, other, piece.To)
			}
			in[c.Name] = piece.To
		}
		if own == 0 {
			problem("%s would have nothing of %s but the key", piece.To, t.Name)
		}
	}
	return out
}
