package rehearse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// copy makes the copy of one side. Its tables are those that a split would make of production's for a service, with all the
// foreign keys between them, and its rows come in past the fence, as a split's do; then the tables are let go as by complete,
// and nothing of this is left but tables and rows.
func (r *run) copy(ctx context.Context, t *tables) (err error) {
	if err := r.surroundings(ctx, t); err != nil || len(t.names) == 0 {
		return err
	}
	from, err := engines.Open(ctx, binding(t.production, strangler.Legacy, t.names))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := engines.Open(ctx, binding(t.scratch, strangler.Service, t.names))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	s, err := from.Inspect(ctx)
	if err != nil {
		return err
	}
	scripts, err := to.FollowerScripts(ctx, s)
	if err != nil {
		return fmt.Errorf("the tables for the copy of the %s side: %w", t.side, err)
	}
	upto := func(after, last migrations.Stage) error {
		for _, script := range scripts {
			if script.Stage > after && script.Stage <= last {
				if err := perform(ctx, to, script); err != nil {
					return fmt.Errorf("the copy of the %s side (%s): %w", t.side, script.Name, err)
				}
			}
		}
		return nil
	}
	if err := upto(migrations.StageNone, migrations.StageIndexed); err != nil {
		return err
	}
	if err := r.rows(ctx, t, from, to); err != nil {
		return fmt.Errorf("rows for the copy of the %s side: %w", t.side, err)
	}
	if err := upto(migrations.StageIndexed, migrations.StageArmed); err != nil {
		return err
	}
	if err := to.SetFence(ctx, 1, migrations.FenceOpen); err != nil {
		return err
	}
	if err := upto(migrations.StageArmed, migrations.StageComplete); err != nil {
		return err
	}
	return to.Sweep(ctx)
}

// perform runs one script, with its version, as golang-migrate does.
func perform(ctx context.Context, d migrations.Database, s migrations.Script) (err error) {
	driver, err := d.Scripts(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, driver.Close()) }()
	if _, _, err := driver.Version(); err != nil {
		return err
	}
	if err := driver.SetVersion(int(s.Stage), true); err != nil {
		return err
	}
	if err := driver.Run(strings.NewReader(s.Up)); err != nil {
		return err
	}
	if err := driver.SetVersion(int(s.Stage), false); err != nil {
		return err
	}
	_, _, err = d.Version(ctx) // what is known of the tables is read anew
	return err
}

// surroundings makes what tables stand in, and says what of theirs is not copied.
func (r *run) surroundings(ctx context.Context, t *tables) (err error) {
	k := kindOf(t.production)
	from, err := k.open(ctx, t.production)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	for _, name := range t.names {
		triggers, known, err := k.triggers(ctx, from, name)
		switch {
		case err != nil:
			return fmt.Errorf("triggers of %s: %w", name, err)
		case !known:
			r.notes.leaves("triggers of %s in the %s database, if it has any: this role may not see them", name, t.side)
		case len(triggers) > 0:
			r.notes.leaves("the triggers of %s in the %s database: %s", name, t.side, strings.Join(triggers, ", "))
		}
	}
	to, err := k.open(ctx, t.scratch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	switch k {
	case sqliteKind:
		modes, err := texts(ctx, from, "PRAGMA journal_mode")
		if err == nil && !slices.Contains(modes, "wal") {
			r.notes.surprise("the file of the %s database is not in write-ahead mode, and neither is its copy: whoever reads keeps writers out, and the other way round (PRAGMA journal_mode = wal)", t.side)
			return nil
		}
		if err != nil {
			return err
		}
		_, err = texts(ctx, to, "PRAGMA journal_mode = wal")
		return err
	case postgresKind:
		all := slices.Concat(t.names, names(r.Capability.AtService().Tables, t.side)) // with those that the plan will make
		for _, name := range all {
			schema, _ := schemaOf(name)
			there, err := texts(ctx, from, "SELECT nspname::text FROM pg_namespace WHERE nspname = $1::text", schema)
			if err != nil {
				return err
			}
			for range there {
				if _, err := to.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+k.ident(schema)); err != nil {
					return fmt.Errorf("the schema %s for the copy of the %s side: %w", schema, t.side, err)
				}
			}
		}
	}
	return nil
}
