package proxy

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
)

// newTransport speaks HTTP/1.1 only: Go's HTTP/2 client has retries of its own. Connections that
// nobody used for a few seconds are closed by us, before the upstream closes them under a write
// (common servers do so after 5 seconds).
func newTransport(limits Timeouts) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: limits.Dial, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    limits.Dial,
		ResponseHeaderTimeout:  limits.Answer,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        4 * time.Second,
		MaxIdleConnsPerHost:    1024,
		MaxResponseHeaderBytes: 1 << 20,
		DisableCompression:     true,
		Protocols:              protocols,
	}
}

// newEngine is the first engine: httputil.ReverseProxy. It finds the exchange in the context.
func newEngine(p *Proxy) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        func(pr *httputil.ProxyRequest) { exchangeOf(pr.In).send(pr) },
		ModifyResponse: func(answer *http.Response) error { return exchangeOf(answer.Request).answered(answer) },
		ErrorHandler:   func(_ http.ResponseWriter, r *http.Request, err error) { exchangeOf(r).failed(err) },
		Transport:      p.transport,
		BufferPool:     &buffers{sync.Pool{New: func() any { return new([bufferBytes]byte) }}},
		ErrorLog:       slog.NewLogLogger(p.config.Log.Handler(), slog.LevelDebug),
	}
}

func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// send makes the request that goes out, and offers it to the shadow.
func (x *exchange) send(pr *httputil.ProxyRequest) {
	to := x.p.upstream(x.routed(), x.side())
	out := pr.Out
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
		x.routed().shadow.sample(pr.In, out)
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
func (x *exchange) answered(answer *http.Response) error {
	x.wrote()
	if answer.StatusCode == http.StatusSwitchingProtocols {
		x.leave() // what follows is no request: from here on the connection does not hold up a gate
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

// foreignCookies leaves out a cookie that an upstream sets under our name.
func foreignCookies(set []string) []string {
	kept := set[:0]
	for _, line := range set {
		if !strings.HasPrefix(strings.TrimSpace(line), CookieName+"=") {
			kept = append(kept, line)
		}
	}
	return kept
}

// failed answers for an upstream that did not. A write that may have been carried out is marked like
// one that was, and its answer does not invite to repeat it.
func (x *exchange) failed(err error) {
	var dial *net.OpError
	var slow net.Error
	unsent := errors.As(err, &dial) && dial.Op == "dial"
	repeatable := unsent || x.match.writes == 0 && safe(x.in.Method)
	if !unsent {
		x.wrote()
	}
	if x.cookie.minted {
		http.SetCookie(x.w, x.p.signer.cookie(x.cookie.key, x.peer.https))
	}
	why := refusal{http.StatusBadGateway, "upstream_failed", "the upstream did not answer", repeatable}
	switch {
	case x.in.Context().Err() != nil:
		x.refuse(refusal{statusGone, "client_left", "the client left before the answer", false})
		return
	case x.uploadBroke.Load():
		why = refusal{http.StatusBadRequest, "request_broken", "the request's body could not be read to its end", false}
	case unsent:
		why = refusal{http.StatusBadGateway, "upstream_unreachable", "the upstream cannot be reached; nothing was sent, try again shortly", true}
	case errors.As(err, &slow) && slow.Timeout():
		why = refusal{http.StatusGatewayTimeout, "upstream_timeout", "the upstream did not answer in time", repeatable}
	}
	if !repeatable {
		why.message += "; the request may or may not have been carried out and was not sent again: read back before you repeat it"
	}
	c := ""
	if routed := x.routed(); routed != nil {
		c = routed.Name
	}
	x.p.config.Log.Warn("no answer from the upstream", strangler.LogCapability, c, "side", x.side(),
		"method", x.request.Method, "path", x.request.Path, "code", why.code, strangler.LogError, err)
	x.refuse(why)
}
