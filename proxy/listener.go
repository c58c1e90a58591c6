package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/proxy/h1"
)

// Start listens, then serves. When it returns nil, URL answers.
func (p *Proxy) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.listener != nil {
		return errors.New("the proxy was started or closed before; make a new one")
	}
	var secured *tls.Config
	if p.config.TLS.Cert != "" {
		var err error
		if secured, err = newTLS(p, p.config.TLS); err != nil {
			return err
		}
	}
	listener, err := p.config.Listener("tcp", p.config.Listen)
	if err == nil && p.config.Access.File != "" {
		if p.access, err = openAccess(p, p.config.Access); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	if err != nil {
		return fmt.Errorf("the proxy cannot listen on %s: %w; choose another proxy.listen, or stop what has it", p.config.Listen, err)
	}
	p.listener = listener
	p.http = p.newHTTPServer(secured)
	p.examine()
	if p.traces != nil {
		p.traces.start()
	}
	p.direct = newClients(listener, p)
	p.http.ConnState = p.direct.changed
	switch {
	case secured != nil:
		p.takes(func() error { return p.http.ServeTLS(p.direct, "", "") })
	case p.config.Engine == EngineNetHTTP:
		p.takes(func() error { return p.http.Serve(p.direct) })
	default:
		p.watch = h1.NewWatch()
		for _, s := range p.servers() {
			if !s.http2 {
				s.connect(p.config.Timeouts, p.watch)
			}
		}
		p.h1 = p.newServer()
		p.handed = newHanded(listener.Addr())
		p.serves(func() error { return p.h1.Serve(listener) })
		p.serves(func() error { return p.http.Serve(p.handed) })
	}
	return nil
}

// serves runs what serves until the proxy is closed.
func (p *Proxy) serves(serve func() error) {
	p.work.Go(func() {
		if err := serve(); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			p.config.Log.Error("the proxy stopped listening", strangler.LogError, err)
		}
	})
}

// takes runs what takes connections from direct, and remembers when it has taken its last one.
func (p *Proxy) takes(serve func() error) {
	p.taken = make(chan struct{})
	p.serves(func() error {
		defer close(p.taken)
		return serve()
	})
}

// handed is the listener of connections that engine h1 has accepted and that turn out to be HTTP/2,
// which net/http speaks.
type handed struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func newHanded(addr net.Addr) *handed {
	return &handed{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *Proxy) handOver(nc net.Conn) {
	select {
	case p.handed.conns <- nc:
	case <-p.handed.closed:
		_ = nc.Close() // nothing of it was answered
	}
}

func (h *handed) Accept() (net.Conn, error) {
	select {
	case nc := <-h.conns:
		return nc, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handed) Addr() net.Addr { return h.addr }

func (h *handed) Close() error {
	h.close.Do(func() { close(h.closed) })
	return nil
}

// upstreams are the sides that requests go to.
func (p *Proxy) upstreams() []*upstream {
	all := []*upstream{p.legacy}
	for _, c := range p.capabilities {
		if c.service != nil {
			all = append(all, c.service)
		}
	}
	return all
}

func (p *Proxy) servers() (all []*server) {
	for _, u := range p.upstreams() {
		all = append(all, u.servers...)
	}
	return all
}

// newHTTPServer speaks HTTP/2 as well: over TLS, and in the clear to those who begin with it.
func (p *Proxy) newHTTPServer(secured *tls.Config) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		TLSConfig:                    secured,
		Protocols:                    protocols,
		Handler:                      p.Handler(),
		ReadHeaderTimeout:            p.config.Timeouts.Head,
		IdleTimeout:                  p.config.Timeouts.Idle,
		MaxHeaderBytes:               p.config.Limits.Head,
		BaseContext:                  func(net.Listener) context.Context { return p.ctx },
		ErrorLog:                     slog.NewLogLogger(p.config.Log.Handler(), slog.LevelDebug),
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is the monolith's to answer
	}
}

// URL is the address that Start listens on, "http://127.0.0.1:8080", with https over TLS; empty before
// Start.
func (p *Proxy) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return ""
	}
	scheme := "http://"
	if p.config.TLS.Cert != "" {
		scheme = "https://"
	}
	return scheme + p.listener.Addr().String()
}

// Handler is the walk for a server of the caller's own, which has to be shut down before Close: Close
// waits for its requests, but cannot cut them.
func (p *Proxy) Handler() http.Handler { return http.HandlerFunc(p.serve) }

// Retire is for a process whose listener another one has taken over: it stops listening, and has each connection end with its next
// answer, so that no client finds one closed under its request. It returns when none is left, or when ctx ends. Gates work
// meanwhile. Close has to follow.
func (p *Proxy) Retire(ctx context.Context) {
	p.mu.Lock()
	ours, direct, listener := p.h1, p.direct, p.listener
	p.mu.Unlock()
	p.retiring.Store(true)
	if listener == nil {
		return
	}
	_ = listener.Close() // whoever serves it ends with that
	if ours == nil {
		select {
		case <-p.taken: // one that was taken in that very instant is among those that are waited for
		case <-ctx.Done():
		}
		direct.left(ctx)
		return
	}
	ours.Retire(ctx)
}

// Close stops listening, answers what the gates hold with 503, and waits for every other request,
// upgraded connections included. When ctx ends first it cuts those that remain, waits for them, and
// says so. Calling it again waits for the first call and returns the same.
func (p *Proxy) Close(ctx context.Context) error {
	p.close.Do(func() { p.closeErr = p.drain(ctx) })
	return p.closeErr
}

func (p *Proxy) drain(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	close(p.closing)
	server, ours := p.http, p.h1
	p.mu.Unlock()

	defer context.AfterFunc(ctx, p.cancel)() // cuts what is carried by net/http
	var draining sync.WaitGroup
	var err, oursErr error
	if ours != nil {
		draining.Go(func() { oursErr = ours.Close(ctx) })
	}
	if server != nil {
		err = server.Shutdown(ctx)
	}
	draining.Wait()
	err = errors.Join(err, oursErr)
	ended := make(chan struct{})
	go func() {
		p.running.Lock()
		defer p.running.Unlock()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.cancel()
	if server != nil {
		err = errors.Join(err, server.Close())
	}
	<-ended
	p.work.Wait()
	if p.watch != nil {
		for _, s := range p.servers() {
			if s.pool != nil {
				err = errors.Join(err, s.pool.Close())
			}
		}
		p.watch.Close()
	}
	if p.access != nil {
		err = errors.Join(err, p.access.close())
	}
	if p.traces != nil {
		p.traces.close()
	}
	for _, u := range p.upstreams() {
		u.transport.CloseIdleConnections()
		u.beside.CloseIdleConnections()
	}
	if err != nil {
		return fmt.Errorf("the proxy is closed, but requests were still running and were cut: %w", err)
	}
	return nil
}

// begin starts work that Close waits for, unless it is closing.
func (p *Proxy) begin(do func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.work.Go(do)
	return true
}
