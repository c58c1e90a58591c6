package h1

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// watchTick is how exact limits of time are.
const watchTick = 100 * time.Millisecond

// Watch keeps the limits of time of many connections, and notices clients that have left while they
// wait. It is one goroutine: a limit costs its connection two stores, where a deadline of the
// runtime's costs a timer. A server and its upstreams share one.
type Watch struct {
	now   atomic.Int64 // nanoseconds, as of the last tick
	mu    sync.Mutex
	wires map[*wire]struct{}
	pools map[*Upstream]struct{}
	stop  chan struct{}
	ended chan struct{}
}

// NewWatch starts a watch, which Close ends.
func NewWatch() *Watch {
	w := &Watch{wires: map[*wire]struct{}{}, pools: map[*Upstream]struct{}{}, stop: make(chan struct{}), ended: make(chan struct{})}
	w.now.Store(time.Now().UnixNano())
	go w.run()
	return w
}

// Close ends the watch. Whatever it watches has to be closed before.
func (w *Watch) Close() {
	close(w.stop)
	<-w.ended
}

func (w *Watch) run() {
	defer close(w.ended)
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		now := time.Now().UnixNano()
		w.now.Store(now)
		w.sweep(now, n%5 == 0)
	}
}

// sweep ends the phases whose time is over. Clients are looked at less often: that is a system call.
func (w *Watch) sweep(now int64, clients bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.wires {
		if word := c.in.word.Load(); word < now && c.in.cut(word, expired) {
			c.cutRead()
		}
		if word := c.out.word.Load(); word < now && c.out.cut(word, expired) {
			c.cutWrite()
		}
		if clients {
			c.orphan()
		}
	}
	for p := range w.pools {
		p.expire(now)
	}
}

func (w *Watch) add(c *wire) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wires[c] = struct{}{}
}

func (w *Watch) remove(c *wire) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.wires, c)
}

// limit is the time that one direction of a connection has for what it does now. Its owner begins and
// ends phases; others may cut the phase that they saw, never a later one: every phase has a word of
// its own.
type limit struct {
	word  atomic.Int64
	phase int64
}

// The words that stand for no time.
const (
	nothing int64 = -iota // no phase
	expired               // its time is over
	left                  // the client that it is done for has left
	closing               // the server is closing
)

const phaseBits = 1<<16 - 1

func (l *limit) begin(w *Watch, d time.Duration) {
	l.phase++
	l.word.Store((w.now.Load()+int64(d))&^phaseBits | l.phase&phaseBits)
}

// end ends the phase and says how: nothing, or why it was cut.
func (l *limit) end() int64 {
	if l.word.Load() == nothing {
		return nothing
	}
	return min(l.word.Swap(nothing), nothing)
}

// shorten has the phase of that word end sooner, if it is still going on.
func (l *limit) shorten(word, at int64) {
	if word > at {
		l.word.CompareAndSwap(word, at&^phaseBits|word&phaseBits)
	}
}

// cut ends the phase of that word, if it is still going on. The watch's lock has to be held until the
// connection's deadline is set as well.
func (l *limit) cut(word, why int64) bool { return word > 0 && l.word.CompareAndSwap(word, why) }

// orphan cuts the wait for an upstream's answer when the client that it is for has left. One that has
// only ended its own direction counts as having left, as it does for net/http.
func (c *wire) orphan() {
	up := c.upstream.Load()
	if up != nil && c.through.Load() {
		up = nil
	}
	if up == nil && c.gone.Load() == nil || !c.hungUp() {
		return
	}
	if up != nil {
		// The word that is read while up still is the upstream belongs to this client's wait.
		if word := up.in.word.Load(); c.upstream.Load() == up && !c.through.Load() && up.in.cut(word, left) {
			up.cutRead()
		}
	}
	if gone := c.gone.Load(); gone != nil && c.gone.CompareAndSwap(gone, nil) {
		close(*gone)
	}
}

// peek looks at what the other end did, without taking anything from what it has sent.
func (c *wire) peek() (n int, err error) {
	if c.raw == nil {
		return 0, syscall.EAGAIN // what TLS has to say shows at the next read
	}
	if failed := c.raw.Control(func(fd uintptr) { n, err = sysPeek(fd) }); failed != nil {
		return 0, failed
	}
	return n, err
}

// hungUp reports whether the other end has closed, as far as that can be seen behind what it has sent.
func (c *wire) hungUp() bool {
	n, err := c.peek()
	return n == 0 && err == nil || err != nil && err != syscall.EAGAIN
}

// quiet reports whether the other end has neither closed nor sent anything.
func (c *wire) quiet() bool {
	_, err := c.peek()
	return err == syscall.EAGAIN
}
