package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/proxy/h1"
)

// announced reports whether a peer's connections begin with a PROXY header, which names the client: those of a load balancer
// that is trusted do. What the header names is a peer like any other from there on.
func (p *Proxy) announced(peer net.Addr) bool {
	return p.config.ProxyProtocol && p.forwarding.peer(peer.String()).trusted
}

// unannounced says why a balancer's connection was closed, once a second at most: whoever reaches a balancer that sends no
// header causes it.
func (p *Proxy) unannounced(peer net.Addr, why error) {
	now, last := time.Now().UnixNano(), p.complained.Load()
	if now-last < int64(time.Second) || !p.complained.CompareAndSwap(last, now) {
		return
	}
	p.config.Log.Warn("a connection of a trusted peer was closed; have it send a PROXY header, or take it out of proxy.trust", "peer", peer, strangler.LogError, why)
}

// clients is the listener of connections that net/http takes itself: over TLS, and with engine nethttp all. It bounds them as
// engine h1 does its own: past the limit one that waits for its next request is closed, or else the new one.
type clients struct {
	net.Listener // of TCP
	p            *Proxy

	mu      sync.Mutex // guards what follows, and the like of each connection
	open    int
	leaving int                      // of them, those that make room for others
	waiting map[*clientConn]struct{} // for a request, the first or the next
	none    chan struct{}            // closed when none is open; nil: nobody waits for that
}

func newClients(l net.Listener, p *Proxy) *clients {
	return &clients{Listener: l, p: p, waiting: map[*clientConn]struct{}{}}
}

func (l *clients) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &clientConn{TCPConn: nc.(*net.TCPConn), of: l, born: time.Now()}
		if l.admit(c) {
			return c, nil
		}
		_ = nc.Close() // nothing was read from it
	}
}

func (l *clients) admit(c *clientConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.open-l.leaving >= l.p.config.Limits.Connections {
		if !l.makeRoom() {
			return false
		}
	}
	l.open++
	l.waiting[c] = struct{}{}
	return true
}

// left returns when no connection is open any more, or when ctx ends. None may be taken any more.
func (l *clients) left(ctx context.Context) {
	l.mu.Lock()
	if l.open == 0 {
		l.mu.Unlock()
		return
	}
	none := make(chan struct{})
	l.none = none
	l.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
}

const (
	newcomer   = time.Second // how long a connection is left to ask for something
	mostLooked = 64          // which bounds what a flood of connections costs
)

// past is a deadline that is over.
var past = time.Unix(1, 0)

// makeRoom ends the wait of a connection, if one is found soon. The lock is held.
func (l *clients) makeRoom() bool {
	looked := 0
	for c := range l.waiting { // in no order
		if time.Since(c.born) > newcomer {
			delete(l.waiting, c)
			l.leaving++
			c.leaving = true
			_ = c.TCPConn.SetReadDeadline(past) // one that is broken ends by itself
			return true
		}
		if looked++; looked == mostLooked {
			break
		}
	}
	return false
}

// changed follows what net/http says of a connection. It says that one is active before it acts on a request, and reads nothing in
// between: so whoever was to make room and has asked in that very instant stays.
func (l *clients) changed(nc net.Conn, to http.ConnState) {
	if secured, ok := nc.(*tls.Conn); ok {
		nc = secured.NetConn()
	}
	c, ok := nc.(*clientConn)
	if !ok {
		return // engine h1 has handed it over, and counts it
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch to {
	case http.StateActive:
		delete(l.waiting, c)
		if c.leaving {
			c.stay()
			_ = c.TCPConn.SetReadDeadline(c.until)
		}
	case http.StateIdle:
		if !c.closed {
			l.waiting[c] = struct{}{}
		}
	}
}

// clientConn is a connection whose first bytes may be a PROXY header. That is read by the first who asks for the address or for
// bytes, which is the connection's own goroutine: net/http asks for the address before anything else.
type clientConn struct {
	*net.TCPConn
	of     *clients
	born   time.Time
	header sync.Once
	from   net.Addr // the client's

	leaving bool      // it makes room for another one: whatever deadline is set, it reads no more
	until   time.Time // the deadline that is set
	closed  bool
}

// stay takes back that it makes room. The lock is held.
func (c *clientConn) stay() {
	c.leaving = false
	c.of.leaving--
}

func (c *clientConn) SetReadDeadline(until time.Time) error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.until = until; c.leaving {
		return nil
	}
	return c.TCPConn.SetReadDeadline(until)
}

func (c *clientConn) Close() error {
	c.of.mu.Lock()
	if !c.closed {
		c.closed = true
		if c.of.open--; c.of.open == 0 && c.of.none != nil {
			close(c.of.none)
			c.of.none = nil
		}
		delete(c.of.waiting, c)
		if c.leaving {
			c.stay()
		}
	}
	c.of.mu.Unlock()
	return c.TCPConn.Close()
}

func (c *clientConn) RemoteAddr() net.Addr {
	c.header.Do(c.readHeader)
	return c.from
}

func (c *clientConn) Read(b []byte) (int, error) {
	c.header.Do(c.readHeader)
	return c.TCPConn.Read(b)
}

// readHeader closes the connection if there ought to be a header and is none.
func (c *clientConn) readHeader() {
	p := c.of.p
	if c.from = c.TCPConn.RemoteAddr(); !p.announced(c.from) {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(p.config.Timeouts.Head)) // net/http sets its own for what follows
	from, some, err := c.readExactly()
	if err != nil {
		_ = c.Close()                                       // so that whoever reads on learns that it is over
		if some || errors.Is(err, os.ErrDeadlineExceeded) { // else it only looked whether somebody listens
			p.unannounced(c.from, err)
		}
		return
	}
	if from.IsValid() {
		c.from = net.TCPAddrFromAddrPort(from)
	}
}

// readExactly reads no byte behind the header.
func (c *clientConn) readExactly() (from netip.AddrPort, some bool, err error) {
	buf := make([]byte, h1.MostProxyHeader)
	read := 0
	from, n, err := h1.ProxyHeader(nil)
	for err == nil && n > read {
		m, failed := c.TCPConn.Read(buf[read:n])
		if read += m; failed != nil {
			return from, read > 0, failed
		}
		from, n, err = h1.ProxyHeader(buf[:read])
	}
	return from, read > 0, err
}
