package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/golang-migrate/migrate/v4/database"
	driver "github.com/golang-migrate/migrate/v4/database/pgx/v5"

	"github.com/strangler-fig/strangler"
)

// A script that needs a strong lock gives up after lockTimeout, so that nobody queues behind it for longer,
// and is tried again after scriptPause, scriptTries times in all.
const (
	scriptTries = 60
	scriptPause = 250 * time.Millisecond
)

// runner is golang-migrate's driver, but for the version: it is written in the script's own transaction, so
// that no crash leaves a version that is dirty, or ahead of what has run.
type runner struct {
	database.Driver
	ctx     context.Context
	d       *Database
	db      *sql.DB
	table   string // quoted
	version int
}

func newRunner(ctx context.Context, db *sql.DB, d *Database) (*runner, error) {
	db.SetMaxOpenConns(2) // one is the driver's, with its lock; one runs the scripts
	inner, err := driver.WithInstance(db, &driver.Config{MigrationsTable: d.versionTable()})
	if err != nil {
		return nil, d.full(err)
	}
	return &runner{Driver: inner, ctx: ctx, d: d, db: db, table: d.ours(d.versionTable())}, nil
}

// SetVersion only remembers the version of a script that is about to run: Run writes it.
func (r *runner) SetVersion(version int, dirty bool) error {
	if dirty {
		r.version = version
		return nil
	}
	return r.Driver.SetVersion(version, false)
}

// Run sends the script and its version as one statement list, which the server runs as one transaction, but where the
// script commits on the way: such a one may run again from its start. A worker that sleeps in a transaction of its
// own does not keep it waiting.
func (r *runner) Run(script io.Reader) error {
	text, err := io.ReadAll(script)
	if err != nil {
		return err
	}
	list := string(text) + "\n;DELETE FROM " + r.table
	if r.version >= 0 {
		list += fmt.Sprintf(";INSERT INTO %s (version, dirty) VALUES (%d, false)", r.table, r.version)
	}
	r.d.stopFeed() // a script may drop the slot
	for try := 1; ; try++ {
		_, err = r.db.ExecContext(r.ctx, list)
		if c := code(err); try == scriptTries || c != lockNotAvailable && c != deadlockDetected {
			break
		}
		if _, errEnd := r.d.endStuck(r.ctx); errEnd != nil {
			return errors.Join(err, errEnd)
		}
		select {
		case <-time.After(scriptPause):
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
	if code(err) == lockNotAvailable {
		return strangler.Refuse("locks", fmt.Sprintf("a lock was not to be had within %s, %d times: a transaction holds the tables for longer, or a vacuum", lockTimeout, scriptTries),
			"end it (SELECT pid, query FROM pg_stat_activity WHERE state <> 'idle' ORDER BY xact_start), then run this again")
	}
	return r.d.full(duplicate(err))
}
