package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// UpstreamConfig says where an upstream is and what it may take. Every field but TLS has to be set.
type UpstreamConfig struct {
	Address   string        // host:port
	Host      string        // for requests that name no host, which HTTP/1.0 allows
	TLS       *tls.Config   // nil: it is spoken to in the clear
	Dial      time.Duration // connecting, TLS included
	Answer    time.Duration // from the request's last byte to the answer's head
	Pause     time.Duration // without a byte of the answer's body
	Idle      time.Duration // how long a connection is kept: less than the upstream keeps it
	MostIdle  int           // connections that are kept
	HeadBytes int           // of an answer
	Lines     int           // header lines of an answer
}

// Upstream has the connections to one address. It may be used by many goroutines.
type Upstream struct {
	UpstreamConfig
	watch *Watch

	mu     sync.Mutex
	idle   []idleWire // the last one was used last
	closed bool
}

type idleWire struct {
	c     *wire
	until int64
}

// NewUpstream connects to nothing yet. Close ends it.
func NewUpstream(c UpstreamConfig, w *Watch) *Upstream {
	u := &Upstream{UpstreamConfig: c, watch: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pools[u] = struct{}{}
	return u
}

// take returns a connection that nobody uses: one that was used before, unless fresh is asked for. With
// look it is none that the upstream has closed, or on which it sent something that nobody asked for;
// without, request finds that out.
func (u *Upstream) take(ctx context.Context, fresh, look bool) (c *wire, used bool, err error) {
	for !fresh {
		if c = u.pop(); c == nil {
			break
		}
		if !look || c.quiet() {
			c.used = true
			return c, true, nil
		}
		c.close()
	}
	ctx, cancel := context.WithTimeout(ctx, u.Dial)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", u.Address)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if u.TLS != nil {
		secured := tls.Client(nc, u.TLS)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, false, fmt.Errorf("%w: %w", ErrUnreachable, errors.Join(err, nc.Close()))
		}
		nc = secured
	}
	return newWire(nc, u.watch), false, nil
}

func (u *Upstream) pop() *wire {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := len(u.idle) - 1
	if last < 0 {
		return nil
	}
	c := u.idle[last].c
	u.idle[last] = idleWire{}
	u.idle = u.idle[:last]
	return c
}

// put keeps a connection for the next request. Nothing may be left in it.
func (u *Upstream) put(c *wire) {
	c.rest()
	c.rested = time.Now()
	u.mu.Lock()
	keep := !u.closed && len(u.idle) < u.MostIdle
	if keep {
		u.idle = append(u.idle, idleWire{c, u.watch.now.Load() + int64(u.Idle)})
	}
	u.mu.Unlock()
	if !keep {
		c.close()
	}
}

// expire is the watch's, whose lock is held: it closes connections that nobody used for long.
func (u *Upstream) expire(now int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for n < len(u.idle) && u.idle[n].until < now {
		c := u.idle[n].c
		delete(u.watch.wires, c)
		_ = c.nc.Close() // nothing is under way on it
		n++
	}
	if n > 0 {
		kept := copy(u.idle, u.idle[n:])
		clear(u.idle[kept:])
		u.idle = u.idle[:kept]
	}
}

// Close closes the connections that nobody uses; those in use are closed when they are put back.
func (u *Upstream) Close() error {
	u.watch.mu.Lock()
	delete(u.watch.pools, u)
	u.watch.mu.Unlock()
	u.mu.Lock()
	u.closed = true
	idle := u.idle
	u.idle = nil
	u.mu.Unlock()
	for _, i := range idle {
		i.c.close()
	}
	return nil
}
