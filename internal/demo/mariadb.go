package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"

	"github.com/strangler-fig/strangler/internal/invariant"
	"github.com/strangler-fig/strangler/internal/localdb"
)

// mysqlPassword is the file with the password of all users of the demo's MariaDB server. MYSQL_PWD carries it, so that
// no command line and no strangler.yaml shows it.
const mysqlPassword = "mysql-password"

// privateMariaDB is privateServer on MariaDB.
func privateMariaDB(ctx context.Context, files *folder) (d *databases, err error) {
	config := localdb.Config{Durable: true, Dir: files.path("mariadb")}
	if os.Geteuid() == 0 {
		config.Dir = "" // it runs as another user, who cannot enter the demo's folder
	}
	server, err := localdb.MariaDB(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, server.Close())
		}
	}()
	if err := furnishMariaDB(ctx, server); err != nil {
		return nil, fmt.Errorf("making the demo's databases: %w", err)
	}
	u, err := url.Parse(server.DSN(""))
	if err != nil {
		return nil, fmt.Errorf("making the demo's databases: %w", err)
	}
	host, port, _ := net.SplitHostPort(u.Host)
	password, _ := u.User.Password()
	if err := files.write(mysqlPassword, password); err != nil {
		return nil, err
	}
	into := func(user, database string) string { return "mysql://" + user + "@" + u.Host + "/" + database }
	client := func(user string) string {
		return fmt.Sprintf("mariadb --host=%s --port=%s --user=%s %s", host, port, user, user)
	}
	return &databases{
		dialect:  invariant.MySQL,
		monolith: into(monolithRole, monolithRole), delivery: into(serviceRole, serviceRole),
		control: into(stranglerRole+":${MYSQL_PWD}", "control"),
		legacy:  into(stranglerRole+":${MYSQL_PWD}", monolithRole), service: into(stranglerRole+":${MYSQL_PWD}", serviceRole),
		shop: server.As(monolithRole, monolithRole), deliveries: server.As(serviceRole, serviceRole),
		env:     []string{"MYSQL_PWD=" + password},
		exports: fmt.Sprintf("  export MYSQL_PWD=$(cat %s)\n", shown("", files.path(mysqlPassword))),
		tour:    fmt.Sprintf("\n  %s\n  %s\n", client(monolithRole), client(serviceRole)),
		about: `# The monolith: what no capability claims goes there. Strangler logs in as a user of its own, which has all
# privileges on both databases; the environment has its password.`,
		close: server.Close,
	}, nil
}

// furnishMariaDB makes the users and the databases. Each application has all privileges on its own; Strangler has them
// on both, and may see who else is connected.
func furnishMariaDB(ctx context.Context, server *localdb.Server) error {
	grants := []string{"GRANT PROCESS ON *.* TO " + stranglerRole}
	for _, database := range []string{monolithRole, serviceRole} {
		grants = append(grants, fmt.Sprintf("GRANT ALL PRIVILEGES ON %s.* TO %s", database, stranglerRole))
	}
	for _, step := range []func() error{
		func() error { return server.Role(ctx, monolithRole) },
		func() error { return server.Role(ctx, serviceRole) },
		func() error { return server.Role(ctx, stranglerRole, grants...) },
		func() error { return server.Create(ctx, monolithRole, monolithRole) },
		func() error { return server.Create(ctx, serviceRole, serviceRole) },
		func() error { return server.Create(ctx, "control", stranglerRole) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
