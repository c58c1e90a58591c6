package invariant

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Dialect is what differs between databases.
type Dialect string

// SQLite is the one dialect so far.
const SQLite Dialect = "sqlite"

// Open opens the database of a DSN (sqlite:path). The file has to be there.
func Open(dsn string) (*sql.DB, Dialect, error) {
	path, ok := strings.CutPrefix(dsn, "sqlite:")
	if !ok || path == "" {
		return nil, "", errors.New("the checker opens sqlite:path only")
	}
	path, _, _ = strings.Cut(path, "?")
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=rw&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, "", fmt.Errorf("opening %s for the check: %w", path, err)
	}
	if err := db.Ping(); err != nil {
		return nil, "", errors.Join(fmt.Errorf("opening %s for the check: %w", path, err), db.Close())
	}
	return db, SQLite, nil
}

// bytewise orders a text column as Go compares strings. SQLite does by itself.
func (d Dialect) bytewise(column string) string { return column }

// touch is a statement that writes one row of the couriers without changing it, to see whether the
// database takes a write.
func (d Dialect) touch() string {
	return "UPDATE couriers SET available = available WHERE id = (SELECT min(id) FROM couriers)"
}
