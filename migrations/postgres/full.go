package postgres

import (
	"context"
	"errors"

	"github.com/golang-migrate/migrate/v4/database"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/strangler-fig/strangler/migrations"
)

const diskFull = "53100"

// full marks what a disk without room has refused: a row, an index, or a file that a query sorts in. A server whose
// own log finds none goes down, and is one that cannot be reached.
func (d *Database) full(err error) error {
	if e := (*database.Error)(nil); errors.As(err, &e) && code(e.OrigErr) == diskFull {
		return migrations.Full(d.b, err)
	}
	if code(err) == diskFull && !errors.Is(err, migrations.ErrFull) {
		return migrations.Full(d.b, err)
	}
	return err
}

// Exec marks what the database has no room for.
func (t *tx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	done, err := t.Tx.Exec(ctx, sql, args...)
	return done, t.d.full(err)
}

// Query marks it too.
func (t *tx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := t.Tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, t.d.full(err)
	}
	return markedRows{rows, t.d}, nil
}

type markedRows struct {
	pgx.Rows
	d *Database
}

func (r markedRows) Err() error { return r.d.full(r.Rows.Err()) }
