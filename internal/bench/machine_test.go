package bench

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/strangler-fig/strangler/internal/localdb"
)

// machine is what the figures were measured on.
type machine struct {
	CPU        string            `json:"cpu"`
	Cores      int               `json:"cores"`
	Memory     int               `json:"memory_mb"`
	System     string            `json:"system"`
	FileSystem string            `json:"file_system"` // of the databases
	Go         string            `json:"go"`
	PostgreSQL string            `json:"postgresql,omitempty"`
	Settings   map[string]string `json:"postgresql_settings,omitempty"`
	SQLite     string            `json:"sqlite3,omitempty"` // the shell's version
}

func (m machine) String() string {
	text := strings.Join([]string{m.CPU, strconv.Itoa(m.Cores) + " cores", strconv.Itoa(m.Memory) + " MB", m.System, m.FileSystem, m.Go}, ", ")
	if m.PostgreSQL != "" {
		text += ", PostgreSQL " + m.PostgreSQL
		for _, name := range settings {
			text += ", " + name + "=" + m.Settings[name]
		}
	}
	if m.SQLite != "" {
		text += ", sqlite3 " + m.SQLite
	}
	return text
}

// settings are those that say how a server waits for its disk, and what memory it has.
var settings = []string{"fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "wal_level", "shared_buffers", "max_wal_size"}

func (m *machine) look() {
	m.Cores, m.Go = runtime.NumCPU(), runtime.Version()
	m.CPU = after("/proc/cpuinfo", "model name")
	if kb, err := strconv.Atoi(strings.TrimSuffix(after("/proc/meminfo", "MemTotal"), " kB")); err == nil {
		m.Memory = kb / 1024
	}
	m.System = runtime.GOOS
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += " " + strings.TrimSpace(string(b))
	}
	m.FileSystem = fileSystem(os.TempDir())
	if out, err := exec.Command("sqlite3", "--version").Output(); err == nil {
		m.SQLite, _, _ = strings.Cut(string(out), " ")
	}
}

// server adds what a server says of itself.
func (m *machine) server(t testing.TB, s *localdb.Server) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.DSN("postgres"))
	must(t, err)
	defer c.Close(ctx)
	show := func(name string) (value string) {
		must(t, c.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value))
		return value
	}
	m.PostgreSQL, m.Settings = show("server_version"), map[string]string{}
	for _, name := range settings {
		m.Settings[name] = show(name)
	}
}

// after is what stands behind the first "name :" of a file of the kernel.
func after(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// fileSystem is the type, with its options, of the file system that holds a folder.
func fileSystem(dir string) string {
	dir, err := filepath.EvalSymlinks(dir)
	b, errRead := os.ReadFile("/proc/mounts")
	if err != nil || errRead != nil {
		return "unknown file system"
	}
	best, at := "unknown file system", ""
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 3 && len(f[1]) >= len(at) && (f[1] == "/" || dir == f[1] || strings.HasPrefix(dir, f[1]+"/")) {
			at, best = f[1], f[2]+" ("+f[3]+")"
		}
	}
	return best
}
