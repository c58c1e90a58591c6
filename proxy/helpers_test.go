package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler"
)

// engine is what the proxies of this run of the tests are made with.
var engine Engine

// TestMain runs every test on both engines. What is fuzzed knows of none.
func TestMain(m *testing.M) {
	flag.Parse()
	engines := []Engine{EngineH1, EngineNetHTTP}
	if flag.Lookup("test.fuzz").Value.String() != "" {
		engines = engines[:1]
	}
	code := 0
	for _, engine = range engines {
		if failed := m.Run(); failed != 0 {
			fmt.Fprintf(os.Stderr, "with engine %s\n", engine)
			code = failed
		}
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// backend is an upstream on a real listener. It keeps what it was sent and answers with its name.
type backend struct {
	*httptest.Server
	name string
	mu   sync.Mutex
	seen []*http.Request
	do   func(w http.ResponseWriter, r *http.Request) // instead of the name
}

func newBackend(t *testing.T, name string, do func(http.ResponseWriter, *http.Request)) *backend {
	t.Helper()
	b := &backend{name: name, do: do}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, r)
		b.mu.Unlock()
		if b.do != nil {
			b.do(w, r)
			return
		}
		io.WriteString(w, name)
	}))
	t.Cleanup(b.Close)
	return b
}

// accepts serves each connection to a new listener by hand until the test ends.
func accepts(t testing.TB, serve func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l
}

func (b *backend) requests() []*http.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen)
}

func (b *backend) last(t *testing.T) *http.Request {
	t.Helper()
	all := b.requests()
	if len(all) == 0 {
		t.Fatalf("%s was sent nothing", b.name)
	}
	return all[len(all)-1]
}

func (b *backend) paths() (paths []string) {
	for _, r := range b.requests() {
		paths = append(paths, r.URL.Path)
	}
	return paths
}

func routes(t testing.TB, all ...string) (parsed []strangler.Route) {
	t.Helper()
	for _, s := range all {
		r, err := strangler.ParseRoute(s)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, r)
	}
	return parsed
}

func touches(t testing.TB, all ...string) (parsed []strangler.Touch) {
	t.Helper()
	for _, r := range routes(t, all...) {
		parsed = append(parsed, strangler.Touch{Route: r})
	}
	return parsed
}

// delivery is the capability that most tests move.
func delivery(t testing.TB, service string) strangler.Capability {
	return strangler.Capability{
		Name:    "delivery",
		Routes:  routes(t, "POST /couriers", "GET /couriers/{id}", "POST /couriers/{id}/availability"),
		Touches: touches(t, "POST /orders/{id}/accept", "GET /orders/{id}/refresh"),
		Service: strangler.Upstream{URLs: []string{service}},
		Tables:  []strangler.Table{{From: "couriers", To: "couriers"}},
	}
}

func config(legacy string, capabilities ...strangler.Capability) Config {
	return Config{Engine: engine, Listen: "127.0.0.1:0", Legacy: strangler.Upstream{URLs: []string{legacy}}, Capabilities: capabilities, Secret: bytes.Repeat([]byte("s"), 32)}
}

// start runs a proxy until the test ends. What is changed of it is changed before it is started.
func start(t *testing.T, c Config, changes ...func(*Proxy)) *Proxy {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(p)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

// toggle is delivery's, released.
func toggle(epoch int64, mode strangler.Mode, percent strangler.Percent) strangler.Toggle {
	owner := strangler.Legacy
	if mode == strangler.ModeExtracted {
		owner = strangler.Service
	}
	return strangler.Toggle{Capability: "delivery", Mode: mode, Percent: percent, Owner: owner, Epoch: epoch}
}

func gated(t strangler.Toggle) strangler.Toggle {
	t.Gated = true
	return t
}

func apply(t *testing.T, p *Proxy, toggles ...strangler.Toggle) {
	t.Helper()
	for _, one := range toggles {
		if err := p.Apply(t.Context(), one); err != nil {
			t.Fatalf("Apply(%s, epoch %d): %v", one.Describe(), one.Epoch, err)
		}
	}
}

// client follows no redirects and pools no connections beyond the test.
func client(t *testing.T) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends one request; headers are "Name: value".
func ask(t *testing.T, c *http.Client, method, url, body string, headers ...string) answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Add(name, value)
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", method, url, err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// code is the code of a JSON error, checked for its shape.
func (a answer) code(t *testing.T) string {
	t.Helper()
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Error.Code == "" || body.Error.Message == "" {
		t.Fatalf("answer %d is not a JSON error: %q (%v)", a.status, a.body, err)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type of an error is %q", got)
	}
	return body.Error.Code
}

// dial opens a raw connection to a proxy and writes to it.
func dial(t *testing.T, p *Proxy, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	_, address, _ := strings.Cut(p.URL(), "://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// await polls until a condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !condition(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) said(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), what)
}
