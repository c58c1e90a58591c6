package hooks

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strangler-fig/strangler"
)

const (
	queueSize    = 256             // events that wait for one hook; what does not fit is dropped and counted
	maxText      = 4 << 10         // bytes of an event's text that are sent
	closeTimeout = 5 * time.Second // how long Close goes on sending
)

// Hook is who is told. Its URL may hold a token: scheme and host are all of it that is ever shown.
type Hook struct {
	URL          string                // http or https, with whatever path, query and user
	On           []strangler.EventKind // empty: all kinds
	Capabilities []string              // empty: all capabilities
	Secret       string                // what requests are signed with; empty: they are not
}

func (h Hook) wants(e strangler.Event) bool {
	return (len(h.On) == 0 || slices.Contains(h.On, e.Kind)) && (len(h.Capabilities) == 0 || slices.Contains(h.Capabilities, e.Capability))
}

// Config is what a Sender needs. Zero values stand for the defaults named here.
type Config struct {
	Hooks      []Hook
	ControlID  string                // of the control store; in every event, so that one receiver may hear of several
	Client     *http.Client          // follows no redirect, whatever it says of them; nil: one of the Sender's own
	Registerer prometheus.Registerer // nil: nothing is shown of what is counted
	Now        func() time.Time      // default time.Now
	Log        *slog.Logger          // default: none
}

// Sender tells hooks of events. Its methods may be called by anyone at any time.
type Sender struct {
	controlID string
	now       func() time.Time
	log       *slog.Logger
	workers   []*worker
	own       *http.Client // nil where the client is the caller's

	cancel  context.CancelFunc // ends what is being sent
	wg      sync.WaitGroup
	closing chan struct{}

	mu     sync.Mutex // guards closed and what Tell does with the queues
	closed bool
}

// message is an event as all hooks get it, however often it is tried.
type message struct {
	id    string
	event strangler.Event
	body  []byte
}

// New starts a goroutine for each hook; Close ends them. An error wraps strangler.ErrConfig.
func New(cfg Config) (*Sender, error) {
	s := &Sender{controlID: cfg.ControlID, now: cfg.Now, log: cfg.Log, closing: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = strangler.Discard()
	}
	client := cfg.Client
	if client == nil {
		s.own = ownClient()
		client = s.own
	}
	counts, err := newCounts(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	for i, h := range cfg.Hooks {
		u, err := url.Parse(h.URL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			return nil, fmt.Errorf("%w: the URL of webhook %d is none that can be posted to", strangler.ErrConfig, i)
		}
		number := strconv.Itoa(i)
		s.workers = append(s.workers, &worker{
			Hook: h, client: withoutRedirects(client), now: s.now, queue: make(chan message, queueSize), closing: s.closing,
			log:     s.log.With("webhook", i, "receiver", u.Scheme+"://"+u.Host),
			sent:    counts["sent"].WithLabelValues(number, u.Host),
			failed:  counts["failed"].WithLabelValues(number, u.Host),
			dropped: counts["dropped"].WithLabelValues(number, u.Host),
		})
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background()) // lives until Close
	for _, w := range s.workers {
		s.wg.Go(func() { w.run(ctx) })
	}
	return s, nil
}

// newCounts are what is counted of each hook.
func newCounts(r prometheus.Registerer) (map[string]*prometheus.CounterVec, error) {
	counts := map[string]*prometheus.CounterVec{}
	for name, help := range map[string]string{
		"sent":    "Events that a webhook's receiver has taken.",
		"failed":  "Events that a webhook's receiver has refused, or not taken in any try.",
		"dropped": "Events that were not sent, because too many waited for a webhook's receiver.",
	} {
		counts[name] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "strangler_webhook_" + name + "_total", Help: help}, []string{"webhook", "host"})
		if r == nil {
			continue
		}
		if err := r.Register(counts[name]); err != nil {
			return nil, fmt.Errorf("the metrics of webhooks cannot be registered; give each sender a registry of its own: %w", err)
		}
	}
	return counts, nil
}

// Tell has the hooks that want it told of an event. It does not wait for anyone: where too many events wait for a hook already,
// this one is dropped for it. Behind Close every event is.
func (s *Sender) Tell(e strangler.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var m message
	for _, w := range s.workers {
		if !w.wants(e) {
			continue
		}
		if m.id == "" {
			var err error
			if m, err = s.message(e); err != nil {
				s.log.Error("an event cannot be written as JSON, and no webhook is told of it", strangler.LogCapability, e.Capability, strangler.LogError, err)
				return
			}
		}
		w.put(m, s.closed)
	}
}

// message gives an event its id, and what it lacks.
func (s *Sender) message(e strangler.Event) (message, error) {
	if e.At.IsZero() {
		e.At = s.now()
	}
	e.At = e.At.UTC()
	if len(e.Text) > maxText {
		e.Text = strings.ToValidUTF8(e.Text[:maxText], "") + " …"
	}
	random := make([]byte, 16)
	rand.Read(random) // never fails
	id := hex.EncodeToString(random)
	body, err := json.Marshal(struct {
		ID        string `json:"id"`
		ControlID string `json:"control_id"`
		strangler.Event
	}{id, s.controlID, e})
	return message{id, e, body}, err
}

// Close tries once more to send what waits, for 5 seconds at most or until ctx ends, and returns when nothing is being sent any
// more. What could not be sent is counted and logged.
func (s *Sender) Close(ctx context.Context) {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	ctx, done := context.WithTimeout(ctx, closeTimeout)
	defer done()
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	s.wg.Wait()
	s.cancel()
	if s.own != nil {
		s.own.CloseIdleConnections()
	}
}
