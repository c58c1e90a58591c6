// Package localdbtest shares one private PostgreSQL server, and one private MariaDB server, among the tests of a
// package, with a database of its own for each.
package localdbtest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strangler-fig/strangler/internal/localdb"
)

// Tests are the tests of a package; running them ends with the servers' end.
type Tests struct{ m *testing.M }

// Main is for TestMain: os.Exit(localdbtest.Main(m).Run()), or goleak.VerifyTestMain(localdbtest.Main(m)).
func Main(m *testing.M) Tests {
	used = true
	return Tests{m}
}

// Run runs the tests, then closes the servers that one of them has started.
func (t Tests) Run() int {
	code := t.m.Run()
	for _, s := range []*shared{&postgres, &mariadb} {
		if err := s.close(); err != nil {
			fmt.Println(err)
			code = max(code, 1)
		}
	}
	return code
}

var used bool // TestMain ends the servers

// shared is a server that the first test to ask for it starts.
type shared struct {
	sync.Mutex
	make   func(context.Context, localdb.Config) (*localdb.Server, error)
	server *localdb.Server
	err    error
}

var (
	postgres = shared{make: localdb.Postgres}
	mariadb  = shared{make: localdb.MariaDB}
)

func (s *shared) get(t testing.TB) *localdb.Server {
	t.Helper()
	if !used {
		t.Fatal("TestMain has to run the tests through localdbtest.Main, which ends the servers")
	}
	s.Lock()
	defer s.Unlock()
	if s.server == nil && s.err == nil {
		s.server, s.err = s.make(context.Background(), localdb.Config{})
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.server
}

func (s *shared) close() error {
	s.Lock()
	defer s.Unlock()
	if s.server == nil {
		return nil
	}
	return s.server.Close()
}

// Shared is the PostgreSQL server of this package's tests. The first call starts it.
func Shared(t testing.TB) *localdb.Server {
	t.Helper()
	return postgres.get(t)
}

// SharedMariaDB is Shared on MariaDB.
func SharedMariaDB(t testing.TB) *localdb.Server {
	t.Helper()
	return mariadb.get(t)
}

// Fresh makes an empty database that ends with the test, and returns the superuser's DSN of it.
func Fresh(t testing.TB) string {
	t.Helper()
	return Shared(t).DSN(Database(t, ""))
}

// FreshMariaDB is Fresh on MariaDB.
func FreshMariaDB(t testing.TB) string {
	t.Helper()
	return SharedMariaDB(t).DSN(DatabaseMariaDB(t, ""))
}

// Database makes an empty database that belongs to a role ("": the superuser) and ends with the test, and
// returns its name.
func Database(t testing.TB, owner string) string {
	t.Helper()
	return database(t, Shared(t), owner)
}

// DatabaseMariaDB is Database on MariaDB.
func DatabaseMariaDB(t testing.TB, owner string) string {
	t.Helper()
	return database(t, SharedMariaDB(t), owner)
}

var databases atomic.Int64

func database(t testing.TB, s *localdb.Server, owner string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := s.Create(t.Context(), name, owner); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Drop(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	return name
}
