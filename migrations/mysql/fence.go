package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// impatient and patient set how long a session waits for a row.
var (
	impatient = fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d", fenceLock)
	patient   = fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d", rowLock)
)

// Fence reads the fence row, and whether the server is the one that it was written on.
func (d *Database) Fence(ctx context.Context) (migrations.Fence, error) {
	return d.readFence(ctx, d.pool, "")
}

func (d *Database) readFence(ctx context.Context, q querier, lock string) (migrations.Fence, error) {
	f := migrations.Fence{Installed: true}
	var was, is string
	err := q.QueryRowContext(ctx, "SELECT control_id, epoch, state, term, server, "+server+" FROM strangler_fence WHERE capability = ? "+lock, d.b.Capability).Scan(&f.ControlID, &f.Epoch, &f.State, &f.Term, &was, &is)
	if errors.Is(err, sql.ErrNoRows) || number(err) == errNoTable {
		return migrations.Fence{}, nil
	}
	if was != is {
		f.Moved = fmt.Sprintf("it was made on %s and stands on %s (server_id/database)", was, is)
	}
	return f, err
}

// FenceStatement is the statement that SetFence runs. It waits for writers in flight: each has locked the row. SetFence then
// looks whether what they wrote is recorded.
func (d *Database) FenceStatement(epoch int64, state migrations.FenceState) string {
	return fmt.Sprintf("UPDATE strangler_fence SET epoch = %d, state = %s WHERE capability = %s AND control_id = %s AND epoch < %d",
		epoch, literal(string(state)), literal(d.b.Capability), literal(d.b.ControlID), epoch)
}

// SetFence changes the row that the fence's triggers lock and read. Triggers that are gone are put back before the row
// says closed, and looked for again behind it: making one waits for every transaction that is at its table.
func (d *Database) SetFence(ctx context.Context, epoch int64, state migrations.FenceState) error {
	if state == migrations.FenceClosed {
		if _, err := d.mend(ctx); err != nil {
			return err
		}
	}
	if err := d.locking(ctx, func(t *tx) error { return d.turn(ctx, t, epoch, state) }); err != nil || state == migrations.FenceOpen {
		return err
	}
	_, err := d.mend(ctx)
	return err
}

func (d *Database) turn(ctx context.Context, t *tx, epoch int64, state migrations.FenceState) error {
	n, err := t.exec(context.WithoutCancel(ctx), d.FenceStatement(epoch, state))
	if err == nil && n == 1 && state == migrations.FenceClosed {
		err = d.recorded(context.WithoutCancel(ctx), t, "")
	}
	if err == nil && n == 1 && state == migrations.FenceOpen {
		err = d.wake(context.WithoutCancel(ctx), t)
	}
	if err != nil || n == 1 {
		return err
	}
	f, err := d.readFence(ctx, t.conn, "")
	switch {
	case err != nil:
		return err
	case f.ControlID == d.b.ControlID && f.Epoch == epoch && f.State == state:
		return nil
	case f.ControlID != d.b.ControlID:
		return fmt.Errorf("%w: the fence of %s in the %s database belongs to control store %q", strangler.ErrSuperseded, d.b.Capability, d.b.Side, f.ControlID)
	}
	return fmt.Errorf("%w: the fence of %s in the %s database is %s at epoch %d, and %d was to make it %s", strangler.ErrSuperseded, d.b.Capability, d.b.Side, f.State, f.Epoch, epoch, state)
}

// recorded returns when no entry of the logs is one that is not committed. A prepared transaction has given up its lock of
// the fence row, and keeps those of its entries.
func (d *Database) recorded(ctx context.Context, t *tx, noWait string) error {
	for _, name := range d.b.Tables {
		_, err := t.exec(ctx, "SELECT COUNT(*) FROM "+ident(logTable(name))+" LOCK IN SHARE MODE "+noWait)
		if err != nil && number(err) != errNoTable {
			return err
		}
	}
	return nil
}

// locking runs f in a transaction that waits for the fence row for fenceLock seconds. A worker's transaction that stands
// idle in the way is ended, and then it is tried again.
func (d *Database) locking(ctx context.Context, f func(*tx) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		t, err := d.begin(ctx, impatient)
		if err != nil {
			return err
		}
		t.leave = patient
		if err = f(t); err == nil {
			return t.commit()
		}
		err = errors.Join(err, t.rollback())
		if n := number(err); n == errDeadlock {
			continue
		} else if n != errLockWait {
			return err
		}
		ended, errEnd := d.endStuck(ctx)
		if errEnd != nil || !ended {
			return errors.Join(fmt.Errorf("a transaction has held the fence row of %s in the %s database for %d s; nothing was changed: %w", d.b.Capability, d.b.Side, fenceLock, passing(err)), errEnd)
		}
	}
}

// RaiseTerm waits for transactions of the applier, which have locked the row; newcomers queue behind it.
func (d *Database) RaiseTerm(ctx context.Context, term int64) error {
	return d.locking(ctx, func(t *tx) error {
		n, err := t.exec(context.WithoutCancel(ctx), "UPDATE strangler_fence SET term = ? WHERE capability = ? AND control_id = ? AND term < ?", term, d.b.Capability, d.b.ControlID, term)
		if err != nil && number(err) != errNoTable || n == 1 {
			return err
		}
		f, err := d.readFence(ctx, t.conn, "")
		if err != nil || f.ControlID == d.b.ControlID && f.Term == term {
			return err
		}
		return fmt.Errorf("%w: the %s database of %s is at term %d, ours is %d", strangler.ErrSuperseded, d.b.Side, d.b.Capability, f.Term, term)
	})
}

// Claim writes the row whatever stands there.
func (d *Database) Claim(ctx context.Context, epoch int64, state migrations.FenceState, term int64) error {
	if f, err := d.Fence(ctx); err != nil || !f.Installed {
		if err == nil {
			err = strangler.Refuse("fence", fmt.Sprintf("the %s database has no fence row for %s", d.b.Side, d.b.Capability), "strangler split cancel "+d.b.Capability)
		}
		return err
	}
	if _, err := d.mend(ctx); err != nil {
		return err
	}
	return d.locking(ctx, func(t *tx) error {
		_, err := t.exec(context.WithoutCancel(ctx), "UPDATE strangler_fence SET control_id = ?, epoch = ?, state = ?, term = ?, server = "+server+" WHERE capability = ?", d.b.ControlID, epoch, string(state), term, d.b.Capability)
		if err == nil && state == migrations.FenceOpen {
			err = d.wake(context.WithoutCancel(ctx), t)
		}
		return err
	})
}

// Mend puts back fence triggers that somebody has dropped or changed.
func (d *Database) Mend(ctx context.Context) (bool, error) {
	f, err := d.Fence(ctx)
	if err == nil && !f.Installed {
		err = strangler.Refuse("fence", fmt.Sprintf("the %s database has no fence row for %s, and a fence put back without it refuses every write", d.b.Side, d.b.Capability), "strangler split adopt "+d.b.Capability)
	}
	if err != nil {
		return false, err
	}
	return d.mend(ctx)
}

func (d *Database) mend(ctx context.Context) (mended bool, err error) {
	tables, err := d.tables(ctx)
	if err != nil {
		return false, err
	}
	found, err := readTriggers(ctx, d.pool, d.b.Tables...)
	if err != nil {
		return false, err
	}
	for _, t := range tables {
		for _, g := range missing(d.fenceTriggers(t), found) {
			if !d.mariadb { // it has no CREATE OR REPLACE
				if _, err := d.pool.ExecContext(ctx, g.drop); err != nil {
					return mended, d.full(err)
				}
			}
			if _, err := d.pool.ExecContext(ctx, g.makeAnew); err != nil {
				return mended, fmt.Errorf("put back the fence of %s: %w", t.name, d.full(err))
			}
			mended = true
		}
	}
	return mended, nil
}

// stuckAge is how long a session of Strangler's has slept before it may be ended.
const stuckAge = 1

// endStuck ends sessions of Strangler's user in this database that sleep, those of this handle excepted: a worker that is
// asleep in a transaction keeps its locks, of rows and of tables, and no list of the server's tells which of the sessions
// has one. A session that was only idle is made anew by whoever had it.
func (d *Database) endStuck(ctx context.Context) (ended bool, err error) {
	var ids []uint64
	err = each(ctx, d.pool, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = ? AND DB = DATABASE() AND COMMAND = 'Sleep' AND TIME >= ?", []any{d.role, stuckAge}, func(scan func(...any) error) error {
		var id uint64
		err := scan(&id)
		if !d.own.has(id) {
			ids = append(ids, id)
		}
		return err
	})
	for _, id := range ids {
		if _, e := d.pool.ExecContext(ctx, fmt.Sprintf("KILL %d", id)); e == nil {
			ended = true
		}
	}
	return ended, err
}

// holdPause is how often Hold looks. The server's list of transactions stays as it was while it is read more often than
// every 100 ms.
const holdPause = 150 * time.Millisecond

// Hold looks for transactions that would keep a fence from closing, while writes pass. What it takes it gives back at
// once: the fence's own wait is short.
func (d *Database) Hold(ctx context.Context) (release func(), err error) {
	release = func() {}
	tick := time.NewTicker(holdPause)
	defer tick.Stop()
	for {
		free, err := d.free(ctx)
		if err != nil && ctx.Err() == nil || free {
			return release, err
		}
		long, errLong := d.longWriters(context.WithoutCancel(ctx))
		if errLong != nil {
			return release, errLong
		}
		if long == "" {
			return release, nil // writers come and go
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return release, strangler.Refuse("transactions", fmt.Sprintf("in the %s database %s, and may have written to the tables of %s; a fence would wait for it, and so would everybody's writes", d.b.Side, long, d.b.Capability),
				"let it end, or end it", "SELECT trx_mysql_thread_id, trx_started, trx_query FROM information_schema.INNODB_TRX ORDER BY trx_started")
		}
	}
}

// free reports whether at this instant nobody is writing.
func (d *Database) free(ctx context.Context) (bool, error) {
	t, err := d.begin(ctx)
	if err != nil {
		return false, err
	}
	_, err = t.exec(ctx, "SELECT 1 FROM strangler_fence WHERE capability = ? FOR UPDATE NOWAIT", d.b.Capability)
	if err == nil {
		err = d.recorded(ctx, t, "NOWAIT")
	}
	if n := number(err); n == errLockWait || n == errNoWait || n == errLocked {
		return false, t.rollback()
	}
	return err == nil, errors.Join(err, t.rollback())
}

// longWriters names a transaction of others that has been open for a second and has locked something; none where the
// user may not see them.
func (d *Database) longWriters(ctx context.Context) (who string, err error) {
	var id uint64
	var age int64
	var user, host sql.NullString
	err = d.pool.QueryRowContext(ctx, `SELECT t.trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, t.trx_started, SYSDATE()), p.USER, p.HOST FROM information_schema.INNODB_TRX AS t LEFT JOIN information_schema.PROCESSLIST AS p ON p.ID = t.trx_mysql_thread_id
		WHERE t.trx_started < SYSDATE() - INTERVAL 1 SECOND AND t.trx_lock_structs > 0 AND COALESCE(p.USER, '') <> ? ORDER BY t.trx_started LIMIT 1`, d.role).Scan(&id, &age, &user, &host)
	switch {
	case errors.Is(err, sql.ErrNoRows) || number(err) == errSpecificDenied:
		return "", nil
	case err != nil:
		return "", err
	case id == 0:
		return fmt.Sprintf("a transaction without a session (a prepared one: XA RECOVER) has been open for %d s", age), nil
	}
	return fmt.Sprintf("connection %d (%s from %s) has been in a transaction, or has prepared one (XA RECOVER), for %d s", id, user.String, host.String, age), nil
}
