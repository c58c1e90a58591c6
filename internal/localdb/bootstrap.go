package localdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/strangler-fig/strangler"
)

// mariadbDefaults are for MariaDB what defaults are for PostgreSQL. The pages of InnoDB are still written twice:
// a process that is killed leaves half of one.
var mariadbDefaults = map[string]string{
	"log_bin":                             "binlog",
	"binlog_format":                       "ROW",
	"binlog_row_image":                    "FULL",
	"log_bin_trust_function_creators":     "ON",
	"max_connections":                     "300",
	"innodb_buffer_pool_size":             "64M",
	"innodb_log_file_size":                "48M",
	"innodb_buffer_pool_dump_at_shutdown": "OFF",
	"innodb_buffer_pool_load_at_startup":  "OFF",
	"aria_pagecache_buffer_size":          "8M",
	"key_buffer_size":                     "1M",
	"performance_schema":                  "OFF",
	"character_set_server":                "utf8mb4",
	"default_time_zone":                   "+00:00",
	"skip_name_resolve":                   "ON",
}

// The scripts that make the tables of the server itself, of those that an installation brings, in their order. The
// tables of the manual's text and the views of the schema sys are left out, which take most of the time.
var mariadbScripts = []string{"system_tables.sql", "performance_tables.sql", "system_tables_data.sql"}

// mariadbPlaces are where packages put mariadbd.
var mariadbPlaces = []string{"/usr/sbin/mariadbd", "/usr/libexec/mariadbd", "/usr/bin/mariadbd", "/usr/local/sbin/mariadbd", "/usr/local/bin/mariadbd",
	"/opt/homebrew/opt/mariadb*/bin/mariadbd", "/usr/local/opt/mariadb*/bin/mariadbd"}

// mariadbFiles are mariadbd and the scripts, by their names.
type mariadbFiles map[string]string

func (f mariadbFiles) path(name string) string { return f[name] }

// installedMariaDB is the first place's server that has its scripts, or else what the search path leads to.
func installedMariaDB() (programs, error) {
	var candidates []string
	for _, pattern := range mariadbPlaces {
		matches, _ := filepath.Glob(pattern) // the patterns are well formed
		candidates = append(candidates, matches...)
	}
	if path, err := exec.LookPath("mariadbd"); err == nil {
		candidates = append(candidates, path)
	}
	for _, path := range candidates {
		if files := completeMariaDB(path); files != nil {
			return files, nil
		}
	}
	return nil, fmt.Errorf("%w: no MariaDB server is installed, neither in %s nor in the search path; nothing was started. Install one, which starts none: %s",
		strangler.ErrConfig, mariadbPlaces[0], mariadbRemedy())
}

// completeMariaDB finds the scripts that belong to a program; nil without them, or where it cannot be run.
func completeMariaDB(program string) mariadbFiles {
	info, err := os.Stat(program)
	if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return nil
	}
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return nil
	}
	share := filepath.Join(filepath.Dir(filepath.Dir(real)), "share")
	for _, name := range []string{"mysql", "mariadb"} { // of the folder, and before the names of the files
		for _, prefix := range []string{"mysql_", "mariadb_"} {
			files := mariadbFiles{"mariadbd": program}
			for _, script := range mariadbScripts {
				path := filepath.Join(share, name, prefix+script)
				if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
					files[script] = path
				}
			}
			if len(files) == 1+len(mariadbScripts) {
				return files
			}
		}
	}
	return nil
}

func mariadbRemedy() string {
	if runtime.GOOS == "darwin" {
		return "brew install mariadb"
	}
	return "sudo apt-get install -y --no-install-recommends mariadb-server-core mariadb-client-core"
}

// bootstrap has the server run the scripts without serving anybody, and give the superuser its password.
func (s *Server) bootstrap(ctx context.Context, cfg Config) error {
	s.settings = maps.Clone(mariadbDefaults)
	s.settings["server_id"] = strconv.FormatUint(1+uint64(rand.Uint32N(math.MaxUint32)), 10)
	if cfg.Durable {
		s.settings["innodb_flush_log_at_trx_commit"], s.settings["sync_binlog"] = "1", "1"
	} else {
		s.settings["innodb_flush_log_at_trx_commit"], s.settings["sync_binlog"], s.settings["innodb_flush_method"] = "2", "0", "nosync"
	}
	maps.Copy(s.settings, cfg.Settings)
	if err := s.runScripts(ctx); err != nil {
		return fmt.Errorf("making a private MariaDB server: %w", err)
	}
	return nil
}

func (s *Server) runScripts(ctx context.Context) error {
	if err := os.Mkdir(s.data(), 0o700); err != nil {
		return err
	}
	if err := s.account.own(s.data()); err != nil {
		return err
	}
	input := []io.Reader{strings.NewReader("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n")}
	for _, script := range mariadbScripts {
		file, err := os.Open(s.programs.path(script))
		if err != nil {
			return err
		}
		defer file.Close()
		input = append(input, file, strings.NewReader("\n"))
	}
	input = append(input, strings.NewReader(fmt.Sprintf("DELETE FROM mysql.global_priv WHERE user <> 'mariadb.sys';\nDELETE FROM mysql.proxies_priv;\nFLUSH PRIVILEGES;\n"+
		"CREATE USER '%[1]s'@'%%' IDENTIFIED BY PASSWORD '%[2]s';\nGRANT ALL PRIVILEGES ON *.* TO '%[1]s'@'%%' WITH GRANT OPTION;\n",
		s.flavour.superuser, hashed(s.password))))
	p, err := start(command{
		path: s.programs.path("mariadbd"), dir: s.folder.dir, log: s.log(), who: s.account, lock: s.folder.lock, last: s.flavour.last,
		args: append(s.options(), "--bootstrap", "--skip-networking", "--enforce-storage-engine="), in: io.MultiReader(input...),
	})
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		err = errors.Join(ctx.Err(), p.crash())
	}
	if err = errors.Join(err, p.err, p.gone()); err != nil {
		return fmt.Errorf("the first start: %w%s", err, s.lastWords())
	}
	return nil
}

// options are the settings as mariadbd's command line, which alone counts.
func (s *Server) options() []string {
	args := []string{"--no-defaults"}
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		if value := s.settings[name]; value == "" {
			args = append(args, "--"+name)
		} else {
			args = append(args, "--"+name+"="+value)
		}
	}
	return append(args, "--datadir="+s.data(), "--tmpdir="+s.folder.dir, "--pid-file="+filepath.Join(s.folder.dir, "pid"), "--socket=")
}
