//go:build !race

package proxy

import (
	"bufio"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
)

// canned is an upstream that answers whatever ends with an empty line with the same bytes, and allocates nothing.
func canned(t testing.TB, answer string) string {
	t.Helper()
	l := accepts(t, func(conn net.Conn) {
		in, text := make([]byte, 8<<10), []byte(answer)
		for {
			if _, err := conn.Read(in); err != nil {
				return
			}
			if _, err := conn.Write(text); err != nil {
				return
			}
		}
	})
	return "http://" + l.Addr().String()
}

// asker sends the same bytes again and again and reads as many as the first answer had.
func asker(t testing.TB, p *Proxy, request string) func() {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	text := []byte(request)
	if _, err := conn.Write(text); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReaderSize(conn, 64<<10)
	n := 0
	for line := ""; line != "\r\n"; n += len(line) {
		if line, err = in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := in.Peek(1024); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, n+1024)
	in.Discard(1024)
	return func() {
		if _, err := conn.Write(text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	browserLines = "Host: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nAccept: application/json\r\nAccept-Encoding: gzip, br\r\nX-User-ID: ann\r\nCookie: session=abc\r\n"
	kilobyte     = "HTTP/1.1 200 OK\r\nServer: x\r\nDate: Mon, 30 Nov 2026 06:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n"
)

func canaryProxy(t testing.TB, answer string) *Proxy {
	to := canned(t, answer)
	c := delivery(t, to)
	c.IdentityHeader = "X-User-ID"
	p, err := New(config(to, c))
	if err != nil {
		t.Fatal(err)
	}
	run(t, p)
	if err := p.Apply(t.Context(), toggle(1, strangler.ModeCanary, 500_000)); err != nil {
		t.Fatal(err)
	}
	return p
}

func run(t testing.TB, p *Proxy) {
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(t.Context()) })
}

// A proxied request whose identity is a header allocates nothing, be it a read of a canary or a write through its gate.
func TestARequestAllocatesNothing(t *testing.T) {
	if engine != EngineH1 {
		return
	}
	answer := kilobyte + strings.Repeat("x", 1024)
	one, thousand := canaryProxy(t, answer), canaries(t, 1000, canned(t, answer))
	run(t, thousand)
	for _, of := range []struct {
		p       *Proxy
		request string
	}{
		{one, "GET /couriers/7?a=b"}, {one, "POST /couriers"}, {one, "GET /restaurants"},
		{thousand, "GET /api/c500/items/7?a=b"}, {thousand, "POST /api/c999/items"}, {thousand, "POST /monolith/pair7"}, {thousand, "GET /restaurants"},
	} {
		request := of.request + " HTTP/1.1\r\n" + browserLines + "\r\n"
		if strings.HasPrefix(request, "POST") {
			request = of.request + " HTTP/1.1\r\n" + browserLines + "Content-Length: 16\r\n\r\n{\"name\":\"anna\"}\n"
		}
		ask := asker(t, of.p, request)
		for range 200 {
			ask()
		}
		const n = 5000
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			ask()
		}
		runtime.ReadMemStats(&after)
		if got := float64(after.Mallocs-before.Mallocs) / n; got > 0.05 {
			t.Errorf("%.30s…: %.2f allocations a request", request, got)
		}
	}
}

func BenchmarkForward(b *testing.B) {
	for _, engine = range []Engine{EngineH1, EngineNetHTTP} {
		b.Run(string(engine), func(b *testing.B) {
			ask := asker(b, canaryProxy(b, kilobyte+strings.Repeat("x", 1024)), "GET /couriers/7 HTTP/1.1\r\n"+browserLines+"\r\n")
			b.ReportAllocs()
			for b.Loop() {
				ask()
			}
		})
	}
}
