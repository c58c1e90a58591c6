package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// fenceLock bounds how long a change of the fence waits for transactions in flight at the tables, and so how
// long others queue behind it.
const fenceLock = time.Second

// fenceWaits are the tries for the moved tables in that time; one long wait at last, for a transaction that is long.
var fenceWaits = []string{"50ms", "100ms", "150ms", "700ms"}

// Fence reads the fence row, and whether the server is the one that it was written on.
func (d *Database) Fence(ctx context.Context) (migrations.Fence, error) {
	there, err := d.exists(ctx, "strangler_fence")
	if err != nil || !there {
		return migrations.Fence{}, err
	}
	return d.readFence(ctx, d.pool)
}

func (d *Database) readFence(ctx context.Context, q querier) (migrations.Fence, error) {
	f := migrations.Fence{Installed: true}
	var was, is string
	err := q.QueryRow(ctx, "SELECT control_id, epoch, state, term, server, "+d.server()+" FROM "+d.ours("strangler_fence")+" WHERE capability = $1::text", d.b.Capability).Scan(&f.ControlID, &f.Epoch, &f.State, &f.Term, &was, &is)
	if errors.Is(err, pgx.ErrNoRows) {
		return migrations.Fence{}, nil
	}
	if was != is {
		f.Moved = fmt.Sprintf("it was made on %s and stands on %s (system identifier/timeline/database/fence table)", was, is)
	}
	return f, err
}

// FenceStatement is the statement that SetFence runs. In one transaction it changes the row, and, to close,
// waits for writers in flight, and then looks for partitions. To open takes no lock on a table whose trigger is
// off: a long transaction that kept a fence from closing must not keep the owner from being opened.
func (d *Database) FenceStatement(epoch int64, state migrations.FenceState) string {
	turn := turned("moved", literal(d.fenceTrigger().name), state)
	var shared []string
	named := make([]string, len(d.b.Tables))
	for i, bound := range d.b.Tables {
		named[i] = d.named(bound)
		if !d.b.Share(i).Whole() {
			shared = append(shared, named[i])
		}
	}
	if len(shared) > 0 {
		turn += turned("ARRAY["+list(shared, literal)+"]::regclass[]", literal(d.shareName()), state)
	}
	drain := lockTogether(forTriggers, named, fenceWaits)
	if state == migrations.FenceOpen {
		drain = ""
	}
	return "DO " + dollars(fmt.Sprintf(`
DECLARE
  moved regclass[] := ARRAY[%[1]s]::regclass[];
  relation regclass;
BEGIN
  UPDATE %[2]s SET epoch = %[3]d, state = %[4]s WHERE capability = %[5]s AND control_id = %[6]s AND epoch < %[3]d;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING MESSAGE = 'strangler: the fence was not changed: it is at this epoch or a higher one, or another control store''s', ERRCODE = '%[7]s';
  END IF;
  %[8]s
  %[9]sEND
`,
		list(named, literal), d.ours("strangler_fence"), epoch, literal(string(state)), literal(d.b.Capability), literal(d.b.ControlID), overtaken,
		drain, strings.TrimPrefix(turn, "  ")))
}

// turned puts the triggers of a name into a state, at the tables of an array and their partitions.
func turned(array, name string, state migrations.FenceState) string {
	word, where := "ENABLE ALWAYS", ""
	if state == migrations.FenceOpen {
		word, where = "DISABLE", " WHERE EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = rel.oid AND t.tgname = "+name+" AND t.tgenabled <> 'D')"
	}
	return fmt.Sprintf(`  FOR relation IN
    WITH RECURSIVE rel AS (
      SELECT unnest(%s)::oid AS oid
      UNION SELECT i.inhrelid FROM rel JOIN pg_catalog.pg_inherits AS i ON i.inhparent = rel.oid)
    SELECT oid FROM rel%s ORDER BY oid
  LOOP
    EXECUTE format('ALTER TABLE %%s %s TRIGGER %%I', relation, %s);
  END LOOP;
`, array, where, word, name)
}

// overtaken is the SQLSTATE by which the fence's statement says that it found nothing to change.
const overtaken = "ST001"

// named is a bound table's quoted name.
func (d *Database) named(bound string) string {
	schema, name := split(bound)
	if schema == "" {
		return d.schema + "." + ident(name)
	}
	return ident(schema) + "." + ident(name)
}

// SetFence enables or disables the fence's triggers. The lock drains writers: whoever writes next fires them,
// whatever its snapshot. It goes on in the transaction that Hold has opened, if there is one.
func (d *Database) SetFence(ctx context.Context, epoch int64, state migrations.FenceState) error {
	tables, err := d.tables(ctx)
	if err != nil {
		return err
	}
	for {
		err := d.trySetFence(ctx, tables, epoch, state)
		switch {
		case code(err) == overtaken:
			return d.alreadyFenced(ctx, tables, epoch, state)
		case !errors.Is(err, migrations.ErrSlow):
			return err
		}
		if ended, errEnd := d.endStuck(ctx); errEnd != nil || !ended {
			return errors.Join(err, errEnd)
		}
	}
}

func (d *Database) trySetFence(ctx context.Context, tables []*table, epoch int64, state migrations.FenceState) error {
	h := d.takeHeld()
	if h == nil {
		t, err := d.begin(ctx)
		if err != nil {
			return err
		}
		h = &held{t}
	}
	if err := d.setFence(ctx, h.tx, tables, epoch, state); err != nil {
		return errors.Join(err, h.rollback())
	}
	return h.commit()
}

func (d *Database) setFence(ctx context.Context, t *tx, tables []*table, epoch int64, state migrations.FenceState) error {
	if err := t.wait(ctx, fenceLock); err != nil {
		return err
	}
	if _, err := d.mend(ctx, t, tables); err != nil {
		return d.slow(ctx, err)
	}
	_, err := t.Exec(ctx, d.FenceStatement(epoch, state))
	return d.slow(ctx, err)
}

// wait bounds each wait for a lock in this transaction.
func (t *tx) wait(ctx context.Context, most time.Duration) error {
	_, err := t.Exec(ctx, "SELECT set_config('lock_timeout', $1::text, true)", fmt.Sprint(most.Milliseconds()))
	return err
}

// slow marks an error that another attempt may not meet, and names who stood in the way.
func (d *Database) slow(ctx context.Context, err error) error {
	if c := code(err); c != lockNotAvailable && c != deadlockDetected {
		return err
	}
	who, _ := d.inTheWay(ctx, 0)
	if len(who) == 0 {
		who = []string{"a transaction that has ended since"}
	}
	return fmt.Errorf("the lock on the tables of %s in the %s database %w, held by %s: %w", d.b.Capability, d.b.Side, migrations.ErrSlow, strings.Join(who, "; "), err)
}

// alreadyFenced answers a change that found nothing to do: done before, or overtaken.
func (d *Database) alreadyFenced(ctx context.Context, tables []*table, epoch int64, state migrations.FenceState) error {
	f, err := d.readFence(ctx, d.pool)
	if err != nil {
		return err
	}
	if f.ControlID == d.b.ControlID && f.Epoch == epoch && f.State == state {
		_, err := d.Mend(ctx)
		return err
	}
	if f.ControlID != d.b.ControlID {
		return fmt.Errorf("%w: the fence of %s in the %s database belongs to control store %q", strangler.ErrSuperseded, d.b.Capability, d.b.Side, f.ControlID)
	}
	return fmt.Errorf("%w: the fence of %s in the %s database is %s at epoch %d, and %d was to make it %s", strangler.ErrSuperseded, d.b.Capability, d.b.Side, f.State, f.Epoch, epoch, state)
}

// RaiseTerm locks the fence table first: else newcomers, who lock the row for share, overtake it without
// end. Whoever of this capability's appliers still has not ended after fenceLock is ended.
func (d *Database) RaiseTerm(ctx context.Context, term int64) error {
	for {
		err := d.write(ctx, func(t *tx) error {
			if err := t.wait(ctx, fenceLock); err != nil {
				return err
			}
			if _, err := t.Exec(ctx, "LOCK TABLE "+d.ours("strangler_fence")+" IN EXCLUSIVE MODE"); err != nil {
				return err
			}
			done, err := t.Exec(ctx, "UPDATE "+d.ours("strangler_fence")+" SET term = $1::bigint WHERE capability = $2::text AND control_id = $3::text AND term < $1::bigint", term, d.b.Capability, d.b.ControlID)
			if err != nil || done.RowsAffected() == 1 {
				return err
			}
			f, err := d.readFence(ctx, t)
			if err == nil && (f.Term != term || f.ControlID != d.b.ControlID) {
				err = fmt.Errorf("%w: the %s database of %s is at term %d of control store %q, and %d was to be raised", strangler.ErrSuperseded, d.b.Side, d.b.Capability, f.Term, f.ControlID, term)
			}
			return err
		})
		if err != nil && (code(err) != lockNotAvailable || ctx.Err() != nil) {
			return err
		}
		// Where the lock was to be had, others may still stand in the way: of a script, or of the position.
		if _, errEnd := d.endStuck(ctx); err == nil || errEnd != nil {
			return errEnd
		}
	}
}

// endStuck ends transactions of this capability's workers that stand idle and are not this handle's: a worker
// that sleeps, or hangs, in the middle of one would keep its locks for as long. It says whether there were any.
func (d *Database) endStuck(ctx context.Context) (ended bool, err error) {
	err = d.pool.QueryRow(ctx, `SELECT count(pg_terminate_backend(a.pid)) > 0 FROM pg_stat_activity AS a
		WHERE a.datname = current_database() AND a.usename = session_user AND a.application_name = $1::text AND a.pid <> ALL ($2::integer[])
		AND a.state LIKE 'idle in transaction%' AND a.state_change < clock_timestamp() - interval '500 ms'`, application(d.b.Capability), d.own.list()).Scan(&ended)
	return ended, err
}

// Claim writes the row whatever stands there, and takes the server as it is.
func (d *Database) Claim(ctx context.Context, epoch int64, state migrations.FenceState, term int64) error {
	tables, err := d.tables(ctx)
	if err != nil {
		return err
	}
	return d.write(ctx, func(t *tx) error {
		if err := t.wait(ctx, fenceLock); err != nil {
			return err
		}
		if _, err := t.Exec(ctx, "LOCK TABLE "+d.ours("strangler_fence")+" IN EXCLUSIVE MODE"); err != nil {
			return d.slow(ctx, err)
		}
		done, err := t.Exec(ctx, "UPDATE "+d.ours("strangler_fence")+" SET control_id = $1::text, epoch = $2::bigint, state = $3::text, term = $4::bigint, server = "+d.server()+" WHERE capability = $5::text",
			d.b.ControlID, epoch, string(state), term, d.b.Capability)
		if err != nil {
			return err
		}
		if done.RowsAffected() == 0 {
			return strangler.Refuse("fence", fmt.Sprintf("the %s database has no fence row for %s", d.b.Side, d.b.Capability), "strangler split cancel "+d.b.Capability)
		}
		_, err = d.mend(ctx, t, tables)
		return d.slow(ctx, err)
	})
}

// Mend puts back what somebody has dropped, disabled or changed of the fence, on new partitions too.
func (d *Database) Mend(ctx context.Context) (mended bool, err error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return false, err
	}
	f, err := d.Fence(ctx)
	if err != nil {
		return false, err
	}
	if !f.Installed {
		return false, strangler.Refuse("fence", fmt.Sprintf("the %s database has no fence row for %s, and a fence put back without it refuses every write", d.b.Side, d.b.Capability), "strangler split adopt "+d.b.Capability)
	}
	err = d.write(ctx, func(t *tx) error {
		if err := t.wait(ctx, fenceLock); err != nil {
			return err
		}
		mended, err = d.mend(ctx, t, tables)
		return d.slow(ctx, err)
	})
	return mended, err
}

// mend makes every fence trigger what the row says. On a partition that has come since, it makes the
// capture's too, where the table has it.
func (d *Database) mend(ctx context.Context, t *tx, tables []*table) (mended bool, err error) {
	f, err := d.readFence(ctx, t)
	if err != nil || !f.Installed {
		return false, err
	}
	s, err := d.survey(ctx, t, tables)
	if err != nil {
		return false, err
	}
	captured := map[int]bool{}
	for _, p := range s.relations {
		owner := tables[p.table]
		capture := d.captureTriggers(owner)
		if p.oid == owner.oid {
			_, gone := d.broken(owner, p, 0, capture)
			captured[p.table] = len(gone) == 0
		}
		var repair []string
		for _, g := range d.fenceTriggers(owner) {
			if d.stands(p, g, firing(f.State)) {
				continue
			}
			repair = append(repair, d.functionDDL(g))
			if g.kind&forRow == 0 || p.oid == owner.oid {
				repair = append(repair, "DROP TRIGGER IF EXISTS "+plain(g.name)+" ON "+p.full())
			}
			repair = append(repair, d.triggerOn(g, owner, p.full(), firing(f.State))...)
		}
		if p.oid != owner.oid && captured[p.table] {
			for _, c := range capture {
				if _, there := p.triggers[c.name]; !there && c.kind&forRow == 0 {
					repair = append(repair, d.triggerDDL(c, p.full(), 'A')...)
				}
			}
		}
		for _, text := range repair {
			if _, err := t.Exec(ctx, text); err != nil {
				return false, fmt.Errorf("put back the fence of %s: %w", p.full(), err)
			}
		}
		mended = mended || len(repair) > 0
	}
	return mended, nil
}
