package demo

import (
	"context"

	"github.com/strangler-fig/strangler/internal/invariant"
)

// databases are where the three programs keep their rows, and each one's way in.
type databases struct {
	dialect            invariant.Dialect
	monolith, delivery string // DSNs for those two programs
	control            string // DSNs for strangler.yaml
	legacy, service    string
	shop, deliveries   string   // DSNs for the demo itself, which looks at the monolith's and the service's
	env                []string // what every program needs beside its DSN
	exports            string   // what the environment needs beside the token; empty, or lines
	tour               string   // what a person may look at while the demo goes on; empty, or lines
	about              string   // the comment on legacy and service in strangler.yaml
	close              func() error
}

// prepareDatabases makes what has to be there before a program starts. Close has to be called.
func prepareDatabases(ctx context.Context, o Options, files *folder) (*databases, error) {
	switch o.Database {
	case string(invariant.Postgres):
		return privateServer(ctx, files)
	case string(invariant.MySQL):
		return privateMariaDB(ctx, files)
	}
	return &databases{
		dialect:  invariant.SQLite,
		monolith: "sqlite:shop.db", delivery: "sqlite:delivery.db", // relative to the folder, like strangler.yaml's
		control: "sqlite:.strangler/control.db", legacy: "sqlite:shop.db", service: "sqlite:delivery.db",
		shop: "sqlite:" + files.path("shop.db"), deliveries: "sqlite:" + files.path("delivery.db"),
		about: "# The monolith: what no capability claims goes there.",
		close: func() error { return nil },
	}, nil
}

// Close gives back what prepareDatabases has taken. Nobody uses the databases any more.
func (d *databases) Close() error { return d.close() }
