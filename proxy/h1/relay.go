package h1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Relay is what a request's caller adds to it on its way. Its methods run on the exchange's goroutine.
type Relay interface {
	// Upstream is where the request goes. It is asked for again when that one could not be reached, before anything was sent;
	// nil: there is nowhere else.
	Upstream() *Upstream
	// Request appends header lines to the request that goes out. Before it does it may change the
	// exchange's Target and Upgrade, and the values and kinds of its Fields; Dropped ones do not go out.
	Request(dst []byte) []byte
	// Answer appends header lines to the answer that is passed on: a final one, or 101. It may change
	// the answer's Fields likewise. Nothing of the answer was passed on before.
	Answer(a *Response, dst []byte) []byte
}

const (
	mostInterim    = 8           // 1xx answers to one request
	continueWait   = time.Second // for an upstream to ask for the body that a client holds back
	spliceFrom     = 256 << 10   // bytes of a body from which on the kernel moves it, as many at once
	uploadFarewell = 500 * time.Millisecond
)

// Forward sends the request to an upstream, once, and passes the answer on. A repeatable one without
// a body is sent again where the connection turns out to have been closed by the upstream before. One
// that is seen through is waited for although its client has left. The error tells where it ended:
// until the answer's head was passed on, the client has been told nothing.
func (x *Exchange) Forward(r Relay, repeatable, through bool) error {
	if err := x.Settle(len(x.c.buf) - tailroom - x.c.r); err != nil { // so that it goes out with the head, in one write
		return err
	}
	to := r.Upstream()
	x.out = x.request(x.out[:0], to, r)
	for fresh := false; ; {
		up, used, err := to.take(x.s.ctx, fresh, !x.body.ended)
		if err != nil {
			if next := x.elsewhere(r); next != nil {
				to = next
				continue
			}
			return err
		}
		x.c.through.Store(through)
		x.c.upstream.Store(up)
		if x.s.ctx.Err() != nil { // Close has cut, or cuts now what it finds here
			up.kill()
		}
		whole, err := x.converse(up, to, r)
		x.c.upstream.Store(nil)
		whole = x.join(up) && whole
		if err == nil && whole {
			to.put(up)
			return nil
		}
		up.close()
		if err == errStale {
			fresh = true
			continue
		}
		if !errors.Is(err, errNothing) {
			return err
		}
		if !used || !repeatable || x.HasBody() || fresh {
			return fmt.Errorf("%w: %w", ErrNoAnswer, err)
		}
		fresh = true
	}
}

// elsewhere is another upstream for a request that was not sent; nil: there is none, or nobody waits for it.
func (x *Exchange) elsewhere(r Relay) *Upstream {
	if x.s.ctx.Err() != nil {
		return nil
	}
	return r.Upstream()
}

// inline reports whether the whole body is there, to be sent with the head.
func (x *Exchange) inline() bool {
	return x.framing == sized && int64(x.c.w-x.c.r) >= x.Length && x.Length <= 4*outBytes
}

// request writes the request as it goes out.
func (x *Exchange) request(dst []byte, to *Upstream, r Relay) []byte {
	inline := x.inline()
	x.lines = r.Request(x.lines[:0])
	dst = append(dst, x.Method...)
	dst = append(dst, ' ')
	dst = append(dst, x.Target...)
	dst = append(dst, " HTTP/1.1\r\n"...)
	if len(x.Host) == 0 { // which HTTP/1.0 allows, and HTTP/1.1 for a target that has none
		dst = AppendField(dst, "Host", to.Host)
		for i := range x.Fields {
			if f := &x.Fields[i]; f.Kind == Host {
				f.Kind = Dropped
			}
		}
	}
	dst = append(x.append(dst), x.lines...)
	switch x.framing {
	case chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case sized:
		dst = appendLength(dst, x.Length)
	case noBody: // many servers want a length with these methods, even if there is nothing
		if x.Method == http.MethodPost || x.Method == http.MethodPut || x.Method == http.MethodPatch {
			dst = appendLength(dst, 0)
		}
	}
	if x.expects && !inline {
		dst = append(dst, "Expect: 100-continue\r\n"...)
	}
	if x.Trailers {
		dst = append(dst, "TE: trailers\r\n"...)
	}
	if x.Upgrade != nil {
		dst = AppendField(append(dst, "Connection: Upgrade\r\n"...), "Upgrade", x.Upgrade)
	}
	dst = append(dst, "\r\n"...)
	if inline {
		data, _ := x.body.buffered() // all of it is there: nothing can fail
		dst = append(dst, data...)
	}
	return dst
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	return append(strconv.AppendInt(dst, n, 10), "\r\n"...)
}

// converse sends the request and passes the answer on. It reports whether the upstream's connection
// ended both messages where they said and may be used again.
func (x *Exchange) converse(up *wire, to *Upstream, r Relay) (whole bool, err error) {
	if x.body.ended {
		err = up.request(x.out, to.Answer)
	} else if err = up.write(x.out, to.Answer); err == nil && !x.waits() {
		x.startUpload(up, to)
	}
	if err == errStale {
		return false, err
	}
	if err != nil {
		return false, x.noHead(up, err)
	}
	if err := x.await(up, to, r); err != nil {
		return false, err
	}
	if x.answer.Status == http.StatusSwitchingProtocols {
		return false, x.tunnel(up)
	}
	return x.pass(up, to)
}

// waits reports whether the client holds its body back until it is asked for it.
func (x *Exchange) waits() bool { return x.expects && !x.told && x.c.r == x.c.w }

// await reads the answer's head, and passes interim answers on. Then the final head is in x.out.
func (x *Exchange) await(up *wire, to *Upstream, r Relay) error {
	a := &x.answer
	for interim := 0; ; interim++ {
		n, err := x.answerHead(up, to)
		if errors.Is(err, errNothing) && interim > 0 {
			err = ErrNoAnswer
		}
		if err != nil {
			return err
		}
		up.r += n
		up.base = headroom
		switch {
		case a.Status == http.StatusSwitchingProtocols && (x.Upgrade == nil || !bytes.EqualFold(x.Upgrade, a.upgrade)):
			return fmt.Errorf("%w: %w", ErrNoAnswer, errUnasked)
		case a.Status >= 200 || a.Status == http.StatusSwitchingProtocols:
			x.out = x.compose(x.out[:0], up, r)
			return nil
		case interim == mostInterim:
			return fmt.Errorf("%w: %w", ErrNoAnswer, errInterim)
		case a.Status == http.StatusContinue:
			if err := x.goOn(up, to); err != nil {
				return err
			}
		case x.Minor == 1:
			dst := append(append(append(x.out[:0], "HTTP/1.1 "...), a.line...), "\r\n"...)
			x.out = append(a.append(dst), "\r\n"...)
			if err := x.send(x.out); err != nil && !x.c.through.Load() {
				return err
			}
		}
	}
}

// answerHead waits for an answer's head and reads it. While the client holds its body back it does not wait long:
// many upstreams do not know how to ask for it.
func (x *Exchange) answerHead(up *wire, to *Upstream) (n int, err error) {
	first := to.Answer
	if x.upload == nil && !x.body.ended && x.waits() {
		first = min(continueWait, first)
	}
	if up.r != up.w { // most often all of it is there
		if n, err = x.answer.parse(up.sealed(), to.Lines); err == nil && n <= min(up.w-up.r, to.HeadBytes) {
			return n, nil
		}
	}
	n, err = up.head(to.HeadBytes, first, to.Answer)
	if err == errExpired && up.r == up.w && first < to.Answer {
		up.revive(up.nc.SetReadDeadline)
		if err := x.goOn(up, to); err != nil {
			return 0, err
		}
		n, err = up.head(to.HeadBytes, to.Answer, to.Answer)
	}
	if err == nil {
		_, err = x.answer.parse(up.unread()[:n], to.Lines)
	}
	if err != nil {
		return 0, x.noHead(up, err)
	}
	return n, nil
}

// noHead says why there is no answer's head.
func (x *Exchange) noHead(up *wire, err error) error {
	var bad *Malformed
	switch {
	case x.upload != nil && x.upload.failed.Load():
		<-x.upload.done
		return x.upload.err
	case err == ErrLeft:
		return ErrLeft
	case err == errExpired:
		return ErrSlow
	case errors.As(err, &bad), up.r != up.w:
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return fmt.Errorf("%w: %w", errNothing, err)
}

// goOn tells a client that holds its body back to send it, and begins to pass it on.
func (x *Exchange) goOn(up *wire, to *Upstream) error {
	if x.upload != nil || x.body.ended {
		return nil
	}
	if x.waits() {
		if err := x.send([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
			return err
		}
	}
	x.told = true
	x.startUpload(up, to)
	return nil
}

// send writes to the client.
func (x *Exchange) send(b []byte) error {
	if err := x.c.write(b, x.s.Limits.Stall); err != nil {
		x.shut = true
		return fmt.Errorf("%w: %w", ErrClient, err)
	}
	return nil
}

// compose writes the final answer's head as the client gets it.
func (x *Exchange) compose(dst []byte, up *wire, r Relay) []byte {
	a := &x.answer
	if x.s.state.Load() != serving {
		x.shut = true
	}
	x.lines = r.Answer(a, x.lines[:0])
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, a.line...)
	dst = append(dst, "\r\n"...)
	dst = append(a.append(dst), x.lines...)
	if a.Status == http.StatusSwitchingProtocols {
		return append(AppendField(append(dst, "Connection: Upgrade\r\n"...), "Upgrade", a.upgrade), "\r\n"...)
	}
	if !a.dated() {
		dst = appendDate(dst)
	}
	how := a.bodyOf(x.Method)
	x.answerBody.reset(up, how, a.Length, 0)
	switch {
	case how == sized, how == noBody && a.framing == sized && a.Status >= 200 && a.Status != 204:
		dst = appendLength(dst, a.Length)
	case how == noBody:
	case x.Minor == 1:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
		if a.trailer != nil && how == chunked {
			dst = AppendField(dst, "Trailer", a.trailer)
		}
	default:
		x.shut = true // the connection's end is the body's
	}
	return append(x.appendConnection(dst), "\r\n"...)
}

// pass sends the answer's head, which is in x.out, and its body.
func (x *Exchange) pass(up *wire, to *Upstream) (whole bool, err error) {
	b, a := &x.answerBody, &x.answer
	b.pause = to.Pause
	x.status = a.Status
	wrap := x.Minor == 1 && (b.framing == chunked || b.framing == toEnd)
	data, err := b.buffered()
	if err != nil {
		return false, x.broke(err)
	}
	x.out = x.appendBody(x.out, data, wrap, b.ended && b.framing != noBody)
	if err := x.send(x.out); err != nil {
		return false, err
	}
	for !b.ended {
		if b.framing == sized && b.left >= spliceFrom {
			if handled, err := x.splice(up); err != nil {
				return false, err
			} else if handled {
				continue
			}
		}
		up.enlarge(largeBuffer - headroom - tailroom)
		if data, err = b.next(); err != nil {
			return false, x.broke(err)
		}
		if err = x.sendBody(up, data, wrap); err != nil {
			return false, err
		}
	}
	return b.framing != toEnd && a.kept() && up.r == up.w, nil
}

// broke ends an answer that its upstream did not end.
func (x *Exchange) broke(err error) error {
	x.shut = true
	if err == ErrLeft {
		return fmt.Errorf("%w: %w", ErrClient, err)
	}
	x.abort = x.Minor == 0 && x.answerBody.framing != sized // the connection's end would pass for the body's
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

// appendBody puts the first piece of a body behind its head.
func (x *Exchange) appendBody(dst, data []byte, wrap, last bool) []byte {
	if !wrap {
		return append(dst, data...)
	}
	if len(data) > 0 {
		dst = append(strconv.AppendInt(dst, int64(len(data)), 16), "\r\n"...)
		dst = append(append(dst, data...), "\r\n"...)
	}
	if last {
		dst = append(x.appendTrailers(append(dst, "0\r\n"...)), "\r\n"...)
	}
	return dst
}

// sendBody sends a further piece, which stands in up's buffer, from there.
func (x *Exchange) sendBody(up *wire, data []byte, wrap bool) error {
	last := x.answerBody.ended
	if !wrap {
		return x.send(data)
	}
	if last && len(x.answerBody.chunks.trailers) > len(crlf) || cap(data) == 0 {
		x.out = x.appendBody(x.out[:0], data, wrap, last)
		return x.send(x.out)
	}
	from := len(up.buf) - cap(data)
	return wrapped(up.buf, from, from+len(data), last, x.send)
}

// wrapped sends b[from:to] as a chunk from where it stands. What is behind it is as it was afterwards.
func wrapped(b []byte, from, to int, last bool, send func([]byte) error) error {
	var behind [tailroom]byte
	copy(behind[:], b[to:])
	start, end := wrapChunk(b, from, to, last)
	err := send(b[start:end])
	copy(b[to:], behind[:])
	return err
}

// appendTrailers passes an answer's trailers on: those that do not concern the connection, the framing
// or the client's cookies.
func (x *Exchange) appendTrailers(dst []byte) []byte {
	if len(x.answerBody.chunks.trailers) <= len(crlf) {
		return dst
	}
	var t head
	if _, err := t.fields(x.answerBody.chunks.trailers, maxTrailers); err != nil {
		return dst // the body is whole without them
	}
	for _, f := range t.Fields {
		if f.Kind == Other && !EqualFold(f.Name, "set-cookie") {
			dst = AppendField(dst, f.Name, f.Value)
		}
	}
	return dst
}

// splice has the kernel move a piece of a large body, where both ends are TCP itself and everything
// that was read before is sent.
func (x *Exchange) splice(up *wire) (handled bool, err error) {
	to, ok := x.c.nc.(*net.TCPConn)
	from, fromOK := up.nc.(*net.TCPConn)
	if !ok || !fromOK || up.r != up.w {
		return false, nil
	}
	b := &x.answerBody
	want := min(b.left, spliceFrom)
	up.in.begin(up.watch, b.pause)
	x.c.out.begin(x.c.watch, spliceFrom/largeBuffer*x.s.Limits.Stall) // as for as many bytes that are written one buffer after another
	n, err := to.ReadFrom(&io.LimitedReader{R: from, N: want})
	stalled, cut := x.c.out.end(), up.in.end()
	b.left -= n
	b.read += n
	b.ended = b.left == 0
	switch {
	case n == want:
		if stalled != nothing {
			x.c.revive(x.c.nc.SetWriteDeadline)
		}
		if cut != nothing {
			up.revive(up.nc.SetReadDeadline)
		}
		return true, nil
	case cut != nothing:
		return true, x.broke(errOf(cut, err))
	case err == nil:
		return true, x.broke(io.ErrUnexpectedEOF)
	}
	x.shut = true
	return true, fmt.Errorf("%w: %w", ErrClient, errOf(stalled, err))
}
