package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A connection on which an answer is awaited and nothing has moved since the last look, lookPause ago, is asked
// about over a new one, within lookTime. Where the server is still at work, it is asked again after workPause.
const (
	lookPause = time.Second
	lookTime  = 5 * time.Second
	workPause = 5 * time.Second
	// keepAlive is how long a connection may be silent before its peer is asked for, three times.
	keepAlive = 5 * time.Second
)

// line is the connection to the server under a session.
type line struct {
	net.Conn
	all     *lines
	pid     atomic.Int32 // of the server's process; 0 while it is not known
	moves   atomic.Int64 // reads and writes that have ended
	reading atomic.Bool  // somebody waits for bytes
	asked   atomic.Bool  // the last thing that moved was sent
	busy    atomic.Bool  // a query has not ended
	lost    atomic.Bool  // it was given up
	starved atomic.Bool  // the server waits for rows that we have not got yet

	seen int64     // moves at the last look; the watcher's
	rest time.Time // not to be asked about before; the watcher's
}

func (l *line) Read(b []byte) (int, error) {
	l.reading.Store(true)
	n, err := l.Conn.Read(b)
	l.reading.Store(false)
	l.asked.Store(false)
	l.moves.Add(1)
	if err != nil && l.lost.Load() {
		err = fmt.Errorf("the connection went silent, while the server waits or has ended the session, and was given up: %w", err)
	}
	return n, err
}

func (l *line) Write(b []byte) (int, error) {
	l.asked.Store(true)
	n, err := l.Conn.Write(b)
	l.moves.Add(1)
	return n, err
}

func (l *line) Close() error {
	l.all.drop(l)
	return l.Conn.Close()
}

// feed is the rows that go over a line. While it waits for more of them, the server's silence is our own.
type feed struct {
	io.Reader
	line *line
}

func (f feed) Read(b []byte) (int, error) {
	f.line.starved.Store(true)
	defer f.line.starved.Store(false)
	return f.Reader.Read(b)
}

// lines are the connections of a handle. One that goes silent, as behind a firewall that has forgotten it or a
// pooler that hangs, is given up: whoever waits for its answer would do so for ever, holding writes or a lease.
// No statement is given up for taking long, since the server itself is asked whether it is at work.
type lines struct {
	dialer net.Dialer
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu  sync.Mutex
	all map[*line]bool
}

func newLines() *lines {
	return &lines{all: map[*line]bool{}, cancel: func() {},
		dialer: net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: 3}}}
}

func (ls *lines) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := ls.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l := &line{Conn: c, all: ls}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.all[l] = true
	return l, nil
}

func (ls *lines) drop(l *line) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.all, l)
}

// lineOf is the line under a session, or nil.
func lineOf(c *pgx.Conn) *line {
	under := c.PgConn().Conn()
	if secure, ok := under.(interface{ NetConn() net.Conn }); ok {
		under = secure.NetConn()
	}
	l, _ := under.(*line)
	return l
}

// know learns which process of the server is at the other end; a pooler would tell its own.
func (ls *lines) know(ctx context.Context, c *pgx.Conn) error {
	var pid int32
	if err := c.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return err
	}
	if l := lineOf(c); l != nil {
		l.pid.Store(pid)
	}
	return nil
}

// TraceQueryStart is called by pgx.
func (ls *lines) TraceQueryStart(ctx context.Context, c *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if l := lineOf(c); l != nil {
		l.busy.Store(true)
	}
	return ctx
}

// TraceQueryEnd is called by pgx.
func (ls *lines) TraceQueryEnd(_ context.Context, c *pgx.Conn, _ pgx.TraceQueryEndData) {
	if l := lineOf(c); l != nil {
		l.busy.Store(false)
	}
}

// watch looks at the lines until close.
func (ls *lines) watch(pool *pgxpool.Pool) {
	ctx, cancel := context.WithCancel(context.Background())
	ls.cancel = cancel
	ls.wg.Go(func() {
		tick := time.NewTicker(lookPause)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if quiet := ls.quiet(time.Now()); len(quiet) > 0 {
					_ = ls.giveUp(ctx, pool, quiet) // a server that cannot be asked is asked again
				}
			case <-ctx.Done():
				return
			}
		}
	})
}

func (ls *lines) close() { ls.cancel(); ls.wg.Wait() }

// quiet are the lines on which an answer is awaited and nothing has moved since the last look.
func (ls *lines) quiet(now time.Time) (quiet []*line) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for l := range ls.all {
		moves := l.moves.Load()
		still := moves == l.seen
		l.seen = moves
		if still && l.pid.Load() != 0 && l.reading.Load() && (l.asked.Load() || l.busy.Load()) && !l.starved.Load() && now.After(l.rest) {
			quiet = append(quiet, l)
		}
	}
	return quiet
}

// giveUp asks the server over a new connection which of the lines it still works for. It waits itself, or is
// not there any more, at the other end of those that are lost: they are cut, at both ends, and so are the
// connections that lie ready and may have gone the same way.
func (ls *lines) giveUp(ctx context.Context, pool *pgxpool.Pool, quiet []*line) (err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	var pids, lost []int32
	for _, l := range quiet {
		pids = append(pids, l.pid.Load())
	}
	rows, err := c.Query(ctx, `SELECT p.pid FROM unnest($1::integer[]) AS p (pid) LEFT JOIN pg_stat_activity AS a ON a.pid = p.pid AND a.usename = session_user AND a.datname = current_database()
		WHERE a.pid IS NULL OR (a.state LIKE 'idle%' OR a.wait_event IN ('ClientRead', 'ClientWrite')) AND a.state_change < clock_timestamp() - $2::bigint * interval '1 ms'`, pids, lookPause.Milliseconds())
	if lost, err = collect(rows, err, func(r pgx.Rows) (pid int32, err error) { return pid, r.Scan(&pid) }); err != nil {
		return err
	}
	gone := map[int32]bool{}
	for _, pid := range lost {
		gone[pid] = true
	}
	for _, l := range quiet {
		if !gone[l.pid.Load()] || l.moves.Load() != l.seen {
			l.rest = time.Now().Add(workPause)
			continue
		}
		l.lost.Store(true)
		_ = l.Close() // whoever waits for an answer gets an error now
		_, errEnd := c.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1::integer AND usename = session_user AND datname = current_database()", l.pid.Load())
		err = errors.Join(err, errEnd)
		pool.Reset()
	}
	return err
}
