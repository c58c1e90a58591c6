package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var _ migrations.Retainer = (*Database)(nil)

// Retained is what the server keeps of its log for the capability's slot, and the oldest transactions, which keep it too.
func (d *Database) Retained(ctx context.Context) (out migrations.Retained, err error) {
	var behind int64
	err = d.pool.QueryRow(ctx, `SELECT coalesce(max(pg_current_wal_insert_lsn() - restart_lsn), 0)::bigint, coalesce(max(pg_current_wal_insert_lsn() - confirmed_flush_lsn), 0)::bigint
		FROM pg_replication_slots WHERE slot_name = $1::text`, d.slot).Scan(&out.Bytes, &behind)
	if err != nil || out.Bytes == 0 {
		return out, err
	}
	rows, err := d.pool.Query(ctx, `SELECT format('process %s (%s), open for %s s', pid, coalesce(nullif(application_name, ''), backend_type), extract(epoch FROM clock_timestamp() - xact_start)::integer) FROM pg_stat_activity
		WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - interval '10 seconds' ORDER BY xact_start LIMIT 3`)
	open, err := collect(rows, err, func(r pgx.Rows) (s string, err error) { return s, r.Scan(&s) })
	out.Why = fmt.Sprintf("of it, %s was written behind what the other side has applied", migrations.Size(behind))
	if len(open) > 0 {
		out.Why += "; the slot also waits for transactions that are open: " + strings.Join(open, "; ")
	}
	return out, err
}

// LetGo drops the slot. Its position stays recorded, so none is made in its place.
func (d *Database) LetGo(ctx context.Context) error {
	if err := d.dropSlot(ctx, d.pool); err != nil {
		return err
	}
	var left bool
	err := d.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1::text)", d.slot).Scan(&left)
	if err == nil && left {
		err = fmt.Errorf("the replication slot %s is still being read", d.slot)
	}
	return err
}

// retention is what bounds the log that the slot keeps, where there will be one.
func (x *examination) retention(ctx context.Context) error {
	if x.d.b.Side != strangler.Legacy {
		return nil
	}
	var megabytes int64
	if err := x.q.QueryRow(ctx, "SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'").Scan(&megabytes); err != nil {
		return err
	}
	f := migrations.Finding{Phase: toCopy, Check: "retained_wal", Fine: true, What: fmt.Sprintf("max_slot_wal_keep_size is %s: the server gives the slot up where it keeps more of its log", migrations.Size(megabytes<<20))}
	if megabytes < 0 {
		f.Fine, f.What = false, "max_slot_wal_keep_size is -1: while no daemon runs, nothing bounds what the slot has the server keep of its log"
		f.Next = []string{"ALTER SYSTEM SET max_slot_wal_keep_size to what the disk has room for, more than retained_wal, and SELECT pg_reload_conf()"}
	}
	x.add(f)
	var idle int64
	err := x.q.QueryRow(ctx, "SELECT coalesce(max(setting::bigint * CASE unit WHEN 'min' THEN 60 ELSE 1 END), 0) FROM pg_settings WHERE name = 'idle_replication_slot_timeout'").Scan(&idle)
	if err == nil && idle > 0 {
		x.add(idleSlot(time.Duration(idle) * time.Second))
	}
	return err
}

// awayFor is for how long a daemon should be able to be away before everything has to be copied again.
const awayFor = 24 * time.Hour

// idleSlot is a server that gives slots up which nobody reads for so long; PostgreSQL 18 and later may.
func idleSlot(limit time.Duration) migrations.Finding {
	f := migrations.Finding{Phase: toCopy, Check: "retained_wal", Fine: limit >= awayFor, What: fmt.Sprintf("idle_replication_slot_timeout is %s: a daemon that is away for longer has to copy again", limit)}
	if !f.Fine {
		f.Next = []string{"ALTER SYSTEM SET idle_replication_slot_timeout = '7d' or 0, then SELECT pg_reload_conf()"}
	}
	return f
}
