package control

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gorm.io/driver/postgres"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"modernc.org/sqlite"
)

// busyTimeout is how long a write waits for another process to finish its own on a SQLite file. A
// write takes milliseconds; whoever holds the lock longer has been stopped in the middle of one.
const busyTimeout = 10 * time.Second

// dialect is what the databases do differently.
type dialect struct {
	gorm.Dialector
	begin      sql.TxOptions
	durable    string // run at the start of every write, so that its commit survives a power cut
	lockSchema string // run before the schema is looked at, where a write does not lock everything anyway
	now        string // asks the server for the time, in microseconds; empty: this machine's clock
	oneWriter  bool   // writers of one process queue here instead of polling the file's lock
}

func newDialect(dsn string) (dialect, error) {
	if isPostgres(dsn) {
		return dialect{
			Dialector:  postgres.New(postgres.Config{DSN: dsn}),
			begin:      sql.TxOptions{Isolation: sql.LevelReadCommitted},
			durable:    "SET LOCAL synchronous_commit = on",
			lockSchema: "SELECT pg_advisory_xact_lock(hashtext('strangler control store'))",
			now:        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
		}, nil
	}
	file, err := makeFile(strings.TrimPrefix(dsn, "sqlite:"))
	if err != nil {
		return dialect{}, err
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

// explain adds what to do next to an error of the database that a person can do something about.
func explain(err error) error {
	var e *sqlite.Error
	const primary = 0xff // extended result codes carry the primary one in the low byte
	const busy = 5       // SQLITE_BUSY
	if errors.As(err, &e) && e.Code()&primary == busy {
		return fmt.Errorf("another process has held the control store's write lock for %s (find it with lsof on the file; "+
			"if it is stopped, continue or kill it), then try again: %w", busyTimeout, err)
	}
	return err
}
