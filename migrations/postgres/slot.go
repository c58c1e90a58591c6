package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

const (
	// slotPatience is how long the making of a slot waits for transactions that are open on the server.
	slotPatience = 20 * time.Second
	// restPause is how often the slot of a side that follows lets go of the server's log.
	restPause = 10 * time.Second
)

// publication names what is published of a capability's tables.
func (d *Database) publication() string { return short("strangler_" + d.b.Capability) }

var noSlot = regexp.MustCompile(`[^a-z0-9_]`)

// slotName is the capability's replication slot in this database; slots are the whole server's.
func slotName(capability string, database uint32) string {
	h := fnv.New32a()
	h.Write([]byte(capability))
	plain := noSlot.ReplaceAllString(strings.ToLower(capability), "_")
	return fmt.Sprintf("strangler_%d_%.20s_%08x", database, plain, h.Sum32())
}

// Ready makes the replication slot, where the capture is by logical decoding and has none yet. That waits for
// every transaction on the server that has written, so it is done before the first range is copied, and never behind
// a gate. A slot that was made and lost is not made anew: what was written meanwhile is in no slot.
func (d *Database) Ready(ctx context.Context) error {
	base, err := d.base(ctx, d.pool)
	if err != nil || base != 0 {
		return err
	}
	if err := d.dropSlot(ctx, d.pool); err != nil { // one whose making was not recorded
		return err
	}
	base, err = d.makeSlot(ctx)
	if code(err) == "57014" { // query_canceled
		rows, errRows := d.pool.Query(ctx, `SELECT format('process %s (%s), since %s s', pid, coalesce(nullif(application_name, ''), backend_type), extract(epoch FROM clock_timestamp() - xact_start)::numeric(12, 1)) FROM pg_stat_activity
			WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 5`)
		who, errRows := collect(rows, errRows, func(r pgx.Rows) (s string, err error) { return s, r.Scan(&s) })
		return errors.Join(strangler.Refuse("slot", fmt.Sprintf("the replication slot of %s could not be made within %s: it waits for every open transaction of the server that has written: %s; nothing was changed", d.b.Capability, slotPatience, strings.Join(who, "; ")),
			"let them end, and run this again", "or take it back with strangler split cancel "+d.b.Capability+", and plan it with capture: triggers"), errRows)
	}
	if err != nil {
		if refusal := d.unfitSince(ctx); refusal != nil {
			return refusal
		}
	}
	if err != nil {
		return fmt.Errorf("make the replication slot of %s: %w", d.b.Capability, err)
	}
	_, err = d.pool.Exec(ctx, "UPDATE "+d.ours("strangler_position")+" SET base = $1::bigint WHERE capability = $2::text AND base = 0", base, d.b.Capability)
	return d.full(err)
}

// unfitSince refuses where what the plan was made for no longer holds.
func (d *Database) unfitSince(ctx context.Context) error {
	tables, err := d.tables(ctx)
	if err != nil {
		return nil
	}
	why, next, err := d.unfit(ctx, tables)
	if err != nil || why == "" {
		return nil
	}
	return d.chooser().Refuse(why+"; the scripts were made for it, and no row was copied", append(next, "or plan it anew: strangler split cancel "+d.b.Capability)...)
}

func (d *Database) makeSlot(ctx context.Context) (base int64, err error) {
	t, err := d.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, t.rollback()) }()
	if _, err := t.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d", slotPatience.Milliseconds())); err != nil {
		return 0, err
	}
	err = t.QueryRow(ctx, "SELECT (lsn - '0/0')::bigint FROM pg_create_logical_replication_slot($1::text, 'pgoutput')", d.slot).Scan(&base)
	return base, err
}

// baseColumn is the position before which the slot's content is of no concern; -1 where triggers capture, and 0 where
// the slot is not made yet.
const baseColumn = "coalesce(base, -1)"

func (d *Database) base(ctx context.Context, q querier) (base int64, err error) {
	err = q.QueryRow(ctx, "SELECT "+baseColumn+" FROM "+d.ours("strangler_position")+" WHERE capability = $1::text", d.b.Capability).Scan(&base)
	if errors.Is(err, pgx.ErrNoRows) {
		return -1, nil
	}
	return base, err
}

// freeSlot ends whoever reads the slot.
func (d *Database) freeSlot(ctx context.Context, q querier) error {
	_, err := q.Exec(ctx, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1::text AND active", d.slot)
	return err
}

// dropSlot drops the slot if it is there.
func (d *Database) dropSlot(ctx context.Context, q querier) error {
	d.stopFeed()
	_, err := q.Exec(ctx, d.dropSlotStatement())
	return err
}

// dropSlotStatement ends whoever reads the slot, and drops it.
func (d *Database) dropSlotStatement() string {
	return "DO " + literal(fmt.Sprintf(`BEGIN
  FOR i IN 1 .. 50 LOOP
    BEGIN
      PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %[1]s AND active;
      PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %[1]s;
      EXIT;
    EXCEPTION WHEN object_in_use THEN
      PERFORM pg_sleep(0.1);
    END;
  END LOOP;
END`, literal(d.slot)))
}

// rest raises the base of a side that follows, in the applier's own transaction: all that was its own was applied at the
// other side before it came to follow, and what is written here since came from there.
func (a *apply) rest(ctx context.Context) (err error) {
	err = a.QueryRow(ctx, "UPDATE "+a.d.ours("strangler_position")+" SET base = (pg_current_wal_insert_lsn() - '0/0')::bigint WHERE capability = $1::text AND base > 0 RETURNING base", a.d.b.Capability).Scan(&a.base)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return err
}

// let has the slot let go of the log before a base that is committed.
func (d *Database) let(base int64) error {
	if base == 0 {
		return nil
	}
	d.feedMu.Lock()
	again := time.Since(d.rested) >= restPause
	if again {
		d.rested = time.Now()
	}
	d.feedMu.Unlock()
	if !again {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	tag, err := d.pool.Exec(ctx, "SELECT pg_replication_slot_advance(slot_name, least('0/0'::pg_lsn + $2::bigint, pg_current_wal_flush_lsn())) FROM pg_replication_slots WHERE slot_name = $1::text AND NOT active AND confirmed_flush_lsn < '0/0'::pg_lsn + $2::bigint", d.slot, base)
	if err == nil && tag.RowsAffected() == 0 { // whoever has read the slot until now has not quite ended, maybe
		d.feedMu.Lock()
		d.rested = time.Now().Add(time.Second - restPause)
		d.feedMu.Unlock()
	}
	return err
}

// unfit says what stands against logical decoding of the tables here, with what would satisfy it.
func (d *Database) unfit(ctx context.Context, tables []*table) (why string, next []string, err error) {
	var level, database, me string
	var free int
	var may, create bool
	err = d.pool.QueryRow(ctx, `SELECT current_setting('wal_level'), current_setting('max_replication_slots')::integer - (SELECT count(*) FROM pg_replication_slots WHERE slot_name <> $1::text)::integer,
		(SELECT rolreplication OR rolsuper OR EXISTS (SELECT FROM pg_roles AS m WHERE m.rolname = 'rds_replication' AND pg_has_role(session_user, m.oid, 'MEMBER')) FROM pg_roles WHERE rolname = session_user),
		has_database_privilege(current_database(), 'CREATE'), quote_ident(current_database()), quote_ident(session_user)`, d.slot).Scan(&level, &free, &may, &create, &database, &me)
	if err != nil {
		return "", nil, err
	}
	say := func(what, how string) {
		if why != "" {
			why += "; "
		}
		if why += what; how != "" {
			next = append(next, how)
		}
	}
	if level != "logical" {
		say("wal_level is "+level, "ALTER SYSTEM SET wal_level = logical, and restart the server")
	}
	if !may {
		say("the role has no REPLICATION", "ALTER ROLE "+me+" REPLICATION")
	}
	if !create {
		say("the role may not make a publication", "GRANT CREATE ON DATABASE "+database+" TO "+me)
	}
	if free < 1 {
		say("no replication slot is free", "raise max_replication_slots, and restart the server")
	}
	for _, t := range tables {
		if t.kind == "p" {
			say(t.bound+" is partitioned", "")
			continue
		}
		var identified, persistent, owned bool
		err := d.pool.QueryRow(ctx, `SELECT c.relreplident = 'f' OR EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
				AND (SELECT array_agg(a.attname::text) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey::smallint[])) @> $2::text[]), c.relpersistence = 'p', pg_has_role(session_user, c.relowner, 'USAGE')
			FROM pg_class AS c WHERE c.oid = $1::oid`, t.oid, t.keyNames()).Scan(&identified, &persistent, &owned)
		if err != nil {
			return "", nil, err
		}
		if !persistent {
			say(t.bound+" is unlogged", "")
		}
		if !owned {
			say("the role may not publish "+t.bound, "GRANT "+ident(t.owner)+" TO "+me)
		}
		if !identified {
			say("the replica identity of "+t.bound+" is not its key", "ALTER TABLE "+t.full()+" REPLICA IDENTITY FULL, or the index of its key")
		}
	}
	if why == "" {
		if err := d.takesReplication(ctx); err != nil {
			if ctx.Err() != nil {
				return "", nil, err
			}
			say("a replication connection fails: "+err.Error(), "let it through, or raise max_wal_senders")
		}
	}
	return why, next, nil
}

func (t *table) keyNames() (names []string) {
	for _, c := range t.key() {
		names = append(names, c.Name)
	}
	return names
}

// publishScript publishes the tables, for a slot to be read; the slot itself is made by Ready, since the server makes
// none in a transaction that has written.
func (d *Database) publishScript(tables []*table) (up, down *script) {
	up, down = &script{}, &script{}
	up.add("CREATE PUBLICATION %s FOR TABLE %s WITH (publish = 'insert, update, delete, truncate')", plain(d.publication()), list(tables, func(t *table) string { return t.full() }))
	up.add("UPDATE %s SET base = 0 WHERE capability = %s", d.ours("strangler_position"), literal(d.b.Capability))
	down.refuseUnless(fmt.Sprintf("the fence of %s is not %s here: changes are still recorded for the other side", d.b.Capability, migrations.FenceOpen), d.stateIs(migrations.FenceOpen))
	d.unpublish(down)
	return up, down
}

func (d *Database) unpublish(s *script) {
	s.add("DROP PUBLICATION IF EXISTS %s", plain(d.publication()))
	s.add("UPDATE %s SET base = NULL WHERE capability = %s", d.ours("strangler_position"), literal(d.b.Capability))
	s.add("%s", d.dropSlotStatement())
}

// published refuses a snapshot in which the publication no longer holds every table.
func (d *Database) published(ctx context.Context, q querier, tables []*table) error {
	oids := make([]uint32, len(tables))
	for i, t := range tables {
		oids[i] = t.oid
	}
	var n int
	err := q.QueryRow(ctx, `SELECT count(*) FROM pg_publication AS p JOIN pg_publication_rel AS r ON r.prpubid = p.oid WHERE p.pubname = $1::text AND r.prrelid = ANY ($2::oid[])
		AND p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate`, d.publication(), oids).Scan(&n)
	if err == nil && n != len(tables) {
		err = fmt.Errorf("%w: in the %s database the publication %s was dropped or changed, so changes may have gone unrecorded. The owner goes on serving. To begin again: strangler split cancel %s, then run the playbook",
			strangler.ErrStopped, d.b.Side, d.publication(), d.b.Capability)
	}
	return err
}
