package rehearse

import (
	"context"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
)

// gate stands where the proxies' gates would: row changes pass it one by one, and are held while it is closed. It tells how
// long that was.
type gate struct {
	owner func(ctx context.Context) (strangler.Side, error) // as the control store has it

	mu      sync.Mutex
	side    strangler.Side
	since   time.Time     // it is closed; zero: it is open
	changed chan struct{} // closed with whatever changes
	inside  int           // changes under way
	longest time.Duration
	times   int // it was closed, since ResetPause
}

func newGate(owner func(ctx context.Context) (strangler.Side, error)) *gate {
	return &gate{owner: owner, side: strangler.Legacy, changed: make(chan struct{})}
}

func (g *gate) tell() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// enter waits until the gate is open, and says which side writes. leave has to follow.
func (g *gate) enter(ctx context.Context) (strangler.Side, error) {
	for {
		g.mu.Lock()
		if g.since.IsZero() {
			g.inside++
			side := g.side
			g.mu.Unlock()
			return side, nil
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.tell()
}

// Current: there is no instance that could serve anything else.
func (g *gate) Current(context.Context, string) error { return nil }

// Closed holds what comes, and waits for what is under way.
func (g *gate) Closed(ctx context.Context, _ string, _ int64) error {
	g.mu.Lock()
	if g.since.IsZero() {
		g.since = time.Now()
		g.times++
	}
	for g.inside > 0 {
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		g.mu.Lock()
	}
	g.mu.Unlock()
	return nil
}

// Released lets what was held go to the side that owns.
func (g *gate) Released(ctx context.Context, _ string) error {
	side, err := g.owner(ctx)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.since.IsZero() {
		g.longest = max(g.longest, time.Since(g.since))
	}
	g.side, g.since = side, time.Time{}
	g.tell()
	return nil
}

// Pause is the longest time for which it was closed.
func (g *gate) Pause(string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.longest
}

// ResetPause begins to measure anew.
func (g *gate) ResetPause(string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.longest, g.times = 0, 0
}

// closings is how often it was closed since ResetPause.
func (g *gate) closings() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.times
}
