package sqlite

import (
	"context"
	"fmt"
	"strings"

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

// Relog has the write lock, so the fence stays as it is read until the keys are committed.
func (d *Database) Relog(ctx context.Context, i int, keys []migrations.Key) error {
	t, err := d.table(ctx, i)
	if err != nil {
		return err
	}
	return d.write(ctx, func(x *tx) error {
		f, err := readFence(ctx, x.w.conn, d.b.Capability)
		if err != nil {
			return err
		}
		if f.ControlID != d.b.ControlID || f.State != migrations.FenceOpen {
			return fmt.Errorf("%w: the %s database of %s has fence %q, control store %q, so it does not own; nothing was logged", strangler.ErrSuperseded, d.b.Side, d.b.Capability, f.State, f.ControlID)
		}
		query := fmt.Sprintf("INSERT INTO %s (nonce, %s) VALUES (random()%s)", ident(logTable(t.name)),
			list(t.key, func(k keyColumn) string { return ident("old_" + k.name) }), strings.Repeat(", ?", len(t.key)))
		for _, k := range keys {
			if _, err := x.w.exec(ctx, query, k...); err != nil {
				return err
			}
		}
		return nil
	})
}
