package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/strangler-fig/strangler"
)

// Start listens, then serves. When it returns nil, URL answers.
func (p *Proxy) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.listener != nil {
		return errors.New("the proxy was started or closed before; make a new one")
	}
	listener, err := net.Listen("tcp", p.config.Listen)
	if err != nil {
		return fmt.Errorf("the proxy cannot listen on %s: %w; choose another proxy.listen, or stop what has it", p.config.Listen, err)
	}
	p.listener = listener
	p.server = &http.Server{
		Handler:                      p.Handler(),
		ReadHeaderTimeout:            p.config.Timeouts.Head,
		IdleTimeout:                  p.config.Timeouts.Idle,
		MaxHeaderBytes:               maxHeadBytes,
		BaseContext:                  func(net.Listener) context.Context { return p.ctx },
		ErrorLog:                     slog.NewLogLogger(p.config.Log.Handler(), slog.LevelDebug),
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is the monolith's to answer
	}
	p.work.Go(func() {
		if err := p.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.config.Log.Error("the proxy stopped listening", strangler.LogError, err)
		}
	})
	return nil
}

// URL is the address that Start listens on, "http://127.0.0.1:8080"; empty before Start.
func (p *Proxy) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return ""
	}
	return "http://" + p.listener.Addr().String()
}

// Handler is the walk for a server of the caller's own, which has to be shut down before Close: Close
// waits for its requests, but cannot cut them.
func (p *Proxy) Handler() http.Handler { return http.HandlerFunc(p.serve) }

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
	server := p.server
	p.mu.Unlock()

	var err error
	if server != nil {
		err = server.Shutdown(ctx)
	}
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
	p.transport.CloseIdleConnections()
	p.shadowing.CloseIdleConnections()
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
