package localdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// defaults make a small server that starts quickly and can do all that a split may ask for. Its memory is in
// its folder, so that a killed one leaves none behind.
var defaults = map[string]string{
	"shared_buffers":             "32MB",
	"dynamic_shared_memory_type": "mmap",
	"max_connections":            "200",
	"max_prepared_transactions":  "20",
	"wal_level":                  "logical",
	"max_replication_slots":      "100",
	"max_wal_senders":            "100",
	"min_wal_size":               "32MB",
	"max_wal_size":               "256MB",
	"autovacuum":                 "on",
	"log_line_prefix":            "%m [%p] %q%u@%d %a ",
	"timezone":                   "UTC",
	"log_timezone":               "UTC",
}

// initdb makes the cluster: the program of that name, then the settings.
func (s *Server) initdb(ctx context.Context, cfg Config) error {
	secret := filepath.Join(s.folder.dir, "password")
	if err := os.WriteFile(secret, []byte(s.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("making a private PostgreSQL server: %w", err)
	}
	if err := s.account.own(secret); err != nil {
		return fmt.Errorf("making a private PostgreSQL server: %w", err)
	}
	p, err := start(command{
		path: s.programs.path("initdb"), dir: s.folder.dir, log: s.log(), who: s.account, lock: s.folder.lock, last: s.flavour.last,
		args: []string{"--pgdata", s.data(), "--username", s.flavour.superuser, "--pwfile", secret, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"},
	})
	if err != nil {
		return fmt.Errorf("making a private PostgreSQL server: %w", err)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		err = errors.Join(ctx.Err(), p.crash())
	}
	if err = errors.Join(err, p.err, p.gone()); err != nil {
		return fmt.Errorf("making a private PostgreSQL server: initdb: %w%s", err, s.lastWords())
	}
	if err := os.Remove(secret); err != nil {
		return fmt.Errorf("making a private PostgreSQL server: %w", err)
	}
	return s.configure(cfg)
}

// configure adds the settings to initdb's; the last of a name counts.
func (s *Server) configure(cfg Config) error {
	all := maps.Clone(defaults)
	if !cfg.Durable {
		all["fsync"], all["full_page_writes"] = "off", "off"
	}
	maps.Copy(all, cfg.Settings)
	maps.Copy(all, map[string]string{"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "logging_collector": "off", "lc_messages": "C"})
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.NewReplacer(`\`, `\\`, "'", "''").Replace(all[name]))
	}
	file, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("making a private PostgreSQL server: %w", err)
	}
	_, err = file.WriteString("\n" + b.String())
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("making a private PostgreSQL server: %w", err)
	}
	return nil
}
