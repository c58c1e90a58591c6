package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler/migrations"
)

var _ migrations.Meter = (*Database)(nil)

// loadPatience is how long a measurement waits for an answer, beyond the limit for the latency.
const loadPatience = 2 * time.Second

// othersOnly leaves out the sessions of Strangler's, of whatever worker, capability and store.
const othersOnly = `application_name NOT LIKE 'strangler %'`

// standbys is what is remembered of them from one measurement to the next, by process: a place in the server's log, and
// when the log ended there. The server's own replay_lag stays as it was while a standby replays nothing.
type standbys struct {
	mu sync.Mutex
	at map[int32]milestone
}

type milestone struct {
	lsn  int64
	when time.Time
}

// lag is the age of the state that a standby has replayed: exact where the server has measured it, and at least so long
// otherwise.
func (m milestone) lag(now time.Time, replayed int64, measured time.Duration) time.Duration {
	if replayed < m.lsn {
		return max(measured, now.Sub(m.when))
	}
	return measured
}

// Load counts sessions and standbys by the server's statistics, and times one statement that reads a row and commits.
func (d *Database) Load(ctx context.Context) (l migrations.Load, err error) {
	conn, err := d.pool.Acquire(ctx) // a wait for it says nothing of the server
	if err != nil {
		return l, err
	}
	defer conn.Release()
	limits := d.b.Throttle
	bounded, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	var unseen []string
	if limits.Sessions > 0 {
		var hidden int
		if l.Sessions, hidden, err = activeSessions(bounded, conn); err != nil {
			return l, fmt.Errorf("count the sessions of the %s database's server: %w", d.b.Side, err)
		}
		if hidden > 0 {
			unseen = append(unseen, fmt.Sprintf("%d sessions of other roles", hidden))
		}
	}
	if limits.Lag > 0 || limits.LagBytes > 0 {
		var hidden int
		if l.Lag, l.LagBytes, hidden, err = d.standbys.behind(bounded, conn); err != nil {
			return l, fmt.Errorf("measure the standbys of the %s database's server: %w", d.b.Side, err)
		}
		if hidden > 0 {
			unseen = append(unseen, fmt.Sprintf("%d standbys", hidden))
		}
	}
	if unseen != nil {
		l.Unseen = strings.Join(unseen, ", ") + "; GRANT pg_read_all_stats TO " + ident(d.role)
	}
	if limits.Latency > 0 {
		if l.Latency, err = d.latency(ctx, conn, limits.Latency+loadPatience); err != nil {
			return l, fmt.Errorf("measure the latency of the %s database: %w", d.b.Side, err)
		}
	}
	return l, nil
}

// activeSessions counts those of others that are running a statement, in all databases of the server, and those that the
// role may not look into.
func activeSessions(ctx context.Context, q querier) (n, hidden int, err error) {
	err = q.QueryRow(ctx, `SELECT count(*) FILTER (WHERE backend_type = 'client backend' AND state IN ('active', 'fastpath function call')), count(*) FILTER (WHERE query = '<insufficient privilege>' AND backend_type IS NULL)
		FROM pg_stat_activity WHERE usesysid IS NOT NULL AND `+othersOnly).Scan(&n, &hidden)
	return n, hidden, err
}

// behind is how far the standby is that is furthest behind, and how many the role may not look into. One that has not
// answered yet counts by what was sent to it; a base backup, which replays nothing, does not count.
func (s *standbys) behind(ctx context.Context, q querier) (lag time.Duration, bytes int64, hidden int, err error) {
	type standby struct {
		pid            int32
		state          string
		end, replayed  int64
		measuredMicros int64
	}
	rows, err := q.Query(ctx, `SELECT pid, coalesce(state, ''), (pg_current_wal_lsn() - '0/0')::bigint, (coalesce(replay_lsn, flush_lsn, write_lsn, sent_lsn, pg_current_wal_lsn()) - '0/0')::bigint, (coalesce(extract(epoch FROM replay_lag), 0) * 1000000)::bigint
		FROM pg_stat_replication WHERE `+othersOnly+` AND state IS DISTINCT FROM 'backup'`)
	all, err := collect(rows, err, func(r pgx.Rows) (x standby, err error) {
		return x, r.Scan(&x.pid, &x.state, &x.end, &x.replayed, &x.measuredMicros)
	})
	if err != nil {
		return 0, 0, 0, err
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.at
	s.at = map[int32]milestone{}
	for _, x := range all {
		if x.state == "" {
			hidden++
			continue
		}
		m, known := before[x.pid]
		if !known || x.replayed >= m.lsn {
			m = milestone{x.end, now}
		}
		s.at[x.pid] = m
		lag = max(lag, m.lag(now, x.replayed, time.Duration(x.measuredMicros)*time.Microsecond))
		bytes = max(bytes, x.end-x.replayed)
	}
	return lag, bytes, hidden, nil
}

// latency is how long one statement takes that does what applications do: it reads a page of a moved table, drawn by
// chance, and commits durably. What it commits is a message in the server's log, which changes no row; nobody decodes
// it who has not asked for messages. Where no answer comes in time, it is the time waited.
func (d *Database) latency(ctx context.Context, q querier, patience time.Duration) (time.Duration, error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return 0, err
	}
	oids := make([]uint32, len(tables))
	for i, t := range tables {
		oids[i] = t.oid
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	waited := func(since time.Time, err error) (time.Duration, error) {
		took := time.Since(since)
		if err != nil && bounded.Err() != nil && ctx.Err() == nil {
			return took, nil
		}
		return took, err
	}
	began, table, page := time.Now(), "", int64(0)
	err = q.QueryRow(bounded, `WITH RECURSIVE rel AS (SELECT unnest($1::oid[]) AS oid UNION SELECT i.inhrelid FROM rel JOIN pg_inherits AS i ON i.inhparent = rel.oid)
		SELECT format('%I.%I', n.nspname, c.relname), floor(random() * greatest(c.relpages, 1))::bigint
		FROM rel JOIN pg_class AS c ON c.oid = rel.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_am AS a ON a.oid = c.relam WHERE c.relkind = 'r' AND a.amname = 'heap'
		ORDER BY random() LIMIT 1`, oids).Scan(&table, &page)
	read := "0"
	switch {
	case err == nil:
		read = fmt.Sprintf("(SELECT count(*) FROM ONLY %s WHERE ctid = '(%d,1)')", table, page)
	case !errors.Is(err, pgx.ErrNoRows):
		return waited(began, err)
	}
	began = time.Now()
	_, err = q.Exec(bounded, "SELECT "+read+", pg_logical_emit_message(true, 'strangler', ''::text)")
	return waited(began, err)
}
