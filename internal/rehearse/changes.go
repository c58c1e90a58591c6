package rehearse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strangler-fig/strangler"
)

// changes writes at whichever side owns, one change after the other. All values are production's: rows exchange them, go
// away and come back.
type changes struct {
	gate  *gate
	pause time.Duration // between two
	notes *notes
	told  atomic.Int64 // of both sides
	began time.Time

	mu      sync.Mutex
	sides   map[strangler.Side]*writer
	made    map[strangler.Side]int64
	refused map[string]int64 // by table and what was tried
	stay    bool             // no row of a part of a table goes away
	home    chan struct{}    // closed when none is, with stay
	stop    context.CancelFunc
	done    chan struct{}
}

// startChanges begins to write at legacy. Close ends it.
func startChanges(ctx context.Context, g *gate, perSecond int, legacy *writer, n *notes) *changes {
	c := &changes{gate: g, pause: time.Second / time.Duration(perSecond), notes: n, began: time.Now(), sides: map[strangler.Side]*writer{strangler.Legacy: legacy},
		made: map[strangler.Side]int64{}, refused: map[string]int64{}, done: make(chan struct{})}
	ctx, c.stop = context.WithCancel(ctx)
	go c.run(ctx)
	return c
}

// join adds the service's side, before it owns.
func (c *changes) join(w *writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sides[strangler.Service] = w
}

// Close ends the writing, and waits for it.
func (c *changes) Close() error {
	c.stop()
	<-c.done
	var errs []error
	for _, w := range c.sides {
		errs = append(errs, w.db.Close())
	}
	return errors.Join(errs...)
}

// count is how many were made at a side so far.
func (c *changes) count(side strangler.Side) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made[side]
}

// rate is how many a second there were so far.
func (c *changes) rate() float64 { return float64(c.told.Load()) / time.Since(c.began).Seconds() }

// gather has every row come back that is away from a part of a table, and none go away until release: what a side took away before it
// stopped owning would be new to the other when it came back behind the next hand-over, and there nobody but the monolith may add.
func (c *changes) gather(ctx context.Context) (release func(), err error) {
	home := make(chan struct{})
	c.mu.Lock()
	c.stay, c.home = true, home
	c.mu.Unlock()
	release = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stay, c.home = false, nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-home:
	case <-timer.C: // what cannot come back is said of the tables
	case <-c.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return release, err
}

func (c *changes) run(ctx context.Context) {
	defer close(c.done)
	tick := time.NewTicker(max(c.pause, time.Millisecond))
	defer tick.Stop()
	last := strangler.Legacy
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		side, err := c.gate.enter(ctx)
		if err != nil {
			return
		}
		c.mu.Lock()
		w, stay := c.sides[side], c.stay
		c.mu.Unlock()
		if side != last { // the other side's rows have changed meanwhile
			last, err = side, w.look(ctx)
		}
		var what string
		if err == nil {
			what, err = w.change(ctx, stay)
		}
		c.gate.leave()
		c.told.Add(1)
		c.mu.Lock()
		if c.home != nil && stay && w.home() {
			close(c.home)
			c.home = nil
		}
		switch {
		case err == nil && what != "":
			c.made[side]++
		case err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "strangler:"):
			c.notes.surprise("a change that had passed the gate was refused by the fence of the %s database: %s", side, what)
		case err != nil && ctx.Err() == nil:
			c.refused[fmt.Sprintf("%s at the %s side: %s", what, side, w.kind.why(err))]++
		}
		c.mu.Unlock()
	}
}
