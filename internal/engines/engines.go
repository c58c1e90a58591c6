// Package engines knows the split engines by the scheme of a DSN.
package engines

import (
	"context"
	"fmt"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/mysql"
	"github.com/strangler-fig/strangler/migrations/postgres"
	"github.com/strangler-fig/strangler/migrations/sqlite"
)

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
