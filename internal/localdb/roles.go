package localdb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
)

// DSN is the superuser's way into a database.
func (s *Server) DSN(database string) string { return s.As(superuser, database) }

// As is the way into a database of a role that Role has made.
func (s *Server) As(role, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, s.password), Host: s.Addr(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Role makes a role that may log in. The options are SQL, as in "IN ROLE app" or "SUPERUSER".
func (s *Server) Role(ctx context.Context, name string, options ...string) error {
	return s.run(ctx, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' %s", quote(name), s.password, strings.Join(options, " ")))
}

// Create makes an empty database that belongs to a role; owner "" is the superuser.
func (s *Server) Create(ctx context.Context, database, owner string) error {
	if owner == "" {
		owner = superuser
	}
	return s.run(ctx, fmt.Sprintf("CREATE DATABASE %s OWNER %s", quote(database), quote(owner)))
}

// Drop removes a database, its replication slots, and ends whatever sessions are in it.
func (s *Server) Drop(ctx context.Context, database string) error {
	name := "'" + strings.ReplaceAll(database, "'", "''") + "'"
	err := s.run(ctx, "DO $$BEGIN FOR i IN 1 .. 100 LOOP PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = "+name+" AND active; "+
		"BEGIN PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = "+name+"; EXIT; EXCEPTION WHEN object_in_use THEN PERFORM pg_sleep(0.05); END; END LOOP; END$$")
	if err != nil {
		return err
	}
	return s.run(ctx, fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", quote(database)))
}

// run runs one statement as the superuser, in a session of its own.
func (s *Server) run(ctx context.Context, statement string) error {
	db, err := pgx.Connect(ctx, s.DSN(superuser))
	if err != nil {
		return fmt.Errorf("the private PostgreSQL server: %w", err)
	}
	_, err = db.Exec(ctx, statement)
	if err = errors.Join(err, db.Close(ctx)); err != nil {
		return fmt.Errorf("the private PostgreSQL server: %s: %w", strings.ReplaceAll(statement, s.password, "…"), err)
	}
	return nil
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
