package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/proxy"
)

const (
	pollInterval  = 100 * time.Millisecond // how often the control store is read, as a fallback to pushes
	readPatience  = 3 * time.Second        // how long one reading may take before this instance counts as stale
	heartbeat     = time.Second
	flipPatience  = 2 * time.Second      // how long a flip waits for other instances before it says pending
	ackPoll       = 5 * time.Millisecond // how often acknowledgements of other instances are read
	leaveDeadline = 2 * time.Second
)

// fleet keeps this process's proxy at the control store's toggles, acknowledges what it has applied, and
// knows what the other instances have acknowledged. It is the migrations' Gates and the playbook's
// Toggles.
type fleet struct {
	store     *control.Store
	instances func(context.Context) ([]strangler.Instance, error) // the store's
	proxy     *proxy.Proxy                                        // nil in a process without the proxy role: it applies nothing and is no instance
	id        string
	admin     string
	snapshot  string
	log       *slog.Logger
	tally     *tally

	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{} // holds one while there is something to read

	mu    sync.Mutex
	seen  map[string]strangler.Toggle // what was last handed to the proxy
	saved string                      // the snapshot on disk, in short
	stale bool
}

func newFleet(store *control.Store, p *proxy.Proxy, id, admin, snapshot string, log *slog.Logger) *fleet {
	return &fleet{store: store, instances: store.Instances, proxy: p, id: id, admin: admin, snapshot: snapshot, log: log, tally: newTally(p), seen: map[string]strangler.Toggle{}, wake: make(chan struct{}, 1)}
}

// start registers, applies the present state, and keeps watching.
func (f *fleet) start(ctx context.Context) error {
	if f.proxy != nil {
		if err := f.register(ctx); err != nil {
			return err
		}
	}
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := f.read(ctx); err != nil {
		f.cancel()
		return err
	}
	f.wg.Go(func() { f.watch(ctx) })
	f.wg.Go(func() {
		f.store.Watch(ctx, func() {
			select {
			case f.wake <- struct{}{}:
			default: // it will be read anyway
			}
		})
	})
	if f.proxy != nil {
		f.wg.Go(func() { f.beat(ctx) })
	}
	f.wg.Go(func() { f.add(ctx) })
	return nil
}

// add keeps the tally at what all instances have counted.
func (f *fleet) add(ctx context.Context) {
	for pause(ctx, heartbeat) {
		if err := f.tally.read(ctx, f.store.Traffic); err != nil && ctx.Err() == nil && !f.Stale() {
			f.log.Warn("what the instances have counted cannot be read; the playbook's gates of requests and errors wait", strangler.LogError, err)
		}
	}
}

// toggles are those that were last handed to the proxy.
func (f *fleet) toggles() (all []strangler.Toggle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.seen {
		all = append(all, t)
	}
	return all
}

// register makes this process an instance that has acknowledged nothing yet.
func (f *fleet) register(ctx context.Context) error {
	f.mu.Lock()
	f.seen = map[string]strangler.Toggle{}
	f.mu.Unlock()
	now := time.Now().UTC()
	return f.store.Register(ctx, strangler.Instance{ID: f.id, Admin: f.admin, Started: now, Seen: now})
}

func (f *fleet) close() error {
	f.cancel()
	f.wg.Wait()
	if f.proxy == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveDeadline)
	defer cancel()
	return f.store.Leave(ctx, f.id)
}

func (f *fleet) watch(ctx context.Context) {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		select {
		case <-poll.C:
		case <-f.wake:
		case <-ctx.Done():
			return
		}
		err := f.read(ctx)
		if ctx.Err() != nil {
			return
		}
		f.mu.Lock()
		was := f.stale
		f.stale = err != nil
		f.mu.Unlock()
		if err != nil && !was {
			f.log.Error("the control store cannot be read; this instance is stale and serves what it knows", strangler.LogError, err)
		}
		if err == nil && was {
			f.log.Info("the control store is back")
		}
	}
}

func (f *fleet) beat(ctx context.Context) {
	for pause(ctx, heartbeat) {
		err := f.store.Heartbeat(ctx, f.id, f.tally.more(f.toggles())...)
		if errors.Is(err, strangler.ErrNotFound) { // this process slept for a day, or the store was put back
			err = f.register(ctx)
		}
		if err != nil && ctx.Err() == nil {
			f.log.Warn("heartbeat", strangler.LogInstance, f.id, strangler.LogError, err)
		}
	}
}

// Stale reports whether the control store could not be read lately.
func (f *fleet) Stale() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stale
}

// read takes in every toggle that has changed. A gated one waits for writes in flight, so each is
// applied on its own: a release that follows must not wait for it.
func (f *fleet) read(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, readPatience) // a server behind a broken network does not answer at all
	snap, err := f.store.Snapshot(bounded)
	cancel()
	if err != nil {
		return err
	}
	if f.proxy == nil {
		return nil
	}
	var short strings.Builder
	for _, t := range snap.Toggles {
		fmt.Fprintf(&short, "%s %d %v\n", t.Capability, t.Epoch, t.Gated)
		if f.changed(t) {
			f.wg.Go(func() {
				if err := f.apply(ctx, t); err != nil && ctx.Err() == nil {
					f.again(t) // neither in force nor acknowledged: the next reading tries once more
					f.log.Warn("a toggle was not applied", strangler.LogCapability, t.Capability, strangler.LogEpoch, t.Epoch, strangler.LogError, err)
				}
			})
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.saved == short.String() {
		return nil
	}
	if err := control.SaveSnapshot(f.snapshot, snap); err != nil {
		f.log.Warn("the last good snapshot could not be kept on disk", strangler.LogError, err)
		return nil
	}
	f.saved = short.String()
	return nil
}

// changed remembers t and reports whether it is new.
func (f *fleet) changed(t strangler.Toggle) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	last, ok := f.seen[t.Capability]
	if ok && (t.Epoch < last.Epoch || t.Epoch == last.Epoch && t.Gated == last.Gated) {
		return false
	}
	f.seen[t.Capability] = t
	return true
}

// again forgets that t was handed to the proxy, unless a newer one was.
func (f *fleet) again(t strangler.Toggle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[t.Capability] == t {
		delete(f.seen, t.Capability)
	}
}

// apply puts a toggle in force here and acknowledges its epoch. A capability that this process's
// strangler.yaml does not have is none of its business.
func (f *fleet) apply(ctx context.Context, t strangler.Toggle) error {
	err := f.proxy.Apply(ctx, t)
	switch {
	case errors.Is(err, strangler.ErrNotFound):
		return nil
	case errors.Is(err, strangler.ErrSuperseded):
		return nil // a newer state is in force, and is acknowledged by whoever brought it
	case err != nil:
		return err
	}
	return f.store.Acknowledge(ctx, f.id, t.Capability, t.Epoch)
}

// here applies the capability's present state in this process, at once. What fails is tried once more by the next reading.
func (f *fleet) here(ctx context.Context, capability string) (strangler.Toggle, error) {
	t, err := f.store.Toggle(ctx, capability)
	if err != nil || f.proxy == nil {
		return t, err
	}
	f.changed(t)
	if err = f.apply(ctx, t); err != nil {
		f.again(t)
	}
	return t, err
}

// pending names the live instances that have not acknowledged the epoch, and those that have.
func (f *fleet) pending(ctx context.Context, capability string, epoch int64) (applied, pending []string, err error) {
	all, err := f.instances(ctx)
	for _, i := range all {
		switch {
		case !i.Live:
		case i.Epochs[capability] >= epoch:
			applied = append(applied, i.ID)
		default:
			pending = append(pending, i.ID)
		}
	}
	return applied, pending, err
}

// await returns when nobody is pending, or when ctx ends: then what was last read stands, and it fails when nothing was.
func (f *fleet) await(ctx context.Context, capability string, epoch int64) (applied, pending []string, err error) {
	for known := false; ; known = true {
		a, p, err := f.pending(ctx, capability, epoch)
		if err != nil && known && ctx.Err() != nil {
			return applied, pending, nil
		}
		if err != nil || len(p) == 0 || !pause(ctx, ackPoll) {
			return a, p, err
		}
		applied, pending = a, p
	}
}

// Toggle reads the control store.
func (f *fleet) Toggle(ctx context.Context, capability string) (strangler.Toggle, error) {
	return f.store.Toggle(ctx, capability)
}

// Flip changes a toggle, applies it here at once, and waits for the other instances. A flip to what
// stands already only waits.
func (f *fleet) Flip(ctx context.Context, capability string, change strangler.ToggleChange) (strangler.Flip, error) {
	t, err := f.store.Toggle(ctx, capability)
	if err != nil {
		return strangler.Flip{}, err
	}
	if t.Mode != change.Mode || t.Mode == strangler.ModeCanary && t.Percent != change.Percent {
		if t, err = f.store.Set(ctx, capability, change); err != nil {
			return strangler.Flip{}, err
		}
	}
	if _, err := f.here(ctx, capability); err != nil {
		f.log.Warn("this instance has not applied the flip", strangler.LogCapability, capability, strangler.LogError, err)
	}
	bounded, cancel := context.WithTimeout(ctx, flipPatience)
	defer cancel()
	flip := strangler.Flip{Toggle: t}
	if flip.Applied, flip.Pending, err = f.await(bounded, capability, t.Epoch); err != nil {
		return strangler.Flip{}, fmt.Errorf("the toggle of %s is %s at epoch %d, but who has applied it is not known: %w; the same once more changes nothing, and says who has: %w",
			capability, t.Describe(), t.Epoch, err, strangler.ErrStopped)
	}
	return flip, nil
}

// Current fails unless every live instance has the present epoch.
func (f *fleet) Current(ctx context.Context, capability string) error {
	t, err := f.here(ctx, capability)
	if err != nil {
		return err
	}
	_, pending, err := f.pending(ctx, capability, t.Epoch)
	if err == nil && len(pending) > 0 {
		err = fmt.Errorf("instances %s have not applied epoch %d of %s", strings.Join(pending, ", "), t.Epoch, capability)
	}
	return err
}

// Closed closes the gate here and waits until every live instance has closed its own.
func (f *fleet) Closed(ctx context.Context, capability string, epoch int64) error {
	if _, err := f.here(ctx, capability); err != nil {
		return err
	}
	_, pending, err := f.await(ctx, capability, epoch)
	if err == nil && len(pending) > 0 {
		err = fmt.Errorf("instances %s did not close their gates for epoch %d in time", strings.Join(pending, ", "), epoch)
	}
	return err
}

// Released lets held writes go here; other instances read it within their poll interval.
func (f *fleet) Released(ctx context.Context, capability string) error {
	_, err := f.here(ctx, capability)
	return err
}

// Pause and ResetPause measure this process's proxy.
func (f *fleet) Pause(capability string) time.Duration {
	if f.proxy == nil {
		return 0
	}
	return f.proxy.Stats(capability).LongestHold
}

func (f *fleet) ResetPause(capability string) {
	if f.proxy != nil {
		f.proxy.ResetHold(capability)
	}
}
