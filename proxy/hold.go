package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/bits"
	"net/http"
	"os"
	"time"
)

// Why a held write did not pass.
var (
	errHoldFull = errors.New("all places before the gate are taken")
	errHoldLong = errors.New("the gate stayed closed too long")
	errClosing  = errors.New("the proxy is closing")
	errLeft     = errors.New("the client left")
)

// admit lets a write pass the gates of all capabilities in a set, or holds it within the bounds. It
// passes all or none: a write that waits at one gate is not in flight at another. After nil, leave
// must be called once with the same set. settle is called once, when the write is first held.
func (p *Proxy) admit(ctx context.Context, set uint64, settle func(wait time.Duration) error) error {
	shut, opened := p.enter(set)
	if shut == nil {
		return nil
	}
	began := time.Now()
	timer := time.NewTimer(p.config.Hold.Wait)
	defer timer.Stop()
	for again := false; shut != nil; again = true {
		if !shut.gate.hold(p.config.Hold.Requests, again) {
			return errHoldFull
		}
		shut.metrics.held.Inc()
		var err error
		if !again {
			err = settle(p.config.Hold.Wait)
		}
		if err == nil {
			err = p.wait(ctx, opened, timer.C)
		}
		shut.metrics.held.Dec()
		shut.metrics.holdSeconds.Observe(time.Since(began).Seconds())
		shut.gate.unhold(time.Since(began), errors.Is(err, errHoldLong) || errors.Is(err, errClosing))
		if err != nil {
			return err
		}
		shut, opened = p.enter(set)
	}
	return nil
}

func (p *Proxy) wait(ctx context.Context, opened <-chan struct{}, timeout <-chan time.Time) error {
	select {
	case <-opened:
		return nil
	case <-ctx.Done():
		return errLeft
	case <-p.closing:
		return errClosing
	case <-timeout:
		return errHoldLong
	}
}

// enter passes all gates of a set, or none: then it returns the capability whose gate is closed.
func (p *Proxy) enter(set uint64) (shut *capability, opened <-chan struct{}) {
	for rest := set; rest != 0; rest &= rest - 1 {
		c := p.capabilities[bits.TrailingZeros64(rest)]
		if opened := c.gate.enter(); opened != nil {
			p.leave(set &^ rest)
			return c, opened
		}
	}
	return nil, nil
}

func (p *Proxy) leave(set uint64) {
	for ; set != 0; set &= set - 1 {
		p.capabilities[bits.TrailingZeros64(set)].gate.leave()
	}
}

// settledBody is how much of a held request's body is read ahead, in bytes.
const settledBody = 64 << 10

// settle reads a small body ahead: net/http notices that a client has left only when the body has
// been read. A larger one stays where it is, and its client's leaving is noticed when the hold ends.
func settle(w http.ResponseWriter, r *http.Request, wait time.Duration) error {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength > settledBody {
		return nil
	}
	conn := http.NewResponseController(w)
	limited := conn.SetReadDeadline(time.Now().Add(wait)) == nil
	ahead, err := io.ReadAll(io.LimitReader(r.Body, settledBody+1))
	if err == nil && limited {
		err = conn.SetReadDeadline(time.Time{})
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close") // or the server would first wait for the rest of the body
		return errHoldLong
	case err != nil:
		return errors.Join(errLeft, err)
	}
	r.Body = rejoinedBody{io.MultiReader(bytes.NewReader(ahead), r.Body), r.Body}
	return nil
}

type rejoinedBody struct {
	io.Reader
	io.Closer
}
