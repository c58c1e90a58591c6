package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The engine on net/http and httputil.ReverseProxy: what the other engine is compared with, and what
// can be switched to if that one should be in doubt.

// newTransport speaks one protocol only, over TLS with those for whom roots vouch (nil: the system's). Go's HTTP/2 client sends a request again by itself where the server says that it did not
// act on it (RFC 9113, 8.7), and only where it still has all of it.
func newTransport(limits Timeouts, http2 bool, roots *x509.CertPool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: limits.Dial, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots},
		TLSHandshakeTimeout:    limits.Dial,
		ResponseHeaderTimeout:  limits.Answer,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        idleUpstream,
		MaxIdleConnsPerHost:    mostIdle,
		MaxResponseHeaderBytes: maxAnswerHead,
		DisableCompression:     true,
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: deadAfter / 2, PingTimeout: deadAfter / 2},
	}
}

// deadAfter is how long a connection in HTTP/2, which many requests share, may be silent before it is given up.
const deadAfter = 20 * time.Second

// newReverseProxy finds the request's carrier in the context.
func newReverseProxy(p *Proxy) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        func(pr *httputil.ProxyRequest) { carrierOf(pr.In).send(pr) },
		ModifyResponse: func(answer *http.Response) error { return carrierOf(answer.Request).answered(answer) },
		ErrorHandler:   func(_ http.ResponseWriter, r *http.Request, err error) { carrierOf(r).unanswered(err) },
		Transport:      balanced{},
		BufferPool:     &buffers{sync.Pool{New: func() any { return new([bufferBytes]byte) }}},
		ErrorLog:       slog.NewLogLogger(p.config.Log.Handler(), slog.LevelDebug),
	}
}

var errUnasked = errors.New("the upstream changed the protocol, and nobody asked for it")

type carrierKey struct{}

func carrierOf(r *http.Request) *overHTTP { return r.Context().Value(carrierKey{}).(*overHTTP) }

// overHTTP is a request that net/http has read. It belongs to the request's goroutine.
type overHTTP struct {
	exchange
	w           http.ResponseWriter
	in          *http.Request
	uploadBroke atomic.Bool // the client broke off within its request
}

// serve is the walk of a request that net/http has read.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.running.RLock()
	defer p.running.RUnlock()
	x := &overHTTP{exchange: exchange{p: p, began: time.Now(), match: match{route: none}, host: r.Host, protocol: r.Proto}, w: w, in: r}
	x.via = x
	defer x.end()
	if p.retiring.Load() && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	x.peer = p.forwarding.peer(r.RemoteAddr).over(r.TLS != nil, r.Header.Get("X-Forwarded-Proto"))
	x.request = Request{Method: r.Method, Path: cleanPath(r.URL.EscapedPath()), Header: canonical(r.Header), Cookies: r.Header["Cookie"]}
	if p.traces != nil {
		x.traced()
	}
	if r.URL.Opaque != "" || r.URL.Scheme != "" && r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		x.refuse(badTarget)
		return
	}
	if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
		// net/http does not tell whether there was a length as well, behind which no request may follow (RFC 9112, 6.1).
		w.Header().Set("Connection", "close")
	}
	x.walk()
}

// canonical is the headers as net/http's server reads them: their names are canonical, and so are
// those that are asked for.
type canonical http.Header

func (h canonical) Get(name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// gone is closed when the client has left, as far as net/http notices: it has to have read the body.
func (x *overHTTP) gone() <-chan struct{} { return x.in.Context().Done() }

// forward does not end a write's request when its client leaves: the upstream goes on with it all the
// same, and the gate has to know until when. ReverseProxy panics when an answer breaks off, which
// ends the client's connection.
func (x *overHTTP) forward() bool {
	// An upstream may answer before it has taken the whole body, and the server would read that away. Where it cannot be told
	// so, as with HTTP/2, it does not.
	_ = http.NewResponseController(x.w).EnableFullDuplex()
	ctx := context.WithValue(x.in.Context(), carrierKey{}, x)
	if len(x.match.writes) > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(x.p.ctx, cancel)()
	}
	x.p.reverse.ServeHTTP(x.w, x.in.WithContext(ctx))
	return true
}

func (x *overHTTP) answer(a own) bool {
	// The server reads what is left of a body before it sends the answer; a slow client may not keep
	// it waiting for ever. It takes the deadline back with the next request.
	_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(x.p.config.Timeouts.Head))
	header := x.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(len(a.text)))
	if a.retry {
		header.Set("Retry-After", retryAfter)
	}
	if a.cookie != "" {
		header.Add("Set-Cookie", a.cookie)
	}
	x.w.WriteHeader(a.status)
	_, err := x.w.Write(a.text)
	return err == nil
}

// unanswered sorts what went wrong.
func (x *overHTTP) unanswered(err error) {
	var slow net.Error
	how := noAnswer
	switch {
	case x.in.Context().Err() != nil:
		how = clientLeft
	case x.uploadBroke.Load():
		how = uploadBroke
	case unreached(err):
		how = unreachable
	case errors.As(err, &slow) && slow.Timeout():
		how = tooSlow
	}
	x.failed(how, err)
}

// unreached reports whether nothing was sent.
func unreached(err error) bool {
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial"
}

// send makes the request that goes out, and offers it to the shadow.
func (x *overHTTP) send(pr *httputil.ProxyRequest) {
	out := pr.Out
	out.URL.Opaque = ""                   // of a target like "x:y", which would go out in place of the path
	out.URL.RawQuery = pr.In.URL.RawQuery // as it came: nothing here depends on it
	if x.match.claimed() && x.request.Path != pr.In.URL.EscapedPath() {
		if path, err := url.PathUnescape(x.request.Path); err == nil {
			out.URL.Path, out.URL.RawPath = path, x.request.Path
		}
	}
	if x.to().http2 { // which has no upgrades
		delete(out.Header, "Connection")
		delete(out.Header, "Upgrade")
	}
	out.Trailer = nil // a client's trailers could carry names that were taken out of its headers
	x.p.forwarding.rewrite(out.Header, pr.In, x.peer, string(x.snapshot.appendOwners(nil, &x.match)))
	if x.p.traces != nil {
		x.setTrace(out.Header)
	}
	if x.decision.shadow {
		x.routed().shadow.sample(out, x.in.Header[ShadowHeader] != nil)
	}
	if out.Body != nil {
		out.Body = &requestBody{ReadCloser: out.Body, x: x}
	}
	sendOnce(out, len(x.match.writes) > 0)
}

// sendOnce keeps http.Transport from sending a write again. On a kept-alive connection that breaks
// before the answer it repeats what it takes for replayable (net/http, Request.isReplayable): a
// request without a body whose method is safe or which has an Idempotency-Key. Under a name in small
// letters, the same to every server, it does not see the key; a body that is empty but present makes
// a safe method that writes unrepeatable, and is still sent without one.
func sendOnce(out *http.Request, writes bool) {
	out.GetBody = nil
	switch {
	case !safe(out.Method):
		for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
			if values, ok := out.Header[name]; ok {
				delete(out.Header, name)
				out.Header[strings.ToLower(name)] = values
			}
		}
	case writes && out.Body == nil:
		out.Body = emptyBody{}
	}
}

// answered sees the head of an answer before the client does.
func (x *overHTTP) answered(answer *http.Response) error {
	if answer.StatusCode == http.StatusSwitchingProtocols && !switches(answer.Request.Header, answer.Header) {
		return errUnasked
	}
	x.wrote()
	x.fared = fareWell
	if answer.StatusCode == http.StatusSwitchingProtocols {
		x.leave() // what follows is no request: from here on the connection does not hold up a gate
		x.uncount()
	} else {
		answer.Body = &answerBody{ReadCloser: answer.Body, x: x, conn: http.NewResponseController(x.w)}
	}
	x.status = answer.StatusCode
	if c, sent := x.identified(); sent != "" {
		x.renewal(c, c.renewedBy(sent, answer.Header))
	}
	if set, ok := answer.Header["Set-Cookie"]; ok {
		answer.Header["Set-Cookie"] = foreignCookies(set)
	}
	if x.cookie.minted {
		answer.Header.Add("Set-Cookie", x.p.signer.cookie(x.cookie.key, x.peer.https).String())
	}
	return nil
}

// switches reports whether an answer changes to the protocol that was asked for. What ReverseProxy would
// refuse itself has to be refused before its status counts as passed on.
func switches(asked, answered http.Header) bool {
	named := false
	for option := range strings.SplitSeq(strings.Join(answered["Connection"], ","), ",") {
		named = named || strings.EqualFold(strings.TrimSpace(option), "upgrade")
	}
	to := asked.Get("Upgrade")
	return named && to != "" && strings.EqualFold(to, answered.Get("Upgrade"))
}

// settledBody is how much of a write's body is read before its gates, in bytes.
const settledBody = 60 << 10

func (x *overHTTP) settle() error {
	w, r := x.w, x.in
	if r.ContentLength <= 0 || r.ContentLength > settledBody || r.Header.Get("Expect") != "" {
		return nil
	}
	conn := http.NewResponseController(w)
	limited := conn.SetReadDeadline(time.Now().Add(x.p.config.Timeouts.Body)) == nil
	ahead, err := io.ReadAll(r.Body)
	if err == nil && limited {
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		w.Header().Set("Connection", "close") // or the server would first wait for the rest of the body
		return err
	}
	r.Body = rejoinedBody{bytes.NewReader(ahead), r.Body}
	return nil
}

type rejoinedBody struct {
	io.Reader
	io.Closer
}

// stall is how long a client may take nothing of a write's answer before it is cut off. Without a
// bound it could keep the write in flight, and so a gate from being acknowledged, for ever.
const stall = 30 * time.Second

// requestBody notes that the client, not the upstream, broke off. The transport may still be reading
// it when the walk goes on, and after it has closed it.
type requestBody struct {
	io.ReadCloser
	x      *overHTTP
	ended  bool
	closed atomic.Bool
}

func (b *requestBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}

func (b *requestBody) Read(buf []byte) (int, error) {
	if b.ended { // the transport looks behind a body's end, which the server may have closed meanwhile to pass the answer on
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(buf)
	b.ended = err == io.EOF
	if err != nil && err != io.EOF && !b.closed.Load() {
		b.x.uploadBroke.Store(true)
	}
	return n, err
}

// answerBody notes that the upstream, not the client, broke off within an answer.
type answerBody struct {
	io.ReadCloser
	x    *overHTTP
	conn *http.ResponseController
}

func (b *answerBody) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf)
	b.x.sent += int64(n)
	if err != nil && err != io.EOF && b.x.in.Context().Err() == nil {
		b.x.broken = true
	}
	if n > 0 && len(b.x.entered) > 0 {
		// The server takes the deadline back with the next request. A writer without deadlines has
		// no connection that could stall.
		_ = b.conn.SetWriteDeadline(time.Now().Add(stall))
	}
	return n, err
}

// emptyBody is a body of no bytes that the transport does not take for none.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }

// buffers is the httputil.BufferPool that answers are copied through.
type buffers struct{ pool sync.Pool }

const bufferBytes = 32 << 10

func (b *buffers) Get() []byte    { return b.pool.Get().(*[bufferBytes]byte)[:] }
func (b *buffers) Put(buf []byte) { b.pool.Put((*[bufferBytes]byte)(buf)) }
