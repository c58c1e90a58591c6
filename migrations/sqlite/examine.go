package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

var _ migrations.Examiner = (*Database)(nil)

// Examine says which SQLite reads and writes the file, whether it may, and which triggers of tables that stay write those that move.
// It takes the write lock for a moment and changes nothing. The file's writers have no names.
func (d *Database) Examine(ctx context.Context) (out []migrations.Finding, err error) {
	var version string
	if err := d.pool.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return nil, err
	}
	out = append(out, migrations.Finding{Check: "server", What: "SQLite " + version + ", which is built in", Fine: true})
	switch t, err := d.begin(ctx); {
	case err == nil:
		if err := t.rollback(); err != nil {
			return nil, err
		}
	case ctx.Err() != nil:
		return nil, err
	case isBusy(err) || errors.Is(err, migrations.ErrFull):
		out = append(out, migrations.Finding{Check: "server", What: err.Error(), Next: []string{"settle that, and check again"}})
	default:
		out = append(out, migrations.Finding{Check: "grant", What: fmt.Sprintf("the file cannot be written: %v", err), Forbids: true, Next: []string{"let the user that runs strangler write " + d.path + ", and its folder"}})
	}
	if d.b.Side != strangler.Legacy {
		return out, nil
	}
	var found []migrations.Finding
	err = each(ctx, d.pool, `SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger' AND name NOT LIKE 'strangler\_%' ESCAPE '\' ORDER BY name`, nil, func(scan func(...any) error) error {
		var name, on, text string
		if err := scan(&name, &on, &text); err != nil || d.moves(on) {
			return err
		}
		var written []string
		for _, t := range d.b.Tables {
			if migrations.WrittenBy(text, t) {
				written = append(written, t)
			}
		}
		if len(written) > 0 {
			found = append(found, migrations.Hidden(fmt.Sprintf("the trigger %s of %s, which stays,", name, on), written))
		}
		return nil
	})
	return append(out, migrations.FewHidden(found)...), err
}
