package outage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
)

// holder is a session that is in the middle of something at a side, and names itself.
type holder struct {
	name string
	role string
	// begin leaves the session open; it returns what ends it.
	begin func(r *rig, side strangler.Side, c *pgx.Conn) (end func() error)
	// stands is how a cutover that is refused because of it names it, {n} being its number; empty: it is not.
	stands string
	// late is what it tries behind the closed fence, if it may stay open until then.
	late   string
	writes bool // it has written before the cutover
}

func script(queries ...string) func(*rig, strangler.Side, *pgx.Conn) func() error {
	return func(r *rig, _ strangler.Side, c *pgx.Conn) func() error {
		for _, q := range queries {
			_, err := c.Exec(r.t.Context(), q)
			must(r.t, err)
		}
		return func() error { _, err := c.Exec(context.Background(), "ROLLBACK"); return err }
	}
}

// again numbers what holders write, for those that do so more than once.
var again atomic.Int64

const lateWrite = "INSERT INTO note VALUES (-1, 'late')"

var holders = []holder{
	{"a transaction that has only read", appRole, script("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM note"), "", lateWrite, false},
	{"a prepared statement", appRole, script("PREPARE late AS "+lateWrite, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM note"), "", "EXECUTE late", false},
	{"a transaction of a replica that has only read", superRole, script("SET session_replication_role = replica", "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM note"), "", lateWrite, false},
	{"a transaction that has written", appRole, script("BEGIN ISOLATION LEVEL REPEATABLE READ", "UPDATE note SET text = 'early' WHERE id = 1"), ", holder {n})", "", true},
	{"a transaction of a replica that has written", superRole, script("SET session_replication_role = replica", "BEGIN", "UPDATE note SET text = 'replica' WHERE id = 2"), ", holder {n})", "", true},
	{"a prepared transaction", appRole, func(r *rig, side strangler.Side, c *pgx.Conn) func() error {
		gid := r.names[side]
		script("BEGIN", "UPDATE note SET text = 'prepared' WHERE id = 3", "PREPARE TRANSACTION '"+gid+"'")(r, side, c)
		return func() error { _, err := c.Exec(context.Background(), "COMMIT PREPARED '"+gid+"'"); return err }
	}, "prepared transaction", "", true},
	{"a COPY", appRole, copying, ", holder {n})", "", true},
	{"a manual vacuum", superRole, vacuuming, ", holder {n})", "", false},
}

// copying leaves a COPY FROM STDIN in the middle.
func copying(r *rig, side strangler.Side, c *pgx.Conn) func() error {
	more, done := make(chan string), make(chan error, 1)
	go func() {
		_, err := c.PgConn().CopyFrom(context.Background(), &feed{more: more}, "COPY note FROM STDIN")
		done <- err
	}()
	more <- fmt.Sprintf("%d\tcopied\n", 900+again.Add(1))
	await(r.t, "the COPY", func() bool { return r.holds(side, "note", "RowExclusiveLock") })
	return func() error { close(more); return <-done }
}

// feed reads what it is given until the channel is closed.
type feed struct {
	more chan string
	rest string
}

func (f *feed) Read(p []byte) (int, error) {
	if f.rest == "" {
		next, ok := <-f.more
		if !ok {
			return 0, io.EOF
		}
		f.rest = next
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// vacuuming leaves a VACUUM that goes as slowly as it can.
func vacuuming(r *rig, side strangler.Side, c *pgx.Conn) func() error {
	// A page more takes it a tenth of a second more.
	must(r.t, r.asSuperuser(r.owner(), fmt.Sprintf("INSERT INTO note SELECT %d * 1000 + i, (SELECT string_agg(md5(concat(i, j)), '') FROM generate_series(1, 45) AS j) FROM generate_series(1, 600) AS i", 10+again.Add(1))))
	script("SET vacuum_cost_delay = 100", "SET vacuum_cost_limit = 1")(r, side, c)
	done := make(chan error, 1)
	pid := c.PgConn().PID()
	go func() { _, err := c.Exec(context.Background(), "VACUUM (FREEZE) note"); done <- err }()
	await(r.t, "the VACUUM", func() bool { return r.holds(side, "note", "ShareUpdateExclusiveLock") })
	return func() error {
		err := r.asSuperuser(side, fmt.Sprintf("SELECT pg_cancel_backend(%d)", pid))
		<-done // cancelled, or done before
		return err
	}
}

// holds reports whether somebody but Strangler holds a lock on a table.
func (r *rig) holds(side strangler.Side, table, mode string) (yes bool) {
	must(r.t, r.root(side).QueryRow(r.t.Context(), `SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) WHERE l.relation = to_regclass($1) AND l.mode = $2 AND l.granted
		AND a.datname = current_database() AND a.usename IS DISTINCT FROM $3)`, table, mode, ourRole).Scan(&yes))
	return yes
}

// aged counts those that are in the way at a side for longer than a cutover would wait at the fence.
func (r *rig) aged(side strangler.Side) (n int) {
	must(r.t, r.root(side).QueryRow(r.t.Context(), `SELECT (SELECT count(DISTINCT a.pid) FROM pg_stat_activity AS a JOIN pg_locks AS l USING (pid) WHERE a.datname = current_database() AND a.application_name LIKE 'holder%'
			AND l.relation = 'note'::regclass AND l.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock') AND clock_timestamp() - a.xact_start > interval '1.2 s')
		+ (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database())`).Scan(&n))
	return n
}

// TestOpenTransactionsDoNotSlipThroughAFence leaves all of them open at the owner across a cutover. It is
// refused before a write is held, and names all who stand in the way; once they have ended it goes through, and
// what was open and not in the way can write no more. TestTortureOpenTransactions does so with each alone.
func TestOpenTransactionsDoNotSlipThroughAFence(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.through("through")
	r.copied()
	r.acrossCutover(holders, strangler.Legacy)
	w.await(1)
	r.check(w)
}

// acrossCutover leaves holders open at a side while the owner hands over to the other.
func (r *rig) acrossCutover(all []holder, side strangler.Side) {
	t := r.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	to := r.anOwner().Other()
	var named []string
	var stood, stay []func()
	for i, h := range all {
		c := r.session(side, h.role, fmt.Sprintf("holder %d", i))
		end := h.begin(r, side, c)
		if h.stands != "" {
			named = append(named, strings.ReplaceAll(h.stands, "{n}", fmt.Sprint(i)))
			stood = append(stood, func() { must(t, end()) })
			continue
		}
		stay = append(stay, func() {
			if _, err := c.Exec(ctx, h.late); side != to && !refusedByFence(err) {
				t.Errorf("behind the closed fence %s wrote: %v", h.name, err)
			}
			must(t, end())
		})
	}
	if len(named) > 0 {
		await(t, "an age at which they are no passing transactions", func() bool { return r.aged(side) == len(named) })
		before := r.gate.Load().closed()
		err := r.hand(ctx, to)
		for _, name := range named {
			if !errors.Is(err, strangler.ErrRefused) || !strings.Contains(err.Error(), name) {
				t.Errorf("with %s open the cutover says: %v", name, err)
			}
		}
		if r.gate.Load().closed() != before {
			t.Errorf("with %v open writes were held", named)
		}
	}
	for _, end := range stood {
		end()
	}
	r.handed(to)
	for _, end := range stay {
		end()
	}
}

// TestAutovacuumGivesWay: an autovacuum of either side's tables ends for the cutover.
func TestAutovacuumGivesWay(t *testing.T) {
	t.Parallel()
	for _, side := range sides {
		t.Run(string(side), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			w := r.through("through")
			r.copied()
			// The owner of a table sets how its autovacuum works: at once, and as slowly as it can.
			r.superuser(side, "ALTER TABLE invoice SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)")
			await(t, "an autovacuum", func() bool { return r.holds(side, "invoice", "ShareUpdateExclusiveLock") })
			r.handed(strangler.Service)
			w.await(1)
			r.check(w)
		})
	}
}

// TestTransactionsMayMeetTheTablesInAnyOrder has readers who hold one table at every instant, and then want
// another one: what waited for the first with the second locked would wait for ever.
func TestTransactionsMayMeetTheTablesInAnyOrder(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]string{"first to last": {"customer", "invoice", "payment"}, "last to first": {"payment", "invoice", "customer"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.copied()
			ctx, cancel := context.WithCancel(t.Context())
			var readers sync.WaitGroup
			defer readers.Wait()
			defer cancel()
			for i := range 8 {
				c := r.session(strangler.Legacy, appRole, fmt.Sprintf("reader %d", i))
				readers.Go(func() {
					for ctx.Err() == nil {
						_, err := c.Exec(ctx, "BEGIN; SELECT FROM "+strings.Join(order, " LIMIT 1; SELECT pg_sleep(0.02); SELECT FROM ")+" LIMIT 1; COMMIT")
						if err != nil && ctx.Err() == nil {
							t.Errorf("a reader was refused: %v", err)
							return
						}
					}
				})
			}
			r.handed(strangler.Service)
			cancel()
			readers.Wait()
			r.check()
		})
	}
}

// TestSubscribedTablesAreRefusedAtPlan: what a subscription applies fires no statement trigger, so no fence
// would stop it.
func TestSubscribedTablesAreRefusedAtPlan(t *testing.T) {
	t.Parallel()
	r, from := newRig(t), newRig(t)
	from.superuser(strangler.Service, "CREATE TABLE note (id bigint PRIMARY KEY, text text); CREATE PUBLICATION notes FOR TABLE note")
	r.superuser(strangler.Legacy, fmt.Sprintf("CREATE SUBSCRIPTION notes CONNECTION '%s' PUBLICATION notes WITH (create_slot = false, enabled = false, copy_data = false, slot_name = NONE)",
		server(t, strangler.Service).DSN(from.names[strangler.Service])))
	err := r.splits.Expand(t.Context(), capability)
	if !errors.Is(err, strangler.ErrRefused) || !strings.Contains(err.Error(), "subscription") {
		t.Errorf("the plan says: %v", err)
	}
	r.superuser(strangler.Legacy, "DROP SUBSCRIPTION notes")
	w := r.through("through")
	r.copied()
	r.check(w)
}
