package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
)

// A transaction that has lasted for holdAge is not waited for at the fence.
const (
	holdAge   = time.Second
	holdPause = 50 * time.Millisecond
)

// held is the transaction that will change the fence. Its SHARE UPDATE EXCLUSIVE lock lets writers pass, and
// keeps a vacuum from starting: one of the freshly filled target would stand in the way behind the decision.
type held struct{ *tx }

// Hold opens the fence's transaction ahead of its time. It waits, as long as ctx lasts, for transactions that
// have been open for holdAge and for prepared ones, and then refuses, naming them.
func (d *Database) Hold(ctx context.Context) (release func(), err error) {
	var who []string
	for {
		now, err := d.inTheWay(ctx, holdAge)
		if err == nil && len(now) == 0 {
			break
		}
		if err == nil {
			who = now // ctx may end in the middle of the next look
		}
		pause := time.NewTimer(holdPause)
		select {
		case <-pause.C:
			continue
		case <-ctx.Done():
			pause.Stop()
		}
		if len(who) == 0 {
			return nil, errors.Join(err, ctx.Err())
		}
		return nil, strangler.Refuse("locks", fmt.Sprintf("the fence of %s in the %s database would have to wait for %s; no write was held", d.b.Capability, d.b.Side, strings.Join(who, "; ")),
			"let it end, or end it: SELECT pg_terminate_backend(PID), ROLLBACK PREPARED 'NAME'")
	}
	t, err := d.begin(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	if err := t.wait(ctx, 3*fenceLock); err != nil {
		return nil, errors.Join(err, t.rollback())
	}
	if _, err := t.Exec(ctx, "LOCK TABLE "+list(d.b.Tables, d.named)+" IN SHARE UPDATE EXCLUSIVE MODE"); err != nil {
		return nil, errors.Join(d.slow(ctx, err), t.rollback())
	}
	h := &held{t}
	d.heldMu.Lock()
	old := d.held
	d.held = h
	d.heldMu.Unlock()
	d.release(old)
	return func() {
		d.heldMu.Lock()
		mine := d.held == h
		if mine {
			d.held = nil
		}
		d.heldMu.Unlock()
		if mine {
			d.release(h)
		}
	}, nil
}

// takeHeld gives the transaction that stands ready to its one user; nil where none does. One whose
// connection has gone is no use.
func (d *Database) takeHeld() *held {
	d.heldMu.Lock()
	defer d.heldMu.Unlock()
	h := d.held
	d.held = nil
	if h != nil && h.Conn().IsClosed() {
		_ = h.rollback()
		return nil
	}
	return h
}

func (d *Database) release(h *held) {
	if h != nil {
		_ = h.rollback() // a lost connection has released it
	}
}

// inTheWay names whoever holds a lock on the moved tables that conflicts with the fence's, in a transaction
// of at least an age. A prepared transaction has no process, and any age.
func (d *Database) inTheWay(ctx context.Context, age time.Duration) ([]string, error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	oids := make([]uint32, len(tables))
	for i, t := range tables {
		oids[i] = t.oid
	}
	rows, err := d.pool.Query(ctx, `WITH RECURSIVE rel AS (SELECT unnest($1::oid[]) AS oid UNION SELECT i.inhrelid FROM rel JOIN pg_inherits AS i ON i.inhparent = rel.oid)
		SELECT DISTINCT CASE
			WHEN l.pid IS NULL THEN 'the prepared transaction ' || coalesce((SELECT quote_literal(p.gid) || ' of ' || p.owner FROM pg_prepared_xacts AS p WHERE '-1/' || p.transaction = l.virtualtransaction), l.virtualtransaction)
			ELSE format('process %s (%s, %s), whose transaction began %s s ago', l.pid, coalesce(nullif(a.usename, ''), a.backend_type), coalesce(nullif(a.application_name, ''), 'no application name'), coalesce(extract(epoch FROM clock_timestamp() - a.xact_start)::numeric(12, 1), 0)) END
		FROM rel JOIN pg_locks AS l ON l.locktype = 'relation' AND l.relation = rel.oid AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
		WHERE l.granted AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') AND l.pid IS DISTINCT FROM pg_backend_pid()
		AND NOT coalesce(a.usename = session_user AND a.application_name = $3::text, false) AND coalesce(a.backend_type, '') <> 'autovacuum worker'
		AND (l.pid IS NULL OR a.xact_start <= clock_timestamp() - $2::bigint * interval '1 ms') LIMIT 5`, oids, age.Milliseconds(), application(d.b.Capability))
	return collect(rows, err, func(r pgx.Rows) (who string, err error) { return who, r.Scan(&who) })
}
