package localdb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

// Config of a private server. The zero value is usable.
type Config struct {
	// Dir is the parent of the server's folder; it is made if it is missing. Empty: the system's folder for
	// temporary files, or another one if the server's user cannot enter that.
	Dir string
	// Settings over the defaults of cluster.go and bootstrap.go: those of postgresql.conf, or the variables that
	// mariadbd takes on its command line, with underscores; one that takes no value, as skip_log_bin, has "".
	Settings map[string]string
	// Durable waits for the disk at every commit. Without it a killed process, server or client, loses
	// nothing either; a power failure would.
	Durable bool
}

// reserved are the settings that a Server has to know the value of.
var reserved = []string{
	"port", "listen_addresses", "unix_socket_directories", "data_directory", "hba_file", "logging_collector", "lc_messages",
	"bind_address", "socket", "datadir", "tmpdir", "pid_file", "log_error", "init_file", "user", "skip_networking",
}

var settingName = regexp.MustCompile(`^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$`)

// Validate says what is unusable, as an ErrConfig.
func (c Config) Validate() error {
	for name, value := range c.Settings {
		switch {
		case !settingName.MatchString(name):
			return fmt.Errorf("%w: %q is no name of a database server's setting; nothing was started", strangler.ErrConfig, name)
		case slices.Contains(reserved, name):
			return fmt.Errorf("%w: a private database server chooses the setting %s itself; nothing was started, leave it out", strangler.ErrConfig, name)
		case strings.ContainsAny(value, "\n\r\x00"):
			return fmt.Errorf("%w: the value of the database server's setting %s has more than one line; nothing was started", strangler.ErrConfig, name)
		}
	}
	return nil
}

// Postgres makes a cluster, starts it, and returns when it answers. ctx bounds that alone; the server runs
// until Close, and at the longest as long as this process. As root it runs as another user. Where no
// PostgreSQL is installed, or the folder cannot be used, the error is an ErrConfig that says what to do.
func Postgres(ctx context.Context, cfg Config) (*Server, error) { return newServer(ctx, postgres, cfg) }

// MariaDB is Postgres for MariaDB. The server writes a binlog in row format, and its clock is in UTC.
func MariaDB(ctx context.Context, cfg Config) (*Server, error) { return newServer(ctx, mariadb, cfg) }

func newServer(ctx context.Context, f *flavour, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	programs, err := f.installed()
	if err != nil {
		return nil, err
	}
	who, err := f.owner()
	if err != nil {
		return nil, err
	}
	dir, err := newFolder(cfg.Dir, f, who)
	if err != nil {
		return nil, err
	}
	s := &Server{flavour: f, programs: programs, account: who, folder: dir, password: rand.Text()}
	if err := f.initialise(s, ctx, cfg); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.choosePort(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.folder.dir, "data") }
func (s *Server) log() string  { return filepath.Join(s.folder.dir, "server.log") }
