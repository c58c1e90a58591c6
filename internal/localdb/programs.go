package localdb

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
)

// places are where packages put the programs of one version, which the * stands for.
var places = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"}

// askTime is how long pg_config may take.
const askTime = 10 * time.Second

// postgresBin is the folder with initdb and postgres.
type postgresBin string

func (p postgresBin) path(name string) string { return filepath.Join(string(p), name) }

// complete reports whether a server can be made from the folder: the clients' package brings half of it.
func (p postgresBin) complete() bool {
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(p.path(name)); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// installedPostgres is the newest version's programs, or else what the search path leads to.
func installedPostgres() (programs, error) {
	if found := newest(places); found != "" {
		return found, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		if p := postgresBin(strings.TrimSpace(string(out))); p.complete() {
			return p, nil
		}
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			if p := postgresBin(filepath.Dir(path)); p.complete() {
				return p, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: no PostgreSQL server is installed, neither in %s nor in the search path; nothing was started. Install one, which starts none: %s",
		strangler.ErrConfig, places[0], remedy())
}

var digits = regexp.MustCompile(`\d+(\.\d+)?`)

// newest is the complete folder of the highest version among those that match.
func newest(patterns []string) (best postgresBin) {
	highest := -1.0
	for _, pattern := range patterns {
		before, _, _ := strings.Cut(pattern, "*")
		matches, _ := filepath.Glob(pattern) // the patterns are well formed
		for _, m := range matches {
			version, _ := strconv.ParseFloat(digits.FindString(m[len(before):]), 64) // without a number: the oldest
			if p := postgresBin(m); version > highest && p.complete() {
				best, highest = p, version
			}
		}
	}
	return best
}

// remedy is the one command that installs a server and starts none.
func remedy() string {
	if runtime.GOOS == "darwin" {
		return "brew install postgresql"
	}
	const conf = "/etc/postgresql-common/createcluster.conf"
	return "sudo sh -c 'mkdir -p " + filepath.Dir(conf) + " && { test -e " + conf + " || echo create_main_cluster = false >" + conf + "; } && " +
		"apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold postgresql'"
}
