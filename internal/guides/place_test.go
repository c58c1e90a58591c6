package guides

import (
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strangler-fig/strangler/internal/localdb"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is where a guide is tried.
type place struct {
	home      string // a person's, with nothing in it but the checkout ~/strangler, and the password of PostgreSQL's superuser
	env       []string
	addresses *strings.Replacer // from the guides' addresses to those that are free here
	back      *strings.Replacer
}

// listens are the addresses of the guides. They have four digits here as well: columns stay as wide as they are.
var listens = []string{"127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:9000", "127.0.0.1:9001"}

// newPlace has a MariaDB server where it is asked for.
func newPlace(t *testing.T, mariadb bool) *place {
	t.Helper()
	p := &place{home: t.TempDir()}
	must(t, os.Symlink(checkout(t), filepath.Join(p.home, "strangler")))
	var there, back []string
	for _, address := range listens {
		here := freeAddress(t)
		there, back = append(there, address, here), append(back, here, address)
	}
	if mariadb {
		here := p.mariadb(t)
		there, back = append(there, mariadbListens, here), append(back, here, mariadbListens)
	}
	p.addresses = strings.NewReplacer(there...)
	p.back = strings.NewReplacer(back...)
	p.env = p.environment(t, p.postgres(t))
	return p
}

// mariadbListens is where a guide's MariaDB server is.
const mariadbListens = "127.0.0.1:3306"

// mariadb starts a server whose administrator the person is. What asks how triggers may be made, and what reads its binary log, find
// it as check wants it.
func (p *place) mariadb(t *testing.T) (address string) {
	t.Helper()
	server, err := localdb.MariaDB(t.Context(), localdb.Config{Settings: map[string]string{"binlog_row_metadata": "FULL", "sync_binlog": "1"}})
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	u, err := url.Parse(server.DSN(""))
	must(t, err)
	password, _ := u.User.Password()
	login := fmt.Sprintf("[client]\nhost=%s\nport=%s\nuser=%s\npassword=%s\n", u.Hostname(), u.Port(), u.User.Username(), password)
	must(t, os.WriteFile(filepath.Join(p.home, ".my.cnf"), []byte(login), 0o600))
	return u.Host
}

// postgres starts a server whose superuser the person is.
func (p *place) postgres(t *testing.T) (port string) {
	t.Helper()
	server, err := localdb.Postgres(t.Context(), localdb.Config{})
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	u, err := url.Parse(server.DSN("postgres"))
	must(t, err)
	password, _ := u.User.Password()
	must(t, os.WriteFile(filepath.Join(p.home, ".pgpass"), []byte("*:*:*:"+u.User.Username()+":"+password+"\n"), 0o600))
	return u.Port()
}

// environment is a person's: of this process's what Go and the shell need, and where the server is.
func (p *place) environment(t *testing.T, port string) (env []string) {
	t.Helper()
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if !slices.Contains([]string{"HOME", "USER", "PS1", "ENV", "BASH_ENV", "NO_COLOR", "TERM", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}, name) &&
			!strings.HasPrefix(name, "PG") && !strings.HasPrefix(name, "STRANGLER_") {
			env = append(env, pair)
		}
	}
	for _, name := range []string{"GOPATH", "GOMODCACHE", "GOCACHE", "GOENV"} { // beside the real home
		value, err := exec.Command("go", "env", name).Output()
		must(t, err)
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	return append(env, "HOME="+p.home, "USER=kim", "PGHOST=127.0.0.1", "PGPORT="+port, "PGUSER=postgres", "PGPASSFILE="+filepath.Join(p.home, ".pgpass"))
}

// copied is the folder of the copy; empty while no test has needed it.
var copied string

// checkout copies this repository once, for all tests, and builds it: here nothing is changed by that. Its path is
// not in the programs, so what was compiled once is not compiled again.
func checkout(t *testing.T) string {
	t.Helper()
	dir, err := theCopy()
	must(t, err)
	return dir
}

var theCopy = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "strangler-guides-")
	if err != nil {
		return "", err
	}
	copied = dir
	root := "../.."
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && slices.Contains([]string{".git", "bin", ".strangler", "docs"}, d.Name()):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(dir, name), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), text, 0o644)
	})
	if err != nil {
		return "", fmt.Errorf("copying the repository: %w", err)
	}
	// The guides have this done as well, and find it done: so it is not done by several at once.
	if out, err := exec.Command("make", "-C", dir, "build").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return dir, nil
})

var lastPort atomic.Int32

func init() { lastPort.Store(int32(5200 + os.Getpid()%2000)) }

// freeAddress is handed out once, and is outside of what the system gives to whoever asks for any port.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 2000 {
		address := fmt.Sprintf("127.0.0.1:%d", lastPort.Add(1))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		must(t, l.Close())
		if !slices.Contains(listens, address) {
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
