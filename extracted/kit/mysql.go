package kit

import (
	"database/sql"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	gormmysql "gorm.io/driver/mysql"
	"gorm.io/gorm"
)

const (
	mysqlConnectTimeout = 5 * time.Second
	mysqlTries          = 5 // of a transaction that the server rolls back each time
)

// Numbers of the errors of MySQL and MariaDB: https://mariadb.com/kb/en/mariadb-error-code-reference/
const (
	mysqlRecordChanged   = 1020
	mysqlDuplicate       = 1062
	mysqlLockWaitTimeout = 1205
	mysqlDeadlock        = 1213
)

// mysqlConfig reads a DSN, with an error that quotes nothing of it: it may hold a password.
func mysqlConfig(dsn string) (*mysql.Config, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, errors.New("the DSN is no URL; percent-encode what is special in one, as in %2F for a slash in the password")
	}
	database := strings.TrimPrefix(u.Path, "/")
	if u.Host == "" || database == "" || strings.ContainsAny(database, "/@") || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the DSN is not mysql://user:password@host:3306/name and nothing else; percent-encode what is special in a URL, as in %2F for a slash in the password")
	}
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = u.User.Username(), "tcp", u.Host, database
	var given bool
	if config.Passwd, given = u.User.Password(); !given {
		config.Passwd = os.Getenv("MYSQL_PWD")
	}
	config.Timeout = mysqlConnectTimeout
	config.Logger = &mysql.NopLogger{} // errors are returned
	config.ParseTime = true            // columns of times are in UTC
	config.ClientFoundRows = true      // an update affects the rows that it finds, as on the other databases
	config.InterpolateParams = true
	config.Params = map[string]string{"time_zone": "'+00:00'", "sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"}
	return config, config.Apply(mysql.Charset("utf8mb4", "utf8mb4_bin"))
}

func mysqlDialector(config *mysql.Config) (gorm.Dialector, error) {
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	// Asked for its version, the server would be reached without a context.
	return gormmysql.New(gormmysql.Config{Conn: sql.OpenDB(connector), SkipInitializeWithVersion: true}), nil
}
