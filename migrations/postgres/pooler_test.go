package postgres

import (
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

// TestPoolers: each way in which a pooler in transaction mode may hand out its sessions is found; one in
// session mode, and none, are fine.
func TestPoolers(t *testing.T) {
	for name, c := range map[string]struct {
		sessions int
		latest   bool // hand out the session that came back last, as PgBouncer does unless told otherwise
		sticky   bool // session mode
		begins   bool // transactions are let through: it is not in statement mode
		want     bool
	}{
		"one session":           {1, true, false, true, true},
		"the latest of several": {3, true, false, true, true},
		"several in turn":       {3, false, false, true, true},
		"no transactions":       {10, true, false, false, true},
		"a session for each":    {10, true, true, true, false},
		"no pooler":             {0, false, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := localdbtest.Fresh(t)
			run(t, dsn, "CREATE TABLE x (id integer PRIMARY KEY)")
			if c.sessions > 0 {
				dsn = newPooler(t, dsn, c.sessions, &pooler{latest: c.latest, sticky: c.sticky, begins: c.begins})
			}
			d := open(t, dsn, strangler.Legacy, "x")
			s, err := d.Inspect(t.Context())
			must(t, err)
			found, err := d.Examine(t.Context())
			must(t, err)
			inspected := len(s.Problems) == 1 && s.Problems[0].Check == "pooler"
			examined := len(found) == 1 && found[0].Check == "pooler" && found[0].Forbids
			if inspected != c.want || examined != c.want || !c.want && len(s.Problems) > 0 {
				t.Errorf("Inspect: %+v\nExamine: %+v", s.Problems, found)
			}
		})
	}
}

// pooler speaks PostgreSQL's protocol between clients and a few sessions of a server. A client has one from
// the first message of a transaction to its end.
type pooler struct {
	mu     sync.Mutex
	freed  *sync.Cond
	free   []*pgconn.HijackedConn
	latest bool
	sticky bool
	begins bool
}

// newPooler listens until the test ends, and returns the way in.
func newPooler(t *testing.T, dsn string, sessions int, p *pooler) string {
	t.Helper()
	p.freed = sync.NewCond(&p.mu)
	var all []*pgconn.HijackedConn
	for range sessions {
		c, err := pgconn.Connect(t.Context(), dsn)
		must(t, err)
		h, err := c.Hijack()
		must(t, err)
		all = append(all, h)
	}
	p.free = append(p.free, all...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer client.Close()
				if err := p.serve(client); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) {
					t.Errorf("pooler: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() { // the clients have gone: handles are closed before
		must(t, l.Close())
		for _, h := range all {
			_ = h.Conn.Close()
		}
		wg.Wait()
	})
	u, err := url.Parse(dsn)
	must(t, err)
	u.Host = l.Addr().String()
	return u.String()
}

func (p *pooler) take() *pgconn.HijackedConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.free) == 0 {
		p.freed.Wait()
	}
	at := 0
	if p.latest {
		at = len(p.free) - 1
	}
	h := p.free[at]
	p.free = append(p.free[:at:at], p.free[at+1:]...)
	return h
}

func (p *pooler) give(h *pgconn.HijackedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, h)
	p.freed.Signal()
}

// serve relays a client's statements, each up to the server's word that it is ready.
func (p *pooler) serve(client net.Conn) error {
	front := pgproto3.NewBackend(client, client)
	if _, err := front.ReceiveStartupMessage(); err != nil {
		return err
	}
	front.Send(&pgproto3.AuthenticationOk{})
	front.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	front.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	front.Send(&pgproto3.BackendKeyData{SecretKey: []byte{0, 0, 0, 1}})
	front.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := front.Flush(); err != nil {
		return err
	}
	var session *pgconn.HijackedConn
	defer func() {
		if session != nil {
			p.give(session)
		}
	}()
	for {
		message, err := front.Receive()
		if err != nil {
			return err
		}
		if _, ends := message.(*pgproto3.Terminate); ends {
			return nil
		}
		if q, ok := message.(*pgproto3.Query); ok && !p.begins && strings.HasPrefix(q.String, "begin") {
			front.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: protocolViolation, Message: "transaction blocks not allowed in statement pooling mode"})
			return front.Flush()
		}
		if session == nil {
			session = p.take()
		}
		text, err := message.Encode(nil)
		if err != nil {
			return err
		}
		if _, err := session.Conn.Write(text); err != nil {
			return err
		}
		switch message.(type) {
		case *pgproto3.Sync, *pgproto3.Query:
			ready, err := answer(session, front)
			if err != nil {
				return err
			}
			if ready == 'I' && !p.sticky {
				p.give(session)
				session = nil
			}
		}
	}
}

// answer relays what the server says to one statement, and returns its transaction's status.
func answer(session *pgconn.HijackedConn, front *pgproto3.Backend) (byte, error) {
	for {
		message, err := session.Frontend.Receive()
		if err != nil {
			return 0, err
		}
		front.Send(message)
		if ready, ok := message.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus, front.Flush()
		}
	}
}
