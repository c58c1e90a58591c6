package outage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
)

// The roles: the monolith and the service share one, Strangler has its own, which may do what the
// application's may.
const (
	appRole   = "app"
	ourRole   = "strangler"
	superRole = "postgres"
)

var sides = []strangler.Side{strangler.Legacy, strangler.Service}

// servers are started when they are first needed, and end with the package's tests.
var servers struct {
	sync.Mutex
	at  map[strangler.Side]*localdb.Server
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, s := range servers.at {
		if err := s.Close(); err != nil {
			fmt.Println(err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

func server(t testing.TB, side strangler.Side) *localdb.Server {
	t.Helper()
	servers.Lock()
	defer servers.Unlock()
	if servers.at == nil {
		servers.at = map[strangler.Side]*localdb.Server{}
		for _, s := range sides {
			servers.err = errors.Join(servers.err, startServer(s))
		}
	}
	must(t, servers.err)
	return servers.at[side]
}

func startServer(side strangler.Side) error {
	ctx := context.Background()
	s, err := localdb.Postgres(ctx, localdb.Config{Settings: map[string]string{"autovacuum_naptime": "1s"}})
	if err != nil {
		return err
	}
	servers.at[side] = s
	return errors.Join(s.Role(ctx, appRole), s.Role(ctx, ourRole, "REPLICATION", "IN ROLE "+appRole), grant(ctx, s))
}

// grant gives Strangler what it needs beside the tables.
func grant(ctx context.Context, s *localdb.Server) error {
	db, err := connect(ctx, s.DSN("postgres"))
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, "GRANT SET ON PARAMETER session_replication_role TO "+ourRole+"; GRANT pg_read_all_stats TO "+ourRole)
	return errors.Join(err, db.Close(ctx))
}
