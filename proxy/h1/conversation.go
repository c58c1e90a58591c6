package h1

import (
	"strings"
	"time"
)

// conversation is the requests of one client's connection, one after another.
//
// Those whose bytes have all come are taken within the runtime's wait for the connection, turn: from
// one to the next it goes on waiting, where a read by itself would first be tried in vain. Within it
// nothing more can be read from the connection, so everything else is left to the time behind it.
type conversation struct {
	s      *Server
	c      *wire
	turn   func(fd uintptr) bool // take, made once
	within time.Duration         // which the next wait is limited to
	x      *Exchange             // received within turn, and left
	served bool                  // the first wait is over
	over   bool
	linger bool
	http2  bool // the client speaks HTTP/2: the connection is somebody else's
}

// next takes at least one request, and says whether there may be more.
func (v *conversation) next() bool {
	c := v.c
	if c.r == c.w && !v.wait() {
		return false
	}
	x, err := v.x, error(nil)
	if v.x = nil; x == nil {
		if c.r == c.w || v.over {
			return !v.over
		}
		if v.preface() {
			return false
		}
		x = v.s.exchange(c)
		err = x.receive()
	}
	var more bool
	more, v.linger = v.s.serve(x, err)
	return more
}

// preface begins an HTTP/2 connection (RFC 9113, 3.4). No request does.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// preface reports whether the connection is HTTP/2. It reads on only where less has come than tells a
// method from it.
func (v *conversation) preface() bool {
	const enough = len("PRI ")
	for v.s.HTTP2 != nil {
		b := v.c.unread()
		if !strings.HasPrefix(preface, string(b[:min(len(b), len(preface))])) {
			return false
		}
		if len(b) >= enough {
			v.http2 = true
			return true
		}
		if v.c.receive(v.s.Limits.Head) != nil {
			v.over = true
			return true
		}
	}
	return false
}

// wait waits for a request's first bytes, and may take requests on the way.
func (v *conversation) wait() bool {
	c := v.c
	if !v.pause() {
		return false
	}
	if c.raw == nil {
		err := c.received(c.fill())
		c.idle.Store(false)
		if err == nil && c.evicted.Load() {
			v.s.stays(c)
		}
		return err == nil
	}
	if err := c.raw.Read(v.turn); err != nil {
		c.in.end()
		return false
	}
	return !v.over
}

// pause begins the time between two requests, unless the server is closed.
func (v *conversation) pause() bool {
	c := v.c
	c.rest()
	first := !v.served
	if !first { // before it can be found idle
		c.served.Store(true)
	}
	c.idle.Store(true)
	c.in.begin(c.watch, v.within)
	v.served, v.within = true, v.s.Limits.Idle
	if v.s.state.Load() == closed { // wake may have come before there was something to end
		if first {
			c.in.shorten(c.in.word.Load(), c.born+newcomer)
			return true
		}
		c.in.end()
		c.idle.Store(false)
		return false
	}
	return true
}

// take reads what has come and takes the requests that are whole. It returns false to wait for more.
func (v *conversation) take(fd uintptr) bool {
	c := v.c
	c.turn = fd
	defer func() { c.turn = 0 }()
	for {
		if !c.readNow(fd) {
			return false
		}
		full := c.buf != nil && c.w == len(c.buf)-tailroom // so there may be more, of which nobody would tell
		c.idle.Store(false)
		if c.received(c.err) != nil || c.n == 0 {
			v.over = true
			return true
		}
		if c.evicted.Load() {
			v.s.stays(c)
		}
		for c.r != c.w {
			if !v.whole() {
				return true
			}
		}
		if !v.pause() {
			v.over = true
			return true
		}
		if !full {
			return false
		}
	}
}

// whole takes one request if nothing more of it need be read; false: it is left, or the connection is
// over.
func (v *conversation) whole() bool {
	c := v.c
	x := v.s.exchange(c)
	if !x.here() { // whatever it is, it is looked at again
		x.release()
		return false
	}
	if x.Upgrade != nil || !x.body.ended && !x.inline() {
		v.x = x
		return false
	}
	more, linger := v.s.serve(x, nil)
	v.over, v.linger = !more, linger
	return more
}
