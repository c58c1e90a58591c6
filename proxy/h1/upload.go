package h1

import (
	"sync/atomic"
	"time"
)

// upload sends a request's body on while the answer may already come. It is a goroutine of its own,
// which ends before Forward returns. It has the client's reading and the upstream's writing side, the
// exchange has the others.
type upload struct {
	failed atomic.Bool // the client broke off, and err is about to say how
	done   chan struct{}
	err    error // when done: the client's failure, or nil
	sent   bool  // when done: the upstream has taken all of it
}

func (x *Exchange) startUpload(up *wire, to *Upstream) {
	x.detach(largeBuffer)
	u := &upload{done: make(chan struct{})}
	x.upload = u
	go func() {
		defer close(u.done)
		u.sent, u.err = x.pump(up, to)
		if u.err != nil { // the upstream will not answer half a request: nobody need wait for it
			u.failed.Store(true)
			cut(up.nc.SetReadDeadline, up.watch)
		}
	}()
}

// pump reads the body to its end and sends it.
func (x *Exchange) pump(up *wire, to *Upstream) (sent bool, err error) {
	b := &x.body
	wrap := b.framing == chunked
	for data, err := b.buffered(); ; data, err = b.next() {
		if err != nil {
			return false, x.uploadError(err)
		}
		switch {
		case wrap && (len(data) > 0 || b.ended):
			from := len(x.c.buf) - cap(data)
			if cap(data) == 0 {
				from = headroom
			}
			err = wrapped(x.c.buf, from, from+len(data), b.ended, func(piece []byte) error { return up.write(piece, to.Answer) })
		case len(data) > 0:
			err = up.write(data, to.Answer)
		}
		if err != nil {
			return false, nil // the answer, if there is one, says why
		}
		if b.ended {
			return true, nil
		}
	}
}

// join waits for the upload's end. One that goes on behind its answer's end is given a moment, as many
// an upstream answers with the last bytes still on their way, and then cut. It reports whether
// everything was sent.
func (x *Exchange) join(up *wire) bool {
	u := x.upload
	if u == nil {
		return x.body.ended
	}
	select {
	case <-u.done:
	default:
		timer := time.NewTimer(uploadFarewell)
		defer timer.Stop()
		select {
		case <-u.done:
		case <-timer.C:
			x.shut = true
			cut(x.c.nc.SetReadDeadline, x.c.watch)
			cut(up.nc.SetWriteDeadline, up.watch)
			<-u.done
			_ = x.c.nc.SetReadDeadline(time.Time{}) // for the farewell
		}
	}
	x.upload = nil
	if !u.sent {
		x.shut = true
	}
	return u.sent
}

// abandon lets go of the upstream's connection, for a request that was given up in its midst.
func (x *Exchange) abandon() {
	if up := x.c.upstream.Swap(nil); up != nil {
		up.kill()
		x.join(up)
		up.close()
	}
}

func cut(set func(time.Time) error, w *Watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = set(past) // a connection that is broken already ends what waits for it
}
