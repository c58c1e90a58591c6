package model

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// lease is how long a silent worker keeps its split, by a clock that stands still until the test moves it.
const lease = 200 * time.Millisecond

var (
	errDead   = errors.New("this process is dead")
	errBroken = errors.New("broken by the test")
)

// process is a worker as a process of its own: everything that it reaches, it reaches through calls that
// are held until it is their turn, and that reach nothing any more once it is dead. What it has begun by
// then is left as a kill leaves it.
type process struct {
	name   string
	store  *control.Store
	splits *migrations.Splits
	end    context.CancelFunc // ends the waiting of those who gave it commands
	ctx    context.Context
	orders sync.WaitGroup

	mu       sync.Mutex
	changed  chan struct{} // closed and made anew whenever something below has changed
	free     bool          // calls are not held
	turns    int           // calls that may still begin
	dead     bool
	asleep   bool // its lease has ended and it does not know; it is dead once it has noticed
	active   int  // calls under way, but for waits
	waits    int  // waits for changes under way
	applying int  // transactions at the follower that are open
	passed   int  // calls that have begun
	asked    bool // a call has come, so it has had its lease
	last     string
	trap     *trap
}

// trap is a durable statement that will go wrong.
type trap struct {
	point string // as Config.Fault has it
	left  int    // so many times it goes well
	kill  bool   // the process dies there; otherwise the statement is reported failed
}

func (t trap) String() string {
	what := "fails"
	if t.kill {
		what = "kills the worker"
	}
	return fmt.Sprintf("%s %s, %d times later", t.point, what, t.left)
}

// startProcess starts a worker over a store and two databases of its own, held before its first call.
func startProcess(ctx context.Context, name string, c strangler.Capability, dsn, dir string, clock func() time.Time, bounds migrations.Bounds) (*process, error) {
	p := &process{name: name, changed: make(chan struct{})}
	p.ctx, p.end = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if p.store, err = control.Open(ctx, control.Config{DSN: dsn, Clock: clock, Fault: p.fault}); err != nil {
		return nil, err
	}
	bounds.Lease = lease
	reach := &reach{p}
	open := func(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
		if err := p.enter(ctx, "open "+string(b.Side)); err != nil {
			return nil, err
		}
		defer p.leave()
		d, err := engines.Open(ctx, b)
		if err != nil {
			return nil, err
		}
		return &database{d, p, string(b.Side)}, nil
	}
	p.splits, err = migrations.New(migrations.Config{
		Capabilities: []strangler.Capability{c}, Open: open, Dir: dir, ControlID: p.store.ID(), Decisions: reach, Records: reach, Leases: reach, Adopter: p.store,
		Gates: gates{}, Worker: name, Bounds: bounds, Fault: p.fault, Log: runLog(),
	})
	if err != nil {
		return nil, errors.Join(err, p.store.Close())
	}
	p.splits.Start(context.WithoutCancel(ctx))
	return p, nil
}

// gates are those of no proxy: applications write at any side at any time, and the fences alone refuse.
type gates struct{}

func (gates) Current(context.Context, string) error       { return nil }
func (gates) Closed(context.Context, string, int64) error { return nil }
func (gates) Released(context.Context, string) error      { return nil }
func (gates) Pause(string) time.Duration                  { return 0 }
func (gates) ResetPause(string)                           {}

// note tells those who wait that something has changed. The lock is held.
func (p *process) note() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// change changes what is below the lock.
func (p *process) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.note()
}

// see reads what is below the lock.
func (p *process) see(f func()) (changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	return p.changed
}

// enter holds a call until it may begin.
func (p *process) enter(ctx context.Context, call string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.asked {
		p.asked = true
		p.note()
	}
	for !p.dead && !p.free && p.turns == 0 {
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		p.mu.Lock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if p.dead {
		return errDead
	}
	if !p.free {
		p.turns--
	}
	p.active++
	p.passed++
	p.last = call
	p.note()
	return nil
}

func (p *process) leave() { p.change(func() { p.active-- }) }

// enterOrEnd is enter for calls of a worker that does not give up: where the process is dead, its
// goroutine ends.
func (p *process) enterOrEnd(ctx context.Context, call string) error {
	err := p.enter(ctx, call)
	p.endIfDead()
	return err
}

func (p *process) leaveOrEnd() {
	p.leave()
	p.endIfDead()
}

func (p *process) endIfDead() {
	dead := false
	p.see(func() { dead = p.dead })
	if dead {
		runtime.Goexit()
	}
}

// fault is Config.Fault of the splits and of the control store.
func (p *process) fault(point string) (err error) {
	p.change(func() {
		switch {
		case p.dead:
			err = errDead
		case p.trap == nil || p.trap.point != point:
		case p.trap.left > 0:
			p.trap.left--
		default:
			err = errBroken
			if p.trap.kill {
				p.dead, err = true, errDead
			}
			p.trap = nil
		}
	})
	return err
}

// work lets so many calls begin, and returns when they have ended, or when there is nothing more to do.
// idle says whether a worker that waits for changes has seen all of them.
func (p *process) work(turns int, idle func() bool) {
	p.change(func() { p.turns = turns })
	defer p.change(func() { p.turns = 0 })
	still := time.NewTimer(stillAfter)
	defer still.Stop()
	for {
		var ended, waiting bool
		changed := p.see(func() {
			ended = p.dead || p.turns == 0 && p.active == 0
			waiting = p.waits > 0 && p.active == 0
		})
		if ended || waiting && idle() {
			return
		}
		select {
		case <-changed:
			still.Reset(stillAfter)
		case <-time.After(poll):
		case <-still.C: // it waits for a lock, or until it tries something again
			return
		}
	}
}

// A worker in which nothing has moved for so long is left to itself; poll is how often what gives no signal
// is looked at.
const (
	stillAfter = 60 * time.Millisecond
	poll       = 2 * time.Millisecond
)

// awaitLease returns when the process has had its lease. A call of the one before it that was under way when that
// fell asleep may have renewed the lease at the last moment, so it is let end again from time to time.
func (p *process) awaitLease(end func()) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	again := time.NewTicker(lease)
	defer again.Stop()
	for {
		asked := false
		changed := p.see(func() { asked = p.asked })
		if asked {
			return nil
		}
		select {
		case <-changed:
		case <-again.C:
			end()
		case <-late.C:
			return fmt.Errorf("%s does not get the lease", p.name)
		}
	}
}

// finishApplying lets a worker go on until it has no transaction open at the follower.
func (p *process) finishApplying() {
	for {
		open, turns := 0, 0
		p.see(func() { open, turns = p.applying, p.passed })
		if open == 0 {
			return
		}
		p.work(1, func() bool { return false })
		stuck := false
		p.see(func() { stuck = p.passed == turns })
		if stuck {
			return
		}
	}
}

// kill ends the process where it stands, and returns when nothing of it is left.
func (p *process) kill() error {
	p.change(func() { p.dead = true })
	p.end()
	p.orders.Wait()
	return errors.Join(p.splits.Close(), p.store.Close())
}
