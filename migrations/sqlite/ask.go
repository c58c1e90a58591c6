package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// Ask answers the one value that a query of somebody's answers, as text, NULL as "NULL". The file is opened to be read only. ErrNotFound: no
// row. ErrConfig: more than one value, or a DSN that cannot be read.
func Ask(ctx context.Context, b migrations.Binding, query string) (answer string, err error) {
	path, ok := strings.CutPrefix(b.DSN, "sqlite:")
	if !ok {
		return "", fmt.Errorf("%w: a SQLite database is written sqlite:path", strangler.ErrConfig)
	}
	if path, err = filepath.Abs(strings.TrimPrefix(path, "//")); err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the %s database of %s cannot be reached: %w", b.Side, b.Capability, err)
	}
	q := url.Values{"mode": {"ro"}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", BusyTimeout.Milliseconds()), "query_only(1)"}}
	pool, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return "", err
	}
	defer tx.Rollback() // its error is that the transaction has ended
	return migrations.AskIn(ctx, tx, query)
}
