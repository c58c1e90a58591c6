package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/strangler-fig/strangler/internal/invariant"
	"github.com/strangler-fig/strangler/internal/localdb"
)

// The roles of the demo, as a team has them: each application owns its database, and Strangler has a role
// of its own, which may do what the owners may.
const (
	monolithRole  = "shop"
	serviceRole   = "delivery"
	stranglerRole = "strangler"
)

// passwords is the file that PGPASSFILE names, so that no DSN, command line or strangler.yaml shows one.
const passwords = "pgpass"

// privateServer starts a PostgreSQL server that lives as long as the demo at the most, with the three
// databases. Its commits wait for the disk, as in life.
func privateServer(ctx context.Context, files *folder) (d *databases, err error) {
	config := localdb.Config{Durable: true, Dir: files.path("postgres")}
	if os.Geteuid() == 0 {
		config.Dir = "" // it runs as another user, who cannot enter the demo's folder
	}
	server, err := localdb.Postgres(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, server.Close())
		}
	}()
	if err := furnish(ctx, server); err != nil {
		return nil, fmt.Errorf("making the demo's databases: %w", err)
	}
	if err := files.write(passwords, passwordFile(server)); err != nil {
		return nil, err
	}
	into := func(role, database string) string {
		return "postgres://" + role + "@" + server.Addr() + "/" + database + "?sslmode=disable"
	}
	return &databases{
		dialect:  invariant.Postgres,
		monolith: into(monolithRole, monolithRole), delivery: into(serviceRole, serviceRole),
		control: into(stranglerRole, "control"), legacy: into(stranglerRole, monolithRole), service: into(stranglerRole, serviceRole),
		shop: server.As(monolithRole, monolithRole), deliveries: server.As(serviceRole, serviceRole),
		// What else a person's environment says about PostgreSQL is about other servers.
		env: []string{"PGPASSFILE=" + files.path(passwords), "PGPASSWORD=", "PGSERVICE=", "PGOPTIONS="},
		tour: fmt.Sprintf("\n  export PGPASSFILE=%s\n  psql '%s'\n  psql '%s'\n", shown("", files.path(passwords)),
			into(monolithRole, monolithRole), into(serviceRole, serviceRole)),
		about: `# The monolith: what no capability claims goes there. Strangler logs in as a role of its own, which is a
# member of the owners' roles; its password is in the file that PGPASSFILE names.`,
		close: server.Close,
	}, nil
}

// furnish makes the roles and the databases, and grants what a member of the owners lacks.
func furnish(ctx context.Context, server *localdb.Server) error {
	for _, step := range []func() error{
		func() error { return server.Role(ctx, monolithRole) },
		func() error { return server.Role(ctx, serviceRole) },
		func() error { return server.Role(ctx, stranglerRole, "IN ROLE "+monolithRole+", "+serviceRole) },
		func() error { return server.Create(ctx, monolithRole, monolithRole) },
		func() error { return server.Create(ctx, serviceRole, serviceRole) },
		func() error { return server.Create(ctx, "control", stranglerRole) },
		// The applier's transactions run without the tables' own triggers and foreign-key actions.
		func() error {
			return administer(ctx, server, "GRANT SET ON PARAMETER session_replication_role TO "+stranglerRole)
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func administer(ctx context.Context, server *localdb.Server, statement string) error {
	db, _, err := invariant.Open(server.DSN("postgres"))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}

// passwordFile has a line for each role: https://www.postgresql.org/docs/15/libpq-pgpass.html
func passwordFile(server *localdb.Server) string {
	var b strings.Builder
	for _, role := range []string{monolithRole, serviceRole, stranglerRole} {
		if u, err := url.Parse(server.As(role, "")); err == nil {
			host, port, _ := net.SplitHostPort(u.Host)
			password, _ := u.User.Password()
			fmt.Fprintf(&b, "%s:%s:*:%s:%s\n", host, port, role, password)
		}
	}
	return b.String()
}
