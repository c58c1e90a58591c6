package hooks

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strangler-fig/strangler"
)

const (
	tries        = 8               // of one event; with their pauses they take some three minutes
	firstPause   = 2 * time.Second // behind the first try, doubled behind each further one
	longestPause = time.Minute
	longestAfter = 5 * time.Minute // the longest that a receiver may ask to be left alone
)

// worker sends one hook's events, one after the other: while one is tried again, those behind it wait.
type worker struct {
	Hook
	client  *http.Client
	now     func() time.Time
	queue   chan message
	closing <-chan struct{} // closed when no more events come
	log     *slog.Logger

	sent, failed, dropped prometheus.Counter

	dropping bool // events were dropped, and the queue has not been empty since; the Sender's lock guards it
}

// put is called with the Sender's lock held. Of a burst of drops the log has the first.
func (w *worker) put(m message, closed bool) {
	if len(w.queue) == 0 {
		w.dropping = false
	}
	if !closed {
		select {
		case w.queue <- m:
			return
		default: // dropped
		}
	}
	w.dropped.Inc()
	if !w.dropping {
		w.dropping = true
		w.log.Warn("a webhook's receiver does not keep up; events are dropped for it until it has taken those that wait. The ledger has them all", "waiting", len(w.queue))
	}
}

// run ends behind the last event. When ctx ends, no event is sent any more.
func (w *worker) run(ctx context.Context) {
	for !closed(w.closing) {
		select {
		case m := <-w.queue:
			if err := w.deliver(ctx, m); err != nil {
				w.failed.Inc()
				w.log.Warn("a webhook's receiver was not told of an event, which is given up; the ledger has it", "id", m.id, "event", m.event.Kind,
					strangler.LogCapability, m.event.Capability, strangler.LogRun, m.event.Run, strangler.LogError, err)
			}
		case <-w.closing:
		}
	}
	w.drain(ctx)
}

// drain sends what waits. What it cannot send is said once.
func (w *worker) drain(ctx context.Context) {
	lost, why := 0, error(nil)
	for {
		select {
		case m := <-w.queue:
			if err := w.deliver(ctx, m); err != nil {
				w.failed.Inc()
				lost, why = lost+1, err
			}
			continue
		default:
		}
		break
	}
	if lost > 0 {
		w.log.Warn("a webhook's receiver was not told of the last events before the end; the ledger has them", "events", lost, strangler.LogError, why)
	}
}

// deliver returns nil when the receiver has taken the event, and an error when it is given up: it was refused, the tries are used
// up, or no more of them can be waited for.
func (w *worker) deliver(ctx context.Context, m message) error {
	for try := 1; ; try++ {
		last := try == tries || closed(w.closing)
		err := w.post(ctx, m)
		if err == nil {
			w.sent.Inc()
			return nil
		}
		wait, again := another(err)
		if !again || last || ctx.Err() != nil {
			return fmt.Errorf("try %d: %w", try, err)
		}
		wait = max(min(wait, longestAfter), min(firstPause<<(try-1), longestPause))
		w.log.Debug("a webhook's receiver has not taken an event; it is tried again", "id", m.id, "in", wait, strangler.LogError, err)
		w.pause(wait)
	}
}

// pause is cut short when no more events come: then there is one more try at once.
func (w *worker) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.closing:
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
