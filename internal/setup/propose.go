package setup

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// Proposal is a capability that may leave.
type Proposal struct {
	Name     string                  `json:"name"`
	Routes   []Route                 `json:"routes"`
	Requests int                     `json:"requests"`
	Tables   []string                `json:"tables"`
	Crossing []migrations.ForeignKey `json:"crossing"` // foreign keys between its tables and others
	Guessed  bool                    `json:"guessed"`  // the routes are only what a table's name suggests
	paths    [][]string              // the segments that its paths begin with
	words    []string
}

// Proposals are what may leave, the best first, and what stays.
type Proposals struct {
	Proposals []Proposal `json:"proposals"`
	Tables    []string   `json:"tables"` // that stay
	Routes    []Route    `json:"routes"` // that stay
}

// maxProposals is how many are made; the capabilities behind them stay.
const maxProposals = 20

// propose groups routes by what their paths are about, and gives each group the tables of its name and those that hang on
// these. Every table is in one group at most.
func propose(catalog migrations.Catalog, routes []Route) []Proposal {
	tables := tableWords(catalog.Tables)
	groups := map[string]*Proposal{}
	for _, r := range routes {
		name, upTo := subject(r.Route)
		if key := capabilityName(name); key != "" {
			if groups[key] == nil {
				groups[key] = &Proposal{Name: key, words: words(name)}
			}
			groups[key].add(r, upTo)
		}
	}
	if len(routes) == 0 {
		groups = guess(catalog, tables)
	}
	all := slices.SortedFunc(maps.Values(groups), func(a, b *Proposal) int { return cmp.Compare(a.Name, b.Name) })
	share(catalog, tables, all)
	for _, p := range all {
		for _, k := range catalog.Keys {
			if slices.Contains(p.Tables, k.Table) != slices.Contains(p.Tables, k.Parent) {
				p.Crossing = append(p.Crossing, k)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *Proposal) int {
		return cmp.Or(cmp.Compare(min(len(b.Tables), 1), min(len(a.Tables), 1)), cmp.Compare(len(a.Crossing), len(b.Crossing)), cmp.Compare(b.Requests, a.Requests), cmp.Compare(len(b.Tables), len(a.Tables)))
	})
	out := make([]Proposal, len(all))
	for i, p := range all {
		slices.Sort(p.Tables)
		p.Tables, p.Crossing = append([]string{}, p.Tables...), append([]migrations.ForeignKey{}, p.Crossing...)
		out[i] = *p
	}
	return out
}

// add takes in a route, and the path up to what it is about.
func (p *Proposal) add(r Route, upTo []string) {
	p.Routes, p.Requests = append(p.Routes, r), p.Requests+r.Requests
	if !slices.ContainsFunc(p.paths, func(have []string) bool { return slices.Equal(have, upTo) }) {
		p.paths = append(p.paths, upTo)
	}
}

// bookkeeping are tables of tools, which nobody asks for by a path.
var bookkeeping = regexp.MustCompile(`(^|_)(schema_versions?|(schema_)?migrations?|schema_history|alembic_version|databasechangelog(lock)?|efmigrations_?history|ar_internal_metadata)$`)

// guess makes a group of every table that others refer to, or that refers to none, with the paths that its name suggests.
func guess(catalog migrations.Catalog, tables map[string][]string) map[string]*Proposal {
	out := map[string]*Proposal{}
	for _, t := range catalog.Tables {
		child := slices.ContainsFunc(catalog.Keys, func(k migrations.ForeignKey) bool { return k.Table == t && k.Parent != t })
		parent := slices.ContainsFunc(catalog.Keys, func(k migrations.ForeignKey) bool { return k.Parent == t && k.Table != t })
		part := slices.ContainsFunc(catalog.Tables, func(other string) bool { n := fits(tables[t], tables[other]); return n > 0 && n < 1000 })
		name := strings.Join(tables[t], "_")
		if key := capabilityName(name); key != "" && out[key] == nil && !part && !bookkeeping.MatchString(name) && (parent || !child) {
			p := &Proposal{Name: key, words: tables[t], Guessed: true}
			for _, pattern := range []string{"/" + name, "/" + name + "/"} {
				p.add(Route{Route: strangler.Route{Pattern: pattern}}, []string{name})
			}
			out[key] = p
		}
	}
	return out
}

// share gives each group the tables whose names are its own, then what hangs on these by foreign keys: a table that refers to
// one of the group's, and to which nobody else refers.
func share(catalog migrations.Catalog, tables map[string][]string, groups []*Proposal) {
	owner := map[string]*Proposal{}
	for _, t := range catalog.Tables {
		best := 0
		for _, p := range groups {
			n := fits(tables[t], p.words)
			if schema, _ := bare(t); n == 0 && fits(words(schema), p.words) == 1000 {
				n = 1
			}
			if n > best {
				best, owner[t] = n, p
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for _, t := range catalog.Tables {
			if owner[t] == nil {
				owner[t] = hangsOn(catalog, t, owner)
				changed = changed || owner[t] != nil
			}
		}
	}
	for _, t := range catalog.Tables {
		if p := owner[t]; p != nil {
			p.Tables = append(p.Tables, t)
		}
	}
}

// hangsOn is the group that a table refers to, where nobody else refers to the table; of several the one that it is deleted
// with, else the first.
func hangsOn(catalog migrations.Catalog, table string, owner map[string]*Proposal) *Proposal {
	var found *Proposal
	cascades := false
	for _, k := range catalog.Keys {
		p := owner[k.Parent]
		if k.Table != table || p == nil || found != nil && (cascades || k.OnDelete != "CASCADE") {
			continue
		}
		if alone(catalog, table, p, owner, map[string]bool{}) {
			found, cascades = p, k.OnDelete == "CASCADE"
		}
	}
	return found
}

// alone reports whether all that refer to a table are the group's, or nobody's and refer to nobody else's.
func alone(catalog migrations.Catalog, table string, p *Proposal, owner map[string]*Proposal, met map[string]bool) bool {
	met[table] = true
	for _, k := range catalog.Keys {
		if k.Parent != table || met[k.Table] || owner[k.Table] == p {
			continue
		}
		elsewhere := owner[k.Table] != nil || slices.ContainsFunc(catalog.Keys, func(other migrations.ForeignKey) bool {
			return other.Table == k.Table && owner[other.Parent] != nil && owner[other.Parent] != p
		})
		if elsewhere || !alone(catalog, k.Table, p, owner, met) {
			return false
		}
	}
	return true
}
