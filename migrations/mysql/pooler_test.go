package mysql_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	client "github.com/go-sql-driver/mysql"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// TestPoolers: a proxy that hands out its sessions by turns is found however it does, and one that gives each client a session of its
// own, or none, is fine.
func TestPoolers(t *testing.T) {
	for name, c := range map[string]struct {
		sessions int
		latest   bool // hand out the session that came back last
		sticky   bool // a client keeps its session
		want     bool
	}{
		"one session":           {1, true, false, true},
		"the latest of several": {3, true, false, true},
		"several in turn":       {3, false, false, true},
		"a session for each":    {10, true, true, false},
		"no proxy":              {0, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := lab{}
			dsn := l.Fresh(t)
			exec(t, l.Connect(t, dsn), "CREATE TABLE couriers (id INTEGER PRIMARY KEY)")
			if c.sessions > 0 {
				dsn = newPooler(t, dsn, c.sessions, c.latest, c.sticky)
			}
			d, err := l.Open(t.Context(), migrations.Binding{Capability: "delivery", Side: strangler.Legacy, DSN: dsn, Tables: []string{"couriers"}, ControlID: "store-1"})
			must(t, err)
			t.Cleanup(func() { must(t, d.Close()) })
			s, err := d.Inspect(t.Context())
			must(t, err)
			found, err := d.(migrations.Examiner).Examine(t.Context())
			must(t, err)
			inspected := len(s.Problems) == 1 && s.Problems[0].Check == "pooler"
			examined := len(found) == 1 && found[0].Check == "pooler" && found[0].Forbids && len(found[0].Next) > 0
			if inspected != c.want || examined != c.want || !c.want && len(s.Problems) > 0 {
				t.Errorf("Inspect: %+v\nExamine: %+v", s.Problems, found)
			}
		})
	}
}

// session is a connection that has logged in, and what the server greeted it with.
type session struct {
	net.Conn
	greeting []byte
}

func (s *session) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.greeting = append(s.greeting, b[:n]...)
	return n, err
}

// pooler speaks MySQL's protocol, of text alone, between clients and a few sessions. A client has one from a statement to the end of
// its transaction, or, sticky, for as long as it is there.
type pooler struct {
	free           chan *session
	mu             sync.Mutex
	latest, sticky bool
}

// newPooler listens until the test ends, and returns the way in.
func newPooler(t *testing.T, dsn string, sessions int, latest, sticky bool) string {
	t.Helper()
	p := &pooler{free: make(chan *session, sessions), latest: latest, sticky: sticky}
	u, err := url.Parse(dsn)
	must(t, err)
	cfg := client.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.DBName, cfg.ClientFoundRows = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/"), true
	cfg.Passwd, _ = u.User.Password()
	cfg.Logger = &client.NopLogger{} // the sessions are closed under the driver
	var all []*session
	for range sessions {
		var s *session
		cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, address)
			s = &session{Conn: c}
			return s, err
		}
		connector, err := client.NewConnector(cfg)
		must(t, err)
		conn, err := connector.Connect(t.Context()) // from here on the session is the pooler's
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		s.greeting = s.greeting[:4+int(s.greeting[0])]
		all = append(all, s)
		p.free <- s
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				if err := p.serve(c, all[0].greeting); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) {
					t.Errorf("pooler: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() { // the clients have gone: handles are closed before
		must(t, l.Close())
		for _, s := range all {
			_ = s.Conn.Close()
		}
		wg.Wait()
	})
	u.Host = l.Addr().String()
	return u.String()
}

// take waits for a session: the one that has been free for longest or, latest, the other end of the queue.
func (p *pooler) take() *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := <-p.free
	for range len(p.free) {
		if p.latest {
			p.free <- s
			s = <-p.free
		}
	}
	return s
}

// packet reads one, with its head.
func packet(c net.Conn) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	out := append(head, make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)...)
	_, err := io.ReadFull(c, out[4:])
	return out, err
}

func (p *pooler) serve(c net.Conn, greeting []byte) error {
	if _, err := c.Write(greeting); err != nil {
		return err
	}
	login, err := packet(c)
	if err != nil {
		return err
	}
	ends := 2            // of an answer with rows: behind the columns, and behind the rows
	if login[7]&1 != 0 { // CLIENT_DEPRECATE_EOF
		ends = 1
	}
	ok := []byte{7, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0}
	if _, err := c.Write(ok); err != nil {
		return err
	}
	var s *session
	defer func() {
		if s != nil {
			p.free <- s
		}
	}()
	for {
		command, err := packet(c)
		if err != nil || command[4] == 1 { // COM_QUIT
			return err
		}
		if s == nil {
			s = p.take()
		}
		if _, err := s.Write(command); err != nil {
			return err
		}
		busy, err := answer(s.Conn, c, ends)
		if err != nil {
			return err
		}
		if !busy && !p.sticky {
			p.free <- s
			s = nil
		}
	}
}

// answer passes on all that the server says to one statement, and tells whether a transaction is open behind it.
func answer(from, to net.Conn, ends int) (busy bool, err error) {
	var all []byte
	next := func() ([]byte, error) {
		out, err := packet(from)
		all = append(all, out...)
		if err != nil {
			return nil, err
		}
		return out[4:], nil
	}
	first, err := next()
	if err != nil {
		return false, err
	}
	const inTransaction = 1
	switch first[0] {
	case 0: // OK: two numbers, which are small here, and the status
		busy = binary.LittleEndian.Uint16(first[3:])&inTransaction != 0
	case 0xff:
	default:
		for ends > 0 {
			p, err := next()
			if err != nil {
				return false, err
			}
			if p[0] == 0xff {
				break
			}
			if p[0] == 0xfe && len(p) < 9 {
				ends--
				busy = binary.LittleEndian.Uint16(p[3:])&inTransaction != 0
			}
		}
	}
	_, err = to.Write(all)
	return busy, err
}
