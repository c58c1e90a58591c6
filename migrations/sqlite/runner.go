package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"io"

	"github.com/golang-migrate/migrate/v4/database"
	migrate "github.com/golang-migrate/migrate/v4/database/sqlite"

	"github.com/strangler-fig/strangler"
)

// runner is golang-migrate's driver, but for the version: it is compared and written in the script's own
// transaction, so that no crash leaves a version that is dirty or not true, and of two workers that run the
// same script one does. golang-migrate's own lock is a flag in the process.
type runner struct {
	database.Driver
	d     *Database
	db    *sql.DB
	table string // quoted
	from  int    // the version that golang-migrate has read
	to    int    // the version that the script leads to
	ran   bool   // Run has written it
}

func newRunner(db *sql.DB, d *Database) (*runner, error) {
	inner, err := locked(d, func() (database.Driver, error) { // the version table may have to be made
		inner, err := migrate.WithInstance(db, &migrate.Config{MigrationsTable: d.versionTable()})
		if e := (*database.Error)(nil); errors.As(err, &e) {
			err = fmt.Errorf("version table: %w", e.OrigErr) // golang-migrate's error does not unwrap
		}
		return inner, err
	})
	if err != nil {
		return nil, err
	}
	return &runner{Driver: inner, d: d, db: db, table: ident(d.versionTable())}, nil
}

// scriptTries is how often a script asks for the write lock, for BusyTimeout each time: among writers that make no pause it may not
// get it at once.
const scriptTries = 4

// locked runs what begins by taking the write lock, and has done nothing without it.
func locked[T any](d *Database, f func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		v, err := f()
		switch {
		case err == nil || !isBusy(err):
			return v, d.full(err)
		case try == scriptTries:
			return v, d.held(scriptTries*BusyTimeout, err)
		}
	}
}

// Version remembers what it answers, for Run.
func (r *runner) Version() (version int, dirty bool, err error) {
	r.from, dirty, err = readVersion(r.db, r.table)
	return r.from, dirty, err
}

func readVersion(q interface {
	QueryRow(query string, args ...any) *sql.Row
}, table string) (version int, dirty bool, err error) {
	err = q.QueryRow("SELECT version, dirty FROM "+table+" LIMIT 1").Scan(&version, &dirty)
	if errors.Is(err, sql.ErrNoRows) {
		return database.NilVersion, false, nil
	}
	return version, dirty, err
}

// SetVersion of a script that is about to run, or that has run, is Run's; any other is written.
func (r *runner) SetVersion(version int, dirty bool) error {
	ran := r.ran
	r.ran = false
	switch {
	case dirty:
		r.to = version
		return nil
	case ran && version == r.to:
		return nil
	}
	return r.Driver.SetVersion(version, dirty)
}

// Run runs a script and writes its version, or does neither.
func (r *runner) Run(script io.Reader) error {
	text, err := io.ReadAll(script)
	if err != nil {
		return err
	}
	tx, err := locked(r.d, r.db.Begin)
	if err != nil {
		return err
	}
	if err := r.inside(tx, string(text)); err != nil {
		return errors.Join(r.d.full(err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return r.d.full(err)
	}
	r.ran = true
	return nil
}

func (r *runner) inside(tx *sql.Tx, script string) error {
	now, dirty, err := readVersion(tx, r.table)
	if err != nil {
		return err
	}
	if now != r.from || dirty {
		return fmt.Errorf("%w: a script from version %d was to run, and the database is at version %d: somebody else has run one", strangler.ErrSuperseded, r.from, now)
	}
	if _, err := tx.Exec(script); err != nil {
		return err
	}
	if _, err := tx.Exec("DELETE FROM " + r.table); err != nil || r.to < 0 {
		return err
	}
	_, err = tx.Exec("INSERT INTO "+r.table+" (version, dirty) VALUES (?, 0)", r.to)
	return err
}
