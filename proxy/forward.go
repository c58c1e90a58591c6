package proxy

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/strangler-fig/strangler"
)

// ShadowHeader marks a shadowed request. Whoever is called by it should not write, and a request
// that carries it is never shadowed again. It is passed on from trusted peers only.
const ShadowHeader = "Strangler-Shadow"

// forwarding makes the headers that an upstream sees.
type forwarding struct {
	trust []netip.Prefix
	own   map[string]bool // names, folded, that nobody may smuggle in by an underscore
}

func newForwarding(config Config) forwarding {
	f := forwarding{trust: config.Trust, own: map[string]bool{
		foldName(strangler.OwnerHeader): true, foldName(ShadowHeader): true, "x-real-ip": true, "content-length": true, "transfer-encoding": true,
	}}
	for _, c := range config.Capabilities {
		if c.IdentityHeader != "" {
			f.own[foldName(c.IdentityHeader)] = true
		}
	}
	return f
}

// foldName is how CGI, WSGI and Rack see a header's name: no difference of case, '_' is '-'.
func foldName(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// peer is whoever connected to us.
type peer struct {
	address string // IP; empty when it is not known
	trusted bool   // its forwarding headers are believed
	https   bool   // the client came by https, as far as we can know
}

// peer is whoever has this address, IP and port.
func (f *forwarding) peer(address string) (who peer) {
	if from, err := netip.ParseAddrPort(address); err == nil {
		ip := from.Addr().Unmap().WithZone("")
		who.address = ip.String()
		for _, prefix := range f.trust {
			who.trusted = who.trusted || prefix.Contains(ip)
		}
	}
	return who
}

// over is the peer with one request: it came over TLS, or a trusted peer says what it came over.
func (who peer) over(tls bool, forwardedProto string) peer {
	who.https = tls
	if first, _, _ := strings.Cut(forwardedProto, ","); who.trusted && first != "" {
		who.https = strings.EqualFold(strings.TrimSpace(first), "https")
	}
	return who
}

// ownersBytes bounds the value of OwnerHeader: many servers take no head of more than 8 KiB.
const ownersBytes = 4 << 10

// nameOwners is the value of OwnerHeader that names every owner, or the first alone where they are too many for one header.
func nameOwners(known []strangler.Toggle) (value []byte, crowded bool) {
	for _, t := range known {
		if value = strangler.AppendOwner(value, t); len(value) > ownersBytes {
			return strangler.AppendOwner(nil, known[0]), true
		}
	}
	return value, false
}

// appendOwners appends the value of OwnerHeader for a request to nothing: every owner that is known or, where those are
// too many, the owners of the capabilities that the request depends on, its route's first, as far as they fit. A seam asks for
// one that is not named. One always is, once any is known: a monolith that finds no header may take itself for one that stands alone.
func (s *snapshot) appendOwners(value []byte, m *match) []byte {
	if !s.crowded || !m.claimed() {
		return append(value, s.owners...)
	}
	if m.route != none {
		value = strangler.AppendOwner(value, *s.toggles[m.route])
	}
	for _, i := range m.writes {
		if i == m.route {
			continue
		}
		fit := len(value)
		if value = strangler.AppendOwner(value, *s.toggles[i]); len(value) > ownersBytes {
			return value[:fit]
		}
	}
	return value
}

// rewrite makes out, a copy of what the client sent without its hop-by-hop headers, into what the
// upstream gets: nothing of ours that a client made up, our cookie taken out, the owners and where
// the request came from put in. An untrusted peer's forwarding headers are dropped; a trusted one's
// are kept, and its own address appended.
func (f *forwarding) rewrite(out http.Header, in *http.Request, from peer, owners string) {
	for name := range out {
		if strings.Contains(name, "_") {
			folded := foldName(name)
			if f.own[folded] || strings.HasPrefix(folded, "x-forwarded-") {
				delete(out, name)
			}
		} else if !from.trusted && strings.HasPrefix(name, "X-Forwarded-") {
			delete(out, name)
		}
	}
	delete(out, strangler.OwnerHeader)
	if owners != "" {
		out[strangler.OwnerHeader] = []string{owners}
	}
	if !from.trusted {
		delete(out, ShadowHeader)
		delete(out, "X-Real-Ip")
	}
	if cookies, ok := out["Cookie"]; ok {
		if cookies = withoutCookie(cookies); len(cookies) > 0 {
			out["Cookie"] = cookies
		} else {
			delete(out, "Cookie")
		}
	}
	f.origin(out, in, from)
	old := !in.ProtoAtLeast(1, 1) // from which neither an upgrade nor an expectation may be heeded
	if old {
		delete(out, "Expect")
	}
	if old || !strings.EqualFold(out.Get("Upgrade"), "websocket") { // an h2c upgrade would open a way around the gate
		delete(out, "Upgrade")
		delete(out, "Connection")
	}
}

// origin sets X-Forwarded-For, -Host and -Proto, and Forwarded where a trusted peer sent one.
func (f *forwarding) origin(out http.Header, in *http.Request, from peer) {
	via, host, proto := from.address, in.Host, "http"
	if in.TLS != nil {
		proto = "https"
	}
	if from.trusted {
		if before := in.Header["X-Forwarded-For"]; len(before) > 0 && via != "" {
			via = strings.Join(before, ", ") + ", " + via
		}
		if before := in.Header["Forwarded"]; len(before) > 0 {
			node := from.address
			if strings.Contains(node, ":") {
				node = `"[` + node + `]"`
			}
			out["Forwarded"] = []string{strings.Join(before, ", ") + ", for=" + node}
		}
		if before := in.Header.Get("X-Forwarded-Host"); before != "" {
			host = before
		}
		if before := in.Header.Get("X-Forwarded-Proto"); before != "" {
			proto = before
		}
	}
	if via != "" {
		out["X-Forwarded-For"] = []string{via}
	}
	out["X-Forwarded-Host"] = []string{host}
	out["X-Forwarded-Proto"] = []string{proto}
}
