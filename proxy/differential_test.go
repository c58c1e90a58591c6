package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

// recorder is an upstream that keeps what it is sent, as an independent reader understands it, and answers each request with
// the same bytes. At the test's end it says whether another reader could have understood anything else.
type recorder struct {
	net.Listener
	reply string // "CLOSE" at its end: the connection is closed behind it
	mu    sync.Mutex
	seen  []forwarded
	sent  []*strings.Builder // what came, by connection
}

// forwarded is a request as the upstream got it.
type forwarded struct {
	Line, Host string
	Header     map[string][]string
	Body       string
	Broken     bool // it did not come to its end
}

func newRecorder(t *testing.T, reply string) *recorder {
	t.Helper()
	u := &recorder{reply: reply}
	t.Cleanup(func() { u.check(t) }) // runs when every connection has ended
	u.Listener = accepts(t, u.serve)
	return u
}

// check fails where what came on a connection could be divided into requests in another way, or where a request has come that
// scripts have in a body only.
func (u *recorder) check(t *testing.T) {
	for _, sent := range u.sent {
		lines, err := unambiguous(sent.String(), strictRequest, func(string) bool { return false }, false)
		if err != nil {
			t.Errorf("the upstream was sent %q: %v", sent, err)
		}
		for _, line := range lines {
			if strings.Contains(line, "/smuggled") {
				t.Errorf("the upstream was sent a request that nobody made: %q", sent)
			}
		}
	}
}

func (u *recorder) serve(conn net.Conn) {
	sent := new(strings.Builder)
	u.mu.Lock()
	u.sent = append(u.sent, sent)
	u.mu.Unlock()
	in := bufio.NewReader(io.TeeReader(conn, sent))
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if r.Header.Get("Expect") != "" {
			io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		body, err := io.ReadAll(r.Body)
		f := forwarded{Line: r.Method + " " + r.RequestURI, Host: r.Host, Header: r.Header, Body: string(body), Broken: err != nil}
		if len(r.TransferEncoding) > 0 {
			f.Header["Transfer-Encoding"] = r.TransferEncoding
		}
		u.mu.Lock()
		u.seen = append(u.seen, f)
		u.mu.Unlock()
		if err != nil {
			return
		}
		reply, closes := strings.CutSuffix(u.reply, "CLOSE")
		if _, err := io.WriteString(conn, reply); err != nil || closes {
			return
		}
	}
}

func (u *recorder) requests() []forwarded {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.seen)
}

// told is what a client got for a script.
type told struct {
	Status []int // of each answer, interim ones too; 0: it broke off
	Header []http.Header
	Body   []string
}

func (t *told) broke() {
	t.Status, t.Header, t.Body = append(t.Status, 0), append(t.Header, nil), append(t.Body, "")
}

// final counts the answers that are no interim ones.
func final(statuses []int) (n int) {
	for _, s := range statuses {
		if s >= 200 {
			n++
		}
	}
	return n
}

// played is what came of a script, through one engine.
type played struct {
	Told      told
	Forwarded []forwarded
}

// sentinel ends every script, so that its connection ends: a second request that arrives whole, or not at all.
const sentinel = "GET /sentinel HTTP/1.1\r\nHost: sentinel\r\nConnection: close\r\n\r\n"

// play sends the pieces of a script one by one to a proxy with that engine, and reads until the connection ends.
func play(t *testing.T, with Engine, reply string, pieces ...string) played {
	t.Helper()
	u := newRecorder(t, reply)
	conf := config("http://"+u.Addr().String(), strangler.Capability{Name: "delivery", Routes: routes(t, "POST /couriers", "GET /couriers/{id}"), Service: strangler.Upstream{URLs: []string{"http://" + u.Addr().String()}}})
	conf.Engine = with
	p := start(t, conf)
	apply(t, p, toggle(1, strangler.ModeLegacy, 0))
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, piece := range pieces {
		if piece == "HALF" {
			conn.(*net.TCPConn).CloseWrite()
			continue
		}
		io.WriteString(conn, piece) // a proxy that has refused what came before may have closed
	}
	var o played
	got := new(strings.Builder)
	in := bufio.NewReader(io.TeeReader(conn, got))
	methods := methodsOf(strings.Join(pieces, ""))
	for n := 0; ; {
		if _, err := in.Peek(1); err != nil {
			break
		}
		method := "GET"
		if n < len(methods) {
			method = methods[n]
		}
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			o.Told.broke()
			break
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			o.Told.broke()
			break
		}
		for name := range res.Trailer {
			res.Header["Trailer:"+name] = res.Trailer[name]
		}
		o.Told.Status, o.Told.Header, o.Told.Body = append(o.Told.Status, res.StatusCode), append(o.Told.Header, res.Header), append(o.Told.Body, string(body))
		if res.StatusCode >= 200 {
			n++
		}
	}
	if _, err := unambiguous(got.String(), strictAnswer, bodyless(methods), true); err != nil {
		t.Errorf("the client was sent %q: %v", got, err)
	}
	o.Forwarded = u.requests()
	for i := range o.Forwarded {
		if f := &o.Forwarded[i]; f.Host == u.Addr().String() {
			f.Host = "the upstream's"
		}
	}
	if n := len(o.Told.Status); final(o.Told.Status) < len(o.Forwarded) && (n == 0 || o.Told.Status[n-1] != 0) {
		o.Told.broke() // without a byte: that is broken as well
	}
	return o
}

// methodsOf are the methods of a script's requests, as far as the framing of HEAD's answers needs them.
func methodsOf(script string) (all []string) {
	for line := range strings.SplitSeq(script, "\n") {
		if method, rest, ok := strings.Cut(line, " "); ok && strings.Contains(rest, "HTTP/1.") {
			all = append(all, method)
		}
	}
	return all
}

// bodyless says of one answer after another whether it has no body, by its status or its request's method.
func bodyless(methods []string) func(line string) bool {
	n := 0
	return func(line string) bool {
		status := line[len("HTTP/1.1 "):][:3]
		if status < "200" {
			return true
		}
		n++
		return status == "204" || status == "304" || n <= len(methods) && methods[n-1] == "HEAD"
	}
}

// general takes out of an outcome what differs between the engines everywhere, and why:
//   - Date: both add one where the upstream sent none, and it is the time.
//   - Content-Type: net/http's server guesses one where the upstream sent none.
//   - The text of a refusal: net/http refuses what it cannot read before any handler, with text.
//   - Order and case of names, and User-Agent: http.Header does not keep the former; a reader of the same kind sees no difference.
//   - Connection: close is said by both, sometimes by one of them in addition to closing.
func general(o played) played {
	for i, h := range o.Told.Header {
		for n, date := range h["Date"] {
			if at, err := http.ParseTime(date); err == nil && time.Since(at).Abs() < time.Hour {
				h["Date"][n] = "now"
			}
		}
		for _, name := range []string{"Content-Type", "Connection", "X-Content-Type-Options", "Cache-Control"} {
			delete(h, name)
		}
		if o.Told.Status[i] >= 400 {
			o.Told.Header[i], o.Told.Body[i] = nil, ""
		}
	}
	for _, f := range o.Forwarded {
		delete(f.Header, "X-Forwarded-For")
	}
	return o
}

// upTo is what came of the first requests that were forwarded.
func (o played) upTo(requests int) played {
	if len(o.Forwarded) <= requests {
		return o
	}
	o.Forwarded = o.Forwarded[:requests]
	for i, n := 0, 0; i < len(o.Told.Status); i++ {
		if s := o.Told.Status[i]; s == 0 || s >= 200 {
			n++
		}
		if n == requests {
			o.Told = told{o.Told.Status[:i+1], o.Told.Header[:i+1], o.Told.Body[:i+1]}
		}
	}
	return o
}

const ok200 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// summary is an outcome in short: the answers' statuses, and what was forwarded.
func (o played) summary() string {
	var b strings.Builder
	for i, s := range o.Told.Status {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, s)
	}
	for _, f := range o.Forwarded {
		fmt.Fprintf(&b, " | %s", f.Line)
		if f.Body != "" {
			fmt.Fprintf(&b, " %q", f.Body)
		}
		if f.Broken {
			b.WriteString(" broken")
		}
	}
	return b.String()
}

// script is one case: what is sent, with Host and the sentinel added where they are not part of the case.
type script struct {
	name   string
	pieces []string
	reply  string // ok200 unless given
	want   string // the summary with engine h1
	// differs says why net/http's outcome is another one; empty: it has to be the same, header by header.
	differs string
}

// TestEnginesAreTheSame plays every script through both engines.
func TestEnginesAreTheSame(t *testing.T) {
	if engine != EngineH1 {
		return // it runs both itself
	}
	for _, table := range [][]script{requestScripts, framingScripts, answerScripts, bothScripts, codingScripts, lengthScripts, lineScripts, fieldScripts, moreAnswers} {
		for _, s := range table {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				reply := s.reply
				if reply == "" {
					reply = ok200
				}
				ours := general(play(t, EngineH1, reply, s.pieces...))
				if got := ours.summary(); got != s.want {
					t.Errorf("h1: %s\nwant: %s", got, s.want)
				}
				theirs := general(play(t, EngineNetHTTP, reply, s.pieces...))
				if len(theirs.Forwarded) == 0 && len(theirs.Told.Status) == 1 && theirs.Told.Status[0] == 0 && final(ours.Told.Status) == 1 {
					theirs.Told = ours.Told // net/http's server closes with something unread, which can lose its refusal
				}
				if n := len(theirs.Forwarded); n > 0 && theirs.Forwarded[n-1].Header["Transfer-Encoding"] != nil {
					ours = ours.upTo(n) // net/http's engine ends the connection behind a chunked request
				}
				diff := cmp.Diff(theirs, ours)
				switch {
				case s.differs == "" && diff != "":
					t.Errorf("the engines differ (-net/http +h1):\n%s", diff)
				case s.differs != "" && diff == "":
					t.Errorf("the engines are the same: %q is out of date", s.differs)
				}
			})
		}
	}
}

// with is a request with Host, some lines and a body, and the sentinel behind it.
func with(line string, more ...string) []string {
	lines, body, _ := strings.Cut(strings.Join(more, "\r\n"), "\r\n\r\n")
	if lines != "" {
		lines += "\r\n"
	}
	return raw(line + " HTTP/1.1\r\nHost: shop.example\r\n" + lines + "\r\n" + body)
}

// raw is bytes as they are, and the sentinel behind them, at once: net/http's server does not wait for what may still come
// when it refuses, and then its answer can be lost.
func raw(text string) []string { return []string{text + sentinel} }

// each sends every byte by itself.
func each(text string) (pieces []string) {
	for i := range len(text) {
		pieces = append(pieces, text[i:i+1])
	}
	return append(pieces, sentinel)
}
