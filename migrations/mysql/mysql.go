package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/serverlog"
)

const (
	// maxConns is how many connections a handle opens at most: a batch, its commit, chunks, and what people ask.
	maxConns = 12
	// connectTimeout bounds the making of a connection.
	connectTimeout = 10 * time.Second
	// endTimeout bounds COMMIT and ROLLBACK, which run whatever became of the caller's context.
	endTimeout = 30 * time.Second
	// rowLock is how many seconds a statement waits for a row that another transaction has locked, fenceLock how many a
	// change of the fence does, and so for how long others queue behind it.
	rowLock, fenceLock = 10, 1
)

// Database is one side of a capability in a MySQL or MariaDB database. It is safe for concurrent use.
type Database struct {
	b       migrations.Binding
	pool    *sql.DB
	role    string // who has the applier's pass: the user, without its host
	name    string // of the database
	mariadb bool

	metaMu sync.Mutex
	meta   []*table
	stale  bool // scripts may have changed what meta describes

	own sessions

	feedMu sync.Mutex
	feed   *stream         // of the binary log, where this side owns and it is read
	again  serverlog.Again // keys that the next batches have, as if it had told them
}

var _ migrations.Database = (*Database)(nil)

// strictMode is the SQL mode of every session.
const strictMode = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION"

// settings make every session read and write values alike, whatever the server or the user sets, and keep timeouts that
// were meant for applications away from transactions that bound themselves. Strict: nothing is cut or rounded to fit.
// Zero dates, and zeros in a generated key, stay what they are.
const settings = `SET SESSION time_zone = '+00:00', sql_mode = '` + strictMode + `', ` +
	`autocommit = 1, sql_safe_updates = 0, sql_auto_is_null = 0, sql_big_selects = 1, sql_select_limit = DEFAULT, completion_type = 'NO_CHAIN', unique_checks = 1, foreign_key_checks = 1, ` +
	`sql_quote_show_create = 1, wait_timeout = 28800, net_write_timeout = 600, net_read_timeout = 600, lock_wait_timeout = 1, innodb_lock_wait_timeout = 10 ` +
	`/*M!100100 , max_statement_time = 0 */ /*M!100300 , idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0, idle_write_transaction_timeout = 0 */ /*!80000 , information_schema_stats_expiry = 0, max_execution_time = 0 */`

// connector makes sessions with the settings, and knows which are this handle's.
type connector struct {
	driver.Connector
	own *sessions
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range []string{settings, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"} {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, q, nil); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, c.own.know(ctx, conn)
}

// sessions are the server's numbers of a handle's connections, those that have ended included.
type sessions struct {
	mu  sync.Mutex
	all map[uint64]bool
}

func (s *sessions) know(ctx context.Context, conn driver.Conn) error {
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx, "SELECT CONNECTION_ID()", nil)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	id := make([]driver.Value, 1)
	err = errors.Join(rows.Next(id), rows.Close())
	n, errParse := strconv.ParseUint(strings.TrimSpace(asText(id[0])), 10, 64)
	if err = errors.Join(err, errParse); err != nil {
		return errors.Join(err, conn.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[uint64]bool{}
	}
	s.all[n] = true
	return nil
}

func (s *sessions) has(id uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[id]
}

func asText(v driver.Value) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return fmt.Sprint(v)
}

// parse reads a DSN, `mysql://user:password@host:3306/database?tls=…`. What it answers never repeats the password.
func parse(b migrations.Binding) (*client.Config, error) {
	wrong := fmt.Errorf("%w: the %s database of %s has a DSN that is not mysql://user:password@host:3306/database", strangler.ErrConfig, b.Side, b.Capability)
	u, err := url.Parse(b.DSN)
	if err != nil || u.Scheme != "mysql" || u.Host == "" || u.Fragment != "" || strings.Contains(u.EscapedPath(), "@") || strings.Trim(u.Path, "/") == "" {
		return nil, wrong
	}
	c := client.NewConfig()
	if u.User != nil {
		c.User = u.User.Username()
		c.Passwd, _ = u.User.Password()
	}
	port := u.Port()
	if port == "" {
		port = "3306"
	}
	c.Net, c.Addr, c.DBName = "tcp", net.JoinHostPort(u.Hostname(), port), strings.TrimPrefix(u.Path, "/")
	for name, values := range u.Query() {
		switch name {
		case "tls":
			if !slices.Contains([]string{"true", "false", "preferred", "skip-verify"}, values[0]) {
				return nil, fmt.Errorf("%w: the %s database of %s has a DSN whose tls is none of true, false, preferred and skip-verify", strangler.ErrConfig, b.Side, b.Capability)
			}
			c.TLSConfig = values[0]
		case "timeout":
			if c.Timeout, err = time.ParseDuration(values[0]); err != nil {
				return nil, wrong
			}
		default:
			return nil, fmt.Errorf("%w: the %s database of %s has a DSN with %s, which is not known; tls and timeout are", strangler.ErrConfig, b.Side, b.Capability, name)
		}
	}
	if c.Timeout == 0 {
		c.Timeout = connectTimeout
	}
	c.ClientFoundRows, c.Collation, c.InterpolateParams, c.ConnectionAttributes = true, "utf8mb4_bin", true, "program_name:strangler "+b.Capability
	c.Logger = &client.NopLogger{} // its errors are returned too
	return c, nil
}

// Open connects to the database that b.DSN names (`mysql://…`).
func Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	cfg, err := parse(b)
	if err != nil {
		return nil, err
	}
	d := &Database{b: b}
	inner, err := client.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: the %s database of %s: %w", strangler.ErrConfig, b.Side, b.Capability, err)
	}
	d.pool = sql.OpenDB(connector{inner, &d.own})
	d.pool.SetMaxOpenConns(maxConns)
	d.pool.SetMaxIdleConns(maxConns)
	var user, version string
	if err := d.pool.QueryRowContext(ctx, "SELECT USER(), VERSION(), DATABASE()").Scan(&user, &version, &d.name); err != nil {
		err = errors.Join(err, d.pool.Close())
		if ctx.Err() == nil {
			next := "start it, or correct its address in strangler.yaml"
			if refused[number(err)] {
				next = "correct its user, its password or its database in strangler.yaml, or what that user may"
			}
			return nil, strangler.Refuse(migrations.CheckReach, fmt.Sprintf("the %s database of %s cannot be reached: %v", b.Side, b.Capability, err), next)
		}
		return nil, fmt.Errorf("open the %s database of %s: %w", b.Side, b.Capability, err)
	}
	d.role, d.mariadb = user[:strings.LastIndexByte(user, '@')], strings.Contains(version, "MariaDB")
	return d, nil
}

// Close waits for transactions in flight.
func (d *Database) Close() error {
	d.stopFeed()
	return d.pool.Close()
}

// Identity is the server and the database in it.
func (d *Database) Identity(ctx context.Context) (id string, err error) {
	err = d.pool.QueryRowContext(ctx, "SELECT CONCAT('mysql:', @@hostname, ':', @@port, ' ', @@datadir, ' ', DATABASE())").Scan(&id)
	return id, err
}

// server tells the server from one that was made of it: a replica has another number. A dump that is put back is told
// by its positions.
const server = "CONCAT(@@server_id, '/', DATABASE())"

// tx is one transaction, on a connection that nobody else uses.
type tx struct {
	d     *Database
	conn  *sql.Conn
	ended bool
	// leave undoes what the session was given beyond the settings; the connection is closed where that fails.
	leave string
}

// begin opens a transaction behind statements that prepare its session.
func (d *Database) begin(ctx context.Context, statements ...string) (*tx, error) {
	conn, err := d.pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin at the %s database: %w", d.b.Side, err)
	}
	t := &tx{d: d, conn: conn}
	for _, q := range append(statements, "START TRANSACTION") {
		if _, err := t.exec(ctx, q); err != nil {
			return nil, errors.Join(fmt.Errorf("begin at the %s database: %w", d.b.Side, err), t.discard())
		}
	}
	return t, nil
}

func (t *tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.conn.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, t.d.full(err)
	}
	return res.RowsAffected()
}

// commit ends the transaction durably. What the server refused is certain: nothing was written. Where the answer did not
// come, or the server was going down as it gave it, the outcome is ErrUnknown.
func (t *tx) commit() error {
	if t.ended {
		return errors.New("transaction has ended")
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	_, err := t.conn.ExecContext(ctx, "COMMIT")
	if err == nil {
		return t.end(ctx)
	}
	_ = t.discard()
	if n := number(err); n != 0 && n != errShutdown && n != errKilled && n != errKilledBefore {
		return fmt.Errorf("commit at the %s database failed, nothing was written: %w", t.d.b.Side, t.d.full(err))
	}
	return fmt.Errorf("commit at the %s database: %w: %w", t.d.b.Side, strangler.ErrUnknown, err)
}

// rollback after commit does nothing. A connection that cannot roll back is closed, which does the same.
func (t *tx) rollback() error {
	if t.ended {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	if _, err := t.conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		_ = t.discard()
		return nil
	}
	return t.end(ctx)
}

// end gives the connection back. The transaction's outcome is certain: a session that cannot be cleaned is closed.
func (t *tx) end(ctx context.Context) error {
	if t.leave != "" {
		if _, err := t.conn.ExecContext(ctx, t.leave); err != nil {
			_ = t.discard()
			return nil
		}
	}
	t.ended = true
	_ = t.conn.Close()
	return nil
}

// discard closes the connection itself, and with it the transaction.
func (t *tx) discard() error {
	t.ended = true
	_ = t.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = t.conn.Close()
	return nil
}

// write runs f in one transaction.
func (d *Database) write(ctx context.Context, f func(*tx) error) error {
	t, err := d.begin(ctx)
	if err != nil {
		return err
	}
	if err := f(t); err != nil {
		return errors.Join(err, t.rollback())
	}
	return t.commit()
}

// querier is a pool or a connection.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// each calls f with the scanner of every row.
func each(ctx context.Context, q querier, query string, args []any, f func(scan func(...any) error) error) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// tables describes the bound tables; it is kept once all of them are there.
func (d *Database) tables(ctx context.Context) ([]*table, error) {
	d.metaMu.Lock()
	defer d.metaMu.Unlock()
	if d.meta != nil && !d.stale {
		return d.meta, nil
	}
	var all []*table
	for _, name := range d.b.Tables {
		t, err := d.describe(ctx, d.pool, name)
		switch {
		case err != nil:
			return nil, err
		case t == nil:
			return nil, d.changed("the table %s is not there: it was dropped or renamed, or the scripts have not made it", name)
		case len(t.keyAt) == 0:
			return nil, d.changed("the table %s has no usable key", name)
		}
		all = append(all, t)
	}
	d.meta, d.stale = all, false
	return all, nil
}

func (d *Database) table(ctx context.Context, i int) (*table, error) {
	all, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	return all[i], nil
}

// changed says of a table that somebody has changed in mid-move what to do.
func (d *Database) changed(format string, args ...any) error {
	return fmt.Errorf("%w: in the %s database %s. The owner goes on serving and nothing was lost. Change it back, then: strangler split start %s. Or plan anew, while the monolith owns: strangler split cancel %s, then run the playbook",
		strangler.ErrStopped, d.b.Side, fmt.Sprintf(format, args...), d.b.Capability, d.b.Capability)
}

// list joins f of every element by commas.
func list[T any](in []T, f func(T) string) string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return strings.Join(out, ", ")
}

// united puts n queries together, so that they are asked at once.
func united(n int, query func(i int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = query(i)
	}
	return strings.Join(parts, " UNION ALL ")
}

// ident quotes an identifier.
func ident(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
