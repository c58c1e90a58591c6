package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/proxy/h1"
)

// The engine on package h1: the walk on the client connection's goroutine, without an allocation.

// overH1 is a request that package h1 has read. It belongs to the connection's goroutine and is used
// again for later requests.
type overH1 struct {
	exchange
	c       *h1.Exchange
	cookies []string // the lines of the Cookie header
	scratch []byte   // values that are put together
	before  before
	waited  bool // for a gate, so that the client's leaving was looked for
}

// before is what a trusted peer says of where the request came from.
type before struct{ chain, forwarded, host, proto []byte }

var protocols = [...]string{"HTTP/1.0", "HTTP/1.1"}

var carriers = sync.Pool{New: func() any { return new(overH1) }}

func (p *Proxy) newServer() *h1.Server {
	return h1.NewServer(h1.Config{
		Limits: h1.Limits{HeadBytes: p.config.Limits.Head, Lines: p.config.Limits.Lines, Connections: p.config.Limits.Connections, Head: p.config.Timeouts.Head, Idle: p.config.Timeouts.Idle, Body: p.config.Timeouts.Body, Stall: stall},
		Watch:  p.watch, Handler: p.carry, Refuse: p.refuseMalformed, HTTP2: p.handOver, Log: p.config.Log,
		Announced: p.announced, Unannounced: p.unannounced,
	})
}

// connect makes the pool of connections to a server.
func (s *server) connect(limits Timeouts, w *h1.Watch) {
	c := h1.UpstreamConfig{
		Address: s.host, Host: s.host, Dial: limits.Dial, Answer: limits.Answer, Pause: limits.Answer,
		Idle: idleUpstream, MostIdle: mostIdle, HeadBytes: maxAnswerHead, Lines: maxAnswerLines,
	}
	host, _, err := net.SplitHostPort(s.host)
	port := ":80"
	if s.scheme == "https" {
		port = ":443"
	}
	if err != nil {
		host = strings.Trim(s.host, "[]")
		c.Address = s.host + port
	}
	if s.scheme == "https" {
		c.TLS = &tls.Config{ServerName: host, NextProtos: []string{"http/1.1"}, RootCAs: s.of.roots}
	}
	s.pool = h1.NewUpstream(c, w)
}

// carry is the walk of a request that package h1 has read.
func (p *Proxy) carry(c *h1.Exchange) {
	x := carriers.Get().(*overH1)
	x.begin(p, c)
	defer func() {
		x.end()
		if x.waited {
			c.Stay()
		}
		cookies, scratch, writes := x.cookies[:0], x.scratch[:0], x.match.writes[:0]
		*x = overH1{}
		x.cookies, x.scratch, x.match.writes = cookies, scratch, writes
		carriers.Put(x)
	}()
	path, query, host, ok := splitTarget(text(c.Target))
	if !ok && c.Method != http.MethodConnect { // which the walk refuses by name
		x.refuse(badTarget)
		return
	}
	if host != "" {
		x.renameHost(host)
	}
	x.request.Path = cleanPath(path)
	if clean := x.request.Path; clean != path {
		var m match
		if p.router.match(c.Method, clean, &m); m.claimed() {
			path = clean // what a capability claims is forwarded as it was matched, everything else as it came
		}
	}
	if raw := text(c.Target); ok && (len(path)+len(query) != len(raw) || raw[:len(path)] != path) {
		c.Target = append(append([]byte(nil), path...), query...)
	}
	x.walk()
}

func (x *overH1) begin(p *Proxy, c *h1.Exchange) {
	x.p, x.via, x.c, x.began = p, x, c, time.Now() // everything else is zero
	x.match.route, x.host, x.protocol = none, text(c.Host), protocols[c.Minor]
	for i := range c.Fields {
		if f := &c.Fields[i]; f.Kind == h1.Cookie {
			x.cookies = append(x.cookies, text(f.Value))
		}
	}
	x.request.Method, x.request.Path, x.request.Header, x.request.Cookies = c.Method, "/", c, x.cookies
	who, known := c.Tag().(*peer)
	if !known {
		found := p.forwarding.peer(c.RemoteAddr().String())
		who = &found
		c.SetTag(who)
	}
	x.peer = *who
	if who.trusted {
		x.peer = who.over(false, c.Get("X-Forwarded-Proto"))
	}
	if p.traces != nil {
		x.traced()
	}
}

// text is the same bytes: it lives as long as the request.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// renameHost takes the host that stands in the target in place of the header's (RFC 9112, 3.2.2).
func (x *overH1) renameHost(host string) {
	x.c.Host, x.host = []byte(host), host
	for i := range x.c.Fields {
		if f := &x.c.Fields[i]; f.Kind == h1.Host {
			f.Value = x.c.Host
			return
		}
	}
	x.c.Fields = append(x.c.Fields, h1.Field{Name: []byte("Host"), Value: x.c.Host, Kind: h1.Host})
}

func (x *overH1) settle() error { return x.c.Settle(settledBody) }

func (x *overH1) gone() <-chan struct{} {
	x.waited = true
	return x.c.Gone()
}

func (x *overH1) forward() bool {
	writes := len(x.match.writes) > 0
	if x.to().http2 {
		return x.bridge(writes)
	}
	err := x.c.Forward(x, !writes && safe(x.request.Method), writes)
	x.sent = x.c.Sent()
	switch {
	case err == nil:
		return true
	case x.status != 0:
		x.broken = errors.Is(err, h1.ErrBroken)
		return false
	case errors.Is(err, h1.ErrUnreachable):
		x.failed(unreachable, err)
	case errors.Is(err, h1.ErrLeft), errors.Is(err, h1.ErrClient):
		x.failed(clientLeft, err)
	case errors.Is(err, h1.ErrUpload), errors.Is(err, h1.ErrSlowClient):
		x.failed(uploadBroke, err)
	case errors.Is(err, h1.ErrSlow):
		x.failed(tooSlow, err)
	default:
		x.failed(noAnswer, err)
	}
	return true
}

// bridge has the other engine carry the request on, to an upstream in HTTP/2.
func (x *overH1) bridge(writes bool) (done bool) {
	over := &overHTTP{exchange: x.exchange}
	over.via = over
	err := x.c.Bridge(writes, func(w http.ResponseWriter, r *http.Request) {
		over.w, over.in = w, r
		done = over.forward()
	})
	x.exchange = over.exchange
	x.via = x
	return done && err == nil
}

// Upstream is the pool of the server that the request goes to.
func (x *overH1) Upstream() *h1.Upstream {
	if s := x.next(); s != nil {
		return s.pool
	}
	return nil
}

// Request makes the lines of the client's request into those that the upstream gets, as rewrite does
// for the other engine.
func (x *overH1) Request(dst []byte) []byte {
	f := &x.p.forwarding
	x.before = before{}
	shadowed := false
	for i := range x.c.Fields {
		field := &x.c.Fields[i]
		switch {
		case field.Kind == h1.Cookie:
			x.dropOurCookie(field)
		case field.Kind != h1.Other:
		case len(field.Name) > 8 || bytes.IndexByte(field.Name, '_') >= 0:
			shadowed = shadowed || h1.EqualFold(field.Name, lowerShadow)
			if f.drops(x, field) {
				field.Kind = h1.Dropped
			}
		}
	}
	if x.c.Upgrade != nil && !h1.EqualFold(x.c.Upgrade, "websocket") { // an h2c upgrade would open a way around the gate
		x.c.Upgrade = nil
	}
	if x.scratch = x.snapshot.appendOwners(x.scratch[:0], &x.match); len(x.scratch) > 0 {
		dst = h1.AppendField(dst, strangler.OwnerHeader, x.scratch)
	}
	dst = x.origin(dst)
	if x.p.traces != nil {
		dst = x.appendTrace(dst)
	}
	if x.decision.shadow {
		if s := x.routed().shadow; s.wants(x.request.Method, x.c.HasBody() || x.c.Upgrade != nil, shadowed) {
			x.shadow(s, dst)
		}
	}
	return dst
}

var (
	lowerShadow = strings.ToLower(ShadowHeader)
	lowerOwner  = strings.ToLower(strangler.OwnerHeader)
)

// drops reports whether a line does not go on, and notes what a trusted peer says in it.
func (f *forwarding) drops(x *overH1, field *h1.Field) bool {
	name := field.Name
	if bytes.IndexByte(name, '_') >= 0 {
		folded := foldName(text(name))
		return f.own[folded] || strings.HasPrefix(folded, "x-forwarded-")
	}
	switch name[0] | 0x20 {
	case 'x':
		switch {
		case len(name) > len(forwardedPrefix) && h1.EqualFold(name[:len(forwardedPrefix)], forwardedPrefix):
			return !x.peer.trusted || x.hears(field, text(name[len(forwardedPrefix):]))
		case h1.EqualFold(name, "x-real-ip"):
			return !x.peer.trusted
		}
	case 'f':
		if h1.EqualFold(name, "forwarded") {
			x.joinBefore(&x.before.forwarded, field.Value)
			return true
		}
	case 's':
		return h1.EqualFold(name, lowerOwner) || !x.peer.trusted && h1.EqualFold(name, lowerShadow)
	}
	return false
}

const forwardedPrefix = "x-forwarded-"

// hears takes in a trusted peer's X-Forwarded line, and reports whether it is written anew.
func (x *overH1) hears(field *h1.Field, of string) bool {
	switch {
	case strings.EqualFold(of, "for"):
		x.joinBefore(&x.before.chain, field.Value)
	case strings.EqualFold(of, "host"):
		if len(x.before.host) == 0 {
			x.before.host = field.Value
		}
	case strings.EqualFold(of, "proto"):
		if len(x.before.proto) == 0 {
			x.before.proto = field.Value
		}
	default:
		return false
	}
	return true
}

// joinBefore puts the values of several lines into one.
func (x *overH1) joinBefore(to *[]byte, value []byte) {
	if *to == nil {
		*to = value
		return
	}
	*to = append(append(append([]byte(nil), *to...), ", "...), value...)
}

// origin appends X-Forwarded-For, -Host and -Proto, and Forwarded where a trusted peer sent one.
func (x *overH1) origin(dst []byte) []byte {
	b := x.before
	if x.peer.address != "" {
		dst = append(dst, "X-Forwarded-For: "...)
		if b.chain != nil {
			dst = append(append(dst, b.chain...), ", "...)
		}
		dst = append(append(dst, x.peer.address...), "\r\n"...)
	}
	if x.peer.trusted && b.forwarded != nil {
		dst = append(append(append(dst, "Forwarded: "...), b.forwarded...), ", for="...)
		if strings.Contains(x.peer.address, ":") {
			dst = append(append(append(dst, `"[`...), x.peer.address...), `]"`...)
		} else {
			dst = append(dst, x.peer.address...)
		}
		dst = append(dst, "\r\n"...)
	}
	if len(b.host) > 0 {
		dst = h1.AppendField(dst, "X-Forwarded-Host", b.host)
	} else {
		dst = h1.AppendField(dst, "X-Forwarded-Host", x.c.Host)
	}
	if len(b.proto) > 0 {
		return h1.AppendField(dst, "X-Forwarded-Proto", b.proto)
	}
	return h1.AppendField(dst, "X-Forwarded-Proto", "http")
}

// dropOurCookie takes our cookie out of a line, and the line where it holds nothing else.
func (x *overH1) dropOurCookie(field *h1.Field) {
	if !bytes.Contains(field.Value, []byte(CookieName)) {
		return
	}
	rest := withoutCookie([]string{text(field.Value)})
	if len(rest) == 0 {
		field.Kind = h1.Dropped
		return
	}
	field.Value = []byte(rest[0])
}

// shadow offers a copy of the request as it goes out.
func (x *overH1) shadow(s *shadow, lines []byte) {
	to, err := url.ParseRequestURI(string(x.c.Target))
	if err != nil {
		return // what the service could not be asked for either
	}
	header := http.Header{}
	for _, f := range x.c.Fields {
		if f.Kind == h1.Other || f.Kind == h1.Cookie {
			header.Add(string(f.Name), string(f.Value))
		}
	}
	for line := range strings.SplitSeq(string(lines), "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			header.Add(name, value)
		}
	}
	s.copy(strings.Clone(x.request.Method), to, string(x.c.Host), header)
}

// Answer sees the head of an answer before the client does.
func (x *overH1) Answer(a *h1.Response, dst []byte) []byte {
	x.wrote()
	x.fared = fareWell
	if a.Status == http.StatusSwitchingProtocols {
		x.leave() // what follows is no request: from here on the connection does not hold up a gate
		x.uncount()
	}
	x.status = a.Status
	c, sent := x.identified()
	renewed := false
	for i := range a.Fields {
		if sent != "" {
			renewed = renewed || Renewed(c.header, sent, text(a.Fields[i].Name), text(a.Fields[i].Value))
		}
		if f := &a.Fields[i]; f.Kind == h1.Other && len(f.Name) == len("set-cookie") && h1.EqualFold(f.Name, "set-cookie") && ourCookie(text(f.Value)) {
			f.Kind = h1.Dropped
		}
	}
	if sent != "" {
		x.renewal(c, renewed)
	}
	if x.cookie.minted {
		dst = h1.AppendField(dst, "Set-Cookie", x.p.signer.cookie(x.cookie.key, x.peer.https).String())
	}
	return dst
}

func (x *overH1) answer(a own) bool {
	lines := append(x.scratch[:0], "Content-Type: application/json\r\nCache-Control: no-store\r\n"...)
	if a.retry {
		lines = h1.AppendField(lines, "Retry-After", retryAfter)
	}
	if a.cookie != "" {
		lines = h1.AppendField(lines, "Set-Cookie", a.cookie)
	}
	x.scratch = lines
	return x.c.Answer(a.status, lines, a.text) == nil
}

// refuseMalformed answers a request whose head could not be read. It never began its walk, and is
// counted as what nobody claims.
func (p *Proxy) refuseMalformed(c *h1.Exchange, why *h1.Malformed) {
	x := &overH1{exchange: exchange{p: p, began: time.Now(), match: match{route: none}, peer: p.forwarding.peer(c.RemoteAddr().String())}, c: c}
	x.via = x
	defer x.end()
	code := "bad_request"
	if why.Status == http.StatusRequestHeaderFieldsTooLarge {
		code = "head_too_large"
	}
	x.refuse(refusal{why.Status, code, why.Why + "; nothing was sent", false})
}
