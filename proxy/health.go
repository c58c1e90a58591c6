package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	probeTimeout = 2 * time.Second // one question
	probeBody    = 64 << 10        // bytes of an answer that are read
	illAfter     = 2               // answers in a row that are not 2xx, or none
)

// examine asks each server that has a health path for it until the proxy is closed.
func (p *Proxy) examine() {
	for _, s := range p.servers() {
		if s.of.health != "" {
			p.work.Go(func() { p.attend(s) })
		}
	}
}

// attend asks a server again and again: it is ill when it was not well twice in a row, and well again with the first answer that
// says so.
func (p *Proxy) attend(s *server) {
	tick := time.NewTicker(p.config.Health)
	defer tick.Stop()
	for failures := 0; ; {
		err := p.probe(s)
		if p.ctx.Err() != nil {
			return
		}
		if failures++; err == nil {
			failures = 0
		}
		if failures == 0 || failures >= illAfter {
			s.examined(failures > 0, err)
		}
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			return
		}
	}
}

// probe asks once. A redirect is no answer that says it is well.
func (p *Proxy) probe(s *server) (err error) {
	ctx, cancel := context.WithTimeout(p.ctx, min(probeTimeout, p.config.Health))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.scheme+"://"+s.host+s.of.health, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "strangler-health")
	answer, err := s.of.beside.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("GET %s answered %s", s.of.health, answer.Status)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, probeBody))
	return err
}
