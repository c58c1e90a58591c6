package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// BusyTimeout is how long a statement waits for another connection's write transaction.
const BusyTimeout = 5 * time.Second

// Database is one side of a capability in a SQLite file. It is safe for concurrent use.
type Database struct {
	b    migrations.Binding
	path string
	pool *sql.DB // readers; every call is a snapshot of its own

	writer  chan *writer // holds the one writer when nobody uses it
	watcher *sql.Conn    // sees commits of others by PRAGMA data_version
	watchMu sync.Mutex
	seen    int64 // data_version before the last Read
	intact  int64 // schema_version at which the fence was last seen whole; used by the one writer only

	countMu sync.Mutex
	counts  map[int]counted // by table

	metaMu    sync.Mutex
	meta      []*table
	stale     bool  // scripts may have changed what meta describes
	described int64 // schema_version that meta was last checked against
}

var _ migrations.Database = (*Database)(nil)

// Open opens the file that b.DSN names (`sqlite:path`); it has to be there already.
func Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	path, ok := strings.CutPrefix(b.DSN, "sqlite:")
	if !ok {
		return nil, fmt.Errorf("%w: a SQLite database is written sqlite:path", strangler.ErrConfig)
	}
	path, err := filepath.Abs(strings.TrimPrefix(path, "//"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, strangler.Refuse(migrations.CheckReach, fmt.Sprintf("the %s database of %s cannot be reached: %v", b.Side, b.Capability, err), "create it, or correct its path in strangler.yaml")
	}
	pool, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, err
	}
	d := &Database{b: b, path: path, pool: pool, writer: make(chan *writer, 1), seen: -1, counts: map[int]counted{}}
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), pool.Close())
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	d.writer <- &writer{d: d, conn: conn, stmts: map[string]*sql.Stmt{}}
	if d.watcher, err = pool.Conn(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func dsn(path string) string {
	q := url.Values{"_pragma": {
		fmt.Sprintf("busy_timeout(%d)", BusyTimeout.Milliseconds()),
		"synchronous(FULL)",
		"foreign_keys(OFF)",
	}}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// Close waits for a write transaction in flight.
func (d *Database) Close() error {
	w := <-d.writer
	errs := []error{w.close()}
	d.watchMu.Lock()
	defer d.watchMu.Unlock()
	if d.watcher != nil {
		errs = append(errs, d.watcher.Close())
	}
	return errors.Join(append(errs, d.pool.Close())...)
}

// Identity is the file itself, whatever path leads to it.
func (d *Database) Identity(context.Context) (string, error) {
	real, err := filepath.EvalSymlinks(d.path)
	return "sqlite:" + real, err
}

// writer is the one connection that writes, with its prepared statements.
type writer struct {
	d     *Database
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	// attached is the path of the owner's file while a transaction of the copy reads it; otherwise empty.
	attached string
}

func (w *writer) close() error {
	var errs []error
	for _, s := range w.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

func (w *writer) exec(ctx context.Context, query string, args ...any) (int64, error) {
	s, ok := w.stmts[query]
	if !ok {
		var err error
		if s, err = w.conn.PrepareContext(ctx, query); err != nil {
			return 0, w.d.full(err)
		}
		w.stmts[query] = s
	}
	res, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, w.d.full(err)
	}
	return res.RowsAffected()
}

// tx is one write transaction; it owns the writer until it ends.
type tx struct {
	d     *Database
	w     *writer
	ended bool
}

// begin takes the writer and opens an immediate transaction.
func (d *Database) begin(ctx context.Context) (*tx, error) {
	select {
	case w := <-d.writer:
		if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
			// Interrupted at the wrong instant, it has begun and says that it has not.
			_, _ = w.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			d.writer <- w
			if isBusy(err) {
				return nil, d.held(BusyTimeout, err)
			}
			return nil, fmt.Errorf("begin at %s: %w", d.path, d.full(err))
		}
		return &tx{d: d, w: w}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// held is the error of whoever could not have the write lock for so long.
func (d *Database) held(long time.Duration, err error) error {
	who := holder(d.path)
	if who == "" {
		who = "another process"
	}
	return fmt.Errorf("%s has held the write lock of %s for %s; nothing was written. If it is stopped inside a transaction it blocks everyone: ending it is the way forward: %w", who, d.path, long, err)
}

// commit ends the transaction durably. A failed COMMIT that left the transaction open is rolled back,
// and so certain; any other failure is ErrUnknown.
func (t *tx) commit() error {
	if t.ended {
		return errors.New("transaction has ended")
	}
	// The statement is not given the caller's context: an interrupt in the middle would blur the outcome.
	_, err := t.w.conn.ExecContext(context.Background(), "COMMIT")
	if err == nil {
		t.end()
		return nil
	}
	err = t.d.full(err)
	if _, rollback := t.w.conn.ExecContext(context.Background(), "ROLLBACK"); rollback == nil {
		t.end()
		return fmt.Errorf("commit at %s failed, nothing was written: %w", t.d.path, err)
	}
	t.end()
	return fmt.Errorf("commit at %s: %w: %w", t.d.path, strangler.ErrUnknown, err)
}

// rollback after commit does nothing.
func (t *tx) rollback() error {
	if t.ended {
		return nil
	}
	_, err := t.w.conn.ExecContext(context.Background(), "ROLLBACK")
	t.end()
	return err
}

func (t *tx) end() {
	t.ended = true
	_ = t.w.detach()
	t.d.writer <- t.w
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

func isBusy(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// full marks what the file, or the disk that it is on, has no room for.
func (d *Database) full(err error) error {
	var e *driver.Error
	if errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_FULL || e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE) && !errors.Is(err, migrations.ErrFull) {
		return migrations.Full(d.b, err)
	}
	return err
}

func isUnique(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// isMisfit tells a row that the table does not take.
func isMisfit(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_CHECK || e.Code() == sqlite3.SQLITE_CONSTRAINT_NOTNULL || e.Code() == sqlite3.SQLITE_CONSTRAINT_DATATYPE)
}

// ident quotes an identifier.
func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes a text.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// list joins f of every element.
func list[T any](in []T, f func(T) string) string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return strings.Join(out, ", ")
}

func position(n int64) migrations.Position { return migrations.Position(strconv.FormatInt(n, 10)) }

func serial(p migrations.Position) (int64, error) {
	if p == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(p), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is not a position of this engine", strangler.ErrStopped, p)
	}
	return n, nil
}

// scan reads every row of a query as canonical values of columns of t, in their common form where the other side is another
// kind of database; the last extra columns are given apart.
func (d *Database) scan(rows *sql.Rows, t *table, columns []migrations.Column, extra int, yield func(vs []migrations.Value, more []int64) error) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		vs, more := make([]migrations.Value, len(columns)), make([]int64, extra)
		dest := make([]any, 0, len(columns)+extra)
		for i := range vs {
			dest = append(dest, &vs[i])
		}
		for i := range more {
			dest = append(dest, &more[i])
		}
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		for i, v := range vs {
			if b, ok := v.([]byte); ok && b == nil {
				vs[i] = []byte{}
			}
		}
		if d.b.Common {
			if err := t.common(columns, vs); err != nil {
				return err
			}
		}
		if err := yield(vs, more); err != nil {
			return err
		}
	}
	return rows.Err()
}
