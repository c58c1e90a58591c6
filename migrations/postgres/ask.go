package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// Ask answers the one value that a query of somebody's answers, as text, NULL as "NULL". It is asked on a connection of its own, in a
// transaction that only reads, and the server ends it at ctx's deadline. ErrNotFound: no row. ErrConfig: more than one value, or a DSN that
// cannot be read.
func Ask(ctx context.Context, b migrations.Binding, query string) (answer string, err error) {
	cfg, err := pgx.ParseConfig(b.DSN)
	if err != nil {
		return "", fmt.Errorf("%w: the %s database of %s has a DSN that is not postgres://user:password@host:port/database", strangler.ErrConfig, b.Side, b.Capability)
	}
	cfg.RuntimeParams["application_name"] = "strangler gate of " + b.Capability
	cfg.RuntimeParams["default_transaction_read_only"] = "on"
	if deadline, ok := ctx.Deadline(); ok {
		cfg.RuntimeParams["statement_timeout"] = strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10)
	}
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		err = errors.Join(err, c.Close(ending))
	}()
	if _, err := c.PgConn().Exec(ctx, "BEGIN READ ONLY").ReadAll(); err != nil {
		return "", err
	}
	// The extended protocol takes one statement at a time: none can end the transaction and go on outside of it.
	r := c.PgConn().ExecParams(ctx, query, nil, nil, nil, nil)
	columns, rows, answer := len(r.FieldDescriptions()), 0, ""
	for r.NextRow() {
		if rows++; rows == 1 && columns == 1 {
			answer = "NULL"
			if value := r.Values()[0]; value != nil {
				answer = string(value)
			}
		}
		if rows > 1 {
			break
		}
	}
	if _, err := r.Close(); err != nil {
		return "", told(err)
	}
	return answer, migrations.OneValue(columns, rows)
}

// told is what the server says of a query, without the query.
func told(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return fmt.Errorf("%s (%s)", e.Message, e.Code)
	}
	return err
}
