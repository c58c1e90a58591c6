package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
	"github.com/strangler-fig/strangler/migrations"
)

// throttled is one split of a table on a server of its own: what loads a server is everybody's there.
type throttled struct {
	t          *testing.T
	server     *localdb.Server
	p          *pair
	old, fresh *sql.DB
	splits     *migrations.Splits
	rows       int64
}

func newThrottled(t *testing.T, s *localdb.Server, rows int64, limits strangler.Throttle) *throttled {
	t.Helper()
	p := onServer(func(testing.TB) *localdb.Server { return s }).pair(t)
	x := &throttled{t: t, server: s, p: p, rows: rows}
	x.old, x.fresh = p.opened(t)
	run(t, x.old, "CREATE TABLE invoice (id INTEGER PRIMARY KEY, total INTEGER)")
	run(t, x.old, "INSERT INTO invoice SELECT i, 0 FROM generate_series(1, $1::integer) AS i", rows)
	c := p.capability(throttledName, strangler.Table{From: "invoice"})
	c.Throttle = limits
	x.splits = startSplits(t, p, c)
	return x
}

const throttledName = "billing"

func (x *throttled) status() strangler.SplitStatus {
	x.t.Helper()
	st, err := x.splits.Status(x.t.Context(), throttledName)
	must(x.t, err)
	if st.Phase == strangler.PhaseStopped {
		x.t.Fatalf("stopped: %s", st.Error)
	}
	return st
}

// awaitThrottled waits until the split says so, in the words.
func (x *throttled) awaitThrottled(words string) strangler.SplitStatus {
	x.t.Helper()
	var st strangler.SplitStatus
	await(x.t, "a throttle by "+words, func() bool { st = x.status(); return strings.Contains(st.Throttled, words) })
	if st.Phase != strangler.PhaseCopying {
		x.t.Errorf("throttled while %s", st.Phase)
	}
	return st
}

// finished waits for the end of the copy, and compares.
func (x *throttled) finished() {
	x.t.Helper()
	awaitPhase(x.t, x.splits, throttledName, strangler.PhaseSyncing)
	if st := x.status(); st.Throttled != "" || st.ThrottledSeconds <= 0 {
		x.t.Errorf("behind the copy: throttled %q, %v s", st.Throttled, st.ThrottledSeconds)
	}
	v, err := x.splits.Verify(x.t.Context(), throttledName)
	must(x.t, err)
	if v.Mismatches != 0 || v.Rows < x.rows-1 {
		x.t.Errorf("verified: %+v", v)
	}
}

// sleepers are sessions of the application that run a statement until they are ended.
func (x *throttled) sleepers(n int) (end func()) {
	x.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(x.t.Context()))
	var wg sync.WaitGroup
	end = func() { cancel(); wg.Wait() }
	x.t.Cleanup(end)
	for range n {
		c, err := x.old.Conn(ctx)
		must(x.t, err)
		wg.Go(func() {
			defer c.Close()
			_, _ = c.ExecContext(ctx, "SELECT pg_sleep(3600)") // it ends with ctx
		})
	}
	return end
}

func (x *throttled) superuser(database string, statements ...string) {
	x.t.Helper()
	db, err := sql.Open("pgx", x.server.DSN(database))
	must(x.t, err)
	defer db.Close()
	for _, s := range statements {
		run(x.t, db, s)
	}
}

// standby is a replication connection that answers when it is told to.
type standby struct {
	t *testing.T
	c *pgconn.PgConn
}

func (x *throttled) standby() *standby {
	x.t.Helper()
	ctx := x.t.Context()
	c, err := pgconn.Connect(ctx, x.server.DSN("postgres")+"&replication=true&application_name=standby")
	must(x.t, err)
	s := &standby{x.t, c}
	x.t.Cleanup(s.close)
	is, err := pglogrepl.IdentifySystem(ctx, c)
	must(x.t, err)
	_, err = pglogrepl.CreateReplicationSlot(ctx, c, "standby", "", pglogrepl.CreateReplicationSlotOptions{Temporary: true, Mode: pglogrepl.PhysicalReplication})
	must(x.t, err)
	must(x.t, pglogrepl.StartReplication(ctx, c, "standby", is.XLogPos, pglogrepl.StartReplicationOptions{Mode: pglogrepl.PhysicalReplication}))
	s.answer(is.XLogPos)
	return s
}

func (s *standby) answer(at pglogrepl.LSN) {
	s.t.Helper()
	must(s.t, pglogrepl.SendStandbyStatusUpdate(s.t.Context(), s.c, pglogrepl.StandbyStatusUpdate{WALWritePosition: at, WALFlushPosition: at, WALApplyPosition: at}))
}

func (s *standby) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.c.Close(ctx) // what it was sent and has not read does not matter
}

// TestThrottle loads the monolith's server beyond each limit in turn: the copy waits and says why, and goes on when
// the load is gone.
func TestThrottle(t *testing.T) {
	server, err := localdb.Postgres(t.Context(), localdb.Config{Settings: map[string]string{"wal_sender_timeout": "0", "autovacuum": "off"}})
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	seen := func(x *throttled) { x.superuser("postgres", "GRANT pg_read_all_stats TO strangler") }

	t.Run("sessions, and changes are followed all the same", func(t *testing.T) {
		x := newThrottled(t, server, 80_000, strangler.Throttle{Sessions: 2})
		seen(x)
		end := x.sleepers(2) // no more than the limit
		must(t, x.splits.Copy(t.Context(), throttledName))
		await(t, "some rows", func() bool { return x.status().Tables[0].RowsCopied > 0 })
		endMore := x.sleepers(1)
		before := x.awaitThrottled("3 active sessions, limit 2")
		if before.Tables[0].RowsCopied >= x.rows {
			t.Fatal("everything was copied before it was throttled, so nothing was shown")
		}
		run(t, x.old, "UPDATE invoice SET total = 7 WHERE id = 1")
		run(t, x.old, "DELETE FROM invoice WHERE id = 2")
		awaitCaughtUp(t, x.splits, throttledName)
		now := x.status()
		if grown := now.Tables[0].RowsCopied - before.Tables[0].RowsCopied; grown > 4*97 { // what was in flight in each lane
			t.Errorf("%d rows were copied while throttled", grown)
		}
		if now.Throttled == "" || now.Phase != strangler.PhaseCopying {
			t.Errorf("now it is %s, throttled %q", now.Phase, now.Throttled)
		}
		endMore()
		x.finished()
		end()
		if got := queryRows(t, x.fresh, "SELECT id, total FROM invoice WHERE id IN (1, 2)"); len(got) != 1 || !strings.Contains(got[0], "7") {
			t.Errorf("changes that came while the copy was throttled are at the service as %v", got)
		}
	})

	t.Run("lag_bytes", func(t *testing.T) {
		x := newThrottled(t, server, 2000, strangler.Throttle{LagBytes: 4 << 20})
		seen(x)
		s := x.standby()
		run(t, x.old, "CREATE TABLE elsewhere AS SELECT i, repeat('x', 1000) FROM generate_series(1, 8000) AS i")
		must(t, x.splits.Copy(t.Context(), throttledName))
		x.awaitThrottled("bytes behind, limit 4194304")
		if n := x.status().Tables[0].RowsCopied; n > 0 {
			t.Errorf("%d rows were copied though it was throttled from the beginning", n)
		}
		at, err := pglogrepl.ParseLSN(strings.Trim(queryText(t, x.old, "SELECT pg_current_wal_insert_lsn()::text"), `"`))
		must(t, err)
		s.answer(at)
		x.finished()
	})

	t.Run("lag", func(t *testing.T) {
		x := newThrottled(t, server, 2000, strangler.Throttle{Sessions: 1, Lag: 500 * time.Millisecond})
		seen(x)
		s := x.standby()     // it never answers again, so the server itself measures no lag
		end := x.sleepers(2) // they hold the copy until the lag has grown
		must(t, x.splits.Copy(t.Context(), throttledName))
		x.awaitThrottled("behind, limit 500ms")
		end()
		await(t, "a throttle by the lag alone", func() bool {
			why := x.status().Throttled
			return strings.Contains(why, "behind, limit 500ms") && !strings.Contains(why, "sessions")
		})
		if n := x.status().Tables[0].RowsCopied; n > 0 {
			t.Errorf("%d rows were copied while the standby was behind", n)
		}
		s.close()
		x.finished()
	})

	t.Run("latency", func(t *testing.T) {
		x := newThrottled(t, server, 2000, strangler.Throttle{Latency: 60 * time.Millisecond})
		must(t, x.splits.Expand(t.Context(), throttledName))
		x.superuser("postgres", "ALTER SYSTEM SET fsync = on", "ALTER SYSTEM SET commit_delay = 100000", "ALTER SYSTEM SET commit_siblings = 0", "SELECT pg_reload_conf()")
		must(t, x.splits.Copy(t.Context(), throttledName))
		x.awaitThrottled("reading a row and a commit took 1")
		x.superuser("postgres", "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
		x.finished()
	})

	t.Run("a load that cannot be read holds the copy back, and is said", func(t *testing.T) {
		x := newThrottled(t, server, 2000, strangler.Throttle{Latency: time.Minute})
		name := queryText(t, x.old, "SELECT current_database()::text")
		x.superuser(name, "REVOKE EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) FROM PUBLIC")
		must(t, x.splits.Copy(t.Context(), throttledName))
		x.awaitThrottled("cannot be read")
		x.superuser(name, "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) TO PUBLIC")
		x.finished()
	})

	t.Run("a throttled split can be cancelled", func(t *testing.T) {
		x := newThrottled(t, server, 2000, strangler.Throttle{Sessions: 1})
		seen(x)
		before := x.p.schema(t, x.old)
		x.sleepers(2)
		must(t, x.splits.Copy(t.Context(), throttledName))
		x.awaitThrottled("2 active sessions, limit 1")
		must(t, x.splits.Cancel(t.Context(), throttledName))
		if st := x.status(); st.Phase != strangler.PhaseCancelled || st.Throttled != "" {
			t.Errorf("behind the cancel it is %s, throttled %q", st.Phase, st.Throttled)
		}
		if after := x.p.schema(t, x.old); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("the legacy database has %v, and had %v", after, before)
		}
	})

	t.Run("and its worker closed", func(t *testing.T) {
		x := newThrottled(t, server, 2000, strangler.Throttle{Sessions: 1})
		seen(x)
		x.sleepers(2)
		must(t, x.splits.Copy(t.Context(), throttledName))
		x.awaitThrottled("2 active sessions, limit 1")
		must(t, x.splits.Close())
	})
}

// TestThrottleWhereNobodyKnowsTheLoad: limits that cannot be kept are refused before anything is changed.
func TestThrottleWhereNobodyKnowsTheLoad(t *testing.T) {
	p := sqlite.pair(t)
	old, fresh := p.opened(t)
	run(t, old, "CREATE TABLE invoice (id INTEGER PRIMARY KEY, total INTEGER)")
	c := p.capability(throttledName, strangler.Table{From: "invoice"})
	c.Throttle.Latency = time.Second
	before := sqlite.schema(t, old)
	if err := startSplits(t, p, c).Expand(t.Context(), throttledName); !errors.Is(err, strangler.ErrRefused) || !strings.Contains(err.Error(), "throttle") {
		t.Errorf("expand: %v", err)
	}
	if after := sqlite.schema(t, old); fmt.Sprint(after) != fmt.Sprint(before) || len(sqlite.schema(t, fresh)) > 0 {
		t.Errorf("a refused split has left %v", after)
	}
}

// queryText is the one text that a query selects.
func queryText(t *testing.T, db *sql.DB, query string) (text string) {
	t.Helper()
	must(t, db.QueryRow(query).Scan(&text))
	return text
}
