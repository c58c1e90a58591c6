package control

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
)

// Config says where the control store is.
type Config struct {
	// DSN is "sqlite:path", "postgres://…" or "mysql://…". A relative path is relative to the working directory of
	// the process when Open is called. The file and its folder are made when they are missing.
	DSN string

	// Log gets the few things that no error can say. Nil: nothing is logged.
	Log *slog.Logger

	// Clock replaces the clock that leases, liveness and recorded times are measured with, in tests.
	// Nil: the database server's clock on PostgreSQL and MariaDB, time.Now on SQLite.
	Clock func() time.Time

	// Fault is for tests: it is called with "<name>.before" when the statements of a durable write have
	// run and its transaction is about to commit, and with "<name>.after" when it has committed. The
	// names are those of FaultPoints. An error at .before rolls the transaction back and is returned; an
	// error at .after is returned as strangler.ErrUnknown although the commit happened. It may end the
	// process. It may be called by several goroutines at once. At .before the write lock is held, so it must
	// not write through any Store then. Nil: no faults.
	Fault func(point string) error
}

// Validate says whether Open can use the configuration. The error wraps strangler.ErrConfig.
func (c Config) Validate() error {
	switch {
	case c.DSN == "":
		return fmt.Errorf("%w: the control store has no DSN; write `control: sqlite:.strangler/control.db`", strangler.ErrConfig)
	case isPostgres(c.DSN), isMySQL(c.DSN):
		return nil
	}
	path, ok := strings.CutPrefix(c.DSN, "sqlite:")
	switch {
	case !ok:
		scheme, _, _ := strings.Cut(c.DSN, ":") // what follows may hold a password
		return fmt.Errorf("%w: the control store cannot be kept in %q; use sqlite:path, postgres://user@host/database or mysql://user@host:3306/database",
			strangler.ErrConfig, scheme)
	case path == "":
		return fmt.Errorf("%w: the control store's DSN %q has no path; write sqlite:.strangler/control.db", strangler.ErrConfig, c.DSN)
	case path == ":memory:" || strings.HasPrefix(path, "file:") || strings.Contains(path, "?"):
		return fmt.Errorf("%w: the control store's DSN %q is not sqlite: and a plain path; it outlives the process and takes no options",
			strangler.ErrConfig, c.DSN)
	}
	return nil
}

func isPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

func isMySQL(dsn string) bool { return strings.HasPrefix(dsn, "mysql://") }
