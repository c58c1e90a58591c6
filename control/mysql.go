package control

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	gormmysql "gorm.io/driver/mysql"

	"github.com/strangler-fig/strangler"
)

// makeTimeout is how long a process waits for another one that makes the store.
const makeTimeout = 60 * time.Second

// mysqlTables has names compared byte by byte, as the other databases do, and rows locked one by one.
const mysqlTables = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"

func newMySQL(dsn string) (dialect, error) {
	config, err := parseMySQL(dsn)
	if err != nil {
		return dialect{}, err
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return dialect{}, fmt.Errorf("%w: the control store's DSN cannot be used: %w", strangler.ErrConfig, err)
	}
	return dialect{
		Dialector: gormmysql.New(gormmysql.Config{
			Conn:                          sql.OpenDB(connector),
			SkipInitializeWithVersion:     true, // it would ask the server without a context
			DontSupportNullAsDefaultValue: true,
		}),
		begin:     sql.TxOptions{Isolation: sql.LevelReadCommitted},
		settings:  mysqlSettings(idleLimit, lockTimeout),
		sessions:  sessions,
		now:       "SELECT timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6))",
		makeAlone: makeAlone,
		tables:    mysqlTables,
		durable:   "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit = 1 AND (NOT @@GLOBAL.log_bin OR @@GLOBAL.sync_binlog = 1)",
		afterMake: "START TRANSACTION",
	}, nil
}

// parseMySQL reads a DSN. The error quotes nothing of it that may be a password.
func parseMySQL(dsn string) (*mysql.Config, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, fmt.Errorf("%w: the control store's DSN is no URL (it is not shown, since it may hold a password); "+
			"write mysql://user:password@host:3306/database, with what is special in a URL percent-encoded, as in %%2F for a slash", strangler.ErrConfig)
	}
	database := strings.TrimPrefix(u.Path, "/")
	if u.Host == "" || database == "" || strings.ContainsAny(database, "/@") || u.Fragment != "" {
		return nil, fmt.Errorf("%w: the control store's DSN names no host, or no database (it is not shown, since it may hold a password); "+
			"write mysql://user:password@host:3306/database, with what is special in a URL percent-encoded, as in %%2F for a slash", strangler.ErrConfig)
	}
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = u.User.Username(), "tcp", u.Host, database
	config.Passwd, _ = u.User.Password()
	config.Timeout = connectTimeout
	config.ConnectionAttributes = "program_name:strangler control store"
	config.Logger = &mysql.NopLogger{} // errors are returned
	// Affected rows are those that an UPDATE has changed, not those that it has found: ON DUPLICATE KEY UPDATE says
	// only so whether it has inserted, and every conditional UPDATE of the store changes the row that it finds.
	config.ClientFoundRows = false
	config.Params = map[string]string{"sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"} // nothing is cut off
	for name, values := range u.Query() {
		if name != "tls" || len(values) != 1 || !slices.Contains([]string{"true", "false", "skip-verify", "preferred"}, values[0]) {
			return nil, fmt.Errorf("%w: the control store's DSN has a parameter that is not known (it is not shown, since it may hold a password); "+
				"mysql:// takes tls=true, tls=skip-verify, tls=preferred or tls=false", strangler.ErrConfig)
		}
		config.TLSConfig = values[0]
	}
	if err := config.Apply(mysql.Charset("utf8mb4", "utf8mb4_bin")); err != nil {
		return nil, fmt.Errorf("%w: the control store's DSN cannot be used: %w", strangler.ErrConfig, err)
	}
	return config, nil
}

// mysqlSettings are those of a write's transaction, whatever its server is set to, in whole seconds. MariaDB alone,
// which reads the comment, ends a transaction that is silent.
func mysqlSettings(idle, lock time.Duration) string {
	return fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %[1]d, SESSION lock_wait_timeout = %[1]d /*M! , SESSION idle_transaction_timeout = %[2]d */",
		int(lock.Seconds()), int(idle.Seconds()))
}

// makeAlone waits until no other process makes the store, and keeps the others out until release. DDL ends a
// transaction here, so that one cannot do it. The lock is its session's, and is free when that ends.
func makeAlone(ctx context.Context, pool *sql.DB) (release func(), err error) {
	session, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var got sql.NullInt64
	if err := session.QueryRowContext(ctx, "SELECT get_lock(concat('strangler control store ', left(sha1(database()), 32)), ?)", int(makeTimeout.Seconds())).Scan(&got); err != nil {
		return nil, errors.Join(err, session.Close())
	}
	if got.Int64 != 1 {
		return nil, errors.Join(fmt.Errorf("another process has been making the control store for %s (find it with SHOW PROCESSLIST), then try again", makeTimeout), session.Close())
	}
	return func() {
		_ = session.Raw(func(any) error { return driver.ErrBadConn }) // has the pool end it
		_ = session.Close()
	}, nil
}

// Numbers of the errors of MySQL and MariaDB: https://mariadb.com/kb/en/mariadb-error-code-reference/
const (
	mysqlNoDatabaseAccess = 1044
	mysqlNoTableAccess    = 1142
	mysqlLockWaitTimeout  = 1205
	mysqlDeadlock         = 1213
	mysqlWrongValue       = 1366
	mysqlDataTooLong      = 1406
)

// explainMySQL is explain for an answer of such a server.
func explainMySQL(answer *mysql.MySQLError, err error) error {
	switch answer.Number {
	case mysqlLockWaitTimeout:
		return fmt.Errorf("another session has held a row of the control store for %s (find it with SELECT trx_mysql_thread_id, trx_started, "+
			"trx_query FROM information_schema.innodb_trx), then try again: %w", lockTimeout, err)
	case mysqlNoDatabaseAccess, mysqlNoTableAccess:
		return fmt.Errorf("the user of the control store's DSN may not do that; GRANT ALL PRIVILEGES on the store's database to it: %w", err)
	}
	return err
}
