package localdb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// DSN is the superuser's way into a database. On MariaDB the database may be "", which is none.
func (s *Server) DSN(database string) string { return s.As(s.flavour.superuser, database) }

// As is the way into a database of a role that Role has made.
func (s *Server) As(role, database string) string {
	return s.flavour.dsn(role, s.password, s.Addr(), database)
}

// Pool are a role's connections to a database, for database/sql; "" is the superuser. On MariaDB times are read
// as time.Time in UTC. The caller closes it.
func (s *Server) Pool(role, database string) (*sql.DB, error) {
	db, err := s.flavour.open(s.As(cmp.Or(role, s.flavour.superuser), database))
	if err != nil {
		return nil, fmt.Errorf("the private %s server: %w", s.flavour.name, err)
	}
	return db, nil
}

// Role makes a role that may log in. The options are SQL: on PostgreSQL those of CREATE ROLE, as in "IN ROLE app"
// or "SUPERUSER"; on MariaDB statements of their own, as in "GRANT PROCESS ON *.* TO app", and the role may come
// from every host.
func (s *Server) Role(ctx context.Context, name string, options ...string) error {
	return s.run(ctx, s.flavour.role(name, s.password, options)...)
}

// Create makes an empty database that belongs to a role; owner "" is the superuser. On MariaDB, where databases
// belong to nobody, the role gets all privileges on it.
func (s *Server) Create(ctx context.Context, database, owner string) error {
	return s.run(ctx, s.flavour.create(database, cmp.Or(owner, s.flavour.superuser))...)
}

// Drop removes a database, its replication slots, and ends whatever sessions are in it.
func (s *Server) Drop(ctx context.Context, database string) error {
	return s.flavour.drop(ctx, s, database)
}

// run runs statements as the superuser, in one session of their own.
func (s *Server) run(ctx context.Context, statements ...string) error {
	return s.session(ctx, func(db *sql.Conn) error {
		for _, statement := range statements {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", strings.ReplaceAll(statement, s.password, "…"), err)
			}
		}
		return nil
	})
}

// session is one of the superuser's, in no database of anybody's.
func (s *Server) session(ctx context.Context, use func(*sql.Conn) error) error {
	pool, err := s.Pool("", s.flavour.home)
	if err != nil {
		return err
	}
	db, err := pool.Conn(ctx)
	if err == nil {
		err = errors.Join(use(db), db.Close())
	}
	if err = errors.Join(err, pool.Close()); err != nil {
		return fmt.Errorf("the private %s server: %w", s.flavour.name, err)
	}
	return nil
}
