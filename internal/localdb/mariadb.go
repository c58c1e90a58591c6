package localdb

import (
	"context"
	"crypto/sha1"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	mariadbSuperuser = "root"

	// dropTime is how long Drop waits for what a session that it has ended held in the database.
	dropTime = time.Minute
)

var mariadb = &flavour{
	name:      "MariaDB",
	prefix:    "strangler-mariadb-",
	accounts:  []string{"mysql", "nobody"},
	superuser: mariadbSuperuser,
	scheme:    "mysql",

	stop: syscall.SIGTERM,
	now:  syscall.SIGKILL, // it is one process, and what it leaves is in its folder
	last: syscall.SIGKILL,

	installed:  installedMariaDB,
	initialise: (*Server).bootstrap,
	serve: func(s *Server) (string, []string) {
		return s.programs.path("mariadbd"), append(s.options(), "--bind-address="+host, "--port="+strconv.Itoa(s.port))
	},

	open: openMariaDB,
	role: func(name, password string, statements []string) []string {
		return append([]string{fmt.Sprintf("CREATE USER %s@'%%' IDENTIFIED BY PASSWORD '%s'", text(name), hashed(password))}, statements...)
	},
	create: func(database, owner string) []string {
		statements := []string{fmt.Sprintf("CREATE DATABASE %s CHARACTER SET utf8mb4", backquote(database))}
		if owner != mariadbSuperuser {
			pattern := strings.NewReplacer(`\`, `\\`, "_", `\_`, "%", `\%`).Replace(database)
			statements = append(statements, fmt.Sprintf("GRANT ALL PRIVILEGES ON %s.* TO %s@'%%'", backquote(pattern), text(owner)))
		}
		return statements
	},
	drop: dropMariaDB,
}

// openMariaDB reads a DSN that a Server has made.
func openMariaDB(dsn string) (*sql.DB, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, err
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	cfg.Passwd, _ = u.User.Password()
	cfg.ParseTime = true
	cfg.Logger = &mysql.NopLogger{} // it would tell of every attempt while the server starts
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// dropMariaDB ends sessions in the database only where a transaction of theirs keeps it, for which MariaDB would wait. The
// server's list may have a session that is just being made under the database of the one before it.
func dropMariaDB(ctx context.Context, s *Server, database string) error {
	const (
		lockWait     = 1205
		noSuchThread = 1094 // it has ended by itself
		notEmpty     = 1010 // of the folder: the server has not removed the file of a table yet that was dropped a moment ago
	)
	return s.session(ctx, func(db *sql.Conn) error {
		var answer *mysql.MySQLError
		drop := func(wait time.Duration) error {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for begun := time.Now(); ; {
				_, err := db.ExecContext(ctx, fmt.Sprintf("SET STATEMENT lock_wait_timeout = %d FOR DROP DATABASE %s", int(wait.Seconds()), backquote(database)))
				if !errors.As(err, &answer) || answer.Number != notEmpty || time.Since(begun) > dropTime {
					return s.leftIn(database, err)
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return err
				}
			}
		}
		if err := drop(time.Second); !errors.As(err, &answer) || answer.Number != lockWait {
			return err
		}
		rows, err := db.QueryContext(ctx, "SELECT id FROM information_schema.processlist WHERE db = ?", database)
		if err != nil {
			return err
		}
		var sessions []int64
		for rows.Next() {
			var id int64
			err = errors.Join(err, rows.Scan(&id))
			sessions = append(sessions, id)
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, id := range sessions {
			if _, err := db.ExecContext(ctx, fmt.Sprintf("KILL CONNECTION %d", id)); err != nil && !(errors.As(err, &answer) && answer.Number == noSuchThread) {
				return err
			}
		}
		return drop(dropTime)
	})
}

// leftIn says of a folder that is not empty what is in it.
func (s *Server) leftIn(database string, err error) error {
	files, _ := filepath.Glob(filepath.Join(s.data(), database, "*"))
	if err == nil || len(files) == 0 {
		return err
	}
	return fmt.Errorf("%w; in it: %s", err, strings.Join(files, ", "))
}

// hashed is what MariaDB keeps of a password. No statement and no file has to hold more.
func hashed(password string) string {
	once := sha1.Sum([]byte(password))
	twice := sha1.Sum(once[:])
	return "*" + strings.ToUpper(hex.EncodeToString(twice[:]))
}

func backquote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func text(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(s) + "'" }
