package kit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	sqlitelib "modernc.org/sqlite"
)

// Dialect names the SQL that a database speaks; it is also the folder of its schema scripts.
type Dialect string

// The dialects that Open understands.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
	MySQL    Dialect = "mysql" // and MariaDB
)

const (
	sqliteReaders  = 8
	serverSessions = 16
)

// Database is one open database. Reads and writes go through separate pools on SQLite: its only
// writer then queues in this process, in order, instead of polling the file's lock.
//
// The database is shared with others, who may hold its write lock for a moment or change its schema
// while it is open. So no transaction outlives the request that began it.
type Database struct {
	dialect Dialect
	dsn     string
	reader  *gorm.DB
	writer  *gorm.DB
}

// Open opens the database that dsn names, `sqlite:path`, `postgres://…` or `mysql://…`, and reaches it once.
// A SQLite file is created when it is missing; its folder must exist. A DSN of a server may leave out the password: the
// environment then has it, in PGPASSWORD or the file that PGPASSFILE names, or in MYSQL_PWD.
func Open(ctx context.Context, dsn string) (*Database, error) {
	dialect, err := dialectOf(dsn)
	if err != nil {
		return nil, err
	}
	d := &Database{dialect: dialect, dsn: dsn}
	switch dialect {
	case SQLite:
		if d.writer, err = openPool(sqliteDialector(dsn, "_txlock=immediate", "_pragma=journal_mode(WAL)", "_pragma=synchronous(NORMAL)"), 1); err != nil {
			return nil, fmt.Errorf("open %s (its folder must exist and be writable): %w", dsn, err)
		}
		if d.reader, err = openPool(sqliteDialector(dsn, "_pragma=query_only(1)"), sqliteReaders); err != nil {
			return nil, errors.Join(fmt.Errorf("open %s for reading: %w", dsn, err), d.Close())
		}
	case Postgres:
		if err := usable(dsn); err != nil {
			return nil, fmt.Errorf("open the PostgreSQL database of --database: %w", err)
		}
		// A connection that died while nobody used it is replaced before a request uses it.
		ping := stdlib.OptionShouldPing(func(context.Context, stdlib.ShouldPingParams) bool { return true })
		dialector := postgres.New(postgres.Config{DSN: dsn, OptionOpenDB: []stdlib.OptionOpenDB{ping}})
		if d.writer, err = openPool(dialector, serverSessions); err != nil {
			return nil, fmt.Errorf("open the PostgreSQL database of --database: %w", err)
		}
		d.reader = d.writer
	case MySQL:
		config, err := mysqlConfig(dsn)
		if err != nil {
			return nil, fmt.Errorf("open the MySQL database of --database: %w", err)
		}
		dialector, err := mysqlDialector(config)
		if err != nil {
			return nil, fmt.Errorf("open the MySQL database of --database: %w", err)
		}
		if d.writer, err = openPool(dialector, serverSessions); err != nil {
			return nil, fmt.Errorf("open the MySQL database of --database: %w", err)
		}
		d.reader = d.writer
	}
	if err := d.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("reach the database: %w", err), d.Close())
	}
	return d, nil
}

func dialectOf(dsn string) (Dialect, error) {
	switch {
	case strings.HasPrefix(dsn, "sqlite:") && len(dsn) > len("sqlite:"):
		return SQLite, nil
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		return Postgres, nil
	case strings.HasPrefix(dsn, "mysql://"):
		return MySQL, nil
	}
	return "", errors.New("the database must be sqlite:path, postgres://user@host/name or mysql://user@host:3306/name")
}

// usable refuses a PostgreSQL DSN that cannot be read, with an error that quotes nothing of it: it may
// hold a password.
func usable(dsn string) error {
	if _, err := url.Parse(dsn); err != nil {
		return errors.New("the DSN is no URL; percent-encode what is special in one, as in %2F for a slash in the password")
	}
	_, err := pgx.ParseConfig(dsn)
	if parse := (*pgconn.ParseConfigError)(nil); errors.As(err, &parse) {
		return errors.Unwrap(parse)
	}
	return err
}

func sqliteDialector(dsn string, options ...string) gorm.Dialector {
	return sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: sqliteURL(dsn, options...)})
}

func sqliteURL(dsn string, options ...string) string {
	options = append([]string{"_pragma=busy_timeout(10000)", "_pragma=foreign_keys(1)"}, options...)
	path := strings.TrimPrefix(dsn, "sqlite:")
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + strings.Join(options, "&")
}

func openPool(dialector gorm.Dialector, sessions int) (*gorm.DB, error) {
	db, err := gorm.Open(dialector, &gorm.Config{
		Logger:                 logger.Discard,
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
	})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(sessions)
	pool.SetMaxIdleConns(sessions)
	return db, nil
}

// Dialect tells which SQL the database speaks.
func (d *Database) Dialect() Dialect { return d.dialect }

// Write runs fn in one transaction that holds the right to write from its first statement. It
// commits when fn returns nil and otherwise rolls back and returns fn's error. On MySQL fn runs anew, in a new
// transaction, where the server has rolled one back so that another one could go on.
func (d *Database) Write(ctx context.Context, fn func(tx *gorm.DB) error) error {
	if d.dialect != MySQL {
		return d.writer.WithContext(ctx).Transaction(fn)
	}
	for try := 1; ; try++ {
		// The default would read rows as they were before the wait for a lock.
		err := d.writer.WithContext(ctx).Transaction(fn, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		answer := (*mysql.MySQLError)(nil)
		if try == mysqlTries || !errors.As(err, &answer) || answer.Number != mysqlDeadlock {
			return err
		}
	}
}

// Read runs fn on one snapshot of the database, which it must not change.
func (d *Database) Read(ctx context.Context, fn func(tx *gorm.DB) error) error {
	options := &sql.TxOptions{ReadOnly: true}
	if d.dialect != SQLite {
		options.Isolation = sql.LevelRepeatableRead
	}
	return d.reader.WithContext(ctx).Transaction(fn, options)
}

// Ping asks the database for an answer.
func (d *Database) Ping(ctx context.Context) error {
	var one int
	return d.reader.WithContext(ctx).Raw("SELECT 1").Scan(&one).Error
}

// Close closes the pools; statements under way are waited for. It may be called again.
func (d *Database) Close() error {
	var errs []error
	for _, db := range []*gorm.DB{d.reader, d.writer} {
		if db == nil {
			continue
		}
		pool, err := db.DB()
		if err == nil {
			err = pool.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Result codes of SQLite: https://www.sqlite.org/rescode.html
const (
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqliteUnique     = 2067
	sqlitePrimaryKey = 1555
)

// IsDuplicate reports whether err says that a unique value is taken already.
func IsDuplicate(err error) bool {
	if lite := (*sqlitelib.Error)(nil); errors.As(err, &lite) {
		return lite.Code() == sqliteUnique || lite.Code() == sqlitePrimaryKey
	}
	if answer := (*mysql.MySQLError)(nil); errors.As(err, &answer) {
		return answer.Number == mysqlDuplicate
	}
	pg := (*pgconn.PgError)(nil)
	return errors.As(err, &pg) && pg.Code == "23505"
}

// isFenced reports whether the database itself refused the write, because someone else owns the
// table now: its error text begins with "strangler:".
func isFenced(err error) bool {
	const mark = "strangler:"
	if lite := (*sqlitelib.Error)(nil); errors.As(err, &lite) {
		// The driver puts the result code's own text before that of RAISE.
		return strings.HasPrefix(lite.Error(), mark) || strings.Contains(lite.Error(), ": "+mark)
	}
	if answer := (*mysql.MySQLError)(nil); errors.As(err, &answer) {
		return strings.HasPrefix(answer.Message, mark)
	}
	pg := (*pgconn.PgError)(nil)
	return errors.As(err, &pg) && strings.HasPrefix(pg.Message, mark)
}

// isBusy reports whether a lock could not be had in time. The transaction was rolled back.
func isBusy(err error) bool {
	if lite := (*sqlitelib.Error)(nil); errors.As(err, &lite) {
		primary := lite.Code() & 0xff
		return primary == sqliteBusy || primary == sqliteLocked
	}
	if answer := (*mysql.MySQLError)(nil); errors.As(err, &answer) {
		switch answer.Number {
		case mysqlLockWaitTimeout, mysqlDeadlock, mysqlRecordChanged:
			return true
		}
	}
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		switch pg.Code {
		case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available
			return true
		}
	}
	return false
}
