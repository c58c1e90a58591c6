package proxy

import (
	"fmt"
	"net/http"

	"github.com/strangler-fig/strangler"
)

// router says of a method and a path whose route it is and whose tables it may write. It never
// changes: toggles say where a capability's requests go, not which they are.
type router struct {
	routes   tree
	patterns []pattern // what the tree's values are
	touches  []touched
}

// pattern is one route of a capability.
type pattern struct {
	capability int
	text       string // "GET /couriers/{id}"
}

// touched has one tree for each capability that declares touches, because one request may touch
// the tables of several.
type touched struct {
	bit  uint64
	tree tree
}

// match is what the router found. The zero bits of writes with route none is a request that no
// capability claims.
type match struct {
	route  int    // index of the capability that the request belongs to, or none
	by     int    // where there is one, the index of its pattern
	writes uint64 // bit i: the request may write the tables of capability i, and passes its gate
}

func (m match) claimed() bool { return m.route != none || m.writes != 0 }

// involved has a bit for each capability whose state the request depends on.
func (m match) involved() uint64 {
	if m.route == none {
		return m.writes
	}
	return m.writes | 1<<m.route
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
	var routes []claim
	for i, c := range capabilities {
		for _, r := range c.Routes {
			routes = append(routes, claim{c.Name, "route", r})
			if err := compatible(routes); err != nil {
				return nil, err
			}
			rt.routes.add(r.Method, r.Pattern, len(rt.patterns))
			rt.patterns = append(rt.patterns, pattern{i, r.String()})
		}
	}
	for i, c := range capabilities {
		own := touched{bit: 1 << i}
		claims := routes[:len(routes):len(routes)]
		for _, t := range c.Touches {
			claims = append(claims, claim{c.Name, "touch", t.Route})
			if err := compatible(claims); err != nil {
				return nil, err
			}
			own.tree.add(t.Route.Method, t.Route.Pattern, i)
		}
		if len(c.Touches) > 0 {
			rt.touches = append(rt.touches, own)
		}
	}
	return rt, nil
}

// claim is one route or touch, and who declares it.
type claim struct {
	capability, kind string
	route            strangler.Route
}

func (c claim) String() string { return fmt.Sprintf("%s %q of %s", c.kind, c.route, c.capability) }

// compatible lets http.ServeMux say whether the last claim can stand beside the others.
func compatible(claims []claim) error {
	last := claims[len(claims)-1]
	if _, err := strangler.ParseRoute(last.route.String()); err != nil {
		return fmt.Errorf("%w: %v: %w", strangler.ErrConfig, last, err)
	}
	for _, other := range claims[:len(claims)-1] {
		if conflict(other.route, last.route) {
			return fmt.Errorf("%w: %v and %v can match the same request and neither is more specific; write one of them more exactly, or remove it", strangler.ErrConfig, other, last)
		}
	}
	return nil
}

// conflict relies on ServeMux, which reports it by panicking.
func conflict(a, b strangler.Route) (yes bool) {
	mux := http.NewServeMux()
	mux.Handle(a.String(), http.NotFoundHandler())
	defer func() { yes = recover() != nil }()
	mux.Handle(b.String(), http.NotFoundHandler())
	return false
}

// match takes an escaped and clean path.
func (rt *router) match(method, path string) match {
	m := match{route: none}
	if by := rt.routes.match(method, path); by != none {
		m.route, m.by = rt.patterns[by].capability, by
		if !safe(method) {
			m.writes = 1 << m.route
		}
	}
	for i := range rt.touches {
		if rt.touches[i].tree.match(method, path) != none {
			m.writes |= rt.touches[i].bit
		}
	}
	return m
}
