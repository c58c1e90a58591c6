package migrations

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
)

const (
	// throttleCheck is how old a measurement may be that lets a chunk begin, and how often it is taken again while
	// the copy waits.
	throttleCheck = 250 * time.Millisecond
	// throttleCalm is how long the limits have to be kept before the log says that a throttle has ended: a copy that
	// goes on may well be what brings the load back.
	throttleCalm = 10 * time.Second
	// shortChunk and shortFirst take the place of chunkTime and firstChunk where there are limits, or one lane: a chunk
	// that has begun runs to its end.
	shortChunk = 250 * time.Millisecond
	shortFirst = 10_000
)

// Load is how loaded a side's server is. What Binding.Throttle has no limit for may be left at zero.
type Load struct {
	Sessions int
	Lag      time.Duration
	LagBytes int64
	Latency  time.Duration
	Unseen   string // what the role may not see of it, and what would let it; empty: nothing
}

// Meter is an engine that can tell how loaded its server is, apart from what its own sessions do there.
type Meter interface {
	// Load measures what Binding.Throttle has limits for. Where an answer does not come, it returns little later than
	// the limit for the latency, which is then the time waited so far.
	Load(ctx context.Context) (Load, error)
}

// meter is the engine of a side whose copy has limits; nil where there are none.
func meter(c strangler.Capability, d Database) (Meter, error) {
	if c.Throttle == (strangler.Throttle{}) {
		return nil, nil
	}
	m, ok := engine(d).(Meter)
	if !ok {
		return nil, strangler.Refuse("throttle", fmt.Sprintf("the legacy database of %s does not tell how loaded it is, so the limits of its throttle cannot be kept", c.Name), "leave `throttle` out")
	}
	return m, nil
}

// throttle has the lanes of a copy wait while the source is loaded beyond a limit, or does not tell. Nothing else waits
// for it. It is safe for concurrent use.
type throttle struct {
	limits strangler.Throttle
	log    *slog.Logger
	turn   chan struct{} // whoever has put something in measures for all lanes

	mu      sync.Mutex
	checked time.Time
	why     string    // the copy waits; empty: it goes on
	since   time.Time // when why was set
	waited  time.Duration
	logged  time.Time     // when the log has said that a throttle began; zero: since then it has ended
	before  time.Duration // waited at logged
	calm    time.Time     // when the limits were last found exceeded
	unseen  string        // as the log has it
}

func newThrottle(c strangler.Capability, log *slog.Logger) *throttle {
	return &throttle{limits: c.Throttle, log: log.With(strangler.LogCapability, c.Name), turn: make(chan struct{}, 1)}
}

// pass returns when a chunk may begin. A nil meter has no limits.
func (t *throttle) pass(ctx context.Context, m Meter) error {
	if m == nil {
		return nil
	}
	free, err := t.look(ctx, m)
	if err != nil || free {
		return err
	}
	tick := time.NewTicker(throttleCheck)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if free, err = t.look(ctx, m); err != nil || free {
			return err
		}
	}
}

// look tells whether a chunk may begin, by a measurement that is new or was taken for another lane just now.
func (t *throttle) look(ctx context.Context, m Meter) (free bool, err error) {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-t.turn }()
	t.mu.Lock()
	fresh, why := time.Since(t.checked) < throttleCheck, t.why
	t.mu.Unlock()
	if fresh {
		return why == "", nil
	}
	load, err := m.Load(ctx)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		// A server that does not answer may be one that is loaded, and nobody would know when it no longer is. Whoever
		// set limits wants to be told, not to have them dropped.
		why = fmt.Sprintf("the load of the legacy database cannot be read: %v", err)
	} else {
		why = beyond(t.limits, load)
	}
	t.set(time.Now(), why, load.Unseen)
	return why == "", nil
}

// beyond names the limits that a load exceeds; empty: none.
func beyond(limits strangler.Throttle, l Load) string {
	var over []string
	if limits.Sessions > 0 && l.Sessions > limits.Sessions {
		over = append(over, fmt.Sprintf("%d active sessions, limit %d", l.Sessions, limits.Sessions))
	}
	if limits.Lag > 0 && l.Lag > limits.Lag {
		over = append(over, fmt.Sprintf("a standby is %s behind, limit %s", l.Lag.Round(time.Millisecond), limits.Lag))
	}
	if limits.LagBytes > 0 && l.LagBytes > limits.LagBytes {
		over = append(over, fmt.Sprintf("a standby is %d bytes behind, limit %d", l.LagBytes, limits.LagBytes))
	}
	if limits.Latency > 0 && l.Latency > limits.Latency {
		over = append(over, fmt.Sprintf("reading a row and a commit took %s, limit %s", l.Latency.Round(100*time.Microsecond), limits.Latency))
	}
	return strings.Join(over, "; ")
}

// set takes a measurement's outcome. The log has the beginning and the end of a throttle, not each change.
func (t *throttle) set(now time.Time, why, unseen string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(now, why)
	t.checked = now
	if unseen != "" && unseen != t.unseen {
		t.log.Warn("the throttle does not see all of the load", "unseen", unseen)
	}
	t.unseen = unseen
	switch {
	case why != "" && t.logged.IsZero():
		t.log.Info("the copy is throttled", "why", why)
		t.logged, t.before = now, t.waited
	case why == "" && now.Sub(t.calm) >= throttleCalm:
		t.tellEnd(now)
	}
	if why != "" {
		t.calm = now
	}
}

func (t *throttle) settle(now time.Time, why string) {
	if t.why != "" {
		t.waited += now.Sub(t.since)
	}
	t.why, t.since = why, now
}

func (t *throttle) tellEnd(now time.Time) {
	if !t.logged.IsZero() {
		t.log.Info("the copy is no longer throttled", "after", now.Sub(t.logged), "waited", t.waited-t.before)
	}
	t.logged = time.Time{}
}

// end is for a copy that is over, finished or not. No lane may be waiting.
func (t *throttle) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.settle(now, "")
	t.tellEnd(now)
	t.checked = time.Time{}
}

// state is why the copy waits, empty where it does not, and how long it has waited in all.
func (t *throttle) state() (why string, waited time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	waited = t.waited
	if t.why != "" {
		waited += time.Since(t.since)
	}
	return t.why, waited
}
