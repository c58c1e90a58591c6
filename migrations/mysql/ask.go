package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// Ask answers the one value that a query of somebody's answers, as text, NULL as "NULL". It is asked on a connection of its own, in a
// transaction that only reads, and the server ends it at ctx's deadline. ErrNotFound: no row. ErrConfig: more than one value, or a DSN that
// cannot be read.
func Ask(ctx context.Context, b migrations.Binding, query string) (answer string, err error) {
	cfg, err := parse(b)
	if err != nil {
		return "", err
	}
	cfg.MultiStatements = false
	if deadline, ok := ctx.Deadline(); ok {
		cfg.Params = map[string]string{"max_statement_time": strconv.FormatFloat(max(time.Until(deadline).Seconds(), 0.001), 'f', 3, 64)}
	}
	connector, err := client.NewConnector(cfg)
	if err != nil {
		return "", fmt.Errorf("%w: the %s database of %s: %w", strangler.ErrConfig, b.Side, b.Capability, err)
	}
	pool := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, pool.Close()) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// A statement that changes tables ends the transaction first: what comes behind it must not write either.
	if _, err := conn.ExecContext(ctx, "SET SESSION TRANSACTION READ ONLY"); err != nil {
		return "", err
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return "", err
	}
	defer tx.Rollback() // its error is that the transaction has ended
	return migrations.AskIn(ctx, tx, query)
}
