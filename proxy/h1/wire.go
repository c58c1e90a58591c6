package h1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	headroom = 24 // bytes in front of what is read: the size line of a chunk that is sent from there
	tailroom = 8  // bytes behind it: a chunk's end, and the last chunk

	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// borrow returns a pooled buffer, or one of the size asked for where that is larger than they are.
func borrow(size int) []byte {
	switch {
	case size <= smallBuffer:
		return smallBuffers.Get().(*[smallBuffer]byte)[:]
	case size <= largeBuffer:
		return largeBuffers.Get().(*[largeBuffer]byte)[:]
	}
	return make([]byte, size)
}

func giveBack(b []byte) {
	switch cap(b) {
	case smallBuffer:
		smallBuffers.Put((*[smallBuffer]byte)(b[:smallBuffer]))
	case largeBuffer:
		largeBuffers.Put((*[largeBuffer]byte)(b[:largeBuffer]))
	}
}

var errBufferFull = errors.New("the buffer is full")

// wire is a connection with what was read from it and not used yet. It belongs to one goroutine, or to
// one that reads and one that writes.
type wire struct {
	nc    net.Conn
	raw   syscall.RawConn // nil: not TCP itself
	watch *Watch
	tag   any      // of whoever serves it
	from  net.Addr // the client's, where a load balancer has named it; nil: the connection's own
	given bool     // away

	buf  []byte // nil while nothing waits in it
	r, w int    // buf[r:w] was read and not used
	base int    // what is in front of it is still needed, or headroom

	in, out  limit
	idle     atomic.Bool                   // a client's: between two requests
	upstream atomic.Pointer[wire]          // where its request is
	through  atomic.Bool                   // which is seen through to its answer although the client leaves
	gone     atomic.Pointer[chan struct{}] // closed when the client leaves

	served  atomic.Bool // a client's: it has asked for something
	born    int64       // of the watch's time
	evicted atomic.Bool // a client's: it makes room for another one
	dead    atomic.Bool // cut for good: no phase brings it back to life

	read func(fd uintptr) bool // readNow, made once
	n    int                   // of readNow
	err  error

	ask   func(fd uintptr) bool // askNow
	asked []byte                // what it sends first; nil: that is done
	used  bool                  // it was used before, so it may have been closed meanwhile
	short int                   // how much of it was not taken at once

	rested time.Time // a pooled one: when it was used last
	turn   uintptr   // the descriptor, while it is this goroutine's turn at it; 0: it is not

	send    func(fd uintptr) bool // writeNow
	pending []byte                // what it has still to send
	sendErr error
}

func newWire(nc net.Conn, watch *Watch) *wire {
	c := &wire{nc: nc, watch: watch, raw: rawOf(nc), born: watch.now.Load()}
	c.read, c.send, c.ask = c.readNow, c.writeNow, c.askNow
	watch.add(c)
	return c
}

// close ends the connection. Its buffer goes back, so nothing of it may be used any more.
func (c *wire) close() {
	if c.given {
		return
	}
	c.watch.remove(c)
	_ = c.nc.Close() // what could be lost was written, or its loss was reported by the write
	c.release()
}

// handOver gives the connection away, with what was read from it and not used. Its end is told once.
func (c *wire) handOver(ended func()) net.Conn {
	rest := append([]byte(nil), c.unread()...)
	nc, from := c.nc, c.remote()
	c.release()
	c.watch.remove(c)
	c.given = true
	return &given{Conn: nc, rest: rest, from: from, ended: sync.OnceFunc(ended)}
}

// given is a connection that was read from before.
type given struct {
	net.Conn
	rest  []byte
	from  net.Addr
	ended func()
}

func (g *given) RemoteAddr() net.Addr { return g.from }

func (g *given) Close() error {
	defer g.ended()
	return g.Conn.Close()
}

func (g *given) Read(b []byte) (int, error) {
	if len(g.rest) > 0 {
		n := copy(b, g.rest)
		g.rest = g.rest[n:]
		return n, nil
	}
	return g.Conn.Read(b)
}

func (c *wire) release() {
	if c.buf != nil {
		giveBack(c.buf)
		c.buf, c.r, c.w, c.base = nil, 0, 0, 0
	}
}

// rest lets the buffer go if there is nothing in it.
func (c *wire) rest() {
	if c.r == c.w {
		c.release()
	}
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// kill cuts the connection for good, and leaves it to its owner to close it.
func (c *wire) kill() {
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	c.dead.Store(true)
	_ = c.nc.SetDeadline(past) // one that is broken already ends by itself
}

func (c *wire) cutRead()  { _ = c.nc.SetReadDeadline(past) }
func (c *wire) cutWrite() { _ = c.nc.SetWriteDeadline(past) }

// unread is what was read and not used.
func (c *wire) unread() []byte { return c.buf[c.r:c.w] }

// sealed is what was read and not used, with an empty line behind it that is not part of it: what is
// read up to there needs no further look at where it ends.
func (c *wire) sealed() []byte {
	copy(c.buf[c.w:], crlfcrlf)
	return c.buf[c.r : c.w+len(crlfcrlf)]
}

// fill reads more, at least a byte. While it waits for the first byte it holds no buffer. It fails
// with errBufferFull when nothing more fits, and with io.EOF when the other end has closed.
func (c *wire) fill() error {
	if c.buf != nil {
		switch {
		case c.r == c.w && c.base < len(c.buf)-tailroom:
			c.r, c.w = c.base, c.base
		case c.w < len(c.buf)-tailroom:
		case c.r > c.base:
			c.w = c.base + copy(c.buf[c.base:], c.buf[c.r:c.w])
			c.r = c.base
		default:
			return errBufferFull
		}
	}
	if c.raw == nil {
		c.hold()
		n, err := c.nc.Read(c.space())
		c.w += n
		if n > 0 {
			return nil
		}
		return err
	}
	c.n, c.err = 0, nil
	if err := c.raw.Read(c.read); err != nil {
		return err
	}
	if c.err == nil && c.n == 0 {
		return io.EOF
	}
	return c.err
}

func (c *wire) hold() {
	if c.buf == nil {
		c.buf, c.r, c.w, c.base = borrow(smallBuffer), headroom, headroom, headroom
	}
}

func (c *wire) space() []byte { return c.buf[c.w : len(c.buf)-tailroom] }

// readNow reads what is there; false: nothing, wait until there is.
func (c *wire) readNow(fd uintptr) bool {
	held := c.buf != nil
	c.hold()
	c.n, c.err = sysRead(fd, c.space())
	c.w += c.n
	if c.err == syscall.EAGAIN {
		if !held {
			c.release()
		}
		return false
	}
	return true
}

// writeNow sends what is pending; false: not all was taken, wait until more is.
func (c *wire) writeNow(fd uintptr) bool {
	for len(c.pending) > 0 {
		n, err := sysWrite(fd, c.pending)
		if err == syscall.EAGAIN {
			return false
		}
		if err != nil {
			c.sendErr = err
			return true
		}
		c.pending = c.pending[n:]
	}
	return true
}

// unseen is how long a connection may rest without being looked at before it is used again. What an
// upstream does on its own within it could as well come a moment after the look.
const unseen = time.Millisecond

// askNow sends first and then reads. What readiness the runtime had noted is forgotten before it is
// called, so nothing of an answer can come between the two unnoticed, and no read need be tried before
// there is something.
func (c *wire) askNow(fd uintptr) bool {
	if b := c.asked; b != nil {
		c.asked = nil
		if c.used && time.Since(c.rested) > unseen {
			if _, err := sysPeek(fd); err != syscall.EAGAIN {
				c.sendErr = errStale
				return true
			}
		}
		n, err := sysWrite(fd, b)
		if err == syscall.EAGAIN {
			err = nil
		}
		c.sendErr, c.short = err, len(b)-n
		return err != nil || c.short > 0
	}
	return c.readNow(fd)
}

// enlarge gives the buffer room for so many bytes in all, and keeps what is unread.
func (c *wire) enlarge(size int) {
	if len(c.buf) >= size+headroom+tailroom {
		return
	}
	b := borrow(size + headroom + tailroom)
	n := copy(b[headroom:], c.unread())
	if c.buf != nil {
		giveBack(c.buf)
	}
	c.buf, c.r, c.w, c.base = b, headroom, headroom+n, headroom
}

// detach hands the buffer over to whoever still needs what was used of it, and goes on with another, of
// that size or more where more is unread.
func (c *wire) detach(size int) (old []byte) {
	old = c.buf
	b := borrow(max(size, headroom+c.w-c.r+tailroom))
	c.w = headroom + copy(b[headroom:], c.buf[c.r:c.w])
	c.buf, c.r, c.base = b, headroom, headroom
	return old
}

// errOf is a failed read or write as it has to be understood: the phase's end tells more than the
// connection, which only says that it was cut.
func errOf(end int64, err error) error {
	switch end {
	case expired:
		return errExpired
	case left:
		return ErrLeft
	case closing:
		return errClosing
	}
	return err
}

var (
	errExpired = errors.New("it took too long")
	errClosing = errors.New("the server is closing")
)

// write sends all of b within a limit of time.
func (c *wire) write(b []byte, within time.Duration) error {
	if c.turn != 0 { // what the socket has room for needs no wait, and so no limit
		n, err := sysWrite(c.turn, b)
		if err != nil && err != syscall.EAGAIN {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			return nil
		}
	}
	c.out.begin(c.watch, within)
	err := c.writeAll(b)
	end := c.out.end()
	if err == nil {
		if end != nothing {
			c.revive(c.nc.SetWriteDeadline)
		}
		return nil
	}
	return errOf(end, err)
}

func (c *wire) writeAll(b []byte) error {
	if c.raw == nil {
		_, err := c.nc.Write(b)
		return err
	}
	c.pending, c.sendErr = b, nil
	err := c.raw.Write(c.send)
	c.pending = nil
	if err == nil {
		err = c.sendErr
	}
	return err
}

// request sends all of b and waits for the first bytes of what comes back. Nothing may be unread. It
// fails with errUnsent when not all was sent, and with errStale when nothing was, because the other
// end has closed a connection that was used before, or has sent something that nobody asked for.
func (c *wire) request(b []byte, within time.Duration) error {
	if c.raw == nil {
		if err := c.write(b, within); err != nil {
			return fmt.Errorf("%w: %w", errUnsent, err)
		}
		return c.receive(within)
	}
	c.asked, c.short, c.sendErr, c.n, c.err = b, 0, nil, 0, nil
	c.in.begin(c.watch, within)
	err := c.raw.Read(c.ask)
	c.asked = nil
	switch {
	case err == nil && c.sendErr == errStale:
		c.in.end()
		return errStale
	case err == nil && c.sendErr != nil:
		return fmt.Errorf("%w: %w", errUnsent, errOf(c.in.end(), c.sendErr))
	case err == nil && c.short > 0:
		if e := c.in.end(); e != nothing {
			return errOf(e, nil)
		}
		if err := c.write(b[len(b)-c.short:], within); err != nil {
			return fmt.Errorf("%w: %w", errUnsent, err)
		}
		return c.receive(within)
	case err == nil && c.err == nil && c.n == 0:
		err = io.EOF
	case err == nil:
		err = c.err
	}
	return c.received(err)
}

// receive is fill within a limit of time.
func (c *wire) receive(within time.Duration) error {
	c.in.begin(c.watch, within)
	return c.received(c.fill())
}

// received ends the phase of a read. What came in the instant in which it was cut, came.
func (c *wire) received(err error) error {
	end := c.in.end()
	if err == nil {
		if end != nothing {
			c.revive(c.nc.SetReadDeadline)
		}
		return nil
	}
	return errOf(end, err)
}

// revive takes back the deadline of a phase that was cut too late. Whoever cuts holds the lock.
func (c *wire) revive(set func(time.Time) error) {
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	if c.dead.Load() {
		return
	}
	_ = set(time.Time{}) // a connection that is broken says so at its next use
}

// head reads until a head is whole, and returns its length; it begins at the first unread byte. The
// first byte has one limit of time, all that follows, together, another.
func (c *wire) head(size int, first, more time.Duration) (n int, err error) {
	if c.r == c.w {
		if err := c.receive(first); err != nil {
			return 0, err
		}
	}
	if n, err = headEnd(c.unread(), 0); n > 0 && n <= size || err != nil {
		return n, err
	}
	c.in.begin(c.watch, more)
	for {
		seen := c.w - c.r
		if seen >= size {
			err = errTooLarge
			break
		}
		if err = c.fill(); err == errBufferFull {
			c.enlarge(min(2*len(c.buf), size))
			continue
		}
		if err != nil {
			break
		}
		if n, err = headEnd(c.unread(), seen); err != nil {
			break
		}
		if n > size {
			err = errTooLarge
		}
		if n > 0 {
			break
		}
	}
	if e := c.received(err); e != nil {
		return 0, e
	}
	return n, nil
}
