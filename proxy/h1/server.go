package h1

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound what one connection may cost. Every field has to be set.
type Limits struct {
	HeadBytes   int // of a head
	Lines       int // header lines of a head
	Connections int // at once; past them one that is between two requests is closed, or else the new one

	Head  time.Duration // a request's head, from its first byte or from the connection's beginning
	Idle  time.Duration // between two requests on a connection
	Body  time.Duration // without a byte of a request's body
	Stall time.Duration // without the client taking a byte of its answer
}

// Config is what a Server is made of.
type Config struct {
	Limits  Limits
	Watch   *Watch
	Handler func(*Exchange)             // the walk; it has to Answer or Forward
	Refuse  func(*Exchange, *Malformed) // answers a request that is refused; only Answer may be called
	HTTP2   func(net.Conn)              // takes over a connection that begins as HTTP/2, and closes it; nil: it is refused
	Log     *slog.Logger

	Announced   func(peer net.Addr) bool       // whether connections of this peer begin with a PROXY header
	Unannounced func(peer net.Addr, why error) // hears why one was closed that did not
}

// Server takes requests from clients' connections. Make one with NewServer.
type Server struct {
	Config
	ctx      context.Context // ends what Close cuts
	cancel   context.CancelFunc
	state    atomic.Int32
	mu       sync.Mutex
	listener net.Listener
	clients  map[*wire]struct{}
	leaving  int // of them, those that make room for others
	away     int // those that were handed over, until they are closed
	running  sync.WaitGroup
}

// NewServer makes a server, which serves nothing yet.
func NewServer(c Config) *Server {
	s := &Server{Config: c, clients: map[*wire]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background()) // lives until Close, not until some caller's end
	return s
}

// Serve takes connections from a listener until Close, and then returns net.ErrClosed.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.state.Load() != serving {
		s.mu.Unlock()
		return errors.Join(net.ErrClosed, l.Close())
	}
	s.listener = l
	s.running.Add(1)
	s.mu.Unlock()
	defer s.running.Done()
	for pause := time.Duration(0); ; {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.begin(nc)
		case s.state.Load() != serving:
			return net.ErrClosed
		case temporary(err): // out of descriptors: those who are served now will give some back
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.Log.Warn("a connection could not be taken", "error", err, "again_in", pause)
			timer := time.NewTimer(pause)
			<-timer.C
		default:
			return err
		}
	}
}

// temporary is what net/http's server takes for it, by the same deprecated method: there is no other.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func (s *Server) begin(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.clients)-s.leaving+s.away >= s.Limits.Connections {
		if !s.makeRoom() {
			_ = nc.Close() // nothing was read from it
			return
		}
	}
	c := newWire(nc, s.Watch)
	s.clients[c] = struct{}{}
	s.running.Go(func() {
		defer s.end(c)
		s.converse(c)
	})
}

// makeRoom closes a connection that is between two requests, if one is found soon. The lock is held.
func (s *Server) makeRoom() bool {
	s.Watch.mu.Lock()
	defer s.Watch.mu.Unlock()
	looked := 0
	for c := range s.clients { // in no order
		if word := c.in.word.Load(); c.idle.Load() && (c.served.Load() || s.Watch.now.Load()-c.born > newcomer) && c.in.cut(word, closing) {
			c.evicted.Store(true)
			c.cutRead()
			s.leaving++
			return true
		}
		if looked++; looked == mostLooked {
			break
		}
	}
	return false
}

// stays keeps a connection that was to make room and whose request came in that very instant.
func (s *Server) stays(c *wire) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.evicted.CompareAndSwap(true, false) {
		s.leaving--
	}
}

// newcomer is how long a connection that has not asked for anything yet is left to do so, in nanoseconds.
const newcomer = int64(time.Second)

// mostLooked bounds what a flood of connections costs.
const mostLooked = 64

func (s *Server) end(c *wire) {
	s.mu.Lock()
	delete(s.clients, c)
	if c.evicted.Load() {
		s.leaving--
	}
	if c.given {
		s.away++
	}
	s.mu.Unlock()
	c.close()
}

// returned takes note that a connection that was handed over is closed.
func (s *Server) returned() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away--
}

// converse takes one request after another from a connection.
func (s *Server) converse(c *wire) {
	v := conversation{s: s, c: c, within: s.Limits.Head}
	v.turn = v.take
	if s.Announced(c.nc.RemoteAddr()) && !v.announced() {
		return
	}
	for v.next() {
	}
	switch {
	case v.linger:
		c.linger()
	case v.http2:
		s.HTTP2(c.handOver(s.returned))
	}
}

var exchanges = sync.Pool{New: func() any { return new(Exchange) }}

// exchange begins one, which has to be served, or to be released.
func (s *Server) exchange(c *wire) *Exchange {
	x := exchanges.Get().(*Exchange)
	x.s, x.c = s, c
	return x
}

// serve has a request answered, and says whether another one may follow on the connection, or else
// whether the client may still be sending.
func (s *Server) serve(x *Exchange, err error) (more, linger bool) {
	defer func() {
		if p := recover(); p != nil { // as net/http's server does: one request must not end all others
			s.Log.Error("a request was given up", "panic", p, "stack", string(debug.Stack()))
			more, linger = false, false
			x.abandon()
			return // and the exchange is not used again
		}
		x.release()
	}()
	if err == nil {
		s.Handler(x)
		return x.finish()
	}
	return s.refuse(x, err)
}

// refuse answers a request whose head could not be read, unless the client left or was too slow to be
// told.
func (s *Server) refuse(x *Exchange, err error) (more, linger bool) {
	var why *Malformed
	if !errors.As(err, &why) {
		return false, false
	}
	x.shut = true
	s.Refuse(x, why)
	return false, true // nobody knows what else it is sending
}

// The states of a server, in their order.
const (
	serving  int32 = iota
	retiring       // it takes no connections any more, and ends each with its next answer
	closed         // and those that are between two requests at once
)

// Retire stops taking connections, and ends each with its next answer, so that no client finds one closed under its request. It
// returns when none is left, or when ctx ends. Close has to follow.
func (s *Server) Retire(ctx context.Context) {
	s.stop(retiring)
	select {
	case <-s.ended():
	case <-ctx.Done():
	}
}

// stop takes no further connections. One that was taken in that very instant is served.
func (s *Server) stop(state int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Store(state)
	if s.listener != nil {
		_ = s.listener.Close() // Serve reports why it ended
	}
}

// ended is closed when nothing is under way any more.
func (s *Server) ended() <-chan struct{} {
	ended := make(chan struct{})
	go func() { // until Close, which waits for the same
		s.running.Wait()
		close(ended)
	}()
	return ended
}

// Close stops taking connections and requests, and waits for those under way. Of a connection that is younger than a second the
// first request is waited for, until it is not. When ctx ends first it cuts them, waits, and says so.
func (s *Server) Close(ctx context.Context) error {
	defer s.cancel()
	s.stop(closed)
	s.wake()
	ended := s.ended()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.cancel() // before the upstreams are looked for: see Forward
	s.mu.Lock()
	n := len(s.clients)
	for c := range s.clients {
		c.kill()
		if up := c.upstream.Load(); up != nil {
			up.kill()
		}
	}
	s.mu.Unlock()
	<-ended
	return fmt.Errorf("%d connections were still in use: %w", n, ctx.Err())
}

// wake ends the wait of connections that are between requests. One whose request comes in that very
// instant is served.
func (s *Server) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Watch.mu.Lock()
	defer s.Watch.mu.Unlock()
	for c := range s.clients {
		switch word := c.in.word.Load(); {
		case !c.idle.Load():
		case !c.served.Load() && s.Watch.now.Load()-c.born <= newcomer:
			c.in.shorten(word, c.born+newcomer)
		case c.in.cut(word, closing):
			c.cutRead()
		}
	}
}
