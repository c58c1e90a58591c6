package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// What the collections behind probes_test.go ask that no script of bytes can show: who waits for whom, and what ends with what.
// The last ones are Go's own tests of httputil.ReverseProxy and the bugs of Traefik's fast proxy.

// A head that comes in two pieces is waited for, wherever it is cut.
func TestAHeadInTwoPieces(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	p := start(t, config(legacy.URL))
	const head = "GET /hello HTTP/1.1\r\nHost: localhost\r\nX: \ty\r\n\r\n"
	for n := 1; n < len(head); n++ {
		conn, in := dial(t, p, head[:n])
		if n%2 == 0 { // by now the first piece has been looked at
			ask(t, client(t), "GET", p.URL()+"/other", "")
		}
		if _, err := io.WriteString(conn, head[n:]); err != nil {
			t.Fatal(err)
		}
		if a := readAnswer(t, in); a.status != 200 || a.body != "legacy" {
			t.Errorf("%q, then %q: %+v", head[:n], head[n:], a)
		}
	}
}

// A request that ends before it is whole is refused or not answered at all, and never whole at the upstream.
func TestARequestThatBreaksOff(t *testing.T) {
	const head = "POST /x HTTP/1.1\r\nHost: a\r\n"
	for _, half := range []string{
		"", "GET /x HTTP/1.1\r\nHost: a\r\nX: y", "GET /x HTTP/1.1\r\nHost: a\r\n", " \r\n", "\xa8\x01\x17\x9d\x00\xfe\xff", "GET /x\r\n",
		head + "Content-Length: 10\r\n\r\nhello", head + "Content-Length: 999999999\r\n\r\n", head + "Content-Length: 999999999\r\n\r\n" + strings.Repeat("x", 200_000),
		head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhel", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
	} {
		t.Run(fmt.Sprintf("%.70q", half), func(t *testing.T) {
			var u *recorder
			t.Cleanup(func() { // when all of it has come
				for _, f := range u.requests() {
					if !f.Broken {
						t.Errorf("it was forwarded as %.200v", f)
					}
				}
			})
			u = newRecorder(t, ok200)
			p := start(t, config("http://"+u.Addr().String()))
			conn, in := dial(t, p, half)
			if err := errors.Join(conn.(*net.TCPConn).CloseWrite(), conn.SetReadDeadline(time.Now().Add(20*time.Second))); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(in)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection stays open")
			}
			if len(got) > 0 && !strings.HasPrefix(string(got), "HTTP/1.1 400 ") && !strings.HasPrefix(string(got), "HTTP/1.1 499 ") {
				t.Errorf("it was answered %q", got)
			}
		})
	}
}

// Answers to HEAD are not waited for behind their heads, and the next answer is nobody else's.
func TestAnswersToHead(t *testing.T) {
	upstream := newRawUpstream(t, func(r *http.Request, n int) (string, bool) {
		switch r.URL.Path {
		case "/length":
			return "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", true
		case "/chunked":
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true
		case "/nothing":
			return "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n\r\n", true
		}
		return okAnswer, true
	})
	p := start(t, config(upstream.url()))
	_, in := dial(t, p, "HEAD /length HTTP/1.1\r\nHost: x\r\n\r\nHEAD /chunked HTTP/1.1\r\nHost: x\r\n\r\nHEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n")
	for _, want := range []struct {
		status int
		length int64
	}{{200, 5000}, {200, -1}, {401, -1}} {
		res, err := http.ReadResponse(in, &http.Request{Method: "HEAD"})
		if err != nil || res.StatusCode != want.status || res.ContentLength != want.length {
			t.Fatalf("%+v %v, want %+v", res, err, want)
		}
	}
	if a := readAnswer(t, in); a.status != 200 || a.body != "ok" {
		t.Errorf("behind them: %+v", a)
	}
}

// An upstream that answers before it has read the body does not have its answer held up by the body, nor does another request
// meet what is left of it.
func TestAnAnswerBeforeTheBodyIsRead(t *testing.T) {
	if engine != EngineH1 {
		return // net/http's server waits for some of the body first
	}
	for _, one := range []struct{ framing, body string }{
		{"Content-Length: 6000", strings.Repeat("x", 6000)},
		{"Content-Length: 20000000", strings.Repeat("x", 10_000_000)},
		{"Transfer-Encoding: chunked", strings.Repeat("2710\r\n"+strings.Repeat("x", 10_000)+"\r\n", 1000)},
	} {
		read := make(chan struct{})
		l := accepts(t, func(conn net.Conn) {
			in := bufio.NewReader(conn)
			for {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				io.WriteString(conn, okAnswer)
				if r.Method == "POST" {
					<-read
				}
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return
				}
			}
		})
		p := start(t, config("http://"+l.Addr().String()))
		conn, in := dial(t, p, "POST /upload HTTP/1.1\r\nHost: x\r\n"+one.framing+"\r\n\r\n")
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			io.WriteString(conn, one.body) // as far as it is taken
		}()
		if a := readAnswer(t, in); a.status != 200 || a.body != "ok" {
			t.Errorf("%s: %+v", one.framing, a)
		}
		close(read)
		if a := ask(t, client(t), "GET", p.URL()+"/x", ""); a.status != 200 || a.body != "ok" {
			t.Errorf("%s, the next: %+v", one.framing, a)
		}
		conn.Close()
		<-sent
	}
}

// An answer that breaks off while the body is still on its way ends both, and the client sees that it broke off.
func TestAnAnswerThatBreaksOffWithinTheUpload(t *testing.T) {
	l := accepts(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		io.CopyN(io.Discard, in, 10_000)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		io.CopyN(io.Discard, in, 10_000)
	})
	p := start(t, config("http://"+l.Addr().String()))
	for range 10 {
		conn, in := dial(t, p, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 6000000\r\n\r\n")
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			io.WriteString(conn, strings.Repeat("x", 6_000_000))
		}()
		if res, err := http.ReadResponse(in, nil); err == nil { // a reset may take the head along
			if body, err := io.ReadAll(res.Body); res.StatusCode == 200 && err == nil {
				t.Errorf("it was taken for whole: %q", body)
			}
		}
		conn.Close()
		<-sent
	}
}

// A client that waits for 100 Continue is answered at once where the upstream cannot be reached.
func TestExpectContinueOfAnUnreachableUpstream(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, config("http://"+l.Addr().String()))
	l.Close()
	_, in := dial(t, p, "POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 16\r\n\r\n")
	if a := readAnswer(t, in); a.status != 502 || a.code(t) != "upstream_unreachable" {
		t.Errorf("%+v", a)
	}
}

// One end of an upgraded connection may stop sending, and go on hearing; and stop hearing, and go on sending.
func TestHalfClosedTunnel(t *testing.T) {
	type ends struct{ client, server *net.TCPConn }
	for name, check := range map[string]func(e ends) error{
		"the server has said all": func(e ends) error {
			return errors.Join(e.server.CloseWrite(), says(e.client, e.server), ended(e.client))
		},
		"the server hears no more": func(e ends) error { return errors.Join(e.server.CloseRead(), says(e.server, e.client)) },
		"the client has said all": func(e ends) error {
			return errors.Join(e.client.CloseWrite(), says(e.server, e.client), ended(e.server))
		},
		"the client hears no more":   func(e ends) error { return errors.Join(e.client.CloseRead(), says(e.client, e.server)) },
		"the server closes it":       func(e ends) error { return errors.Join(says(e.client, e.server), e.server.Close(), ended(e.client)) },
		"the client closes it":       func(e ends) error { return errors.Join(says(e.server, e.client), e.client.Close(), ended(e.server)) },
		"both say something at once": func(e ends) error { return errors.Join(says(e.server, e.client), says(e.client, e.server)) },
	} {
		t.Run(name, func(t *testing.T) {
			server, done := make(chan *net.TCPConn, 1), make(chan struct{})
			l := accepts(t, func(conn net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					return
				}
				io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nconnection: keep-alive, upgrade\r\nupgrade: WebSocket\r\n\r\n")
				server <- conn.(*net.TCPConn)
				<-done
			})
			p := start(t, config("http://"+l.Addr().String()))
			conn, in := dial(t, p, "GET /ws HTTP/1.1\r\nHost: x\r\nconnection: keep-alive, upgrade\r\nupgrade: websocket\r\n\r\n")
			res, err := http.ReadResponse(in, nil)
			if err != nil || res.StatusCode != 101 || in.Buffered() > 0 {
				t.Fatalf("%+v %v", res, err)
			}
			e := ends{conn.(*net.TCPConn), <-server}
			if err := check(e); err != nil {
				t.Error(err)
			}
			conn.Close()
			close(done)
		})
	}
}

// says reports whether what one end of a tunnel sends gets to the other.
func says(from, to net.Conn) error {
	const text = "something"
	if _, err := io.WriteString(from, text); err != nil {
		return err
	}
	heard := make([]byte, len(text))
	if _, err := io.ReadFull(to, heard); err != nil || string(heard) != text {
		return fmt.Errorf("heard %q (%w)", heard, err)
	}
	return nil
}

// ended reports whether the other end of a tunnel has said all.
func ended(at net.Conn) error {
	if more, err := io.ReadAll(at); len(more) > 0 || err != nil {
		return fmt.Errorf("heard %q at the end (%w)", more, err)
	}
	return nil
}

// Every answer says when it was made, those of the proxy itself and those of an upstream that does not.
func TestEveryAnswerHasADate(t *testing.T) {
	undated := newRawUpstream(t, func(*http.Request, int) (string, bool) { return okAnswer, true })
	p := start(t, config(undated.url()))
	for _, line := range []string{"GET /x", "TRACE /x", "GET *"} {
		_, in := dial(t, p, line+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if a := readAnswer(t, in); len(a.header["Date"]) != 1 {
			t.Errorf("%s: %+v", line, a)
		}
	}
}
