package hooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/hooks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// body is what a receiver reads.
type body struct {
	ID         string              `json:"id"`
	ControlID  string              `json:"control_id"`
	Kind       strangler.EventKind `json:"kind"`
	Capability string              `json:"capability"`
	Run        int64               `json:"run"`
	Step       string              `json:"step"`
	State      string              `json:"state"`
	Text       string              `json:"text"`
	At         time.Time           `json:"at"`
}

// request is one that has come, and when.
type request struct {
	body
	raw    []byte
	header http.Header
	method string
	uri    string
	at     time.Time
}

// receiver keeps what comes, and answers it.
type receiver struct {
	answer func(w http.ResponseWriter, n int) // the request is the nth, from 0; nil: 200

	mu  sync.Mutex
	all []request
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	raw, err := io.ReadAll(req.Body)
	got := request{raw: raw, header: req.Header, method: req.Method, uri: req.RequestURI, at: time.Now()}
	if err != nil || json.Unmarshal(raw, &got.body) != nil {
		http.Error(w, "no JSON", http.StatusBadRequest)
	}
	r.mu.Lock()
	n := len(r.all)
	r.all = append(r.all, got)
	r.mu.Unlock()
	if r.answer != nil {
		r.answer(w, n)
	}
}

func (r *receiver) got() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.all...)
}

func (r *receiver) texts() (all []string) {
	for _, q := range r.got() {
		all = append(all, q.Text)
	}
	return all
}

func status(code int) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, _ int) { w.WriteHeader(code) }
}

// events are some of a run, by their texts.
func events(texts ...string) (all []strangler.Event) {
	for _, text := range texts {
		all = append(all, strangler.Event{Kind: strangler.EventStep, Capability: "delivery", Run: 7, Step: "copy", State: "done", Text: text, At: time.Now()})
	}
	return all
}

func tell(s *hooks.Sender, all ...strangler.Event) {
	for _, e := range all {
		s.Tell(e)
	}
}

// rig is a Sender with what it logs and counts.
type rig struct {
	*hooks.Sender
	log      logged
	registry *prometheus.Registry
}

func newRig(t *testing.T, client *http.Client, all ...hooks.Hook) *rig {
	t.Helper()
	r := &rig{registry: prometheus.NewRegistry()}
	var err error
	r.Sender, err = hooks.New(hooks.Config{Hooks: all, ControlID: "c0ffee", Client: client, Registerer: r.registry,
		Log: slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	must(t, err)
	return r
}

// counted is a counter's value for the first hook.
func (r *rig) counted(t *testing.T, name string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() != "strangler_webhook_"+name+"_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[1].GetValue() == "0" {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("nothing is counted as %s", name)
	return 0
}

// logged is what is logged, while it may still be.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lines counts those with a text.
func (l *logged) lines(text string) int { return strings.Count(l.String(), text) }

// pipes is a network in memory, so that its server and its clients keep a bubble's time: each connection is a net.Pipe.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	down   atomic.Bool // nobody can be reached
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if p.down.Load() {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	select {
	case p.accept <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inMemory serves on pipes within a bubble, until end.
func inMemory(t *testing.T, h http.Handler) (p *pipes, client *http.Client, end func()) {
	t.Helper()
	p = &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(p) // ends with Close
	}()
	transport := &http.Transport{DialContext: p.dial}
	return p, &http.Client{Transport: transport}, func() {
		must(t, server.Close())
		<-served
		transport.CloseIdleConnections()
	}
}
