package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/strangler-fig/strangler"
)

// AskIn answers the one value that a query answers in a transaction, as text, NULL as "NULL". ErrNotFound: no row. ErrConfig: more than one
// value.
func AskIn(ctx context.Context, tx *sql.Tx, query string) (answer string, err error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := rows.Columns()
	if err != nil {
		return "", err
	}
	found := 0
	for found < 2 && rows.Next() {
		if found++; found == 1 && len(names) == 1 {
			var value sql.NullString
			if err := rows.Scan(&value); err != nil {
				return "", err
			}
			if answer = value.String; !value.Valid {
				answer = "NULL"
			}
		}
	}
	if err := rows.Err(); err != nil {
		return "", err
	}
	return answer, OneValue(len(names), found)
}

// OneValue is the error of an answer of so many columns and rows, at least, that is not one value.
func OneValue(columns, rows int) error {
	switch {
	case columns != 1:
		return fmt.Errorf("%w: the query answers %d columns; it has to answer one value", strangler.ErrConfig, columns)
	case rows == 0:
		return fmt.Errorf("%w: the query answered no row", strangler.ErrNotFound)
	case rows > 1:
		return fmt.Errorf("%w: the query answers more than one row; it has to answer one value", strangler.ErrConfig)
	}
	return nil
}
