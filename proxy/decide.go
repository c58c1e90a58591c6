package proxy

import (
	"time"

	"github.com/strangler-fig/strangler"
)

// Request is all that a decision sees of a request, whichever engine read it.
type Request struct {
	Method  string
	Path    string // escaped and clean
	Header  Header
	Cookies []string // the lines of the Cookie header
}

// Header looks up the first value of a header by its canonical name; empty: there is none.
type Header interface {
	Get(name string) string
}

// snapshot is every toggle at one moment, ready to be decided by. It never changes; a new one
// replaces it whole.
type snapshot struct {
	toggles []*strangler.Toggle // by capability index; nil: never applied, so unknown
	owners  []byte              // a value of OwnerHeader that names every owner, or the first alone; empty while nothing is known
	crowded bool                // they are too many to be named with each request
	at      time.Time
}

// knows reports whether the state of each capability that a request depends on is known.
func (s *snapshot) knows(m *match) bool {
	for _, i := range m.writes {
		if s.toggles[i] == nil {
			return false
		}
	}
	return m.route == none || s.toggles[m.route] != nil
}

// decision is where one request goes.
type decision struct {
	side   strangler.Side
	shadow bool // the toggle would have it shadowed; sampling is not decided here
}

// decide names the side of a request whose capabilities' states are all known. It allocates nothing.
//
// A touch, and what nobody claims, stays in the monolith. With tables, every write goes to the owner
// whatever the mode says, and a read that would go to the follower goes to the owner as long as its
// user wrote something that the follower may lack. Without an identity a canary moves nobody.
func (p *Proxy) decide(s *snapshot, m *match, r *Request, id identity) decision {
	if m.route == none {
		return decision{side: strangler.Legacy}
	}
	c, t := p.capabilities[m.route], s.toggles[m.route]
	read := r.Method == "GET" || r.Method == "HEAD"
	if !c.stateless && !read {
		return decision{side: t.Owner}
	}
	d := decision{side: strangler.Legacy}
	var hash uint64
	switch t.Mode {
	case strangler.ModeExtracted:
		d.side = strangler.Service
	case strangler.ModeShadow:
		d.shadow = true
	case strangler.ModeCanary:
		if id.known() {
			hash = c.hash(id.key)
			if bucket(hash) < uint64(t.Percent) {
				d.side = strangler.Service
			}
		}
	}
	if !c.stateless && d.side != t.Owner && c.wrote.recent(hash, id, p.passed(c.Name)) {
		d.side = t.Owner
	}
	return d
}
