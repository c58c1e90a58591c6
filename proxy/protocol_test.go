package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// A body whose chunks are not what they say reaches the upstream broken or not at all, and nothing that stands in it is taken
// for a request.
func TestBrokenChunksStayBroken(t *testing.T) {
	if engine != EngineH1 {
		return // net/http's reader takes some of them
	}
	for i, chunks := range slices.Concat(brokenChunks, probedChunks) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			got := play(t, EngineH1, ok200, "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks+sentinel)
			for _, f := range got.Forwarded {
				if !f.Broken {
					t.Errorf("%q was forwarded as %+v", chunks, f)
				}
			}
			for _, status := range got.Told.Status {
				if status != 400 && status != 0 {
					t.Errorf("%q was answered %d", chunks, status)
				}
			}
		})
	}
}

// Bodies of every size arrive whole both ways, with a length and in chunks.
func TestBodiesArriveWhole(t *testing.T) {
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Query().Get("length") != "" {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		for len(body) > 0 {
			n := min(len(body), 100_000)
			w.Write(body[:n])
			w.(http.Flusher).Flush()
			body = body[n:]
		}
	})
	p := start(t, config(legacy.URL))
	c := client(t)
	for _, size := range []int{0, 1, 100, 3500, 4 << 10, 5 << 10, 64<<10 - 32, 64 << 10, 64<<10 + 1, 300 << 10, 5 << 20} {
		sent := bytes.Repeat([]byte("0123456789abcdef\x00\r\n"), size/19+1)[:size]
		for _, chunks := range []bool{false, true} {
			for _, query := range []string{"", "?length=1"} {
				var body io.Reader = bytes.NewReader(sent)
				if chunks {
					body = io.MultiReader(body) // of no known length
				}
				r, err := http.NewRequestWithContext(t.Context(), "POST", p.URL()+"/x"+query, body)
				if err != nil {
					t.Fatal(err)
				}
				res, err := c.Do(r)
				if err != nil {
					t.Fatalf("%d bytes, chunks %v%s: %v", size, chunks, query, err)
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
					t.Errorf("%d bytes, chunks %v%s: %d came back (%v)", size, chunks, query, len(got), err)
				}
			}
		}
	}
}

// A client that waits for 100 Continue gets it when the upstream asks for the body, or does not say; and a refusal without
// having sent its body.
func TestExpectContinue(t *testing.T) {
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		echo(w, r)
	})
	mute := newRawUpstream(t, func(r *http.Request, n int) (string, bool) { return ok200, true }) // reads the body without asking for it
	for _, one := range []struct{ upstream, path, want string }{
		{legacy.URL, "/asked", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"},
		{mute.url(), "/mute", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"},
		{legacy.URL, "/refused", "HTTP/1.1 413 "},
	} {
		p := start(t, config(one.upstream))
		conn, in := dial(t, p, "POST "+one.path+" HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		line, err := in.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, one.want[:12]) {
			t.Fatalf("%s: %q %v", one.path, line, err)
		}
		if strings.Contains(line, "100") {
			io.WriteString(conn, "hello")
			if _, err := in.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			if a := readAnswer(t, in); a.status != 200 {
				t.Errorf("%s: %+v", one.path, a)
			}
		}
	}
}

// What a server sends bit by bit reaches the client bit by bit.
func TestEventsAreNotHeldBack(t *testing.T) {
	next := make(chan string)
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for event := range next {
			io.WriteString(w, event)
			w.(http.Flusher).Flush()
		}
	})
	p := start(t, config(legacy.URL))
	r, err := http.NewRequestWithContext(t.Context(), "GET", p.URL()+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	for i := range 20 {
		event := fmt.Sprintf("data: %d %s\n", i, strings.Repeat("x", i*1000))
		next <- event
		if got, err := in.ReadString('\n'); err != nil || got != event {
			t.Fatalf("event %d: %.40q %v", i, got, err)
		}
	}
	close(next)
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("behind the last: %q %v", rest, err)
	}
}

// A client that leaves ends its read at the upstream, also while nothing is sent.
func TestAReadEndsWithItsClient(t *testing.T) {
	began, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			w.(http.Flusher).Flush()
		}
		began <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	})
	p := start(t, config(legacy.URL))
	for _, path := range []string{"/slow", "/events"} {
		conn, _ := dial(t, p, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		<-began
		conn.Close()
		<-ended
	}
}

// An upstream that answers before it has the whole body, and does not want the rest: the client gets the answer.
func TestAnswerBeforeTheBodysEnd(t *testing.T) {
	if engine != EngineH1 {
		return // net/http's server waits for some of the body first
	}
	l := accepts(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch")
		io.Copy(io.Discard, io.LimitReader(in, 1<<20)) // so that the answer is not lost by a reset
	})
	p := start(t, config("http://"+l.Addr().String()))
	conn, in := dial(t, p, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
	io.WriteString(conn, strings.Repeat("x", 200_000))
	if a := readAnswer(t, in); a.status != 413 || a.body != "much" {
		t.Errorf("%+v", a)
	}
}

// Bytes go both ways behind an upgrade, those sent with it included, and its end reaches the other side.
func TestWebSocket(t *testing.T) {
	ended := make(chan error, 1)
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		conn, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello ")
		_, err = io.Copy(conn, in)
		ended <- err
	})
	p := start(t, config(legacy.URL))
	early := "early "
	if engine != EngineH1 { // ReverseProxy loses what comes with the request
		early = ""
	}
	conn, in := dial(t, p, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: y\r\n\r\n"+early)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" || res.Header.Get("Connection") != "Upgrade" || res.Header.Get("Sec-WebSocket-Accept") != "x" {
		t.Fatalf("%+v %v", res, err)
	}
	got := make([]byte, len("hello "+early))
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "hello "+early {
		t.Fatalf("%q %v", got, err)
	}
	long := strings.Repeat("frame", 100_000)
	go io.WriteString(conn, long)
	back := make([]byte, len(long))
	if _, err := io.ReadFull(in, back); err != nil || string(back) != long {
		t.Fatalf("%d bytes came back: %v", len(back), err)
	}
	conn.Close()
	<-ended
}

// Clients that take their time over a head or a body are cut off, and nothing of theirs is sent as if it were whole.
func TestSlowClients(t *testing.T) {
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil {
			t.Errorf("%s arrived whole", r.URL)
		}
		panic(http.ErrAbortHandler)
	})
	conf := config(legacy.URL)
	conf.Timeouts.Head, conf.Timeouts.Body = 50*time.Millisecond, 50*time.Millisecond
	p := start(t, conf)
	pieces := []string{"", "G", "GET /head HTTP/1.1\r\n", "GET /head HTTP/1.1\r\nHost: x\r\nX: "}
	if engine == EngineH1 { // net/http's server has no limit for a body
		pieces = append(pieces, "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf", "POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf",
			"POST /chunks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nha")
	}
	for _, piece := range pieces {
		conn, in := dial(t, p, piece)
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(in)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: the connection stays open", piece)
		}
		if len(rest) > 0 && !strings.HasPrefix(string(rest), "HTTP/1.1 400 ") && !strings.HasPrefix(string(rest), "HTTP/1.1 408 ") {
			t.Errorf("%q: %q", piece, rest)
		}
	}
}

// An upstream that is slow within its answer is given up after a while, and the client sees that.
func TestUpstreamStopsWithinItsAnswer(t *testing.T) {
	if engine != EngineH1 {
		return // http.Transport limits the wait for an answer's head only
	}
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	conf := config(legacy.URL)
	conf.Timeouts.Answer = 500 * time.Millisecond
	p := start(t, conf)
	_, in := dial(t, p, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(res.Body); err == nil || string(got) != "half" {
		t.Errorf("%q %v", got, err)
	}
}

// Requests that come while the proxy closes are answered, or their connection is closed without a byte: none is half done.
func TestCloseBetweenRequests(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	for range 20 {
		p, err := New(config(legacy.URL))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		going := make(chan struct{}, 8)
		for range 8 {
			conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "http://"))
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for n := 0; ; n++ {
					if n == 3 {
						going <- struct{}{}
					}
					if _, err := io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
						return
					}
					if _, err := in.Peek(1); err != nil {
						return
					}
					res, err := http.ReadResponse(in, nil)
					if err != nil {
						t.Errorf("half an answer: %v", err)
						return
					}
					if body, err := io.ReadAll(res.Body); err != nil || string(body) != "legacy" {
						t.Errorf("%q %v", body, err)
					}
					if res.Close {
						return
					}
				}
			})
		}
		for range 8 {
			<-going
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := p.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		cancel()
		all.Wait()
	}
}

// A connection that an upstream closes between two requests costs neither of them: the next one goes over another.
func TestUpstreamClosesBetweenRequests(t *testing.T) {
	closes := newRawUpstream(t, func(r *http.Request, n int) (string, bool) { return ok200, n < 3 }) // without saying so
	p := start(t, config(closes.url(), delivery(t, closes.url())))
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	c := client(t)
	for i := range 60 {
		method, path := "GET", "/couriers/7"
		if i%2 == 1 {
			method, path = "POST", "/couriers"
		}
		if i%3 == 2 { // the upstream's end has arrived before the next request
			awaitEnds(t, c, closes, i)
		}
		if a := ask(t, c, method, p.URL()+path, ""); a.status != 200 && !(method == "POST" && a.status == 502) {
			t.Fatalf("%d: %s %+v", i, method, a)
		}
	}
	if n := closes.count("POST /couriers"); n > 30 {
		t.Errorf("30 writes were sent %d times", n)
	}
}

// awaitEnds is a moment in which the upstream's closing of a connection gets to us: loopback needs no longer than a
// round trip of another connection.
func awaitEnds(t *testing.T, c *http.Client, u *rawUpstream, n int) {
	t.Helper()
	res, err := c.Get(u.url() + fmt.Sprintf("/other/%d", n))
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

// What a client has sent behind a write that is held is answered behind it, in order, however much it is.
func TestRequestsBehindAHeldWrite(t *testing.T) {
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
	})
	p := start(t, config(legacy.URL, delivery(t, legacy.URL)))
	apply(t, p, toggle(1, strangler.ModeLegacy, 0), gated(toggle(2, strangler.ModeLegacy, 0)))
	const behind = 300
	var script strings.Builder
	fmt.Fprintf(&script, "POST /couriers HTTP/1.1\r\nHost: x\r\nX: %s\r\nContent-Length: 5\r\n\r\nhello", strings.Repeat("y", 20_000))
	for i := range behind {
		fmt.Fprintf(&script, "GET /x/%d HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", i, strings.Repeat("z", 100))
	}
	_, in := dial(t, p, script.String())
	await(t, "the write to be held", func() bool { return p.Stats("delivery").Held == 1 })
	apply(t, p, toggle(3, strangler.ModeLegacy, 0))
	if a := readAnswer(t, in); a.body != "/couriers hello" {
		t.Fatalf("%+v", a)
	}
	for i := range behind {
		if a := readAnswer(t, in); a.body != fmt.Sprintf("/x/%d ", i) {
			t.Fatalf("%d: %+v", i, a)
		}
	}
}

// A client of HTTP/1.0, to whom the connection's end is the body's, sees that an answer broke off.
func TestBrokenAnswerToHTTP10(t *testing.T) {
	broken := newRawUpstream(t, func(r *http.Request, n int) (string, bool) {
		return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false
	})
	p := start(t, config(broken.url()))
	if engine != EngineH1 {
		return // net/http's server ends the connection as if the answer were whole
	}
	for range 20 {
		_, in := dial(t, p, "GET /x HTTP/1.0\r\nHost: x\r\n\r\n")
		if all, err := io.ReadAll(in); err == nil {
			t.Fatalf("%q ends as if it were whole", all)
		}
	}
}

// A write is in flight until its answer comes, although its client has left and interim answers cannot be passed on.
func TestAWriteOutlivesItsClientBehindInterimAnswers(t *testing.T) {
	step, finish := make(chan struct{}), make(chan struct{})
	legacy := newBackend(t, "legacy", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			for range 3 {
				w.WriteHeader(http.StatusEarlyHints)
				<-step
			}
			<-finish
		}
		io.WriteString(w, "legacy")
	})
	p := start(t, config(legacy.URL, delivery(t, legacy.URL)))
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	conn, in := dial(t, p, "POST /couriers HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "103") {
		t.Fatalf("%q %v", line, err)
	}
	conn.Close()
	c := client(t)
	for range 3 {
		step <- struct{}{}
		for range 100 { // in which the interim answer meets a connection that is gone
			ask(t, c, "GET", p.URL()+"/couriers/7", "")
		}
	}
	if s := p.Stats("delivery"); s.InFlight != 1 {
		t.Errorf("while the upstream works on the write: %+v", s)
	}
	close(finish)
	await(t, "the write to end", func() bool { return p.Stats("delivery").InFlight == 0 })
}
