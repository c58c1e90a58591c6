package outage

import (
	"context"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
)

const gatePoll = 20 * time.Millisecond

// gate is a proxy: it sends writes where the control store says, holds them while a cutover is under way, and
// counts those it held. It is the migrations' Gates.
type gate struct {
	store      *control.Store
	capability string
	pass       func(point string) error
	cancel     context.CancelFunc
	wg         sync.WaitGroup

	mu       sync.Mutex
	state    strangler.Toggle
	changed  chan struct{} // closed at every change
	inflight map[int64]int // by epoch at which the write began
	held     int
	closings int
	longest  time.Duration
}

func newGate(ctx context.Context, store *control.Store, capability string, pass func(string) error) (*gate, error) {
	g := &gate{store: store, capability: capability, pass: pass, changed: make(chan struct{}), inflight: map[int64]int{}}
	if err := g.read(ctx); err != nil {
		return nil, err
	}
	ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	g.wg.Go(func() {
		tick := time.NewTicker(gatePoll)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = g.read(ctx) // a store that does not answer leaves it as it was
			case <-ctx.Done():
				return
			}
		}
	})
	return g, nil
}

func (g *gate) close() { g.cancel(); g.wg.Wait() }

// read takes in the control store's state, unless it is older than what is in force.
func (g *gate) read(ctx context.Context) error {
	t, err := g.store.Toggle(ctx, g.capability)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.Epoch > g.state.Epoch || t.Epoch == g.state.Epoch && g.state.Gated && !t.Gated {
		g.state = t
		close(g.changed)
		g.changed = make(chan struct{})
	}
	return nil
}

// enter waits while the gate is closed, and says where a write goes. leave has to be called behind it.
func (g *gate) enter(ctx context.Context) (side strangler.Side, leave func(), err error) {
	began := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state.Gated {
		g.held++
	}
	for g.state.Gated {
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		g.mu.Lock()
		if ctx.Err() != nil {
			return "", nil, ctx.Err()
		}
		g.longest = max(g.longest, time.Since(began))
	}
	epoch := g.state.Epoch
	g.inflight[epoch]++
	return g.state.Owner, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.inflight[epoch]--; g.inflight[epoch] == 0 {
			delete(g.inflight, epoch)
			close(g.changed)
			g.changed = make(chan struct{})
		}
	}, nil
}

// Current is always so: there is one gate, and it reads the store.
func (g *gate) Current(ctx context.Context, _ string) error { return g.read(ctx) }

// Closed waits for the writes that began before the epoch.
func (g *gate) Closed(ctx context.Context, _ string, epoch int64) error {
	if err := g.pass("gate.before"); err != nil {
		return err
	}
	g.mu.Lock()
	g.closings++
	g.mu.Unlock()
	if err := g.read(ctx); err != nil {
		return err
	}
	for {
		g.mu.Lock()
		changed, waits := g.changed, g.state.Epoch < epoch
		for e := range g.inflight {
			waits = waits || e < epoch
		}
		g.mu.Unlock()
		if !waits {
			return g.pass("gate.after")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *gate) Released(ctx context.Context, _ string) error { return g.read(ctx) }

func (g *gate) Pause(string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.longest
}

func (g *gate) ResetPause(string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.longest = 0
}

// closed counts how often the gate was closed since it was made.
func (g *gate) closed() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closings
}
