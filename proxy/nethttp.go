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
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The engine on net/http and httputil.ReverseProxy: what the other engine is compared with, and what
// can be switched to if that one should be in doubt.

// newTransport speaks HTTP/1.1 only: Go's HTTP/2 client has retries of its own.
func newTransport(limits Timeouts, roots *x509.CertPool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
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
	}
}

// newReverseProxy finds the request's carrier in the context.
func newReverseProxy(p *Proxy) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        func(pr *httputil.ProxyRequest) { carrierOf(pr.In).send(pr) },
		ModifyResponse: func(answer *http.Response) error { return carrierOf(answer.Request).answered(answer) },
		ErrorHandler:   func(_ http.ResponseWriter, r *http.Request, err error) { carrierOf(r).unanswered(err) },
		Transport:      chosen{},
		BufferPool:     &buffers{sync.Pool{New: func() any { return new([bufferBytes]byte) }}},
		ErrorLog:       slog.NewLogLogger(p.config.Log.Handler(), slog.LevelDebug),
	}
}

// chosen sends a request by its upstream's own transport.
type chosen struct{}

func (chosen) RoundTrip(r *http.Request) (*http.Response, error) {
	return carrierOf(r).transport.RoundTrip(r)
}

var errUnasked = errors.New("the upstream changed the protocol, and nobody asked for it")

type carrierKey struct{}

func carrierOf(r *http.Request) *overHTTP { return r.Context().Value(carrierKey{}).(*overHTTP) }

// overHTTP is a request that net/http has read. It belongs to the request's goroutine.
type overHTTP struct {
	exchange
	w           http.ResponseWriter
	in          *http.Request
	transport   *http.Transport
	uploadBroke atomic.Bool // the client broke off within its request
}

// serve is the walk of a request that net/http has read.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.running.RLock()
	defer p.running.RUnlock()
	x := &overHTTP{exchange: exchange{p: p, began: time.Now(), match: match{route: none}, host: r.Host, protocol: r.Proto}, w: w, in: r}
	x.via = x
	defer x.end()
	x.peer = p.forwarding.peer(r.RemoteAddr).over(r.TLS != nil, r.Header.Get("X-Forwarded-Proto"))
	x.request = Request{Method: r.Method, Path: cleanPath(r.URL.EscapedPath()), Header: canonical(r.Header), Cookies: r.Header["Cookie"]}
	if r.URL.Opaque != "" || r.URL.Scheme != "" && r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		x.refuse(badTarget)
		return
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
	ctx := context.WithValue(x.in.Context(), carrierKey{}, x)
	if x.match.writes != 0 {
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
	var dial *net.OpError
	var slow net.Error
	how := noAnswer
	switch {
	case x.in.Context().Err() != nil:
		how = clientLeft
	case x.uploadBroke.Load():
		how = uploadBroke
	case errors.As(err, &dial) && dial.Op == "dial":
		how = unreachable
	case errors.As(err, &slow) && slow.Timeout():
		how = tooSlow
	}
	x.failed(how, err)
}

// send makes the request that goes out, and offers it to the shadow.
func (x *overHTTP) send(pr *httputil.ProxyRequest) {
	to, out := x.to(), pr.Out
	x.transport = to.transport
	out.URL.Scheme, out.URL.Host = to.scheme, to.host
	out.URL.Opaque = ""                   // of a target like "x:y", which would go out in place of the path
	out.URL.RawQuery = pr.In.URL.RawQuery // as it came: nothing here depends on it
	if x.match.claimed() && x.request.Path != pr.In.URL.EscapedPath() {
		if path, err := url.PathUnescape(x.request.Path); err == nil {
			out.URL.Path, out.URL.RawPath = path, x.request.Path
		}
	}
	out.Trailer = nil // a client's trailers could carry names that were taken out of its headers
	x.p.forwarding.rewrite(out.Header, pr.In, x.peer, x.snapshot.owners)
	if x.decision.shadow {
		x.routed().shadow.sample(out, x.in.Header[ShadowHeader] != nil)
	}
	if out.Body != nil {
		out.Body = &requestBody{ReadCloser: out.Body, x: x}
	}
	sendOnce(out, x.match.writes != 0)
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
	if answer.StatusCode == http.StatusSwitchingProtocols && answer.Request.Header.Get("Upgrade") == "" {
		return errUnasked
	}
	x.wrote()
	if answer.StatusCode == http.StatusSwitchingProtocols {
		x.leave() // what follows is no request: from here on the connection does not hold up a gate
		x.uncount()
	} else {
		answer.Body = &answerBody{ReadCloser: answer.Body, x: x, conn: http.NewResponseController(x.w)}
	}
	x.status = answer.StatusCode
	if set, ok := answer.Header["Set-Cookie"]; ok {
		answer.Header["Set-Cookie"] = foreignCookies(set)
	}
	if x.cookie.minted {
		answer.Header.Add("Set-Cookie", x.p.signer.cookie(x.cookie.key, x.peer.https).String())
	}
	return nil
}

// settledBody is how much of a held request's body is read ahead, in bytes.
const settledBody = 64 << 10

// settle reads a small body ahead, because net/http notices that a client has left only when the body has
// been read. A larger one stays where it is, and its client's leaving is noticed when the hold ends.
func (x *overHTTP) settle(wait time.Duration) error {
	w, r := x.w, x.in
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength > settledBody {
		return nil
	}
	conn := http.NewResponseController(w)
	limited := conn.SetReadDeadline(time.Now().Add(wait)) == nil
	ahead, err := io.ReadAll(io.LimitReader(r.Body, settledBody+1))
	if err == nil && limited {
		err = conn.SetReadDeadline(time.Time{})
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close") // or the server would first wait for the rest of the body
		return errHoldLong
	case err != nil:
		return errors.Join(errLeft, err)
	}
	r.Body = rejoinedBody{io.MultiReader(bytes.NewReader(ahead), r.Body), r.Body}
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
// it when the walk goes on.
type requestBody struct {
	io.ReadCloser
	x     *overHTTP
	ended bool
}

func (b *requestBody) Read(buf []byte) (int, error) {
	if b.ended { // the transport looks behind a body's end, which the server may have closed meanwhile to pass the answer on
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(buf)
	b.ended = err == io.EOF
	if err != nil && err != io.EOF {
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
	if n > 0 && b.x.entered != 0 {
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
