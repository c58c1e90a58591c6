package proxy

import (
	"errors"
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
// must be called once with the same set. It reports how long the write was held.
func (p *Proxy) admit(set []int, client carrier) (held time.Duration, err error) {
	shut, opened := p.enter(set)
	if shut == nil {
		return 0, nil
	}
	began := time.Now()
	timer := time.NewTimer(p.config.Hold.Wait)
	defer timer.Stop()
	var gone <-chan struct{}
	for again := false; shut != nil; again = true {
		if !shut.gate.hold(p.config.Hold.Requests, again) {
			return held, errHoldFull
		}
		shut.metrics.held.Inc()
		if !again {
			gone = client.gone()
		}
		err = p.wait(gone, opened, timer.C)
		held = time.Since(began)
		shut.metrics.held.Dec()
		shut.metrics.holdSeconds.Observe(held.Seconds())
		shut.gate.unhold(held, errors.Is(err, errHoldLong) || errors.Is(err, errClosing))
		if err != nil {
			return held, err
		}
		shut, opened = p.enter(set)
	}
	return held, nil
}

func (p *Proxy) wait(gone, opened <-chan struct{}, timeout <-chan time.Time) error {
	select {
	case <-opened:
		return nil
	case <-gone:
		return errLeft
	case <-p.closing:
		return errClosing
	case <-timeout:
		return errHoldLong
	}
}

// enter passes all gates of a set, or none: then it returns the capability whose gate is closed.
func (p *Proxy) enter(set []int) (shut *capability, opened <-chan struct{}) {
	for n, i := range set {
		c := p.capabilities[i]
		if opened := c.gate.enter(); opened != nil {
			p.leave(set[:n])
			return c, opened
		}
	}
	return nil, nil
}

func (p *Proxy) leave(set []int) {
	for _, i := range set {
		p.capabilities[i].gate.leave()
	}
}
