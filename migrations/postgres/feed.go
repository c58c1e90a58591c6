package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations/serverlog"
)

// feedPause is how often the server hears from us; it gives up after wal_sender_timeout, a minute by default.
const feedPause = 5 * time.Second

// stream reads a replication slot, and owns what it has read. One goroutine reads and one answers, until close. What is forgotten
// the server may throw away.
type stream struct {
	*serverlog.Log
	conn   *pgconn.PgConn
	cancel context.CancelFunc
	wg     sync.WaitGroup
	asking chan struct{} // for an answer that tells how far the server has read
}

// follow begins to read the slot behind a position.
func (d *Database) follow(ctx context.Context, tables []*table, from pglogrepl.LSN) (_ *stream, err error) {
	if err := d.slotStands(ctx, from); err != nil {
		return nil, err
	}
	cfg := d.replication()
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("a replication connection to the %s database: %w", d.b.Side, err)
	}
	defer func() {
		if err != nil {
			shut(conn)
		}
	}()
	if err := settleStream(ctx, conn); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		err = pglogrepl.StartReplication(ctx, conn, d.slot, from, pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication,
			PluginArgs: []string{"proto_version '1'", "publication_names " + plainLiteral(ident(d.publication()))}})
		if code(err) != "55006" || try == 50 { // object_in_use: another worker still reads it
			break
		}
		if err := d.freeSlot(ctx, d.pool); err != nil {
			return nil, err
		}
		shut(conn)
		if !wait(ctx, 100*time.Millisecond) {
			return nil, ctx.Err()
		}
		if conn, err = pgconn.ConnectConfig(ctx, cfg); err != nil {
			return nil, err
		}
		if err := settleStream(ctx, conn); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the replication slot %s: %w", d.slot, err)
	}
	own, cancel := context.WithCancel(context.Background())
	s := &stream{Log: serverlog.New(0), conn: conn, cancel: cancel, asking: make(chan struct{}, 1)}
	s.Forget(int64(from))
	s.wg.Go(func() {
		d := newDecoder(tables)
		s.fail(s.read(own, d))
		s.fail(d.close())
	})
	s.wg.Go(func() { s.fail(s.answer(own)) })
	return s, nil
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// shut closes a connection without asking anybody.
func shut(c *pgconn.PgConn) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.Close(ctx)
}

// plainLiteral is a text for the replication grammar, which has no escapes but doubled quotes.
func plainLiteral(s string) string {
	out := "'"
	for _, r := range s {
		if r == '\'' {
			out += "'"
		}
		out += string(r)
	}
	return out + "'"
}

// settleStream gives the session the settings that make its text ours.
func settleStream(ctx context.Context, c *pgconn.PgConn) error {
	var values string
	for n, v := range settings {
		if values != "" {
			values += ", "
		}
		values += "(" + literal(n) + ", " + literal(v) + ")"
	}
	return c.Exec(ctx, "SELECT set_config(s.name, w.value, false) FROM (VALUES "+values+") AS w (name, value) JOIN pg_catalog.pg_settings AS s ON lower(s.name) = lower(w.name)").Close()
}

// slotStands refuses a slot that is gone, was invalidated, or has given away more than was applied.
func (d *Database) slotStands(ctx context.Context, from pglogrepl.LSN) error {
	var n, confirmed int64
	var status string
	err := d.pool.QueryRow(ctx, "SELECT count(*), coalesce(max((confirmed_flush_lsn - '0/0')::bigint), 0), coalesce(max(wal_status), '') FROM pg_replication_slots WHERE slot_name = $1::text AND plugin = 'pgoutput'", d.slot).Scan(&n, &confirmed, &status)
	again := fmt.Sprintf("The owner goes on serving. To copy again: strangler split cancel %s, then run the playbook", d.b.Capability)
	switch {
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("%w: the replication slot %s of the %s database is gone, and with it the changes since. %s", strangler.ErrStopped, d.slot, d.b.Side, again)
	case status == "lost":
		return fmt.Errorf("%w: the replication slot %s of the %s database was invalidated: it had kept more of the server's log than max_slot_wal_keep_size allows. %s", strangler.ErrStopped, d.slot, d.b.Side, again)
	case pglogrepl.LSN(confirmed) > from:
		return fmt.Errorf("%w: the replication slot of %s has given away what came before %s, and the other side holds %s only: it was put back from an older copy; nothing was applied. Look at: strangler split adopt %s",
			strangler.ErrStopped, d.b.Capability, pglogrepl.LSN(confirmed), from, d.b.Capability)
	}
	return nil
}

// fail keeps the first error, which ends the stream.
func (s *stream) fail(err error) {
	s.Fail(err)
	s.cancel()
}

func (s *stream) close() {
	s.cancel()
	s.wg.Wait()
	shut(s.conn)
	s.Close()
}

func (s *stream) read(ctx context.Context, d *decoder) error {
	for {
		if err := s.Room(ctx); err != nil {
			return err
		}
		m, err := s.conn.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			return pgconn.ErrorResponseToPgError(m)
		case *pgproto3.CopyDone:
			return errors.New("the server has ended the replication stream")
		case *pgproto3.CopyData:
			if err := s.receive(m.Data, d); err != nil {
				return err
			}
		}
	}
}

func (s *stream) receive(data []byte, d *decoder) error {
	switch data[0] {
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data[1:])
		if err != nil {
			return err
		}
		if k.ReplyRequested {
			s.ask()
		}
		s.Reached(int64(k.ServerWALEnd))
	case pglogrepl.XLogDataByteID:
		x, err := pglogrepl.ParseXLogData(data[1:])
		if err != nil {
			return err
		}
		c, err := d.take(x.WALData)
		if err != nil || c == nil {
			return err
		}
		s.Take(c)
	}
	return nil
}

// ask has an answer sent, which asks how far the server has read.
func (s *stream) ask() {
	select {
	case s.asking <- struct{}{}:
	default:
	}
}

// answer tells the server what it may throw away, now and then and when it is asked to, and asks how far it has read.
func (s *stream) answer(ctx context.Context) error {
	tick := time.NewTicker(feedPause)
	defer tick.Stop()
	for {
		select {
		case <-s.asking:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if _, err := s.conn.Conn().Write(status(pglogrepl.LSN(s.Forgotten()), time.Now())); err != nil {
			return err
		}
	}
}

// status is a Standby status update that asks for a reply (PostgreSQL, Streaming Replication Protocol). It is written
// beside the goroutine that reads, whose buffers it does not touch.
func status(at pglogrepl.LSN, now time.Time) []byte {
	b := []byte{'d', 0, 0, 0, 4 + 34, pglogrepl.StandbyStatusUpdateByteID}
	for range 3 {
		b = binary.BigEndian.AppendUint64(b, uint64(at))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(now.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Microseconds()))
	return append(b, 1)
}

// reach waits until every commit before a position has come. The position may lie behind a page's head, which nothing has been
// written behind: nudge writes.
func (s *stream) reach(ctx context.Context, at int64, nudge func() error) (whole bool, err error) {
	return s.Reach(ctx, at, s.ask, nudge)
}
