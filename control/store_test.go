package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
)

// childVariable makes the test binary a process of its own that does one thing to a store and ends.
const childVariable = "STRANGLER_CONTROL_TEST_CHILD"

func TestMain(m *testing.M) {
	if task := os.Getenv(childVariable); task != "" {
		if err := child(task, os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(localdbtest.Main(m))
}

// place is a kind of database that a store may be in.
type place struct {
	name string
	dsn  func(t *testing.T) string // names a store that does not exist yet
}

var (
	sqlitePlace = place{"sqlite", func(t *testing.T) string {
		return "sqlite:" + filepath.Join(t.TempDir(), "state", "control.db")
	}}
	postgresPlace = place{"postgres", newSchema}
	mariadbPlace  = place{"mariadb", newDatabase}
)

var shared struct {
	user    sync.Once // of MariaDB
	once    sync.Once
	err     error
	userErr error
	schemas atomic.Int64
}

// newSchema makes an empty schema, which is far cheaper than a database. It belongs to an ordinary role.
func newSchema(t *testing.T) string {
	t.Helper()
	server := localdbtest.Shared(t)
	shared.once.Do(func() {
		shared.err = errors.Join(server.Role(context.Background(), "control"), server.Create(context.Background(), "control", "control"))
	})
	noError(t, shared.err)
	dsn := fmt.Sprintf("%s&search_path=store_%d", server.As("control", "control"), shared.schemas.Add(1))
	_, schema, _ := strings.Cut(dsn, "search_path=")
	admin := must(server.Pool("", "control"))(t)
	_, err := admin.Exec("CREATE SCHEMA " + schema + " AUTHORIZATION control")
	noError(t, errors.Join(err, admin.Close()))
	return dsn
}

// newDatabase makes an empty database on MariaDB, on which an ordinary user has all privileges.
func newDatabase(t *testing.T) string {
	t.Helper()
	server := localdbtest.SharedMariaDB(t)
	shared.user.Do(func() { shared.userErr = server.Role(context.Background(), "control") })
	noError(t, shared.userErr)
	return server.As("control", localdbtest.DatabaseMariaDB(t, "control"))
}

// eachPlace runs a test once for each kind of database.
func eachPlace(t *testing.T, test func(t *testing.T, at place)) {
	for _, at := range []place{sqlitePlace, postgresPlace, mariadbPlace} {
		t.Run(at.name, func(t *testing.T) { test(t, at) })
	}
}

func openStore(t *testing.T, c Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// newStore opens a fresh store that knows delivery (with a table) and search (stateless).
func newStore(t *testing.T, at place) *Store {
	t.Helper()
	s := openStore(t, Config{DSN: at.dsn(t)})
	ensure(t, s)
	return s
}

var (
	delivery = strangler.Capability{Name: "delivery", Tables: []strangler.Table{{From: "couriers", To: "couriers"}}}
	search   = strangler.Capability{Name: "search"}
)

func ensure(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Ensure(t.Context(), []strangler.Capability{delivery, search}); err != nil {
		t.Fatal(err)
	}
}

// must is the value of a call that may not fail.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails unless err wraps target; ErrUnknown is never another error as well.
func wants(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error %v; want one that wraps %v", err, target)
	}
	if target != strangler.ErrUnknown && errors.Is(err, strangler.ErrUnknown) {
		t.Fatalf("error %v says that the outcome is unknown", err)
	}
}

// testClock stands still until it is moved.
type testClock struct{ micros atomic.Int64 }

func newClock() *testClock {
	c := &testClock{}
	c.micros.Store(time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

func (c *testClock) now() time.Time          { return time.UnixMicro(c.micros.Load()).UTC() }
func (c *testClock) advance(d time.Duration) { c.micros.Add(d.Microseconds()) }

// checkAudit fails unless every epoch of the capability after the first has exactly one audit row.
func checkAudit(t *testing.T, s *Store, capability string) {
	t.Helper()
	toggle := must(s.Toggle(t.Context(), capability))(t)
	history := must(s.History(t.Context(), capability))(t)
	if int64(len(history)) != toggle.Epoch-1 {
		t.Fatalf("%d audit rows at epoch %d of %s; want one for each epoch after the first", len(history), toggle.Epoch, capability)
	}
	for i, entry := range history {
		if entry.Epoch != int64(i)+2 {
			t.Fatalf("audit row %d of %s has epoch %d; want %d", i, capability, entry.Epoch, i+2)
		}
	}
}

func set(ctx context.Context, s *Store, capability string, mode strangler.Mode, percent strangler.Percent) (strangler.Toggle, error) {
	return s.Set(ctx, capability, strangler.ToggleChange{Mode: mode, Percent: percent, Who: "ann", Why: "a test"})
}
