package localdb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	host      = "127.0.0.1"
	tailLines = 15

	// Ports outside of the range that systems take for outgoing connections: a server that is down for a
	// moment finds its own free again.
	firstPort, ports = 20000, 12000
	attempts         = 20

	pollTime = 10 * time.Millisecond
)

// Server is one private server. Its methods may be called by several goroutines.
type Server struct {
	flavour  *flavour
	programs programs
	account  account
	folder   *folder
	password string
	settings map[string]string // MariaDB's, which has no file of them

	mu      sync.Mutex // held through a start and a stop
	port    int
	process *process // nil while it is down
	killed  bool     // it is down without having cleaned up
	closed  bool
}

// errPort: somebody else listens there.
var errPort = errors.New("the port is taken")

// choosePort starts the server on the first free port that it can get.
func (s *Server) choosePort(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for range attempts {
		s.port = firstPort + rand.IntN(ports)
		if !free(s.Addr()) {
			err = errPort
			continue
		}
		if err = s.start(ctx); !errors.Is(err, errPort) {
			return err
		}
	}
	return fmt.Errorf("starting a private %s server: no free port on %s in %d attempts: %w", s.flavour.name, host, attempts, err)
}

// free saves a start that would fail; what takes the port afterwards makes that start fail.
func free(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// start runs the server and returns when it answers. The caller holds mu.
func (s *Server) start(ctx context.Context) error {
	before, err := os.Stat(s.log())
	if err != nil {
		return fmt.Errorf("starting a private %s server: %w", s.flavour.name, err)
	}
	path, args := s.flavour.serve(s)
	p, err := start(command{path: path, args: args, dir: s.folder.dir, log: s.log(), who: s.account, lock: s.folder.lock, last: s.flavour.last})
	if err != nil {
		return fmt.Errorf("starting a private %s server: %w", s.flavour.name, err)
	}
	s.process, s.killed = p, false
	asked, cancel := context.WithCancel(ctx) // whoever else listens there may keep a question for long
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-p.done:
			cancel()
		case <-asked.Done():
		}
	}()
	defer func() {
		cancel()
		<-watched
	}()
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		last := s.ping(asked)
		if last == nil {
			return nil
		}
		select {
		case <-tick.C:
			continue
		case <-p.done:
			if log, e := os.ReadFile(s.log()); e == nil && bytes.Contains(log[min(before.Size(), int64(len(log))):], []byte("Address already in use")) {
				err = errPort
			} else {
				err = errors.Join(p.err, e)
			}
		case <-ctx.Done():
			err = errors.Join(ctx.Err(), last, p.stop(s.flavour.now, graceTime))
		}
		err = errors.Join(err, p.gone())
		s.process = nil
		return fmt.Errorf("starting a private %s server on %s: %w%s", s.flavour.name, s.Addr(), err, s.lastWords())
	}
}

// ping asks the server for an answer.
func (s *Server) ping(ctx context.Context) error {
	return s.session(ctx, func(db *sql.Conn) error { return db.PingContext(ctx) })
}

// Addr is the host and port on which the server listens, and listened before it went down.
func (s *Server) Addr() string { return net.JoinHostPort(host, strconv.Itoa(s.port)) }

// Kill crashes the server: all its processes are killed at once, and are gone when it returns. What they have committed is there after Restart. A server that is down stays down.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	err := errors.Join(s.process.crash(), s.process.gone())
	s.process, s.killed = nil, true
	if err != nil {
		return fmt.Errorf("killing a private %s server: %w", s.flavour.name, err)
	}
	return nil
}

// Restart starts the server again, on the same port and data, and returns when it has recovered and answers.
// One that still runs is stopped before, as an administrator would: its sessions are ended, its transactions
// rolled back.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("restarting a private %s server: it is closed; start another one", s.flavour.name)
	}
	if p := s.process; p != nil {
		s.process = nil
		if err := errors.Join(p.stop(s.flavour.stop, graceTime), p.gone()); err != nil {
			return fmt.Errorf("restarting a private %s server: %w%s", s.flavour.name, err, s.lastWords())
		}
	}
	return s.start(ctx)
}

// Close stops the server at once, waits until everything of it is gone, and removes its folder. Twice is
// safe.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var err error
	if p := s.process; p != nil {
		s.process = nil
		err = errors.Join(p.stop(s.flavour.now, graceTime), p.gone())
	} else if s.killed && s.flavour.release != nil {
		s.flavour.release(s.data())
	}
	if err = errors.Join(err, s.folder.Remove()); err != nil {
		return fmt.Errorf("closing a private %s server: %w", s.flavour.name, err)
	}
	return nil
}

// lastWords are the last lines of the log, indented, behind what they explain.
func (s *Server) lastWords() string {
	b, err := os.ReadFile(s.log())
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return "\n    " + strings.Join(lines[max(0, len(lines)-tailLines):], "\n    ")
}
