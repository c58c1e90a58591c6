package localdb

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"syscall"
)

// flavour is what one database does differently from the other.
type flavour struct {
	name      string   // as people write it
	prefix    string   // of the names of its servers' folders
	accounts  []string // the users that it runs as where this process is root: the first that exists
	superuser string
	home      string // the database in which the superuser works
	scheme    string // of its DSNs
	options   string // of its DSNs, behind the question mark

	stop os.Signal      // ends every session and writes all to disk
	now  os.Signal      // ends it at once and leaves the rest to recovery
	last syscall.Signal // what it gets when this process dies; takes every process of the server with it

	installed  func() (programs, error)
	initialise func(s *Server, ctx context.Context, cfg Config) error // makes the data, and the superuser
	serve      func(s *Server) (path string, args []string)           // the program that serves the data on the port
	release    func(data string)                                      // gives back what a killed server leaves outside of its folder; nil: nothing

	open   func(dsn string) (*sql.DB, error)
	role   func(name, password string, options []string) []string
	create func(database, owner string) []string
	drop   func(ctx context.Context, s *Server, database string) error
}

// dsn is the way into a database of a server.
func (f *flavour) dsn(user, password, addr, database string) string {
	u := url.URL{Scheme: f.scheme, User: url.UserPassword(user, password), Host: addr, Path: "/" + database, RawQuery: f.options}
	return u.String()
}

// programs are where the programs of one installation are, by their names.
type programs interface{ path(name string) string }
