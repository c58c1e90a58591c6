//go:build linux

package localdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler"
)

// TestMain is also this test's own program in the role of a parent.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STRANGLER_LOCALDB_PARENT"); dir != "" {
		os.Exit(parent(os.Getenv("STRANGLER_LOCALDB_FLAVOUR"), dir))
	}
	goleak.VerifyTestMain(m)
}

var flavours = []*flavour{postgres, mariadb}

func server(t *testing.T, cfg Config) *Server {
	t.Helper()
	return serverOf(t, postgres, cfg)
}

func serverOf(t *testing.T, f *flavour, cfg Config) *Server {
	t.Helper()
	s, err := newServer(t.Context(), f, cfg)
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

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	db, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return db
}

func ask[T any](t *testing.T, db *pgx.Conn, query string, args ...any) (v T) {
	t.Helper()
	if err := db.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func run(t *testing.T, db *pgx.Conn, query string) {
	t.Helper()
	if _, err := db.Exec(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestServerFromStartToClose(t *testing.T) {
	s := server(t, Config{Settings: map[string]string{"work_mem": "3MB", "cluster_name": `it's C:\new`}})
	db := connect(t, s.DSN("postgres"))
	for name, want := range map[string]string{
		"work_mem": "3MB", "cluster_name": `it's C:\new`, "wal_level": "logical", "fsync": "off", "listen_addresses": "127.0.0.1",
		"unix_socket_directories": "", "autovacuum": "on", "server_encoding": "UTF8", "max_prepared_transactions": "20",
	} {
		if got := ask[string](t, db, "SELECT current_setting($1)", name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if dir := ask[string](t, db, "SHOW data_directory"); dir != s.data() {
		t.Errorf("it runs on %s, want %s", dir, s.data())
	}
	must(t, db.Close(t.Context()))
	dir := s.folder.dir
	for range 2 {
		must(t, s.Close())
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is still there: %v", err)
	}
	if _, err := pgx.Connect(t.Context(), s.DSN("postgres")); err == nil {
		t.Error("it still answers")
	}
	if err := s.Restart(t.Context()); err == nil {
		t.Error("a closed server was started")
	}
}

func TestDurableServerWaitsForTheDisk(t *testing.T) {
	s := server(t, Config{Durable: true, Settings: map[string]string{"shared_buffers": "16MB"}})
	db := connect(t, s.DSN("postgres"))
	if got := ask[string](t, db, "SHOW fsync") + " " + ask[string](t, db, "SHOW full_page_writes"); got != "on on" {
		t.Errorf("fsync and full_page_writes are %s", got)
	}
}

// A password is asked for, and neither a command line nor a file shows it.
func TestOnlyThePasswordOpensTheServer(t *testing.T) {
	s := server(t, Config{})
	must(t, s.Role(t.Context(), "app"))
	must(t, s.Role(t.Context(), `odd "name"`, "IN ROLE app", "CREATEDB"))
	must(t, s.Create(t.Context(), "shop of app", "app"))
	for _, role := range []string{"app", `odd "name"`} {
		db := connect(t, s.As(role, "shop of app"))
		if got := ask[string](t, db, "SELECT session_user"); got != role {
			t.Errorf("the session is %s's, want %s's", got, role)
		}
	}
	db := connect(t, s.DSN("shop of app"))
	if !ask[bool](t, db, `SELECT pg_has_role('odd "name"', 'app', 'MEMBER') AND (SELECT rolcreatedb FROM pg_roles WHERE rolname = 'odd "name"')`) {
		t.Error("the options of the role were lost")
	}
	wrong := strings.Replace(s.DSN("postgres"), s.password, "guess", 1)
	if _, err := pgx.Connect(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("with another password: %v", err)
	}
	if err := s.Role(t.Context(), "app"); err == nil || strings.Contains(err.Error(), s.password) {
		t.Errorf("a role that is there was made, or its password shown: %v", err)
	}
	err := filepath.WalkDir(s.folder.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == s.log() {
			return err // the log of the statement that failed shows it, to the server's user
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), s.password) {
			t.Errorf("%s holds the password", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	must(t, s.Drop(t.Context(), "shop of app")) // with sessions in it
	if err := db.Ping(t.Context()); err == nil {
		t.Error("a session outlives its database")
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for name, value := range map[string]string{"port": "1", "datadir": "/tmp", "no name": "1", "work_mem": "1MB'\nport = 1"} {
		for _, f := range flavours {
			_, err := newServer(t.Context(), f, Config{Settings: map[string]string{name: value}})
			if !errors.Is(err, strangler.ErrConfig) || !strings.Contains(err.Error(), "nothing was started") {
				t.Errorf("%s: %s = %q: %v", f.name, name, value, err)
			}
		}
	}
}

// What PostgreSQL itself refuses is told, and leaves nothing behind.
func TestServerThatCannotStart(t *testing.T) {
	for f, complaint := range map[*flavour]string{postgres: `invalid value for parameter "work_mem"`, mariadb: "unknown variable 'work_mem=much'"} {
		parent := open(t)
		_, err := newServer(t.Context(), f, Config{Dir: parent, Settings: map[string]string{"work_mem": "much"}})
		if err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("error %v", err)
		}
		left, err := os.ReadDir(parent)
		must(t, err)
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := newServer(ctx, f, Config{Dir: parent}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
}

// open is a folder that the server's user can enter: a test's own can be root's alone.
func open(t *testing.T) string {
	t.Helper()
	who, err := postgres.owner()
	must(t, err)
	parent, err := postgres.parentFolder("", who)
	must(t, err)
	dir, err := os.MkdirTemp(parent, "localdb-test-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o711))
	return dir
}

// A crash loses no commit and every open transaction; a restart goes through recovery, on the same address.
func TestKillIsACrash(t *testing.T) {
	s := server(t, Config{})
	addr := s.Addr()
	db, late := connect(t, s.DSN("postgres")), connect(t, s.DSN("postgres"))
	run(t, db, "CREATE TABLE x (a int)")
	run(t, db, "INSERT INTO x VALUES (1)")
	run(t, late, "BEGIN")
	run(t, late, "INSERT INTO x VALUES (2)")
	run(t, late, "SAVEPOINT s")
	life := s.process
	for range 2 {
		must(t, s.Kill())
	}
	if !life.ended() {
		t.Error("the postmaster lives")
	}
	if err := db.Ping(t.Context()); err == nil {
		t.Error("a backend lives")
	}
	must(t, s.Restart(t.Context()))
	if s.Addr() != addr {
		t.Errorf("it is back on %s, want %s", s.Addr(), addr)
	}
	again := connect(t, s.DSN("postgres"))
	if got := ask[int](t, again, "SELECT sum(a) FROM x"); got != 1 {
		t.Errorf("the sum is %d, want 1", got)
	}
	log, err := os.ReadFile(s.log())
	must(t, err)
	if n := strings.Count(string(log), "was not properly shut down; automatic recovery in progress"); n != 1 {
		t.Errorf("%d recoveries, want 1:\n%s", n, log)
	}
}

// A restart of a server that runs is a proper one.
func TestRestartOfAServerThatRuns(t *testing.T) {
	s := server(t, Config{})
	db := connect(t, s.DSN("postgres"))
	run(t, db, "CREATE TABLE x (a int)")
	must(t, s.Restart(t.Context()))
	if err := db.Ping(t.Context()); err == nil {
		t.Error("a session outlives the restart")
	}
	ask[int](t, connect(t, s.DSN("postgres")), "SELECT count(*) FROM x")
	log, err := os.ReadFile(s.log())
	must(t, err)
	if strings.Contains(string(log), "automatic recovery in progress") {
		t.Errorf("it crashed:\n%s", log)
	}
}

func TestPortThatIsTaken(t *testing.T) {
	a := server(t, Config{})
	for _, f := range flavours {
		b := serverOf(t, f, Config{})
		if a.Addr() == b.Addr() {
			t.Fatal("two servers on one address")
		}
		must(t, b.Kill())
		own := b.port
		b.port = a.port
		if err := b.Restart(t.Context()); !errors.Is(err, errPort) {
			t.Errorf("error %v, want that the port is taken", err)
		}
		b.port = own
		must(t, b.Restart(t.Context()))
	}
}

func TestCloseOfAKilledServerLeavesNoMemory(t *testing.T) {
	s := server(t, Config{})
	must(t, s.Kill())
	b, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	must(t, err)
	var key, id int
	if _, err := fmt.Sscan(strings.Split(string(b), "\n")[6], &key, &id); err != nil {
		t.Fatal(err)
	}
	if !segment(t, id) {
		t.Fatalf("the segment %d is not there while the server is down", id)
	}
	must(t, s.Close())
	if segment(t, id) {
		t.Errorf("the segment %d is still there", id)
	}
}
