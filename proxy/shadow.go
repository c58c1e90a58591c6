package proxy

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	shadowQueue   = 256              // requests; the oldest is dropped for a newer one
	shadowWorkers = 4                // requests under way at once
	shadowBody    = 256 << 10        // bytes of an answer that are read
	shadowTimeout = 10 * time.Second // one request, answer included
)

// shadow sends a sample of a capability's reads to the service as well. Its queue is bounded and
// offering to it never blocks, so that a slow service cannot slow the walk. Nothing of an answer
// reaches the client: it is read, up to a bound, and dropped.
type shadow struct {
	p       *Proxy
	c       *capability
	methods []string
	queue   chan *http.Request
	start   sync.Once

	sent, failed, dropped atomic.Uint64
}

func newShadow(p *Proxy, c *capability) *shadow {
	s := &shadow{p: p, c: c, methods: c.Shadow.Methods, queue: make(chan *http.Request, shadowQueue)}
	if len(s.methods) == 0 {
		s.methods = []string{http.MethodGet, http.MethodHead}
	}
	return s
}

// wants reports whether the dice say that a request is shadowed: one whose method is, and that has
// neither a body nor an upgrade nor is a shadow itself.
func (s *shadow) wants(method string, more, itself bool) bool {
	return !more && !itself && slices.Contains(s.methods, method) && rand.Uint32N(1_000_000) < uint32(s.c.Shadow.Sample)
}

// sample offers a copy of out, the request as it goes to the monolith, if it is to be shadowed.
func (s *shadow) sample(out *http.Request, itself bool) {
	if !s.wants(out.Method, out.Body != nil || out.Header["Upgrade"] != nil, itself) {
		return
	}
	target := *out.URL
	s.copy(out.Method, &target, out.Host, out.Header.Clone())
}

// copy offers a request that goes to the monolith; the target and the header are the shadow's to keep.
func (s *shadow) copy(method string, target *url.URL, host string, header http.Header) {
	target.Scheme, target.Host = s.c.service.scheme, s.c.service.host
	header[ShadowHeader] = []string{"1"}
	s.offer(&http.Request{Method: method, URL: target, Host: host, Header: header})
}

// offer never blocks: when the queue is full the oldest in it is dropped.
func (s *shadow) offer(r *http.Request) {
	s.start.Do(func() {
		for range shadowWorkers {
			s.p.begin(s.work)
		}
	})
	for {
		select {
		case s.queue <- r:
			return
		default:
		}
		select {
		case <-s.queue:
			s.dropped.Add(1)
			s.c.metrics.shadowDropped.Inc()
		default:
		}
	}
}

// work sends what is queued until the proxy is closed.
func (s *shadow) work() {
	for {
		select {
		case <-s.p.ctx.Done():
			return
		case r := <-s.queue:
			s.send(r)
		}
	}
}

func (s *shadow) send(r *http.Request) {
	ctx, cancel := context.WithTimeout(s.p.ctx, shadowTimeout)
	defer cancel()
	s.sent.Add(1)
	s.c.metrics.shadowSent.Inc()
	answer, err := s.c.service.shadowing.RoundTrip(r.WithContext(ctx))
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, shadowBody))
		if closeErr := answer.Body.Close(); err == nil {
			err = closeErr
		}
	}
	if err != nil || answer.StatusCode >= http.StatusInternalServerError {
		s.failed.Add(1)
		s.c.metrics.shadowFailed.Inc()
	}
}
