package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no legacy":         func(c *Config) { c.Legacy.URLs = nil },
		"legacy with path":  func(c *Config) { c.Legacy.URLs[0] += "/app" },
		"another scheme":    func(c *Config) { c.Legacy.URLs[0] = "ftp://x" },
		"a server twice":    func(c *Config) { c.Legacy.URLs = append(c.Legacy.URLs, c.Legacy.URLs[0]) },
		"trust in nobody":   func(c *Config) { c.ProxyProtocol = true },
		"a short secret":    func(c *Config) { c.Secret = c.Secret[:31] },
		"negative bound":    func(c *Config) { c.Hold.Drain = -1 },
		"negative timeout":  func(c *Config) { c.Timeouts.Dial = -1 },
		"a sample over 100": func(c *Config) { c.Capabilities[0].Shadow.Sample = strangler.Hundred + 1 },
		"traces over 100":   func(c *Config) { c.Traces.Sample = strangler.Hundred + 1 },
		"traces to nowhere": func(c *Config) { c.Traces.Endpoint = "127.0.0.1:4318" },
		"traces by gRPC":    func(c *Config) { c.Traces.Endpoint = "grpc://127.0.0.1:4317" },
		"a token in a URL":  func(c *Config) { c.Traces.Endpoint = "http://u:p@127.0.0.1:4318" },
	} {
		c := config("http://127.0.0.1:1", delivery(t, "http://127.0.0.1:2"))
		change(&c)
		if _, err := New(c); !errors.Is(err, strangler.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := config("http://127.0.0.1:1").Validate(); err != nil {
		t.Errorf("a plain pass-through: %v", err)
	}
}

func TestStartSaysWhatHasTheAddress(t *testing.T) {
	p := start(t, config("http://127.0.0.1:1"))
	if err := p.Start(); err == nil {
		t.Error("it was started twice")
	}
	taken := config("http://127.0.0.1:1")
	taken.Listen = strings.TrimPrefix(p.URL(), "http://")
	q, err := New(taken)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Start(); err == nil || !strings.Contains(err.Error(), taken.Listen) || q.URL() != "" {
		t.Errorf("an address that is taken: %v", err)
	}
	if err := q.Close(t.Context()); err != nil {
		t.Errorf("closing what never started: %v", err)
	}
	if err := q.Start(); err == nil {
		t.Error("it was started after Close")
	}
}

// Close lets requests under way end, answers what is held, and takes nothing new; the second call
// says the same.
func TestCloseDrains(t *testing.T) {
	legacy := newBlocked(t)
	p := start(t, config(legacy.URL, delivery(t, legacy.URL)))
	apply(t, p, gated(toggle(1, strangler.ModeLegacy, 0)))
	c := client(t)
	reading, held := make(chan answer, 1), make(chan answer, 1)
	go func() { reading <- ask(t, c, "GET", p.URL()+"/couriers/7", "") }()
	<-legacy.arrived
	go func() { held <- ask(t, c, "POST", p.URL()+"/couriers", "{}") }()
	await(t, "the write to be held", func() bool { return p.Stats("delivery").Held == 1 })
	closed := make(chan error, 2)
	for range 2 {
		go func() { closed <- p.Close(t.Context()) }()
	}
	if a := <-held; a.status != 503 || a.code(t) != "closing" {
		t.Errorf("the held write: %+v", a)
	}
	if len(closed) != 0 {
		t.Error("Close returned with a request under way")
	}
	legacy.open()
	if a := <-reading; a.status != 200 || a.body != "done" {
		t.Errorf("the request under way: %+v", a)
	}
	for range 2 {
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	if res, err := http.Get(p.URL()); err == nil {
		res.Body.Close()
		t.Error("it still answers")
	}
}

// When the context ends first, what remains is cut: a request without an answer, an upgraded
// connection, a write whose client is patient.
func TestCloseCutsWhatDoesNotEnd(t *testing.T) {
	legacy := newBlocked(t)
	wait := legacy.do
	legacy.do = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			wait(w, r)
			return
		}
		conn, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(conn, in)
	}
	for _, request := range []string{
		"GET /couriers/7 HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /couriers HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"POST /couriers HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
		"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		p, err := New(config(legacy.URL, delivery(t, legacy.URL)))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		apply(t, p, toggle(1, strangler.ModeLegacy, 0))
		before := len(legacy.requests())
		_, answers := dial(t, p, request)
		await(t, "the request to be under way", func() bool {
			if strings.HasSuffix(request, "half") { // a small body is read whole before its gate
				return p.byName["delivery"].metrics.running.Load() == 1
			}
			return len(legacy.requests()) == before+1
		})
		if strings.Contains(request, "Upgrade") {
			if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "101") {
				t.Fatalf("%q %v", line, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err = p.Close(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: Close: %v", request, err)
		}
		if again := p.Close(t.Context()); again == nil || again.Error() != err.Error() {
			t.Errorf("the second Close: %v", again)
		}
		if s := p.Stats("delivery"); s.InFlight != 0 {
			t.Errorf("%q: %+v", request, s)
		}
	}
}

func TestHeadsAreBounded(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	conf := config(legacy.URL)
	conf.Timeouts.Head = 30 * time.Millisecond
	p := start(t, conf)
	_, answers := dial(t, p, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("x", 2*64<<10)+"\r\n\r\n")
	// The refusal may be lost to the reset that closing over unread bytes causes.
	if line, err := answers.ReadString('\n'); err == nil && !strings.Contains(line, " 431 ") {
		t.Errorf("a head of %d bytes: %q", 2*64<<10, line)
	}
	_, answers = dial(t, p, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	if rest, err := io.ReadAll(answers); err == nil && strings.Contains(string(rest), " 200 ") {
		t.Errorf("a head that never ends was answered: %q", rest)
	}
	if n := len(legacy.requests()); n != 0 {
		t.Errorf("legacy was sent %d requests", n)
	}
}

// Refused by the server before the walk: what two servers could read differently.
func TestAmbiguousFramingIsRefused(t *testing.T) {
	legacy := newBackend(t, "legacy", nil)
	p := start(t, config(legacy.URL))
	for name, head := range map[string]string{
		"two lengths":       "Content-Length: 1\r\nContent-Length: 2\r\n",
		"a signed length":   "Content-Length: +1\r\n",
		"unknown encoding":  "Transfer-Encoding: gzip\r\n",
		"a space in a name": "X-Name : x\r\n",
		"no name":           ": x\r\n",
		"a bare return":     "X-Name: a\rb\r\n",
		"a line folded":     " folded\r\n",
		"two hosts":         "Host: y\r\n",
	} {
		_, answers := dial(t, p, "POST / HTTP/1.1\r\nHost: x\r\n"+head+"\r\nx")
		if line, err := answers.ReadString('\n'); err == nil && strings.Contains(line, " 200 ") {
			t.Errorf("%s: %q", name, line)
		}
	}
	if n := len(legacy.requests()); n != 0 {
		t.Errorf("legacy was sent %d of them", n)
	}
}
