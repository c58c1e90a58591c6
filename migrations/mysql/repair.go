package mysql

import (
	"context"
	"fmt"
	"slices"
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

// Relog locks the fence row as a writer does: closing waits for it. Its entries have no writer: they are nobody's writes. Where the
// binary log is read, the keys are put beside what it tells, in this process, and are gone with it: whoever asked compares again
// behind the batch.
func (d *Database) Relog(ctx context.Context, i int, keys []migrations.Key) error {
	t, err := d.table(ctx, i)
	if err != nil || len(keys) == 0 {
		return err
	}
	return d.write(ctx, func(x *tx) error {
		f, err := d.readFence(ctx, x.conn, "LOCK IN SHARE MODE")
		if err != nil {
			return passing(err)
		}
		if f.ControlID != d.b.ControlID || f.State != migrations.FenceOpen {
			return fmt.Errorf("%w: the %s database of %s has fence %q, control store %q, so it does not own; nothing was logged", strangler.ErrSuperseded, d.b.Side, d.b.Capability, f.State, f.ControlID)
		}
		if base, err := d.base(ctx, x.conn); err != nil || base.logical() {
			if err == nil {
				d.again.Tell(i, keys)
			}
			return err
		}
		key := t.key()
		for some := range slices.Chunk(keys, keysAtOnce) {
			rows := list(some, func(k migrations.Key) string {
				vs := make([]string, len(key))
				for j, c := range key {
					vs[j] = c.literal(k[j])
				}
				return fmt.Sprintf("(%s, '', %s)", newEntry, strings.Join(vs, ", "))
			})
			if _, err := x.exec(ctx, fmt.Sprintf("INSERT INTO %s (id, nonce, writer, %s) VALUES %s", ident(logTable(t.name)), oldKeys(t), rows)); err != nil {
				return passing(err)
			}
		}
		return nil
	})
}
