// Package localdbtest shares one private PostgreSQL server among the tests of a package, with a database of
// its own for each.
package localdbtest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strangler-fig/strangler/internal/localdb"
)

// Tests are the tests of a package; running them ends with the server's end.
type Tests struct{ m *testing.M }

// Main is for TestMain: os.Exit(localdbtest.Main(m).Run()), or goleak.VerifyTestMain(localdbtest.Main(m)).
func Main(m *testing.M) Tests {
	shared.used = true
	return Tests{m}
}

// Run runs the tests, then closes the server if one of them has started it.
func (t Tests) Run() int {
	code := t.m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		if err := shared.server.Close(); err != nil {
			fmt.Println(err)
			code = max(code, 1)
		}
	}
	return code
}

var shared struct {
	sync.Mutex
	used   bool // TestMain ends the server
	server *localdb.Server
	err    error
}

var databases atomic.Int64

// Shared is the server of this package's tests. The first call starts it.
func Shared(t testing.TB) *localdb.Server {
	t.Helper()
	if !shared.used {
		t.Fatal("TestMain has to run the tests through localdbtest.Main, which ends the server")
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = localdb.Postgres(context.Background(), localdb.Config{})
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// Fresh makes an empty database that ends with the test, and returns the superuser's DSN of it.
func Fresh(t testing.TB) string {
	t.Helper()
	return Shared(t).DSN(Database(t, ""))
}

// Database makes an empty database that belongs to a role ("": the superuser) and ends with the test, and
// returns its name.
func Database(t testing.TB, owner string) string {
	t.Helper()
	s := Shared(t)
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
