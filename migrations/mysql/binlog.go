package mysql

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	binlog "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations/serverlog"
)

const (
	// heartbeat is how often the server says that it is there, and silence after how long without a word it is taken for gone.
	heartbeat, silence = 5 * time.Second, 20 * time.Second
	// eventsAhead is how many events wait to be looked at; one may be as large as a row.
	eventsAhead = 16
)

// stream reads the binary log as a replica does, and owns what it has read. It has one goroutine beside the library's, until
// close.
type stream struct {
	*serverlog.Log
	syncer *replication.BinlogSyncer
	events *replication.BinlogStreamer
	cancel context.CancelFunc
	wg     sync.WaitGroup
	begun  chan struct{} // closed when the first file's description has come, or the reading has ended

	mu       sync.Mutex
	made     map[int64]int64 // when files were begun
	recorded []recorded      // entries of tables' logs, of commits that are not forgotten
	pinned   int64
	changes  bool // of what is pinned
	heard    bool
}

// follow begins to read the binary log behind a place.
func (d *Database) follow(ctx context.Context, tables []*table, from place) (_ *stream, err error) {
	_, prefix, err := current(ctx, d.pool)
	if err != nil {
		return nil, err
	}
	var lower int
	if err := d.pool.QueryRowContext(ctx, "SELECT @@lower_case_table_names").Scan(&lower); err != nil {
		return nil, err
	}
	cfg, err := d.replica(ctx)
	if err != nil {
		return nil, err
	}
	dec := d.newDecoder(tables, from.order(), lower > 0)
	cfg.RowsEventDecodeFunc = dec.decode
	s := &stream{Log: serverlog.New(from.order()), syncer: replication.NewBinlogSyncer(cfg), begun: make(chan struct{}), made: map[int64]int64{}}
	if s.events, err = s.syncer.StartSync(binlog.Position{Name: fmt.Sprintf("%s%06d", prefix, from.file), Pos: uint32(from.pos)}); err != nil {
		s.syncer.Close()
		return nil, fmt.Errorf("read the binary log of the %s database: %w", d.b.Side, err)
	}
	own, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	begun := sync.OnceFunc(func() { close(s.begun) })
	s.wg.Go(func() {
		s.Fail(d.ended(s.read(own, dec, begun)))
		begun() // it may have ended before: whoever waits finds why
		s.Fail(dec.close())
	})
	select {
	case <-s.begun:
	case <-ctx.Done():
		s.close()
		return nil, ctx.Err()
	}
	err = s.Err()
	if was, is := from.made, s.madeAt(from.file); err == nil && was != 0 && was != is {
		err = fmt.Errorf("%w: the binary log of the %s database was begun anew (RESET MASTER), and with it the changes since are gone. The owner goes on serving. To copy again: strangler split cancel %s, then run the playbook",
			strangler.ErrStopped, d.b.Side, d.b.Capability)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// replica is how we read: as a replica with a number that nobody has, since a server ends who comes with the number of another.
func (d *Database) replica(ctx context.Context) (cfg replication.BinlogSyncerConfig, err error) {
	at, err := parse(d.b)
	if err != nil {
		return cfg, err
	}
	host, port, err := net.SplitHostPort(at.Addr)
	if err != nil {
		return cfg, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return cfg, err
	}
	dialer := &net.Dialer{Timeout: at.Timeout, KeepAlive: heartbeat}
	cfg = replication.BinlogSyncerConfig{ServerID: rand.Uint32() | 1<<31, Flavor: binlog.MariaDBFlavor, Host: host, Port: uint16(n), User: at.User, Password: at.Passwd,
		Localhost: "strangler", HeartbeatPeriod: heartbeat, ReadTimeout: silence, DisableRetrySync: true, Dialer: dialer.DialContext, Logger: slog.New(slog.DiscardHandler),
		DiscardGTIDSet: true, EventCacheCount: eventsAhead, FillZeroLogPos: true}
	cfg.TLSConfig, err = d.secured(ctx, at.TLSConfig, host)
	return cfg, err
}

// secured is how the connection is encrypted, where it is: as the DSN says it.
func (d *Database) secured(ctx context.Context, mode, host string) (*tls.Config, error) {
	switch mode {
	case "true":
		return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}, nil
	case "skip-verify":
		return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, nil
	case "preferred":
		var name, cipher string
		if err := d.pool.QueryRowContext(ctx, "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil || cipher == "" {
			return nil, err
		}
		return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, nil
	}
	return nil, nil
}

// takesReplica tries whether who reads the binary log is let in.
func (d *Database) takesReplica(ctx context.Context) error {
	cfg, err := d.replica(ctx)
	if err != nil {
		return err
	}
	c, err := client.ConnectWithDialer(ctx, "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))), cfg.User, cfg.Password, "", cfg.Dialer, func(c *client.Conn) error {
		if cfg.TLSConfig != nil {
			c.SetTLSConfig(cfg.TLSConfig)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.Close()
}

// errNoBinlog is the number of what the server says when it cannot send what is asked for.
const errNoBinlog = 1236

// ended tells what the end of the reading means.
func (d *Database) ended(err error) error {
	var refused *binlog.MyError
	var broken *replication.EventError
	if errors.As(err, &broken) { // its text has the rows
		err = fmt.Errorf("%w: an event of the binary log (%s, up to %d) cannot be read", strangler.ErrStopped, broken.Header.EventType, broken.Header.LogPos)
	}
	switch {
	case errors.As(err, &refused) && refused.Code == errNoBinlog:
		return fmt.Errorf("%w: the binary log of the %s database no longer has the changes since the last that was applied (%s). The owner goes on serving. To copy again: strangler split cancel %s, then run the playbook; keep its files for longer (binlog_expire_logs_seconds)",
			strangler.ErrStopped, d.b.Side, refused.Message, d.b.Capability)
	case errors.As(err, &refused):
		return fmt.Errorf("read the binary log of the %s database: the server says %s (%d)", d.b.Side, refused.Message, refused.Code)
	case errors.Is(err, strangler.ErrStopped):
		return fmt.Errorf("%w. So changes may have gone unrecorded. The owner goes on serving. To copy again: strangler split cancel %s, then run the playbook", err, d.b.Capability)
	case err == nil || errors.Is(err, context.Canceled) || errors.Is(err, replication.ErrSyncClosed):
		return errors.New("the binary log is no longer read")
	}
	return fmt.Errorf("read the binary log of the %s database: %w", d.b.Side, err)
}

func (s *stream) close() {
	s.cancel()
	s.syncer.Close()
	s.wg.Wait()
	s.Close()
}

func (s *stream) read(ctx context.Context, d *decoder, begun func()) error {
	var file int64
	for {
		if err := s.Room(ctx); err != nil {
			return err
		}
		e, err := s.events.GetEvent(ctx)
		if err != nil {
			return err
		}
		switch body := e.Event.(type) {
		case *replication.RotateEvent:
			if file, _, err = fileNumber(string(body.NextLogName)); err != nil {
				return err
			}
			d.at = max(d.at, place{file: file, pos: int64(body.Position)}.order())
			s.Reached(d.at)
			continue
		case *replication.FormatDescriptionEvent:
			s.mu.Lock()
			s.made[file] = int64(e.Header.Timestamp)
			s.mu.Unlock()
			begun()
		}
		end := d.at
		if e.Header.LogPos > 0 {
			end = max(end, place{file: file, pos: int64(e.Header.LogPos)}.order())
			if d.at&(1<<32-1)-int64(e.Header.LogPos) > 1<<31 { // it lies behind what the protocol can tell
				end = place{file: file, pos: 1 << 32}.order()
			}
		}
		g, err := d.take(e, end)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.pinned, s.changes = d.pinned()
		s.heard = d.heard
		if g != nil {
			s.recorded = append(s.recorded, g.recorded...)
		}
		s.mu.Unlock()
		if g != nil {
			s.Take(g.Commit)
		}
		s.Reached(d.at)
	}
}

func (s *stream) madeAt(file int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made[file]
}

// prepared is where the oldest transaction begins that is prepared and not ended; 0: there is none.
func (s *stream) prepared() (from int64, changes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pinned, s.changes
}

// logged are the entries of tables' logs up to a place.
func (s *stream) logged(upto int64) (out []recorded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.recorded {
		if r.end <= upto {
			out = append(out, r)
		}
	}
	return out
}

// forget drops what the follower has.
func (s *stream) forget(at int64) {
	s.Forget(at)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.recorded) && s.recorded[n].end <= at {
		n++
	}
	s.recorded = append([]recorded{}, s.recorded[n:]...)
}
