package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// rawUpstream serves each connection by hand: answer gets the request and its number on the
// connection, and returns the bytes to send; with false the connection is closed after them.
type rawUpstream struct {
	net.Listener
	mu   sync.Mutex
	seen map[string]int // by method and path
	head map[string]http.Header
}

func newRawUpstream(t *testing.T, reply func(r *http.Request, n int) (string, bool)) *rawUpstream {
	t.Helper()
	u := &rawUpstream{seen: map[string]int{}, head: map[string]http.Header{}}
	u.Listener = accepts(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for n := 1; ; n++ {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			u.mu.Lock()
			u.seen[r.Method+" "+r.URL.Path]++
			u.head[r.Method+" "+r.URL.Path] = r.Header
			u.mu.Unlock()
			text, more := reply(r, n)
			if _, err := io.WriteString(conn, text); err != nil || !more {
				return
			}
		}
	})
	return u
}

func (u *rawUpstream) url() string { return "http://" + u.Addr().String() }

func (u *rawUpstream) count(request string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen[request]
}

func (u *rawUpstream) header(request string) http.Header {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.head[request]
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// An upstream that closes a kept-alive connection under a request makes http.Transport repeat what
// it takes for replayable. A write must not be: neither with an Idempotency-Key, nor by a method that
// only looks safe. The plain read shows that the upstream provokes the repetition.
func TestAWriteIsNeverSentTwice(t *testing.T) {
	for _, one := range []struct {
		request, header, body string
		times                 int
	}{
		{"GET /couriers/7", "", "", 2},
		{"GET /restaurants", "", "", 2},
		{"POST /couriers", "", "", 1},
		{"POST /couriers", "Idempotency-Key: k", "", 1},
		{"POST /couriers", "X-Idempotency-Key: k", "", 1},
		{"POST /couriers", "Idempotency-Key: k", "{}", 1},
		{"POST /orders/7/accept", "Idempotency-Key: k", "", 1},
		{"POST /restaurants", "Idempotency-Key: k", "", 1},
		{"DELETE /restaurants", "Idempotency-Key: k", "", 1},
		{"PUT /restaurants", "Idempotency-Key: k", "{}", 1},
		{"GET /orders/7/refresh", "", "", 1},
		{"HEAD /orders/7/refresh", "", "", 1},
	} {
		// The second request of each connection is read whole, and the connection is closed.
		upstream := newRawUpstream(t, func(_ *http.Request, n int) (string, bool) {
			if n > 1 {
				return "", false
			}
			return okAnswer, true
		})
		p := start(t, config(upstream.url(), delivery(t, upstream.url())))
		apply(t, p, toggle(1, strangler.ModeLegacy, 0))
		c := client(t)
		if a := ask(t, c, "GET", p.URL()+"/warm", ""); a.status != 200 {
			t.Fatalf("warming up: %+v", a)
		}
		method, path, _ := strings.Cut(one.request, " ")
		var headers []string
		if one.header != "" {
			headers = append(headers, one.header)
		}
		a := ask(t, c, method, p.URL()+path, one.body, headers...)
		if n := upstream.count(one.request); n != one.times {
			t.Errorf("%s (%s, body %q): the upstream saw it %d times, want %d", one.request, one.header, one.body, n, one.times)
		}
		if one.times == 1 && a.status != 502 || one.times == 2 && a.status != 200 {
			t.Errorf("%s (%s): %+v", one.request, one.header, a)
		}
		if one.times == 1 && method != "HEAD" && (a.code(t) != "upstream_failed" || a.header.Get("Retry-After") != "") {
			t.Errorf("%s: an outcome that is not known invites to repeat: %+v", one.request, a)
		}
		if name, value, ok := strings.Cut(one.header, ": "); ok && upstream.header(one.request).Get(name) != value {
			t.Errorf("%s: the upstream was not sent %s", one.request, name)
		}
	}
}

// A bodyless write keeps its framing: no chunked encoding comes from guarding it.
func TestFramingIsKept(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	p := start(t, config(legacy.URL, delivery(t, legacy.URL)))
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	for _, request := range []string{"POST /couriers", "GET /orders/7/refresh", "DELETE /restaurants"} {
		method, path, _ := strings.Cut(request, " ")
		ask(t, client(t), method, p.URL()+path, "", "Idempotency-Key: k")
		if r := legacy.last(t); len(r.TransferEncoding) != 0 || r.ContentLength != 0 {
			t.Errorf("%s came with %v, length %d", request, r.TransferEncoding, r.ContentLength)
		}
	}
}

// What breaks off within an answer must not look complete to the client.
func TestUpstreamBreaksWithinItsAnswer(t *testing.T) {
	for name, text := range map[string]string{
		"counted": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nten bytes.\r\n",
	} {
		for _, request := range []string{"GET /couriers/7", "POST /couriers"} {
			upstream := newRawUpstream(t, func(*http.Request, int) (string, bool) { return text, false })
			p := start(t, config(upstream.url(), delivery(t, upstream.url())))
			apply(t, p, toggle(1, strangler.ModeLegacy, 0))
			_, answers := dial(t, p, request+" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
			all, err := io.ReadAll(answers) // ends only because the proxy closes the connection
			if err != nil && !errors.Is(err, net.ErrClosed) {
				t.Logf("%s: the connection ended with %v", name, err)
			}
			if res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(all)), nil); err == nil {
				if body, err := io.ReadAll(res.Body); err == nil {
					t.Errorf("%s, %s: the client took %q for the whole answer: %q", name, request, body, all)
				}
			}
			await(t, "the accounts", func() bool { return p.Stats("delivery").Legacy.Requests == 1 })
			if s := p.Stats("delivery"); s.Legacy.Errors != 1 || s.InFlight != 0 {
				t.Errorf("%s, %s: %+v", name, request, s)
			}
		}
	}
}

func TestUpstreamIsUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	listener.Close()
	legacy := newBackend(t, "legacy", nil)
	conf := config(legacy.URL, delivery(t, nobody))
	p := start(t, conf)
	apply(t, p, toggle(1, strangler.ModeExtracted, 0))
	for _, request := range []string{"GET /couriers/7", "POST /couriers"} {
		method, path, _ := strings.Cut(request, " ")
		a := ask(t, client(t), method, p.URL()+path, "")
		if a.status != 502 || a.code(t) != "upstream_unreachable" || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %+v", request, a)
		}
	}
	if n := len(legacy.requests()); n != 0 {
		t.Errorf("%d requests fell back to the other side", n)
	}
	await(t, "the accounts", func() bool { s := p.Stats("delivery"); return s.Service == SideStats{2, 2} && s.InFlight == 0 })
}

func TestUpstreamDoesNotAnswerInTime(t *testing.T) {
	legacy := newBlocked(t)
	conf := config(legacy.URL, delivery(t, legacy.URL))
	conf.Timeouts.Answer = 30 * time.Millisecond
	p := start(t, conf)
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	a := ask(t, client(t), "POST", p.URL()+"/couriers", "{}")
	if a.status != 504 || a.code(t) != "upstream_timeout" || a.header.Get("Retry-After") != "" {
		t.Errorf("a write: %+v", a)
	}
	a = ask(t, client(t), "GET", p.URL()+"/couriers/7", "")
	if a.status != 504 || a.header.Get("Retry-After") == "" {
		t.Errorf("a read: %+v", a)
	}
	await(t, "the accounts", func() bool { s := p.Stats("delivery"); return s.Legacy.Errors == 2 && s.InFlight == 0 })
}

// A write whose client leaves goes on, and stays in flight, until the upstream has answered.
func TestAWriteOutlivesItsClient(t *testing.T) {
	legacy := newBlocked(t)
	conf := config(legacy.URL, delivery(t, legacy.URL))
	conf.Hold.Drain = 100 * time.Millisecond
	p := start(t, conf)
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	conn, _ := dial(t, p, "POST /couriers HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
	read, _ := dial(t, p, "GET /couriers/7 HTTP/1.1\r\nHost: x\r\n\r\n")
	<-legacy.arrived
	<-legacy.arrived
	conn.Close()
	read.Close()
	await(t, "the read to be called off", func() bool { return legacy.left.Load() > 0 })
	shut := gated(toggle(2, strangler.ModeLegacy, 0))
	if err := p.Apply(t.Context(), shut); err == nil {
		t.Error("the gate was acknowledged while the upstream still had the write")
	}
	legacy.open()
	await(t, "the write to end", func() bool { return p.Stats("delivery").InFlight == 0 })
	if n := legacy.left.Load(); n != 1 {
		t.Errorf("%d requests were called off, want the read alone", n)
	}
	apply(t, p, shut)
}

// A request whose client breaks off is not the upstream's error.
func TestClientBreaksWithinItsRequest(t *testing.T) {
	legacy := newBackend(t, "legacy", echo)
	p := start(t, config(legacy.URL, delivery(t, legacy.URL)))
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	conn, _ := dial(t, p, "POST /couriers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
	await(t, "the write to be in flight", func() bool { return p.Stats("delivery").InFlight == 1 })
	conn.Close()
	await(t, "the write to end", func() bool { return p.Stats("delivery").InFlight == 0 })
	await(t, "the accounts", func() bool { return p.Stats("delivery").Legacy.Requests == 1 })
	if s := p.Stats("delivery"); s.Legacy.Errors != 0 {
		t.Errorf("%+v", s)
	}
}

// An upgraded connection is in flight until the head of its answer, and then no gate waits for it.
func TestUpgradeOnATouch(t *testing.T) {
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, _ *http.Request) {
		conn, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(conn, in)
	})
	p := start(t, config(legacy.URL, delivery(t, legacy.URL)))
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	conn, answers := dial(t, p, "GET /orders/7/refresh HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	res, err := http.ReadResponse(answers, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("%+v %v", res, err)
	}
	apply(t, p, gated(toggle(2, strangler.ModeLegacy, 0)))
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	heard := make([]byte, 5)
	if _, err := io.ReadFull(answers, heard); err != nil || string(heard) != "hello" {
		t.Errorf("heard %q, %v", heard, err)
	}
	conn.Close()
	await(t, "the connection to end", func() bool { return p.Stats("delivery").Legacy.Requests == 1 })
	if s := p.Stats("delivery"); s.InFlight != 0 {
		t.Errorf("%+v", s)
	}
}

// TestARequestThatIsGivenUp: a defect of ours ends one request, its connection and its upstream's, and nothing else.
func TestARequestThatIsGivenUp(t *testing.T) {
	ended := make(chan struct{}, 2)
	legacy := accepts(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			if _, err := http.ReadRequest(in); err != nil {
				ended <- struct{}{}
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlegacy")
		}
	})
	url := "http://" + legacy.Addr().String()
	p := start(t, config(url, delivery(t, url)), func(p *Proxy) { p.signer = nil }) // so that making a cookie panics, within the answer
	apply(t, p, toggle(1, strangler.ModeCanary, strangler.Hundred))
	if _, err := client(t).Get(p.URL() + "/couriers/7"); err == nil {
		t.Fatal("nothing went wrong")
	}
	select {
	case <-ended:
	case <-time.After(2 * time.Second): // before it would be closed because nobody used it
		t.Fatal("the upstream's connection is left open")
	}
	if a := ask(t, client(t), "GET", p.URL()+"/orders/7", ""); a.body != "legacy" {
		t.Errorf("the next request: %+v", a)
	}
}

// endedBody is a request's body that is closed with its last byte, as a server does to pass an answer on that came at once.
type endedBody struct{ left int }

func (b *endedBody) Read(buf []byte) (int, error) {
	if b.left == 0 {
		return 0, http.ErrBodyReadAfterClose
	}
	n := min(len(buf), b.left)
	if b.left -= n; b.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (b *endedBody) Close() error { return nil }

// Behind a body's end nothing is read: net/http's server may have closed it by then, and the answer would break off.
func TestNothingIsReadBehindABody(t *testing.T) {
	legacy := newBackend(t, "legacy", echo)
	p := start(t, config(legacy.URL))
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/x", &endedBody{left: 100_000})
	r.ContentLength = 100_000
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, r)
	if w.Code != 200 || w.Body.Len() != 100_000 {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
}
