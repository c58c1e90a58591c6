package proxy

import (
	"fmt"
	"regexp"

	"github.com/strangler-fig/strangler"
)

// claim is one route or touch, and who declares it.
type claim struct {
	capability, kind string
	route            strangler.Route
}

func (c claim) String() string { return fmt.Sprintf("%s %q of %s", c.kind, c.route, c.capability) }

// claims are those that can stand beside each other.
type claims struct {
	all  []claim
	fits strangler.Routes
}

// add refuses, as an ErrConfig, a claim that is malformed or cannot stand beside the others.
func (cs *claims) add(c claim) error {
	if _, err := strangler.ParseRoute(c.route.String()); err != nil {
		return fmt.Errorf("%w: %v: %w", strangler.ErrConfig, c, err)
	}
	if !cs.fits.Add(c.route) {
		return cs.conflict(c)
	}
	cs.all = append(cs.all, c)
	return nil
}

// conflict names the claim beside which another one cannot stand; nil: there is none.
func (cs *claims) conflict(c claim) error {
	for _, other := range cs.all {
		if other.route.Conflicts(c.route) {
			return fmt.Errorf("%w: %v and %v can match the same request and neither is more specific; write one of them more exactly, or remove it", strangler.ErrConfig, other, c)
		}
	}
	return nil
}

// stays holds touches against the routes of all capabilities. Touches of two capabilities need not be able to
// stand beside each other, so there may be several sets, each of every route and of touches that can.
type stays struct {
	routes *claims
	sets   []*strangler.Routes
	known  map[string]bool // without the names of wildcards, which make no difference
}

var wildcardName = regexp.MustCompile(`\{[^{}.$]+`)

func newStays(routes *claims) *stays {
	return &stays{routes: routes, sets: []*strangler.Routes{&routes.fits}, known: make(map[string]bool)}
}

// add refuses, as an ErrConfig, a touch that cannot stand beside the routes.
func (s *stays) add(touch claim) error {
	same := wildcardName.ReplaceAllString(touch.route.String(), "{")
	if s.known[same] {
		return nil
	}
	s.known[same] = true
	for _, set := range s.sets {
		if set.Add(touch.route) {
			return nil
		}
	}
	if err := s.routes.conflict(touch); err != nil {
		return err
	}
	set := &strangler.Routes{}
	for _, c := range s.routes.all {
		set.Add(c.route)
	}
	set.Add(touch.route)
	s.sets = append(s.sets, set)
	return nil
}
