package h1

import (
	"bytes"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Exchange is one request and its answer. It belongs to its connection's goroutine, and no byte range
// of it may be kept when the handler returns.
type Exchange struct {
	Request
	s *Server
	c *wire

	body   body   // the request's
	held   []byte // the buffer of the request's head, where the connection has got another
	out    []byte // what is sent next
	lines  []byte // what the caller adds to it
	status int    // of the answer whose head was passed on; 0: none
	shut   bool   // the connection ends with this exchange
	abort  bool   // and its end has to be seen as a failure
	told   bool   // the client was told to go on with its body

	answer     Response
	answerBody body
	upload     *upload
}

const outBytes = 4 << 10

// receive waits for the request's head and reads it.
func (x *Exchange) receive() error {
	limits := &x.s.Limits
	x.body.reset(x.c, noBody, 0, limits.Body)
	if bytes.HasPrefix(x.c.unread(), crlf) { // one empty line in front of a request: RFC 9112, 2.2
		x.c.r += len(crlf)
	}
	n, err := x.c.head(limits.HeadBytes, limits.Head, limits.Head)
	if err == nil {
		_, err = x.parse(x.c.unread()[:n], limits.Lines)
		x.received(n)
	}
	return err
}

// here reads the request's head if all of it is there and nothing is wrong with it.
func (x *Exchange) here() bool {
	n, err := x.parse(x.c.sealed(), x.s.Limits.Lines)
	if err != nil || n > min(x.c.w-x.c.r, x.s.Limits.HeadBytes) {
		return false
	}
	x.received(n)
	return true
}

func (x *Exchange) received(n int) {
	x.c.r += n
	x.c.base = x.c.r
	x.body.reset(x.c, x.framing, x.Length, x.s.Limits.Body)
}

// release lets go of the request, and ends the exchange.
func (x *Exchange) release() {
	if x.held != nil {
		giveBack(x.held)
	}
	if c := x.c; c.buf != nil {
		c.base = headroom
	}
	out, lines, fields, options := x.out[:0], x.lines[:0], x.Fields[:0], x.options[:0]
	answerFields, answerOptions := x.answer.Fields[:0], x.answer.options[:0]
	if cap(out) > 4*outBytes {
		out = nil
	}
	*x = Exchange{}
	x.out, x.lines = out, lines
	x.Fields, x.options = fields, options
	x.answer.Fields, x.answer.options = answerFields, answerOptions
	exchanges.Put(x)
}

// RemoteAddr is the client's address.
func (x *Exchange) RemoteAddr() net.Addr { return x.c.remote() }

// Tag is what SetTag has kept with the client's connection; nil: nothing yet.
func (x *Exchange) Tag() any { return x.c.tag }

// SetTag keeps something with the client's connection, for this and its later exchanges.
func (x *Exchange) SetTag(tag any) { x.c.tag = tag }

// Sent is how much of the answer's body was read from the upstream, in bytes, of which the client may
// have got less.
func (x *Exchange) Sent() int64 { return x.answerBody.read }

// HasBody reports whether the request has a body, of which nothing need have come yet.
func (x *Exchange) HasBody() bool { return x.framing == chunked || x.Length > 0 }

// Gone returns a channel that is closed when the client leaves while nothing is read from it.
func (x *Exchange) Gone() <-chan struct{} {
	gone := make(chan struct{})
	x.c.gone.Store(&gone)
	return gone
}

// Stay ends what Gone began.
func (x *Exchange) Stay() { x.c.gone.Store(nil) }

// Settle reads a body of a known length of up to so many bytes into memory, so that it can be sent at once, and the client's
// leaving be seen. Another one stays where it is.
func (x *Exchange) Settle(most int) error {
	c := x.c
	if x.body.ended || x.framing != sized || x.Length > int64(most) || x.expects || int64(c.w-c.r) >= x.Length {
		return nil
	}
	if x.Length > int64(len(c.buf)-tailroom-c.r) {
		x.detach(int(x.Length) + headroom + tailroom)
	}
	for int64(c.w-c.r) < x.Length {
		if err := c.receive(x.body.pause); err != nil {
			x.shut = true
			return x.uploadError(err)
		}
	}
	return nil
}

func (x *Exchange) uploadError(err error) error {
	if err == errExpired {
		return ErrSlowClient
	}
	return ErrUpload
}

// detach keeps the head's bytes while the body goes through another buffer.
func (x *Exchange) detach(size int) {
	if x.held == nil {
		x.held = x.c.detach(size)
	}
}

// Answer sends an answer of our own. The lines are whole header lines; those that frame the body and
// concern the connection are added. It does nothing once an answer's head was passed on.
func (x *Exchange) Answer(status int, lines, body []byte) error {
	if x.status != 0 {
		return nil
	}
	x.status = status
	if x.s.state.Load() != serving {
		x.shut = true
	}
	out := append(x.out[:0], "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(status), 10)
	out = append(out, ' ')
	out = append(out, http.StatusText(status)...)
	out = append(out, "\r\n"...)
	out = appendDate(append(out, lines...))
	out = append(out, "Content-Length: "...)
	out = strconv.AppendInt(out, int64(len(body)), 10)
	out = append(out, "\r\n"...)
	out = append(x.appendConnection(out), "\r\n"...)
	if x.Method != http.MethodHead {
		out = append(out, body...)
	}
	x.out = out
	if err := x.c.write(out, x.s.Limits.Stall); err != nil {
		x.shut = true
		return ErrClient
	}
	return nil
}

// appendConnection tells the client whether the connection is kept.
func (x *Exchange) appendConnection(dst []byte) []byte {
	switch {
	case x.shut || !x.kept():
		return append(dst, "Connection: close\r\n"...)
	case x.Minor == 0:
		return append(dst, "Connection: keep-alive\r\n"...)
	}
	return dst
}

// What is left of a request's body behind its answer is read, so that the answer is not lost with a
// connection that is reset; but not more than this.
const (
	leftover     = 256 << 10
	leftoverTime = 2 * time.Second
)

// finish brings the connection to where another request may begin, or says that none may.
func (x *Exchange) finish() (more, linger bool) {
	if x.abort {
		if tcp, ok := x.c.nc.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // the client has to see that something is missing
		}
		return false, false
	}
	more = x.status != 0 && !x.shut && x.kept() // the state may have changed since the client was told
	if !x.body.ended {
		if more && x.expects && !x.told {
			more = false // it may still send the body, or not
		}
		if more {
			more = x.discard()
		}
		return more, !more && x.status != 0
	}
	return more, !more && x.status != 0 && x.c.r != x.c.w
}

// discard reads the rest of the body.
func (x *Exchange) discard() bool {
	x.detach(largeBuffer)
	for n := 0; n < leftover; {
		data, err := x.body.next()
		if err != nil {
			return false
		}
		if x.body.ended {
			return true
		}
		n += len(data)
	}
	return false
}

// linger ends our direction of the connection and waits for the client to end its own: closing with
// something unread would reset the connection, and the answer with it.
func (c *wire) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.r = c.w
	c.in.begin(c.watch, leftoverTime)
	for n := 0; n < leftover && c.fill() == nil; c.r = c.w {
		n += c.w - c.r
	}
	c.in.end()
}
