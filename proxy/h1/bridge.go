package h1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Bridge has a handler of net/http's answer the request: for upstreams that are not spoken to in HTTP/1.1. The request is as
// net/http's server would give it, without what concerns the connection. Its context ends when the client leaves, unless it
// is seen through, and when Close cuts. A handler that panics with http.ErrAbortHandler breaks the answer off, and then Bridge
// returns ErrBroken. One that ends without an answer gave an empty one. Unlike Forward it allocates.
func (x *Exchange) Bridge(through bool, handler http.HandlerFunc) (err error) {
	target, err := url.ParseRequestURI(string(x.Target))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	ctx, cancel := context.WithCancel(context.WithValue(x.s.ctx, http.ServerContextKey, bridged))
	defer cancel()
	if !through {
		gone, ended := x.Gone(), make(chan struct{})
		defer func() { cancel(); <-ended }()
		go func() {
			defer close(ended)
			select {
			case <-gone:
				cancel()
			case <-ctx.Done():
			}
		}()
		defer x.Stay()
	}
	w := &bridgeWriter{x: x, header: http.Header{}, waits: x.waits()}
	body := &bridgeBody{x: x, w: w, turn: make(chan struct{}, 1)}
	body.turn <- struct{}{}
	r := (&http.Request{
		Method: x.Method, URL: target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: int(x.Minor), Host: string(x.Host), RequestURI: string(x.Target),
		RemoteAddr: x.RemoteAddr().String(), Header: x.bridgedHeader(), Body: http.NoBody, Close: !x.kept(),
	}).WithContext(ctx)
	if !x.body.ended {
		x.detach(largeBuffer)
		r.Body, r.ContentLength = body, x.Length
		if x.framing == chunked {
			r.ContentLength, r.TransferEncoding = unknownLength, []string{"chunked"}
		}
	}
	defer func() {
		body.stop()
		if p := recover(); p == http.ErrAbortHandler {
			err = w.broke()
		} else if p != nil {
			panic(p)
		} else {
			err = w.finish()
		}
	}()
	handler(w, r)
	return nil
}

// bridged is what a handler finds in place of the server; httputil.ReverseProxy breaks an answer off only where there is one.
var bridged = new(http.Server)

func (x *Exchange) bridgedHeader() http.Header {
	h := make(http.Header, len(x.Fields))
	for i := range x.Fields {
		if f := &x.Fields[i]; f.Kind == Other || f.Kind == Cookie {
			name := textproto.CanonicalMIMEHeaderKey(string(f.Name))
			h[name] = append(h[name], string(f.Value))
		}
	}
	if x.Trailers {
		h["Te"] = []string{"trailers"}
	}
	if x.expects {
		h["Expect"] = []string{"100-continue"}
	}
	return h
}

// bridgeBody is the request's body. Whoever reads it may be still at it when the handler returns.
type bridgeBody struct {
	x       *Exchange
	w       *bridgeWriter
	turn    chan struct{} // has one while nobody reads
	rest    []byte
	err     error
	stopped bool
}

func (b *bridgeBody) Read(to []byte) (n int, err error) {
	<-b.turn
	defer func() { b.turn <- struct{}{} }()
	if b.stopped {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(b.rest) == 0 && b.err == nil {
		b.w.goOn()
		b.rest, b.err = b.x.body.next()
		switch {
		case b.err != nil:
			b.err = b.x.uploadError(b.err)
		case len(b.rest) == 0:
			b.err = io.EOF
		}
	}
	if n = copy(to, b.rest); n > 0 {
		b.rest = b.rest[n:]
		return n, nil
	}
	return 0, b.err
}

func (b *bridgeBody) Close() error { return nil }

// stop waits for whoever reads, and cuts that where it takes long: behind it the body is the exchange's again.
func (b *bridgeBody) stop() {
	timer := time.NewTimer(uploadFarewell)
	defer timer.Stop()
	select {
	case <-b.turn:
	case <-timer.C:
		b.x.shut = true
		cut(b.x.c.nc.SetReadDeadline, b.x.c.watch)
		<-b.turn
		_ = b.x.c.nc.SetReadDeadline(time.Time{}) // for the farewell
	}
	b.stopped = true
	if b.err != nil && b.err != io.EOF {
		b.x.shut = true
	}
	b.turn <- struct{}{}
}

// bridgeWriter passes an answer on as http.ResponseWriter says. Interim answers may come from another goroutine than the rest.
type bridgeWriter struct {
	x      *Exchange
	header http.Header

	mu      sync.Mutex // guards what is sent
	waits   bool       // the client holds its body back
	interim int
	how     framing
	left    int64 // sized: bytes still to come
	trailer []string
	err     error
}

func (w *bridgeWriter) Header() http.Header { return w.header }

// goOn tells a client that holds its body back to send it.
func (w *bridgeWriter) goOn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waits && w.x.status == 0 {
		w.waits, w.x.told = false, true
		w.send([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	}
}

func (w *bridgeWriter) WriteHeader(status int) {
	if status == http.StatusContinue {
		w.goOn()
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if status < 200 {
		w.sendInterim(status)
		return
	}
	w.writeHead(status)
}

func (w *bridgeWriter) sendInterim(status int) {
	if w.x.status != 0 || w.x.Minor == 0 || w.interim == mostInterim {
		return
	}
	w.interim++
	w.send(append(w.lines(w.statusLine(status)), "\r\n"...))
}

func (w *bridgeWriter) statusLine(status int) []byte {
	return fmt.Appendf(w.x.out[:0], "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
}

// lines appends the header without what frames the body or concerns the connection.
func (w *bridgeWriter) lines(dst []byte) []byte {
	for name, values := range w.header {
		switch name {
		case "Connection", "Transfer-Encoding", "Content-Length", "Trailer", "Keep-Alive", "Upgrade":
			continue
		}
		for _, value := range values {
			if !strings.HasPrefix(name, http.TrailerPrefix) && !strings.ContainsAny(value, "\r\n\x00") {
				dst = AppendField(dst, name, value)
			}
		}
	}
	return dst
}

// writeHead sends the final answer's head. The lock is held.
func (w *bridgeWriter) writeHead(status int) {
	x := w.x
	if x.status != 0 {
		return
	}
	x.status = status
	if x.s.state.Load() != serving {
		x.shut = true
	}
	out := w.lines(w.statusLine(status))
	if len(w.header["Date"]) == 0 {
		out = appendDate(out)
	}
	length, said := lengthOf(w.header)
	switch {
	case status == http.StatusNoContent, status == http.StatusNotModified, x.Method == http.MethodHead:
		w.how = noBody
		if said && status != http.StatusNoContent {
			out = appendLength(out, length)
		}
	case said && (x.Minor == 0 || len(w.header["Trailer"]) == 0): // a body of known length has no trailers in HTTP/1.1
		w.how, w.left = sized, length
		out = appendLength(out, length)
	case x.Minor == 1:
		w.how = chunked
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
		if w.trailer = w.header["Trailer"]; len(w.trailer) > 0 {
			out = AppendField(out, "Trailer", strings.Join(w.trailer, ", "))
		}
	default:
		w.how, x.shut = toEnd, true // the connection's end is the body's
	}
	x.out = append(x.appendConnection(out), "\r\n"...)
	w.send(x.out)
}

// lengthOf is the length that a header says, in bytes.
func lengthOf(h http.Header) (n int64, said bool) {
	values := h["Content-Length"]
	if len(values) != 1 {
		return 0, false
	}
	return number([]byte(values[0]))
}

func (w *bridgeWriter) send(b []byte) {
	if w.err == nil {
		w.err = w.x.send(b)
	}
}

var errLonger = errors.New("the answer's body is longer than its head says")

func (w *bridgeWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHead(http.StatusOK)
	x := w.x
	switch {
	case len(b) == 0 || w.err != nil:
		return 0, w.err
	case w.how == noBody:
		return len(b), nil
	case w.how == sized && int64(len(b)) > w.left:
		w.err = errLonger
		return 0, w.err
	case w.how == chunked:
		x.out = append(append(fmt.Appendf(x.out[:0], "%x\r\n", len(b)), b...), "\r\n"...)
		w.send(x.out)
	default:
		w.left -= int64(len(b))
		w.send(b)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(b), nil
}

// Flush has nothing to do: what is written is sent.
func (w *bridgeWriter) Flush() { w.WriteHeader(http.StatusOK) }

// finish ends the answer.
func (w *bridgeWriter) finish() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHead(http.StatusOK)
	switch {
	case w.err == errLonger, w.err == nil && w.how == sized && w.left > 0:
		return w.x.broke(io.ErrUnexpectedEOF)
	case w.err == nil && w.how == chunked:
		w.send(append(w.trailers(append(w.x.out[:0], "0\r\n"...)), "\r\n"...))
	}
	return w.err
}

// trailers appends those that were announced, and those that were not and have the prefix.
func (w *bridgeWriter) trailers(dst []byte) []byte {
	announced := map[string]bool{}
	for _, line := range w.trailer {
		for name := range strings.SplitSeq(line, ",") {
			announced[textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	for name, values := range w.header {
		plain, prefixed := strings.CutPrefix(name, http.TrailerPrefix)
		if !prefixed && !announced[name] || strings.EqualFold(plain, "set-cookie") {
			continue
		}
		for _, value := range values {
			if !strings.ContainsAny(value, "\r\n\x00") {
				dst = AppendField(dst, plain, value)
			}
		}
	}
	return dst
}

// broke breaks an answer off, or says that there was none.
func (w *bridgeWriter) broke() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.x.shut = true
	switch {
	case w.err != nil:
		return w.err
	case w.x.status == 0:
		return ErrNoAnswer
	}
	w.x.abort = w.how == toEnd // the connection's end would pass for the body's
	return ErrBroken
}
