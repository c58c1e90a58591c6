package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"

	"github.com/strangler-fig/strangler"
)

const (
	// lockTimeout is how long a write waits for another one that has locked the same row.
	lockTimeout = 10 * time.Second

	// idleLimit is how long a write may be silent before the server rolls it back. A process that was
	// stopped in the middle of one is then out of the others' way, and learns at its commit that the
	// outcome is unknown to it.
	idleLimit = 5 * time.Second

	// sessions is how many connections a Store has at most, beside that of Watch; a call that finds none
	// waits.
	sessions = 8

	idleSession    = 5 * time.Minute // after which a connection that nobody uses is closed
	connectTimeout = 5 * time.Second // unless the DSN says another

	channel = "strangler_toggles" // of NOTIFY
)

func newPostgres(dsn string) (dialect, error) {
	config, err := parse(dsn)
	if err != nil {
		return dialect{}, err
	}
	// A connection that died while nobody used it, as all do when the server is restarted, is replaced
	// before it is used.
	ping := stdlib.OptionShouldPing(func(context.Context, stdlib.ShouldPingParams) bool { return true })
	return dialect{
		Dialector:  postgres.New(postgres.Config{Conn: stdlib.OpenDB(*config, ping)}),
		begin:      sql.TxOptions{Isolation: sql.LevelReadCommitted},
		settings:   settings(idleLimit, lockTimeout),
		sessions:   sessions,
		notify:     "NOTIFY " + channel,
		listen:     func(ctx context.Context, changed func()) error { return listen(ctx, config, changed) },
		lockSchema: "SELECT pg_advisory_xact_lock(hashtext('strangler control store'))",
		now:        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
	}, nil
}

// parse reads a DSN. The error quotes nothing of it that may be a password.
func parse(dsn string) (*pgx.ConnConfig, error) {
	if _, err := url.Parse(dsn); err != nil {
		return nil, fmt.Errorf("%w: the control store's DSN is no URL (it is not shown, since it may hold a password); "+
			"write postgres://user@host/database, with what is special in a URL percent-encoded, as in %%2F for a slash", strangler.ErrConfig)
	}
	config, err := pgx.ParseConfig(dsn)
	if quoting := (*pgconn.ParseConfigError)(nil); errors.As(err, &quoting) {
		err = errors.Unwrap(quoting)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the control store's DSN cannot be used: %w", strangler.ErrConfig, err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "strangler control store"
	}
	return config, nil
}

// settings are those of a write's transaction, whatever its role or database is set to.
func settings(idle, lock time.Duration) string {
	return fmt.Sprintf("SELECT set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '%dms', true), "+
		"set_config('idle_in_transaction_session_timeout', '%dms', true)", lock.Milliseconds(), idle.Milliseconds())
}

// listen opens a connection of its own and calls changed when it hears, and for what it may have missed,
// until ctx or the connection ends.
func listen(ctx context.Context, config *pgx.ConnConfig, changed func()) (err error) {
	conn, err := pgx.ConnectConfig(ctx, config.Copy())
	if err != nil {
		return err
	}
	defer func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
		defer cancel()
		err = errors.Join(err, conn.Close(bounded))
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		changed()
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}
