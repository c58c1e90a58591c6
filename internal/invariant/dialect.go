package invariant

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Dialect is what differs between databases.
type Dialect string

// The dialects that Open understands.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
	MySQL    Dialect = "mysql" // and MariaDB
)

// Open opens the database of a DSN, sqlite:path, postgres://… or mysql://…, and reaches it once. A SQLite file has to
// be there. Errors show nothing of the DSN but a path.
func Open(dsn string) (*sql.DB, Dialect, error) {
	scheme, path, _ := strings.Cut(dsn, ":")
	var (
		db      *sql.DB
		dialect Dialect
		what    string
		err     error
	)
	switch {
	case scheme == "sqlite" && path != "":
		path, _, _ = strings.Cut(path, "?")
		dialect, what = SQLite, path
		db, err = sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=rw&_pragma=busy_timeout(10000)")
	case scheme == "postgres" || scheme == "postgresql":
		dialect, what = Postgres, "the PostgreSQL database"
		db, err = openPostgres(dsn)
	case scheme == "mysql":
		dialect, what = MySQL, "the MySQL database"
		db, err = openMySQL(dsn)
	default:
		return nil, "", errors.New("the checker opens sqlite:path, postgres://user@host/database and mysql://user@host:3306/database only")
	}
	if err != nil {
		return nil, "", fmt.Errorf("opening %s for the check: %w", what, err)
	}
	if err := db.Ping(); err != nil {
		return nil, "", errors.Join(fmt.Errorf("opening %s for the check: %w", what, err), db.Close())
	}
	return db, dialect, nil
}

func openPostgres(dsn string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("its DSN cannot be read (it is not shown, since it may hold a password)")
	}
	return stdlib.OpenDB(*config), nil
}

func openMySQL(dsn string) (*sql.DB, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Host == "" || strings.Contains(u.Path, "@") {
		return nil, errors.New("its DSN cannot be read (it is not shown, since it may hold a password)")
	}
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	config.Passwd, _ = u.User.Password()
	config.ParseTime = true
	config.Logger = &mysql.NopLogger{} // errors are returned
	config.Params = map[string]string{"time_zone": "'+00:00'"}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, errors.New("its DSN cannot be used (it is not shown, since it may hold a password)")
	}
	return sql.OpenDB(connector), nil
}

// bytewise orders a text column as Go compares strings. SQLite does by itself.
func (d Dialect) bytewise(column string) string {
	switch d {
	case Postgres:
		return column + ` COLLATE "C"`
	case MySQL:
		return "CAST(" + column + " AS BINARY)"
	}
	return column
}

// touch is a statement that writes one row of the couriers without changing it, to see whether the
// database takes a write.
func (d Dialect) touch() string {
	if d == MySQL { // which reads no table that it writes
		return "UPDATE couriers SET available = available ORDER BY id LIMIT 1"
	}
	return "UPDATE couriers SET available = available WHERE id = (SELECT min(id) FROM couriers)"
}
