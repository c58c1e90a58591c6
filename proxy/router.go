package proxy

import (
	"net/http"
	"slices"

	"github.com/strangler-fig/strangler"
)

// router says of a method and a path whose route it is and whose tables it may write. It never
// changes: toggles say where a capability's requests go, not which they are.
type router struct {
	routes   tree
	patterns []pattern // what the values of routes are
	touches  tree
	touchers [][]int // what the values of touches are: the capabilities that declare one, by index
}

// pattern is one route of a capability.
type pattern struct {
	capability int
	text       string // "GET /couriers/{id}"
}

// match is what the router finds. A request that no capability claims has the route none and writes nothing.
type match struct {
	route  int   // index of the capability that the request belongs to, or none
	by     int   // where there is one, the index of its pattern
	writes []int // rising indexes of the capabilities whose tables the request may write, and whose gates it passes
}

func (m *match) claimed() bool { return m.route != none || len(m.writes) > 0 }

// counted is the capability that a request is counted with: its route's, else the first that it touches, or none.
func (m *match) counted() int {
	if m.route == none && len(m.writes) > 0 {
		return m.writes[0]
	}
	return m.route
}

// safe reports whether a method only reads (RFC 9110, 9.2.1). What is not known to be safe writes.
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// newRouter refuses, as an ErrConfig, routes that are malformed, that two capabilities claim, or
// that stay and move at once. Two capabilities may declare the same touch. A touch may be wider
// than a route: then the route says where the request goes, and both gates are passed.
func newRouter(capabilities []strangler.Capability) (*router, error) {
	rt := &router{}
	var routes claims
	for i, c := range capabilities {
		for _, r := range c.Routes {
			if err := routes.add(claim{c.Name, "route", r}); err != nil {
				return nil, err
			}
			rt.routes.add(r.Method, r.Pattern, len(rt.patterns))
			rt.patterns = append(rt.patterns, pattern{i, r.String()})
		}
	}
	stays := newStays(&routes)
	for i, c := range capabilities {
		var own claims
		for _, t := range c.Touches {
			one := claim{c.Name, "touch", t.Route}
			if err := own.add(one); err != nil {
				return nil, err
			}
			if err := stays.add(one); err != nil {
				return nil, err
			}
			rt.touch(t.Route, i)
		}
	}
	return rt, nil
}

// touch notes that a capability declares one. Several may declare the same.
func (rt *router) touch(r strangler.Route, capability int) {
	n := rt.touches.node(r.Method, r.Pattern)
	if n.value == none {
		n.value = len(rt.touchers)
		rt.touchers = append(rt.touchers, nil)
	}
	rt.touchers[n.value] = append(rt.touchers[n.value], capability)
}

// match finds an escaped and clean path. What m had of writes is room that is used again.
func (rt *router) match(method, path string, m *match) {
	*m = match{route: none, writes: m.writes[:0]}
	if by := rt.routes.match(method, path); by != none {
		m.route, m.by = rt.patterns[by].capability, by
		if !safe(method) {
			m.writes = append(m.writes, m.route)
		}
	}
	if m.writes = rt.touches.all(method, path, rt.touchers, m.writes); len(m.writes) > 1 {
		slices.Sort(m.writes)
		m.writes = slices.Compact(m.writes)
	}
}
