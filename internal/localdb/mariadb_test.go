//go:build linux

package localdb

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
)

func pool(t *testing.T, s *Server, role, database string) *sql.DB {
	t.Helper()
	db, err := s.Pool(role, database)
	must(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func askSQL[T any](t *testing.T, db *sql.DB, query string, args ...any) (v T) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func runSQL(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestMariaDBFromStartToClose(t *testing.T) {
	s := serverOf(t, mariadb, Config{Settings: map[string]string{"sort_buffer_size": "300K", "init_connect": `SET @a = 'it''s C:\\new'`}})
	db := pool(t, s, "", "")
	for name, want := range map[string]string{
		"sort_buffer_size": "307200", "init_connect": `SET @a = 'it''s C:\\new'`, "log_bin": "1", "binlog_format": "ROW",
		"binlog_row_image": "FULL", "innodb_flush_log_at_trx_commit": "2", "sync_binlog": "0", "bind_address": "127.0.0.1", "socket": "",
		"character_set_server": "utf8mb4", "time_zone": "+00:00", "skip_name_resolve": "1", "log_bin_trust_function_creators": "1",
		"datadir": s.data() + "/", "tmpdir": s.folder.dir,
	} {
		if got := askSQL[string](t, db, "SELECT @@GLOBAL."+name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if id := askSQL[int64](t, db, "SELECT @@server_id"); id < 1 {
		t.Errorf("the server's id is %d", id)
	}
	dir := s.folder.dir
	for range 2 {
		must(t, s.Close())
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is still there: %v", err)
	}
	if err := db.PingContext(t.Context()); err == nil {
		t.Error("it still answers")
	}
	if err := s.Restart(t.Context()); err == nil {
		t.Error("a closed server was started")
	}
}

func TestDurableMariaDBWaitsForTheDisk(t *testing.T) {
	s := serverOf(t, mariadb, Config{Durable: true, Settings: map[string]string{"skip_log_bin": "", "server_id": "17"}})
	db := pool(t, s, "", "")
	for name, want := range map[string]string{"innodb_flush_log_at_trx_commit": "1", "sync_binlog": "1", "log_bin": "0", "server_id": "17"} {
		if got := askSQL[string](t, db, "SELECT @@GLOBAL."+name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if method := askSQL[string](t, db, "SELECT @@innodb_flush_method"); method == "nosync" {
		t.Error("it does not wait for the disk")
	}
}

// A password is asked for, and neither a command line nor a file shows it.
func TestOnlyThePasswordOpensMariaDB(t *testing.T) {
	s := serverOf(t, mariadb, Config{})
	const odd = `odd 'name' \ of %`
	must(t, s.Role(t.Context(), "app", "GRANT PROCESS ON *.* TO app"))
	must(t, s.Role(t.Context(), odd))
	for _, database := range []string{"shop_of `app`", "shopXof `app`"} {
		must(t, s.Create(t.Context(), database, ""))
	}
	must(t, s.Create(t.Context(), "own_1", odd))
	must(t, s.Create(t.Context(), "ownX1", ""))
	runSQL(t, pool(t, s, odd, "own_1"), "CREATE TABLE x (a INT PRIMARY KEY) ENGINE = InnoDB", "INSERT INTO x VALUES (1)",
		"CREATE TRIGGER y AFTER INSERT ON x FOR EACH ROW SET @a = 1")
	if err := pool(t, s, odd, "ownX1").PingContext(t.Context()); err == nil {
		t.Error("the owner of own_1 is let into ownX1")
	}
	if err := pool(t, s, "app", "own_1").PingContext(t.Context()); err == nil {
		t.Error("a role is let into another one's database")
	}
	if grants := askSQL[string](t, pool(t, s, "app", ""), "SHOW GRANTS"); !strings.Contains(grants, "PROCESS") {
		t.Errorf("the grants of the role were lost: %s", grants)
	}
	if user := askSQL[string](t, pool(t, s, odd, "own_1"), "SELECT current_user()"); user != odd+"@%" {
		t.Errorf("the session is %s's", user)
	}
	for _, user := range []string{"", "root", "mariadb.sys", odd} {
		for _, password := range []string{"", "guess"} {
			db, err := openMariaDB(mariadb.dsn(user, password, s.Addr(), ""))
			must(t, err)
			if err := db.PingContext(t.Context()); err == nil || !strings.Contains(err.Error(), "denied") {
				t.Errorf("as %q with the password %q: %v", user, password, err)
			}
			must(t, db.Close())
		}
	}
	if err := s.Role(t.Context(), "app"); err == nil || strings.Contains(err.Error(), s.password) {
		t.Errorf("a role that is there was made, or its password shown: %v", err)
	}
	must(t, filepath.WalkDir(s.folder.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), s.password) {
			t.Errorf("%s holds the password", path)
		}
		return err
	}))
}

// A session that is in the middle of a transaction does not keep a database.
func TestDropEndsTheSessionsOfADatabase(t *testing.T) {
	s := serverOf(t, mariadb, Config{})
	must(t, s.Create(t.Context(), "shop", ""))
	must(t, s.Create(t.Context(), "other", ""))
	db, other := pool(t, s, "", "shop"), pool(t, s, "", "other")
	runSQL(t, other, "SET @a = 1")
	runSQL(t, db, "CREATE TABLE x (a INT PRIMARY KEY)", "BEGIN", "INSERT INTO x VALUES (1)")
	must(t, s.Drop(t.Context(), "shop"))
	if err := db.PingContext(t.Context()); err == nil {
		t.Error("a session outlives its database")
	}
	if a := askSQL[sql.NullInt64](t, other, "SELECT @a"); !a.Valid {
		t.Error("the session of another database was ended")
	}
}

// A crash loses no commit and every open transaction, and the binlog says the same; a restart goes through
// recovery, on the same address.
func TestKillOfMariaDBIsACrash(t *testing.T) {
	s := serverOf(t, mariadb, Config{})
	addr := s.Addr()
	must(t, s.Create(t.Context(), "shop", ""))
	db, late := pool(t, s, "", "shop"), pool(t, s, "", "shop")
	runSQL(t, db, "CREATE TABLE x (a INT PRIMARY KEY)", "INSERT INTO x VALUES (1)")
	runSQL(t, late, "BEGIN", "INSERT INTO x VALUES (2)", "SAVEPOINT s")
	position := askSQL[string](t, db, "SELECT @@gtid_binlog_pos")
	must(t, s.Role(t.Context(), "app"))
	life := s.process
	for range 2 {
		must(t, s.Kill())
	}
	if !life.ended() {
		t.Error("the process lives")
	}
	must(t, s.Restart(t.Context()))
	if s.Addr() != addr {
		t.Errorf("it is back on %s, want %s", s.Addr(), addr)
	}
	again := pool(t, s, "", "shop")
	if got := askSQL[int](t, again, "SELECT sum(a) FROM x"); got != 1 {
		t.Errorf("the sum is %d, want 1", got)
	}
	if got := askSQL[string](t, again, "SELECT @@gtid_binlog_pos"); position == "" || got == position || got[:len("0-1")] != position[:len("0-1")] {
		t.Errorf("the binlog ends at %s, and at %s before the role was made", got, position)
	}
	must(t, pool(t, s, "app", "").PingContext(t.Context()))
	log, err := os.ReadFile(s.log())
	must(t, err)
	if n := strings.Count(string(log), "Starting crash recovery from checkpoint"); n != 1 {
		t.Errorf("%d recoveries, want 1:\n%s", n, log)
	}
}

// A restart of a server that runs is a proper one.
func TestRestartOfMariaDBThatRuns(t *testing.T) {
	s := serverOf(t, mariadb, Config{})
	must(t, s.Create(t.Context(), "shop", ""))
	db := pool(t, s, "", "shop")
	runSQL(t, db, "CREATE TABLE x (a INT PRIMARY KEY)")
	session, err := db.Conn(t.Context())
	must(t, err)
	must(t, s.Restart(t.Context()))
	if err := session.PingContext(t.Context()); err == nil {
		t.Error("a session outlives the restart")
	}
	_ = session.Close()
	askSQL[int](t, pool(t, s, "", "shop"), "SELECT count(*) FROM x")
	log, err := os.ReadFile(s.log())
	must(t, err)
	if strings.Contains(string(log), "crash recovery") {
		t.Errorf("it crashed:\n%s", log)
	}
}

// Without a server, or with one whose scripts are missing, the one command that installs it is told.
func TestMariaDBInTheSearchPath(t *testing.T) {
	real, err := installedMariaDB()
	must(t, err)
	usual := mariadbPlaces
	defer func() { mariadbPlaces = usual }()
	mariadbPlaces = []string{filepath.Join(t.TempDir(), "*")}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	program := filepath.Join(dir, "mariadbd")
	refused := func() {
		t.Helper()
		_, err := installedMariaDB()
		if !errors.Is(err, strangler.ErrConfig) || !strings.Contains(err.Error(), "apt-get install") || !strings.Contains(err.Error(), "mariadb-server-core") {
			t.Errorf("error %v", err)
		}
	}
	refused()
	must(t, os.WriteFile(program, nil, 0o755)) // without its scripts
	refused()
	must(t, os.Remove(program))
	must(t, os.Symlink(real.path("mariadbd"), program))
	if got, err := installedMariaDB(); err != nil || got.path("mariadbd") != program || got.path(mariadbScripts[0]) != real.path(mariadbScripts[0]) {
		t.Errorf("through a link: %v, %v", got, err)
	}
}
