package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// Columns are those that travel.
func (d *Database) Columns(ctx context.Context, i int) ([]string, error) {
	t, err := d.table(ctx, i)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(t.columns))
	for j, c := range t.columns {
		names[j] = c.Name
	}
	return names, nil
}

// Relog locks the fence row as the applier does: closing waits for it, and whoever comes behind the closing reads
// what that has written. Its entries have no writer: they are nobody's writes. Where a slot is read, the keys are
// put beside what it tells, in this process, and are gone with it: whoever asked compares again behind the batch.
func (d *Database) Relog(ctx context.Context, i int, keys []migrations.Key) error {
	if len(keys) == 0 {
		return nil
	}
	t, err := d.table(ctx, i)
	if err != nil {
		return err
	}
	return d.write(ctx, func(x *tx) error {
		var f migrations.Fence
		err := x.QueryRow(ctx, "SELECT control_id, state FROM "+d.ours("strangler_fence")+" WHERE capability = $1::text FOR SHARE", d.b.Capability).Scan(&f.ControlID, &f.State)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if f.ControlID != d.b.ControlID || f.State != migrations.FenceOpen {
			return fmt.Errorf("%w: the %s database of %s has fence %q, control store %q, so it does not own; nothing was logged", strangler.ErrSuperseded, d.b.Side, d.b.Capability, f.State, f.ControlID)
		}
		if base, err := d.base(ctx, x); err != nil || base >= 0 {
			if err == nil {
				d.again.Tell(i, keys)
			}
			return err
		}
		var p parameters
		given := p.keyArrays(t.key(), keys)
		_, err = x.Exec(ctx, fmt.Sprintf("INSERT INTO %s (nonce, writer, %s) SELECT %s, '', k.* FROM (%s) AS k", d.ours(d.logTable(t.bound)), list(t.key(), oldKey), nonce, given), p...)
		return err
	})
}
