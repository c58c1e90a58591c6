package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/serverlog"
)

const (
	// maxConns is how many connections a handle opens at most: a batch, its commit, a chunk, a fence that
	// is held ready, and what people ask.
	maxConns = 8
	// connectTimeout bounds the making of a connection where the DSN gives no connect_timeout.
	connectTimeout = 10 * time.Second
	// endTimeout bounds COMMIT and ROLLBACK, which run whatever became of the caller's context.
	endTimeout = 30 * time.Second
)

// Database is one side of a capability in a PostgreSQL database. It is safe for concurrent use.
type Database struct {
	b      migrations.Binding
	pool   *pgxpool.Pool
	role   string // session_user: who has the applier's pass
	path   string // the search_path of functions that evaluate a share's condition
	schema string // where Strangler's own tables stand, quoted: the first of the search_path

	metaMu sync.Mutex
	meta   []*table
	stale  bool   // scripts may have changed what meta describes
	print  string // the fingerprint of the tables when meta was last compared with the plan

	heldMu sync.Mutex
	held   *held

	slot   string // of a capture by logical decoding, where it is one
	feedMu sync.Mutex
	feed   *stream
	again  serverlog.Again // keys that the next batches have, as if the slot had told them
	rested time.Time       // when the slot last let go of the server's log

	standbys standbys

	own   pids
	lines *lines
}

// pids are the server processes of a handle's connections.
type pids struct {
	mu  sync.Mutex
	all map[int32]bool
}

func (p *pids) set(c *pgx.Conn, there bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[int32]bool{}
	}
	if pid := int32(c.PgConn().PID()); there {
		p.all[pid] = true
	} else {
		delete(p.all, pid)
	}
}

func (p *pids) list() []int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.AppendSeq([]int32{}, maps.Keys(p.all))
}

var _ migrations.Database = (*Database)(nil)

// settings make every session's text the same, whatever the role or the database sets, compile no query that
// reads the catalog, and keep timeouts
// that were meant for applications away from transactions that bound themselves.
var settings = map[string]string{
	"TimeZone": "UTC", "DateStyle": "ISO, MDY", "IntervalStyle": "postgres", "extra_float_digits": "1", "bytea_output": "hex",
	"lc_monetary": "C", "xmlbinary": "base64", "xmloption": "content", "jit": "off", "array_nulls": "on", "backslash_quote": "safe_encoding", "standard_conforming_strings": "on", "row_security": "off", "synchronous_commit": "on",
	"default_transaction_isolation": "read committed", "default_transaction_read_only": "off", "default_transaction_deferrable": "off",
	"statement_timeout": "0", "lock_timeout": "0", "transaction_timeout": "0", "idle_in_transaction_session_timeout": "0", "idle_session_timeout": "0",
}

// settle gives a session the settings.
func settle(ctx context.Context, c *pgx.Conn) error {
	var names, values []string
	for n, v := range settings {
		names, values = append(names, n), append(values, v)
	}
	_, err := c.Exec(ctx, "SELECT set_config(s.name, w.value, false) FROM unnest($1::text[], $2::text[]) AS w (name, value) JOIN pg_settings AS s ON lower(s.name) = lower(w.name)", names, values)
	return err
}

// Open connects to the database that b.DSN names (`postgres://…`).
func Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	cfg, err := pgxpool.ParseConfig(b.DSN)
	if err != nil {
		// The parser's own text may repeat the password.
		return nil, fmt.Errorf("%w: the %s database of %s has a DSN that is not postgres://user:password@host:port/database", strangler.ErrConfig, b.Side, b.Capability)
	}
	cfg.MaxConns = maxConns
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	// Nothing is prepared under a name: a script that changes a table leaves no plan behind that no longer fits.
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	cfg.ConnConfig.RuntimeParams["application_name"] = application(b.Capability)
	d := &Database{b: b, lines: newLines()}
	cfg.ConnConfig.DialFunc, cfg.ConnConfig.Tracer = d.lines.dial, d.lines
	cfg.BeforeClose = func(c *pgx.Conn) { d.own.set(c, false) }
	cfg.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		d.own.set(c, true)
		return errors.Join(settle(ctx, c), d.lines.know(ctx, c))
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	d.pool = pool
	d.lines.watch(pool)
	var database uint32
	if err := pool.QueryRow(ctx, "SELECT session_user::text, quote_ident(coalesce(current_schema(), '')), (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&d.role, &d.schema, &database); err != nil {
		d.close()
		var refused *pgconn.ConnectError
		if errors.As(err, &refused) && ctx.Err() == nil {
			return nil, strangler.Refuse(migrations.CheckReach, fmt.Sprintf("the %s database of %s cannot be reached: %v", b.Side, b.Capability, err), "start it, or correct its address in strangler.yaml")
		}
		return nil, fmt.Errorf("open the %s database of %s: %w", b.Side, b.Capability, err)
	}
	if d.schema == `""` {
		d.close()
		return nil, strangler.Refuse("schema", fmt.Sprintf("in the %s database of %s no schema of the search_path exists", b.Side, b.Capability), "ALTER ROLE "+ident(d.role)+" SET search_path = …")
	}
	if d.path, err = pathOf(ctx, pool); err != nil {
		d.close()
		return nil, fmt.Errorf("open the %s database of %s: %w", b.Side, b.Capability, err)
	}
	d.slot = slotName(b.Capability, database)
	return d, nil
}

// application is the application_name of a capability's sessions.
func application(capability string) string { return short("strangler " + capability) }

// Close waits for transactions in flight.
func (d *Database) Close() error {
	d.stopFeed()
	d.release(d.takeHeld())
	d.close()
	return nil
}

// close ends the watch last: it is what ends a wait for a connection that is silent.
func (d *Database) close() {
	d.pool.Close()
	d.lines.close()
}

// ours is a relation or function of Strangler's, good under any search_path.
func (d *Database) ours(name string) string { return d.schema + "." + plain(name) }

var simple = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// plain quotes a name of ours only where it has to be: no keyword begins with strangler.
func plain(name string) string {
	if simple.MatchString(name) {
		return name
	}
	return ident(name)
}

// tables describes the bound tables; it is kept once all of them are there.
func (d *Database) tables(ctx context.Context) ([]*table, error) {
	d.metaMu.Lock()
	defer d.metaMu.Unlock()
	if d.meta != nil && !d.stale {
		return d.meta, nil
	}
	all, err := d.describeAll(ctx, d.pool)
	if err != nil {
		return nil, d.changed(err)
	}
	d.meta, d.stale, d.print = all, false, ""
	return all, nil
}

var (
	errMissing = errors.New("table is not there: dropped, renamed, or not yet made by the scripts")
	errKeyless = errors.New("table has no usable key any more")
)

func (d *Database) describeAll(ctx context.Context, q querier) ([]*table, error) {
	var all []*table
	for i, name := range d.b.Tables {
		t, err := d.describe(ctx, q, i)
		switch {
		case err != nil:
			return nil, err
		case t == nil:
			return nil, fmt.Errorf("%w: %s", errMissing, name)
		case len(t.keyAt) == 0:
			return nil, fmt.Errorf("%w: %s", errKeyless, name)
		}
		all = append(all, t)
	}
	return all, nil
}

func (d *Database) table(ctx context.Context, i int) (*table, error) {
	all, err := d.tables(ctx)
	if err != nil {
		return nil, err
	}
	return all[i], nil
}

// tx is one write transaction.
type tx struct {
	d *Database
	pgx.Tx
	ended bool
}

func (d *Database) begin(ctx context.Context) (*tx, error) {
	t, err := d.pool.BeginTx(ctx, pgx.TxOptions{})
	if err != nil {
		return nil, fmt.Errorf("begin at the %s database: %w", d.b.Side, err)
	}
	return &tx{d: d, Tx: t}, nil
}

// commit ends the transaction durably. What the server refused is certain: nothing was written. Where the
// answer did not come, or the server was going down as it gave it, the outcome is ErrUnknown.
func (t *tx) commit() error {
	if t.ended {
		return errors.New("transaction has ended")
	}
	t.ended = true
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	err := t.Commit(ctx)
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return fmt.Errorf("commit at the %s database failed, nothing was written: %w", t.d.b.Side, err)
	case errors.As(err, &refused) && !strings.HasPrefix(refused.Code, "57") && !strings.HasPrefix(refused.Code, "08"):
		return fmt.Errorf("commit at the %s database failed, nothing was written: %w", t.d.b.Side, t.d.full(duplicate(err)))
	}
	return fmt.Errorf("commit at the %s database: %w: %w", t.d.b.Side, strangler.ErrUnknown, err)
}

// rollback after commit does nothing. A connection that cannot roll back is closed, which does the same.
func (t *tx) rollback() error {
	if t.ended {
		return nil
	}
	t.ended = true
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	if err := t.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) && !t.Conn().IsClosed() {
		return err
	}
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

// code is the SQLSTATE of an error, or empty.
func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

const (
	uniqueViolation    = "23505"
	exclusionViolation = "23P01"
	lockNotAvailable   = "55P03"
	deadlockDetected   = "40P01"
)

// duplicate marks a unique conflict.
func duplicate(err error) error {
	if c := code(err); c == uniqueViolation || c == exclusionViolation {
		return fmt.Errorf("%w: %w", migrations.ErrDuplicate, err)
	}
	return err
}

// passing marks what a later attempt may not meet: a unique conflict, and a deadlock between the stream and the copy
// over a unique value that moves; and what it will meet again, a row that the table does not take.
func passing(err error) error {
	if code(err) == deadlockDetected {
		return fmt.Errorf("%w: %w", migrations.ErrSlow, err)
	}
	if err := duplicate(err); errors.Is(err, migrations.ErrDuplicate) {
		return err
	}
	if c := code(err); strings.HasPrefix(c, "22") || strings.HasPrefix(c, "23") { // data exception, integrity constraint violation
		return fmt.Errorf("%w: %w", migrations.ErrMisfit, err)
	}
	return err
}
