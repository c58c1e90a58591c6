package localdb

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

var postgres = &flavour{
	name:      "PostgreSQL",
	prefix:    "strangler-postgres-",
	accounts:  []string{"postgres", "nobody"},
	superuser: "postgres",
	home:      "postgres",
	scheme:    "postgres",
	options:   "sslmode=disable",

	stop: syscall.SIGINT,
	now:  syscall.SIGQUIT,
	last: syscall.SIGQUIT, // the immediate stop; killed, the postmaster would leave its backends

	installed:  installedPostgres,
	initialise: (*Server).initdb,
	serve: func(s *Server) (string, []string) {
		return s.programs.path("postgres"), []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	},
	release: releaseMemory,

	open: func(dsn string) (*sql.DB, error) { return sql.Open("pgx", dsn) },
	role: func(name, password string, options []string) []string {
		return []string{fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' %s", quote(name), password, strings.Join(options, " "))}
	},
	create: func(database, owner string) []string {
		return []string{fmt.Sprintf("CREATE DATABASE %s OWNER %s", quote(database), quote(owner))}
	},
	drop: dropPostgres,
}

// dropPostgres waits for whoever reads a replication slot of the database to let it go.
func dropPostgres(ctx context.Context, s *Server, database string) error {
	name := "'" + strings.ReplaceAll(database, "'", "''") + "'"
	return s.run(ctx,
		"DO $$BEGIN FOR i IN 1 .. 100 LOOP PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = "+name+" AND active; "+
			"BEGIN PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = "+name+"; EXIT; EXCEPTION WHEN object_in_use THEN PERFORM pg_sleep(0.05); END; END LOOP; END$$",
		fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", quote(database)))
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
