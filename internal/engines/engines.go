// Package engines knows the split engines by the scheme of a DSN.
package engines

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/mysql"
	"github.com/strangler-fig/strangler/migrations/postgres"
	"github.com/strangler-fig/strangler/migrations/sqlite"
)

// Catalog lists the tables of the monolith's database and their foreign keys. It changes nothing there.
func Catalog(ctx context.Context, dsn string) (out migrations.Catalog, err error) {
	d, err := Open(ctx, migrations.Binding{Capability: "the monolith", Side: strangler.Legacy, DSN: dsn})
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	listed, ok := d.(interface {
		Catalog(context.Context) (migrations.Catalog, error)
	})
	if !ok {
		return out, fmt.Errorf("%w: the tables of this kind of database cannot be listed", strangler.ErrConfig)
	}
	return listed.Catalog(ctx)
}

// Ask answers the one value that a query answers in a database, as text, NULL as "NULL", where nothing can be written. ErrNotFound: no row.
// ErrConfig: more than one value, or a DSN that cannot be read. Its errors show no password.
func Ask(ctx context.Context, b migrations.Binding, query string) (string, error) {
	scheme, _, _ := strings.Cut(b.DSN, ":")
	switch scheme {
	case "sqlite":
		return sqlite.Ask(ctx, b, query)
	case "postgres", "postgresql":
		return postgres.Ask(ctx, b, query)
	case "mysql":
		return mysql.Ask(ctx, b, query)
	}
	return "", fmt.Errorf("%w: the %s side of %s has no database that could be asked", strangler.ErrConfig, b.Side, b.Capability)
}

// Open opens one side of a capability with the engine that its DSN names.
func Open(ctx context.Context, b migrations.Binding) (migrations.Database, error) {
	scheme, _, _ := strings.Cut(b.DSN, ":")
	switch scheme {
	case "sqlite":
		return sqlite.Open(ctx, b)
	case "postgres", "postgresql":
		return postgres.Open(ctx, b)
	case "mysql":
		return mysql.Open(ctx, b)
	case "":
		return nil, fmt.Errorf("%w: the %s side of %s has tables and no database in strangler.yaml", strangler.ErrConfig, b.Side, b.Capability)
	}
	return nil, fmt.Errorf("%w: the %s side of %s is a %s database, which cannot be split; sqlite:path, postgres://… and mysql://… can", strangler.ErrConfig, b.Side, b.Capability, scheme)
}
