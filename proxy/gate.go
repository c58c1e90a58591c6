package proxy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
)

// gate stands before one capability's writes. Open, it counts those that have passed and not yet
// ended; closed, it lets none pass. Entering and closing take the same lock, so that a write either
// is counted when the gate closes or is held.
type gate struct {
	mu       sync.Mutex
	epoch    int64         // of the toggle that closed it
	opened   chan struct{} // nil while open; closed when the gate opens again
	inflight int
	empty    chan struct{} // not nil while a drain waits; closed when inflight reaches 0 behind a closed gate

	held      int
	heldTotal uint64
	refused   uint64 // answered 503 by a bound
	longest   time.Duration
}

// enter lets a write pass, and then leave must be called once. Or it returns the channel that is
// closed when the gate opens.
func (g *gate) enter() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		return g.opened
	}
	g.inflight++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inflight--
	if g.inflight == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

func (g *gate) close(epoch int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.epoch = epoch
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened == nil {
		return
	}
	close(g.opened)
	g.opened = nil
}

// drained waits until no write is in flight behind the gate that this epoch closed. It fails with
// ErrSuperseded when a newer toggle came meanwhile.
func (g *gate) drained(ctx context.Context, capability string, epoch int64, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		g.mu.Lock()
		if g.opened == nil || g.epoch != epoch {
			g.mu.Unlock()
			return superseded(capability, epoch)
		}
		if g.inflight == 0 {
			g.mu.Unlock()
			return nil
		}
		if g.empty == nil {
			g.empty = make(chan struct{})
		}
		empty, opened, left := g.empty, g.opened, g.inflight
		g.mu.Unlock()
		select {
		case <-empty:
		case <-opened:
		case <-timer.C:
			return fmt.Errorf("gate of %s at epoch %d: %d writes are still in flight after %v; the gate stays closed and holds what comes: abort the cutover, release, and try again",
				capability, epoch, left, limit)
		case <-ctx.Done():
			return fmt.Errorf("gate of %s at epoch %d: %d writes are still in flight; the gate stays closed: %w", capability, epoch, left, ctx.Err())
		}
	}
}

func superseded(capability string, epoch int64) error {
	return fmt.Errorf("gate of %s: a newer toggle than epoch %d is in force, so its gate is not closed: %w", capability, epoch, strangler.ErrSuperseded)
}

// hold takes one of the places before the gate, or says that all are taken. A request that is held
// again, because the gate closed once more, counts once.
func (g *gate) hold(places int, again bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held >= places {
		g.refused++
		return false
	}
	g.held++
	if !again {
		g.heldTotal++
	}
	return true
}

// unhold frees the place of a request that has been held for so long, since it first was.
func (g *gate) unhold(held time.Duration, refused bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held--
	g.longest = max(g.longest, held)
	if refused {
		g.refused++
	}
}

func (g *gate) resetHold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.longest = 0
}
