package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// Fence reads the fence row.
func (d *Database) Fence(ctx context.Context) (migrations.Fence, error) {
	there, err := d.exists(ctx, "strangler_fence")
	if err != nil || !there {
		return migrations.Fence{}, err
	}
	return readFence(ctx, d.pool, d.b.Capability)
}

func readFence(ctx context.Context, q querier, capability string) (migrations.Fence, error) {
	f := migrations.Fence{Installed: true}
	err := q.QueryRowContext(ctx, "SELECT control_id, epoch, state, term FROM strangler_fence WHERE capability = ?", capability).Scan(&f.ControlID, &f.Epoch, &f.State, &f.Term)
	if errors.Is(err, sql.ErrNoRows) {
		return migrations.Fence{}, nil
	}
	return f, err
}

// FenceStatement is the statement that SetFence runs.
func (d *Database) FenceStatement(epoch int64, state migrations.FenceState) string {
	return fmt.Sprintf("UPDATE strangler_fence SET epoch = %d, state = %s WHERE capability = %s AND control_id = %s AND epoch < %d",
		epoch, literal(string(state)), literal(d.b.Capability), literal(d.b.ControlID), epoch)
}

// Hold has nothing to take: the write lock is had for one short transaction at a time.
func (d *Database) Hold(context.Context) (release func(), err error) { return func() {}, nil }

// SetFence changes the flag that the fence's triggers read. The write lock drains writers: whoever
// writes next sees the new flag.
func (d *Database) SetFence(ctx context.Context, epoch int64, state migrations.FenceState) error {
	return d.write(ctx, func(t *tx) error {
		if _, err := d.mend(ctx, t); err != nil {
			return err
		}
		n, err := t.w.exec(ctx, "UPDATE strangler_fence SET epoch = ?, state = ? WHERE capability = ? AND control_id = ? AND epoch < ?",
			epoch, string(state), d.b.Capability, d.b.ControlID, epoch)
		if err != nil || n == 1 {
			return err
		}
		f, err := readFence(ctx, t.w.conn, d.b.Capability)
		switch {
		case err != nil:
			return err
		case f.ControlID == d.b.ControlID && f.Epoch == epoch && f.State == state:
			return nil
		case f.ControlID != d.b.ControlID:
			return fmt.Errorf("%w: the fence of %s in the %s database belongs to control store %q", strangler.ErrSuperseded, d.b.Capability, d.b.Side, f.ControlID)
		}
		return fmt.Errorf("%w: the fence of %s in the %s database is %s at epoch %d, and %d was to make it %s", strangler.ErrSuperseded, d.b.Capability, d.b.Side, f.State, f.Epoch, epoch, state)
	})
}

// RaiseTerm waits for the writer in flight, then shuts out every older term.
func (d *Database) RaiseTerm(ctx context.Context, term int64) error {
	return d.write(ctx, func(t *tx) error {
		n, err := t.w.exec(ctx, "UPDATE strangler_fence SET term = ? WHERE capability = ? AND control_id = ? AND term < ?", term, d.b.Capability, d.b.ControlID, term)
		if err != nil || n == 1 {
			return err
		}
		f, err := readFence(ctx, t.w.conn, d.b.Capability)
		if err != nil || f.ControlID == d.b.ControlID && f.Term == term {
			return err
		}
		return fmt.Errorf("%w: the %s database of %s is at term %d, ours is %d", strangler.ErrSuperseded, d.b.Side, d.b.Capability, f.Term, term)
	})
}

// Claim writes the row whatever stands there.
func (d *Database) Claim(ctx context.Context, epoch int64, state migrations.FenceState, term int64) error {
	return d.write(ctx, func(t *tx) error {
		if _, err := d.mend(ctx, t); err != nil {
			return err
		}
		n, err := t.w.exec(ctx, "UPDATE strangler_fence SET control_id = ?, epoch = ?, state = ?, term = ? WHERE capability = ?", d.b.ControlID, epoch, string(state), term, d.b.Capability)
		if err == nil && n == 0 {
			err = strangler.Refuse("fence", fmt.Sprintf("the %s database has no fence row for %s", d.b.Side, d.b.Capability), "strangler split cancel "+d.b.Capability)
		}
		return err
	})
}

// Mend puts back fence triggers that somebody has dropped or changed.
func (d *Database) Mend(ctx context.Context) (mended bool, err error) {
	err = d.write(ctx, func(t *tx) error {
		f, err := d.Fence(ctx)
		if err == nil && !f.Installed {
			err = strangler.Refuse("fence", fmt.Sprintf("the %s database has no fence row for %s, and a fence put back without it refuses every write", d.b.Side, d.b.Capability), "strangler split adopt "+d.b.Capability)
		}
		if err == nil {
			mended, err = d.mend(ctx, t)
		}
		return err
	})
	return mended, err
}

func (d *Database) mend(ctx context.Context, t *tx) (bool, error) {
	found, err := ourTriggers(ctx, t.w.conn)
	if err != nil {
		return false, err
	}
	mended := false
	for i, name := range d.b.Tables {
		shared, err := d.sharedTable(ctx, t.w.conn, i)
		if err != nil {
			return false, err
		}
		if shared != nil { // without it nobody could write the table
			if _, err := t.w.conn.ExecContext(ctx, strings.Replace(shared.besideDDL(), "TABLE", "TABLE IF NOT EXISTS", 1)); err != nil {
				return false, d.full(err)
			}
		}
		for _, g := range missing(d.fenceTriggers(name, shared), found) {
			if _, err := t.w.conn.ExecContext(ctx, "DROP TRIGGER IF EXISTS "+ident(g.name)); err != nil {
				return false, d.full(err)
			}
			if _, err := t.w.conn.ExecContext(ctx, g.sql); err != nil {
				return false, fmt.Errorf("put back the fence of %s: %w", name, d.full(err))
			}
			mended = true
		}
	}
	return mended, nil
}

func ourTriggers(ctx context.Context, q querier) (map[string]string, error) {
	found := map[string]string{}
	err := each(ctx, q, `SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'strangler\_%' ESCAPE '\'`, nil, func(scan func(...any) error) error {
		var name, text string
		err := scan(&name, &text)
		found[name] = text
		return err
	})
	return found, err
}
