package rehearse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"

	"github.com/strangler-fig/strangler"
)

// kind is a kind of database, by the scheme of its DSN.
type kind string

const (
	sqliteKind   kind = "sqlite"
	postgresKind kind = "postgres"
	mysqlKind    kind = "mysql"
)

func kindOf(dsn string) kind {
	scheme, _, _ := strings.Cut(dsn, ":")
	if scheme == "postgresql" {
		return postgresKind
	}
	return kind(scheme)
}

// name is the kind as people call it.
func (k kind) name() string {
	return map[kind]string{sqliteKind: "SQLite", postgresKind: "PostgreSQL", mysqlKind: "MariaDB or MySQL"}[k]
}

var errDSN = fmt.Errorf("%w: the DSN of a database for the rehearsal cannot be read; it is not shown, since it may hold a password", strangler.ErrConfig)

// open is a session pool as an application has it: foreign keys are in force.
func (k kind) open(ctx context.Context, dsn string) (*sql.DB, error) {
	var db *sql.DB
	switch k {
	case sqliteKind:
		path, _, _ := strings.Cut(strings.TrimPrefix(dsn, "sqlite:"), "?")
		q := url.Values{"_pragma": {"busy_timeout(10000)", "foreign_keys(ON)"}, "_txlock": {"immediate"}, "mode": {"rw"}}
		var err error
		if db, err = sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()); err != nil {
			return nil, err
		}
	case postgresKind:
		c, err := pgx.ParseConfig(dsn)
		if err != nil {
			return nil, errDSN // the parser's text may repeat the password
		}
		c.RuntimeParams["application_name"] = "strangler rehearsal"
		db = stdlib.OpenDB(*c)
	case mysqlKind:
		c, err := mysqlConfig(dsn)
		if err != nil {
			return nil, err
		}
		connector, err := mysql.NewConnector(c)
		if err != nil {
			return nil, errDSN
		}
		db = sql.OpenDB(connector)
	default:
		return nil, errDSN
	}
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open a %s database for the rehearsal: %w", k.name(), err), db.Close())
	}
	return db, nil
}

// mysqlConfig reads mysql://user:password@host:3306/database?tls=…&timeout=….
func mysqlConfig(dsn string) (*mysql.Config, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Host == "" {
		return nil, errDSN
	}
	c := mysql.NewConfig()
	if u.User != nil {
		c.User = u.User.Username()
		c.Passwd, _ = u.User.Password()
	}
	port := u.Port()
	if port == "" {
		port = "3306"
	}
	c.Net, c.Addr, c.DBName = "tcp", net.JoinHostPort(u.Hostname(), port), strings.TrimPrefix(u.Path, "/")
	c.TLSConfig, c.Timeout, c.Logger = u.Query().Get("tls"), 10*time.Second, &mysql.NopLogger{} // errors are returned
	return c, nil
}

// ident quotes a name.
func (k kind) ident(name string) string {
	if k == mysqlKind {
		return "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// table quotes the name of a table as strangler.yaml has it: in PostgreSQL it may have a schema, and either part quotes.
func (k kind) table(name string) string {
	if k != postgresKind {
		return k.ident(name)
	}
	schema, table := schemaOf(name)
	if schema == "" {
		return k.ident(table)
	}
	return k.ident(schema) + "." + k.ident(table)
}

// schemaOf parts the name of a PostgreSQL table; no schema: it is looked for along the search_path.
func schemaOf(name string) (schema, table string) {
	part := func(s string) (first, rest string) {
		if !strings.HasPrefix(s, `"`) {
			first, rest, _ = strings.Cut(s, ".")
			return first, rest
		}
		for i := 1; i < len(s); i++ {
			switch {
			case s[i] != '"':
			case i+1 < len(s) && s[i+1] == '"':
				i++
			default:
				return strings.ReplaceAll(s[1:i], `""`, `"`), strings.TrimPrefix(s[i+1:], ".")
			}
		}
		return s, ""
	}
	first, rest := part(name)
	if rest == "" {
		return "", first
	}
	table, _ = part(rest)
	return first, table
}

// stands lists what stands in a database, at most 20 names.
func (k kind) stands(ctx context.Context, db *sql.DB) ([]string, error) {
	return texts(ctx, db, map[kind]string{
		sqliteKind: "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' LIMIT 20",
		postgresKind: `SELECT n.nspname || '.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
			AND NOT EXISTS (SELECT FROM pg_depend AS x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid AND x.deptype = 'e') ORDER BY 1 LIMIT 20`,
		mysqlKind: "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1 LIMIT 20",
	}[k])
}

// triggers lists those of a table that are not Strangler's, and whether this role may know of them.
func (k kind) triggers(ctx context.Context, db *sql.DB, table string) (names []string, known bool, err error) {
	switch k {
	case sqliteKind:
		names, err = texts(ctx, db, "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?) AND name NOT LIKE 'strangler\\_%' ESCAPE '\\'", table)
	case postgresKind:
		names, err = texts(ctx, db, `SELECT tgname::text FROM pg_trigger WHERE tgrelid = to_regclass($1::text) AND NOT tgisinternal AND tgname NOT LIKE 'strangler\_%' ORDER BY 1`, k.table(table))
	case mysqlKind:
		may, errMay := texts(ctx, db, `SELECT 1 FROM information_schema.user_privileges WHERE privilege_type = 'TRIGGER'
			UNION ALL SELECT 1 FROM information_schema.schema_privileges WHERE privilege_type = 'TRIGGER' AND table_schema = DATABASE()
			UNION ALL SELECT 1 FROM information_schema.table_privileges WHERE privilege_type = 'TRIGGER' AND table_schema = DATABASE() AND table_name = ?`, table)
		if errMay != nil || len(may) == 0 {
			return nil, false, errMay
		}
		names, err = texts(ctx, db, "SELECT trigger_name FROM information_schema.triggers WHERE event_object_schema = DATABASE() AND event_object_table = ? AND trigger_name NOT LIKE 'strangler\\_%'", table)
	}
	return names, true, err
}

// texts runs a query whose rows are one text each.
func texts(ctx context.Context, db *sql.DB, query string, args ...any) (out []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// why is the class of an error, without the values that its text may have.
func (k kind) why(err error) string {
	var onPostgres *pgconn.PgError
	var onMySQL *mysql.MySQLError
	var onSQLite *sqlite.Error
	switch {
	case errors.As(err, &onPostgres):
		if onPostgres.ConstraintName != "" {
			return "constraint " + onPostgres.ConstraintName
		}
		return "SQLSTATE " + onPostgres.Code
	case errors.As(err, &onMySQL):
		return fmt.Sprintf("error %d", onMySQL.Number)
	case errors.As(err, &onSQLite):
		return fmt.Sprintf("error %d", onSQLite.Code())
	}
	return "no answer"
}
