package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"modernc.org/sqlite"

	"github.com/strangler-fig/strangler"
)

// busyTimeout is how long a write waits for another process to finish its own on a SQLite file. A
// write takes milliseconds; whoever holds the lock longer has been stopped in the middle of one.
const busyTimeout = 10 * time.Second

// dialect is what the databases do differently.
type dialect struct {
	gorm.Dialector
	begin      sql.TxOptions
	settings   string                                                              // run at the start of every write: a commit survives a power cut, nobody waits for ever
	sessions   int                                                                 // the most connections; 0: as many as are used
	notify     string                                                              // run by a write that changes a toggle; tells every Watch at its commit
	listen     func(ctx context.Context, changed func()) error                     // hears that until ctx or its connection ends; nil: nobody tells
	lockSchema string                                                              // run before the schema is looked at, where a write does not lock everything anyway
	makeAlone  func(ctx context.Context, pool *sql.DB) (release func(), err error) // the same where DDL ends a transaction
	afterMake  string                                                              // begins the transaction anew there, behind the DDL
	durable    string                                                              // asks the server whether a commit survives a power cut, where no setting of a write sees to that
	tables     string                                                              // what every CREATE TABLE ends with
	now        string                                                              // asks the server for the time, in microseconds; empty: this machine's clock
	oneWriter  bool                                                                // writers of one process queue here instead of polling the file's lock
}

func newDialect(dsn string) (dialect, error) {
	if isPostgres(dsn) {
		return newPostgres(dsn)
	}
	if isMySQL(dsn) {
		return newMySQL(dsn)
	}
	file, err := makeFile(strings.TrimPrefix(dsn, "sqlite:"))
	if err != nil {
		return dialect{}, fmt.Errorf("the control store's file cannot be made: %w", err)
	}
	query := url.Values{
		"_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_txlock":       {"immediate"},
	}
	uri := url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: query.Encode()}
	return dialect{
		Dialector: gormsqlite.New(gormsqlite.Config{DriverName: "sqlite", DSN: uri.String()}),
		oneWriter: true,
	}, nil
}

// makeFile makes the folder (0700) and an empty database file (0600) where they are missing, and
// returns the file's absolute path. SQLite gives the file's mode to the files that it puts beside it.
func makeFile(path string) (string, error) {
	file, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	return file, f.Close()
}

// Codes of PostgreSQL's errors: https://www.postgresql.org/docs/15/errcodes-appendix.html
const (
	insufficientPrivilege = "42501"
	deadlockDetected      = "40P01"
	lockNotAvailable      = "55P03"
)

// deadlocked reports whether a server has rolled a transaction back so that others can go on.
func deadlocked(err error) bool {
	if errors.Is(err, strangler.ErrUnknown) {
		return false
	}
	if answer := (*mysql.MySQLError)(nil); errors.As(err, &answer) {
		return answer.Number == mysqlDeadlock
	}
	pg := (*pgconn.PgError)(nil)
	return errors.As(err, &pg) && pg.Code == deadlockDetected
}

// unfit reports whether an error is a database's answer about the values that it was given, which it would give again.
func unfit(err error) bool {
	const dataException = "22" // the class of their SQLSTATE
	const tooBig = 18          // SQLITE_TOOBIG
	lite, pg, answer := (*sqlite.Error)(nil), (*pgconn.PgError)(nil), (*mysql.MySQLError)(nil)
	switch {
	case errors.As(err, &lite):
		return lite.Code() == tooBig
	case errors.As(err, &pg):
		return strings.HasPrefix(pg.Code, dataException)
	case errors.As(err, &answer):
		return strings.HasPrefix(string(answer.SQLState[:]), dataException) || answer.Number == mysqlDataTooLong || answer.Number == mysqlWrongValue
	}
	return false
}

// explain adds what to do next to an error of the database that a person can do something about.
func explain(err error) error {
	var lite *sqlite.Error
	const primary = 0xff // extended result codes carry the primary one in the low byte
	const busy = 5       // SQLITE_BUSY
	if errors.As(err, &lite) && lite.Code()&primary == busy {
		return fmt.Errorf("another process has held the control store's write lock for %s (find it with lsof on the file; "+
			"if it is stopped, continue or kill it), then try again: %w", busyTimeout, err)
	}
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		return explainMySQL(answer, err)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case lockNotAvailable:
		return fmt.Errorf("another session has held a row of the control store for %s (find it with SELECT pid, application_name, "+
			"client_addr, query FROM pg_stat_activity WHERE state = 'idle in transaction'), then try again: %w", lockTimeout, err)
	case insufficientPrivilege:
		return fmt.Errorf("the role of the control store's DSN may not do that; let it own the store's database "+
			"(ALTER DATABASE … OWNER TO …), or GRANT USAGE, CREATE ON the schema to it: %w", err)
	}
	return err
}
