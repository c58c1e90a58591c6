package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/strangler-fig/strangler"
)

const (
	maxBody     = 64 << 10         // bytes of a question
	maxHead     = 32 << 10         // bytes of its head
	headTime    = 5 * time.Second  // for a head to arrive
	bodyTime    = 10 * time.Second // for a body to arrive
	idleTime    = 2 * time.Minute  // of a kept-alive connection
	readingTime = 30 * time.Second // for an answer that changes nothing
)

// Server is the admin API on its own listener. Its methods may be called by many goroutines.
type Server struct {
	cfg          Config
	capabilities map[string]strangler.Capability
	names        []string
	log          *slog.Logger
	http         *http.Server
	listener     net.Listener

	life   context.Context // ends with Close; every operation lives in it
	end    context.CancelFunc
	serve  sync.WaitGroup
	failed chan error

	mu         sync.Mutex
	closing    bool
	operations sync.WaitGroup // requests being answered
}

// New checks the configuration. Nothing listens before Open. Its errors wrap strangler.ErrConfig.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Listener == nil {
		cfg.Listener = net.Listen
	}
	if cfg.Log == nil {
		cfg.Log = strangler.Discard()
	}
	s := &Server{cfg: cfg, log: cfg.Log, capabilities: map[string]strangler.Capability{}, failed: make(chan error, 1)}
	for _, capability := range cfg.Capabilities {
		s.capabilities[capability.Name] = capability
		s.names = append(s.names, capability.Name)
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s.router(),
		ReadHeaderTimeout: headTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Open listens and begins to serve. An address that cannot be had is an error at once.
func (s *Server) Open() error {
	listener, err := s.cfg.Listener("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("admin API: %w; nothing was started; is another strangler serve running? (admin.listen)", err)
	}
	s.listener = listener
	s.serve.Go(func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("admin API: it no longer accepts connections: %w", err)
		}
	})
	return nil
}

// Failed delivers the error with which serving ended by itself, at most one.
func (s *Server) Failed() <-chan error { return s.failed }

// URL is where the API is, once Open has returned. An unspecified host is shown as it is bound.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close takes no more questions, ends the operations that are under way (what they began is taken up
// again when the daemon starts), and waits for them and for every goroutine until ctx ends. Closing
// twice is no error.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.end()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("admin API: closing with connections open: %w", err), s.http.Close())
	}
	s.serve.Wait()
	done := make(chan struct{})
	go func() {
		s.operations.Wait()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("admin API: an operation has not ended: %w", ctx.Err()))
	}
}

// enter counts a request in; leave counts it out. It is false once the server is closing.
func (s *Server) enter() (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, false
	}
	s.operations.Add(1)
	return s.operations.Done, true
}

// operation is the context of what changes something: it does not end when the client goes away, but
// when the server does.
func (s *Server) operation(c echo.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Request().Context()))
	stop := context.AfterFunc(s.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// reading is the context of what only looks: it ends with its client, or when it takes too long.
func (s *Server) reading(c echo.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readingTime)
	stop := context.AfterFunc(s.life, cancel)
	return ctx, func() { stop(); cancel() }
}

func newEcho() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(io.Discard)
	return e
}
