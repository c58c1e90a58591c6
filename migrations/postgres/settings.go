package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// timeouts that the configuration, the database or roles set. Strangler's own sessions turn them off.
func (x *examination) timeouts(ctx context.Context) error {
	rows, err := x.q.Query(ctx, `WITH named AS (SELECT r.rolname, b.oid IS NOT NULL AS here, x.setrole, split_part(s.setting, '=', 1) AS name, substr(s.setting, strpos(s.setting, '=') + 1) AS value
			FROM pg_db_role_setting AS x LEFT JOIN pg_roles AS r ON r.oid = x.setrole LEFT JOIN pg_database AS b ON b.oid = x.setdatabase CROSS JOIN LATERAL unnest(x.setconfig) AS s (setting)
			WHERE (x.setdatabase = 0 OR b.datname = current_database()) AND split_part(s.setting, '=', 1) = ANY ($1::text[]))
		SELECT CASE WHEN setrole = 0 THEN 'every role' ELSE 'the role ' || quote_ident(rolname) END || CASE WHEN here THEN ' in this database' ELSE '' END, name, value, coalesce(rolname = current_user, false) FROM named
		UNION ALL SELECT 'every role', name, reset_val || 'ms', false FROM pg_settings AS p WHERE name = ANY ($1::text[]) AND reset_val <> '0' AND NOT EXISTS (SELECT FROM named AS n WHERE n.name = p.name AND (n.setrole = 0 OR n.rolname = current_user))
		ORDER BY 1, 2`, []string{"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout"})
	type setting struct {
		who, name, value string
		own              bool
	}
	all, err := collect(rows, err, func(r pgx.Rows) (s setting, err error) { return s, r.Scan(&s.who, &s.name, &s.value, &s.own) })
	if err != nil {
		return err
	}
	for _, s := range all {
		f := migrations.Finding{Phase: toCutOver, Check: "timeouts", What: fmt.Sprintf("%s is %s for %s; Strangler's own sessions turn it off", s.name, s.value, s.who), Fine: true}
		if wait := milliseconds(s.value); 0 < wait && wait < shortWait && !s.own && (s.name == "lock_timeout" || s.name == "statement_timeout") {
			f.Fine, f.Next = false, []string{"raise it for the time of the cutover"}
			f.What = fmt.Sprintf("%s is %s for %s: a write beside the proxy that meets a closing fence waits for up to %s, and may fail before that", s.name, s.value, s.who, fenceLock)
		}
		x.add(f)
	}
	return nil
}

// milliseconds reads a duration as PostgreSQL's settings have it: 1500, 1500ms, 1.5s, 2min. What it cannot
// read is 0.
func milliseconds(value string) time.Duration {
	value = strings.ReplaceAll(strings.TrimSpace(value), " ", "")
	if strings.Trim(value, "0123456789.") == "" {
		value += "ms"
	}
	value = strings.TrimSuffix(value, "in") // Go's minute is m
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0
	}
	return d
}

func (x *examination) autovacuum(ctx context.Context) error {
	var on bool
	err := x.q.QueryRow(ctx, "SELECT current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean").Scan(&on)
	if err == nil && !on {
		x.add(migrations.Finding{Phase: toCopy, Check: "autovacuum", What: "autovacuum is off on this server: rows that are applied again, and the change log, leave dead ones behind", Next: []string{"ALTER SYSTEM SET autovacuum = on", "VACUUM the tables from time to time"}})
	}
	return err
}

// durability is whether what the server acknowledges outlives a failure of its machine: what the other side has applied must not vanish here.
func (x *examination) durability(ctx context.Context) error {
	rows, err := x.q.Query(ctx, "SELECT name, reset_val FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND reset_val = 'off' ORDER BY 1")
	type setting struct{ name, value string }
	all, err := collect(rows, err, func(r pgx.Rows) (s setting, err error) { return s, r.Scan(&s.name, &s.value) })
	for _, s := range all {
		x.add(migrations.Finding{Check: "durability", What: s.name + " is off: what was acknowledged may be lost when the machine fails, and the other side may hold it", Next: []string{"ALTER SYSTEM SET " + s.name + " = on, then SELECT pg_reload_conf()"}})
	}
	return err
}

// decoding is how changes are captured, and what logical decoding would need. Capture by triggers needs none of it.
func (x *examination) decoding(ctx context.Context) error {
	var level string
	var slots, used, senders int
	err := x.q.QueryRow(ctx, `SELECT current_setting('wal_level'), current_setting('max_replication_slots')::integer, (SELECT count(*) FROM pg_replication_slots), current_setting('max_wal_senders')::integer`).
		Scan(&level, &slots, &used, &senders)
	if err != nil {
		return err
	}
	f := migrations.Finding{Check: "replication", What: fmt.Sprintf("wal_level is %s, %d of %d replication slots are used, max_wal_senders is %d", level, used, slots, senders), Fine: true}
	if slices.Contains(x.tables, nil) && x.d.b.Side == strangler.Legacy {
		return nil
	}
	c, err := x.d.choose(ctx, x.tables)
	var refusal *strangler.Refusal
	switch {
	case errors.As(err, &refusal):
		f.Phase, f.What, f.Fine, f.Forbids, f.Next = toCopy, f.What+"; "+refusal.Why, false, true, refusal.Next
	case err != nil:
		return err
	default:
		f.What, f.Next = f.What+"; "+c.String(), c.Next
	}
	if c.Log {
		f.Phase = toCopy
	}
	x.add(f)
	if c.Log {
		return x.retention(ctx)
	}
	return nil
}

// throttle is what the limits of a copy need to be measured.
func (x *examination) throttle(ctx context.Context) error {
	limits := x.d.b.Throttle
	if x.d.b.Side != strangler.Legacy || limits == (strangler.Throttle{}) {
		return nil
	}
	var statistics, tracks, message bool
	err := x.q.QueryRow(ctx, `SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), current_setting('track_activities')::boolean,
		coalesce((SELECT bool_and(has_function_privilege(oid, 'EXECUTE')) FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = 'pg_logical_emit_message'), false)`).Scan(&statistics, &tracks, &message)
	if err != nil {
		return err
	}
	if limits.Sessions > 0 || limits.Lag > 0 || limits.LagBytes > 0 {
		statement := "GRANT pg_read_all_stats TO " + x.me
		f := migrations.Finding{Phase: toCopy, Check: "grant", What: statement + ": there, so that the throttle sees others' sessions and standbys", Fine: statistics}
		if !statistics {
			f.What, f.Next = statement+": missing; without it, other roles' sessions and standbys are not seen, and the limits for sessions, lag and lag_bytes do not hold the copy back", []string{statement}
		}
		x.add(f)
	}
	if limits.Sessions > 0 && !tracks {
		x.add(migrations.Finding{Phase: toCopy, Check: "throttle", What: "track_activities is off, so nobody sees which sessions are active, and the limit for sessions does not hold the copy back", Next: []string{"ALTER SYSTEM SET track_activities = on, then SELECT pg_reload_conf()", "limit the latency instead"}})
	}
	if limits.Latency > 0 {
		statement := "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text), pg_logical_emit_message(boolean, text, bytea) TO " + x.me
		f := migrations.Finding{Phase: toCopy, Check: "grant", What: statement + ": there, to time a commit that changes no row", Fine: message}
		if !message {
			f.What, f.Forbids, f.Next = statement+": missing, to time a commit that changes no row; without it the copy waits", true, []string{statement}
		}
		x.add(f)
	}
	return nil
}
