package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	client "github.com/go-sql-driver/mysql"
	"github.com/golang-migrate/migrate/v4/database"
	driver "github.com/golang-migrate/migrate/v4/database/mysql"

	"github.com/strangler-fig/strangler"
)

// A script that needs a table to itself gives up when it has waited for a second, since others queue behind it, and is run again:
// scriptTries times in all, with pauses that begin at scriptPause and double up to longestPause. It is the waiting that is bounded, never
// a statement: MariaDB reads a table's triggers when it opens the table, and where it is told to stop in the middle of that, it keeps an
// open table whose triggers have "an error in its body", which whoever writes there next is told, customers included.
const (
	scriptTries  = 12
	scriptPause  = 250 * time.Millisecond
	longestPause = 4 * time.Second
)

// runner is golang-migrate's driver, but for the version: it is written behind the script, never before it, so that no crash
// leaves one that is dirty. A script that ran without its version runs again. All is done in the session that holds
// golang-migrate's lock: one that was ended has lost both.
type runner struct {
	database.Driver
	ctx     context.Context
	d       *Database
	db      *sql.DB
	conn    *sql.Conn
	table   string // quoted
	version int
}

func newRunner(ctx context.Context, d *Database) (_ *runner, err error) {
	cfg, err := parse(d.b)
	if err != nil {
		return nil, err
	}
	cfg.MultiStatements = true
	inner, err := client.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	r := &runner{ctx: ctx, d: d, db: sql.OpenDB(connector{inner, &d.own}), table: ident(d.versionTable())}
	defer func() {
		if err != nil {
			err = errors.Join(d.full(err), r.db.Close())
		}
	}()
	if r.conn, err = r.db.Conn(ctx); err != nil {
		return nil, err
	}
	r.Driver, err = driver.WithConnection(ctx, r.conn, &driver.Config{MigrationsTable: d.versionTable()})
	return r, err
}

// Close closes the session too.
func (r *runner) Close() error { return errors.Join(r.Driver.Close(), r.db.Close()) }

// SetVersion only remembers the version of a script that is about to run: Run writes it.
func (r *runner) SetVersion(version int, dirty bool) error {
	if dirty {
		r.version = version
		return nil
	}
	return r.Driver.SetVersion(version, false)
}

// Run runs a script and then writes its version.
func (r *runner) Run(script io.Reader) (err error) {
	text, err := io.ReadAll(script)
	if err != nil {
		return err
	}
	all := string(text) + "\nSTART TRANSACTION; DELETE FROM " + r.table + ";"
	if r.version >= 0 {
		all += fmt.Sprintf("INSERT INTO %s (version, dirty) VALUES (%d, false);", r.table, r.version)
	}
	all += "COMMIT;"
	for try := 1; ; try++ {
		_, err = r.conn.ExecContext(r.ctx, all)
		if err == nil {
			_, err = r.conn.ExecContext(context.WithoutCancel(r.ctx), settings)
			return err
		}
		_, errRoll := r.conn.ExecContext(context.WithoutCancel(r.ctx), "ROLLBACK; "+settings)
		if n := number(err); errRoll != nil || try == scriptTries || n != errLockWait && n != errDeadlock {
			break
		}
		if _, errEnd := r.d.endStuck(r.ctx); errEnd != nil {
			return errors.Join(err, errEnd)
		}
		select {
		case <-time.After(min(scriptPause<<(try-1), longestPause)):
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
	if number(err) == errLockWait {
		return strangler.Refuse("locks", fmt.Sprintf("a table was not to be had within a second, %d times: a transaction has used it and is still open", scriptTries),
			"end it (SELECT trx_mysql_thread_id, trx_started, trx_query FROM information_schema.INNODB_TRX ORDER BY trx_started), then run this again")
	}
	return r.d.full(err)
}
