package h1

import "net"

// announced reads the PROXY header that the connection begins with, and says whether there was one. What came behind it is the
// first request's. As long as it waits, the connection makes room for others as one between two requests does.
func (v *conversation) announced() bool {
	c := v.c
	if !v.pause() {
		return false
	}
	from, n, err := ProxyHeader(nil)
	for err == nil && n > c.w-c.r {
		switch err = c.fill(); err {
		case nil:
			from, n, err = ProxyHeader(c.unread())
		case errBufferFull:
			c.enlarge(MostProxyHeader)
			err = nil
		}
	}
	err = c.received(err)
	c.idle.Store(false)
	if err != nil {
		if err != errClosing && (c.r != c.w || err == errExpired) { // else it only looked whether somebody listens
			v.s.Unannounced(c.nc.RemoteAddr(), err)
		}
		return false
	}
	if c.evicted.Load() {
		v.s.stays(c)
	}
	if from.IsValid() {
		c.from = net.TCPAddrFromAddrPort(from)
	}
	if c.r += n; c.r == c.w {
		v.served, v.within = false, v.s.Limits.Head // the first request is still to come
	}
	return true
}

// remote is the client's address, as far as it is known.
func (c *wire) remote() net.Addr {
	if c.from != nil {
		return c.from
	}
	return c.nc.RemoteAddr()
}
