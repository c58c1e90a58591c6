package proxy

import (
	"errors"
	"net"
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

// clients is the listener of connections that net/http takes itself: over TLS, and with engine nethttp all.
type clients struct {
	net.Listener // of TCP
	p            *Proxy
}

func (l *clients) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &clientConn{TCPConn: nc.(*net.TCPConn), of: l}, nil
}

// clientConn is a connection whose first bytes may be a PROXY header. That is read by the first who asks for the address or for
// bytes, which is the connection's own goroutine: net/http asks for the address before anything else.
type clientConn struct {
	*net.TCPConn
	of     *clients
	header sync.Once
	from   net.Addr // the client's
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
