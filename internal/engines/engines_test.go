package engines

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/migrations"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(localdbtest.Main(m)) }

func open(ctx context.Context, dsn string) (migrations.Database, error) {
	return Open(ctx, migrations.Binding{Capability: "delivery", Side: strangler.Legacy, DSN: dsn, Tables: []string{"couriers"}, ControlID: "x"})
}

func TestTheSchemeNamesTheEngine(t *testing.T) {
	server := localdbtest.Fresh(t)
	for dsn, identity := range map[string]string{
		localdbtest.FreshMariaDB(t): "mysql",
		server:                      "postgres", strings.Replace(server, "postgres:", "postgresql:", 1): "postgres",
	} {
		d, err := open(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Identity(t.Context())
		if err != nil || !strings.HasPrefix(got, identity) {
			t.Errorf("identity %q, %v", got, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Whatever is wrong with a database, its error says which side, and nothing of a password.
func TestDatabasesThatCannotBeOpened(t *testing.T) {
	address, mariadb := localdbtest.Shared(t).Addr(), localdbtest.SharedMariaDB(t).Addr()
	for dsn, want := range map[string]error{
		"":                      strangler.ErrConfig,
		"redis://u:hunter2@h/0": strangler.ErrConfig,
		"sqlite:" + filepath.Join(t.TempDir(), "nothing.db"):                       strangler.ErrRefused,
		"postgres://postgres:hunter2@" + address + "/postgres":                     strangler.ErrRefused,
		"mysql://root:hunter2@" + mariadb + "/mysql":                               strangler.ErrRefused,
		"mysql://u:hunter2@127.0.0.1:1/d":                                          strangler.ErrRefused,
		"mysql://u:hunter2@127.0.0.1:port/d":                                       strangler.ErrConfig,
		"mysql://u:hunter2/@127.0.0.1/d":                                           strangler.ErrConfig,
		"mysql://u:hunter2@127.0.0.1/d?tls=hunter2":                                strangler.ErrConfig,
		"mysql://u:hunter2@127.0.0.1/d?charset=big5":                               strangler.ErrConfig,
		"mysql://u:hunter2@127.0.0.1":                                              strangler.ErrConfig,
		"postgres://u:hunter2@127.0.0.1:1/d":                                       strangler.ErrRefused,
		"postgres://u:hunter2@127.0.0.1:port/d":                                    strangler.ErrConfig,
		"postgres://u:hunter2/@127.0.0.1/d":                                        strangler.ErrConfig,
		"postgres://u:hunter2%zz@127.0.0.1/d":                                      strangler.ErrConfig,
		"postgres://u@127.0.0.1/d?password=hunter2&sslmode=maybe":                  strangler.ErrConfig,
		"postgresql://u@" + address + "/postgres?password=hunter2&sslmode=disable": strangler.ErrRefused,
	} {
		d, err := open(t.Context(), dsn)
		if err == nil {
			t.Errorf("%s was opened: %v", dsn, d.Close())
			continue
		}
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "legacy") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v; want one that wraps %v", dsn, err, want)
		}
	}
}
