package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/proxy/h1"
)

const (
	mostServers = bits.UintSize    // of one upstream: those that a request has tried are one machine word
	mostTried   = 3                // by one request, none of which could be reached
	fewFailures = 3                // requests in a row without a whole answer, until a server is left out
	outTime     = 10 * time.Second // how long it is left out
)

// upstream is one side of a capability: the servers that its requests go to.
type upstream struct {
	capability string // empty: the monolith
	side       strangler.Side
	health     string         // path; empty: servers are not asked
	ca         string         // file
	roots      *x509.CertPool // who may vouch for its servers; nil: the system's
	servers    []*server
	http2      bool            // its servers are spoken to in HTTP/2
	transport  *http.Transport // of engine nethttp, and of both where it is HTTP/2
	beside     *http.Transport // of shadows and questions for health, which never take a connection from the walk
	turn       atomic.Uint32   // where the next choice begins to look, so that equals take turns
	log        *slog.Logger
}

// server is one address of an upstream.
type server struct {
	of           *upstream
	bit          uint64
	scheme, host string // http or https
	http2        bool
	pool         *h1.Upstream // its connections, where engine h1 is in use

	running atomic.Int64 // requests that it has now
	failed  atomic.Int32 // of them in a row
	out     atomic.Int64 // until when it is left out because requests failed, in Unix nanoseconds; 0: it is not
	ill     atomic.Bool  // its health path says so
	up      prometheus.Gauge
}

// newUpstream takes a side's addresses apart. Before it can be sent anything it needs equip.
func newUpstream(conf strangler.Upstream, capability string, side strangler.Side) (*upstream, error) {
	u := &upstream{capability: capability, side: side, health: conf.Health, ca: conf.CA}
	if len(conf.URLs) == 0 {
		return nil, errors.New("there is none")
	}
	if len(conf.URLs) > mostServers {
		return nil, fmt.Errorf("%d addresses; a side has at most %d", len(conf.URLs), mostServers)
	}
	known := make(map[string]bool)
	for i, base := range conf.URLs {
		s, err := parseServer(base)
		if err != nil {
			return nil, err
		}
		if known[s.host] {
			return nil, fmt.Errorf("%s stands twice", s.host)
		}
		known[s.host] = true
		if http2 := s.http2; i == 0 {
			u.http2 = http2
		} else if u.http2 != http2 {
			return nil, errors.New("some of them are HTTP/2 and some are not; write h2c:// or h2:// for all of a side's servers, or for none")
		}
		s.of, s.bit = u, 1<<i
		u.servers = append(u.servers, s)
	}
	return u, nil
}

// equip reads the CA, whose errors are ErrConfig, and makes what the servers are reached by.
func (u *upstream) equip(p *Proxy, m *metrics) error {
	u.log = p.config.Log
	roots, err := ReadCA(u.ca)
	if err != nil {
		return fmt.Errorf("%w: the ca of the %s side of %q: %w", strangler.ErrConfig, u.side, u.capability, err)
	}
	u.roots = roots
	u.transport, u.beside = newTransport(p.config.Timeouts, u.http2, roots), newTransport(p.config.Timeouts, u.http2, roots)
	for _, s := range u.servers {
		s.up = m.serverUp.WithLabelValues(u.capability, string(u.side), s.host)
		s.up.Set(1)
	}
	return nil
}

func parseServer(base string) (*server, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return nil, err
	case schemes[u.Scheme] == "", u.Host == "":
		return nil, fmt.Errorf("%q is not of the form http://host:port", base)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("%q has more than scheme, host and port; a path or a password is not forwarded", u.Redacted())
	}
	return &server{scheme: schemes[u.Scheme], host: u.Host, http2: strings.HasPrefix(u.Scheme, "h2")}, nil
}

// schemes are those of a server's address, and how it is connected to: h2c is HTTP/2 in the clear, h2 over TLS.
var schemes = map[string]string{"http": "http", "https": "https", "h2c": "http", "h2": "https"}

// pick is the server with the fewest requests under way, of those that were not tried: one that is well, or else any, since a
// refusal by the last of them tells the client more than one of ours. One whose time of being left out is over is tried by one request,
// and left out for the others until that has fared well. Nil: all were tried.
func (u *upstream) pick(tried uint64) *server {
	if len(u.servers) == 1 {
		if tried == 0 {
			return u.servers[0]
		}
		return nil
	}
	var best *server
	var well bool
	var least int64
	first := int(u.turn.Add(1))
	for i := range u.servers {
		s := u.servers[(first+i)%len(u.servers)]
		if tried&s.bit != 0 {
			continue
		}
		isWell, running := s.well(), s.running.Load()
		if best == nil || isWell && !well || isWell == well && running < least {
			best, well, least = s, isWell, running
		}
	}
	if best != nil && best.out.Load() != 0 {
		best.out.Store(time.Now().Add(outTime).UnixNano())
	}
	return best
}

func (s *server) well() bool {
	if s.ill.Load() {
		return false
	}
	until := s.out.Load()
	return until == 0 || time.Now().UnixNano() >= until
}

// answered notes that a request got its whole answer.
func (s *server) answered() {
	if s.failed.Load() == 0 {
		return
	}
	s.failed.Store(0)
	if s.out.Swap(0) != 0 {
		s.tell("a server answers again")
	}
}

// missed notes that a request could not be sent, or got no whole answer. Where there is another server this one is left out for a
// while; then a request tries it again.
func (s *server) missed(unreached bool) {
	if n := s.failed.Add(1); len(s.of.servers) == 1 || !unreached && n < fewFailures {
		return
	}
	if s.out.Swap(time.Now().Add(outTime).UnixNano()) == 0 {
		s.tell("a server is left out: requests to it failed")
	}
}

// examined notes what its health path said.
func (s *server) examined(ill bool, why error) {
	if s.ill.Swap(ill) == ill {
		return
	}
	if ill {
		s.tell("a server is left out: its health path says so", strangler.LogError, why)
	} else {
		s.tell("a server is well again")
	}
}

// tell logs a change and shows it in the metrics.
func (s *server) tell(what string, more ...any) {
	well := s.well()
	level := slog.LevelInfo
	s.up.Set(1)
	if !well {
		level = slog.LevelWarn
		s.up.Set(0)
	}
	s.of.log.Log(context.Background(), level, what, append([]any{strangler.LogCapability, s.of.capability, "side", s.of.side, "server", s.host}, more...)...)
}

// next is the server that the request is sent to. It lets go of the one before, which could not be reached; nil: there is no other.
func (x *exchange) next() *server {
	if x.server != nil {
		x.server.missed(true)
		x.release()
	}
	if bits.OnesCount64(x.tried) == mostTried {
		return nil
	}
	s := x.to().pick(x.tried)
	if s != nil {
		x.server = s
		x.tried |= s.bit
		s.running.Add(1)
	}
	return s
}

// fare is how a server did by a request.
type fare int8

const (
	fareUnknown fare = iota // the client left, or the request is still under way
	fareWell
	fareIll
)

// release ends the request's time at its server.
func (x *exchange) release() {
	s := x.server
	if s == nil {
		return
	}
	x.server = nil
	s.running.Add(-1)
	switch {
	case x.broken || x.fared == fareIll:
		s.missed(false)
	case x.fared == fareWell:
		s.answered()
	}
}

// balanced is a ReverseProxy's transport: it sends a request to a server of its side, and to another one where that could
// not be reached.
type balanced struct{}

func (balanced) RoundTrip(r *http.Request) (*http.Response, error) {
	x := carrierOf(r)
	to := x.to()
	if r.Body != nil && len(to.servers) > 1 {
		r.Body = keptOpen{r.Body}
	}
	var failure error
	for {
		s := x.next()
		if s == nil {
			return nil, failure
		}
		r.URL.Scheme, r.URL.Host = s.scheme, s.host
		answer, err := to.transport.RoundTrip(r)
		if err == nil || !unreached(err) || r.Context().Err() != nil {
			return answer, err
		}
		failure = err
	}
}

// keptOpen is a body that outlasts a server which could not be reached; ReverseProxy closes it.
type keptOpen struct{ io.Reader }

func (keptOpen) Close() error { return nil }

// foreignCookies leaves out a cookie that an upstream sets under our name.
func foreignCookies(set []string) []string {
	kept := set[:0]
	for _, line := range set {
		if !ourCookie(line) {
			kept = append(kept, line)
		}
	}
	return kept
}

func ourCookie(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), CookieName+"=") }
