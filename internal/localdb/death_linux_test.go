package localdb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// busy is what keeps a session from looking up, one way asleep and one way not, and what counts those that do it.
var busy = map[*flavour]struct {
	statements []string
	count      string
}{
	postgres: {[]string{"SELECT pg_sleep(3600)", "DO 'BEGIN LOOP END LOOP; END'"},
		"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"},
	mariadb: {[]string{"DO SLEEP(3600)", "BEGIN NOT ATOMIC LOOP DO 1; END LOOP; END"},
		"SELECT count(*) FROM information_schema.processlist WHERE command = 'Query' AND id <> connection_id()"},
}

// occupy has a server do what keeps it busy, and returns when it does. Ends are sent to ended; the
// caller closes the sessions.
func occupy(ctx context.Context, s *Server, ended chan<- error) (*sql.DB, error) {
	db, err := s.Pool("", s.flavour.home)
	if err != nil {
		return nil, err
	}
	for _, statement := range busy[s.flavour].statements {
		go func() {
			_, err := db.ExecContext(ctx, statement)
			ended <- err
		}()
	}
	for n := 0; n < len(busy[s.flavour].statements); {
		if err := db.QueryRowContext(ctx, busy[s.flavour].count).Scan(&n); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

// parent starts a server below dir, from a thread that ends, with one session that sleeps and one that
// computes, and tells their address.
func parent(flavour, dir string) int {
	made := make(chan *Server)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the function
		make := Postgres
		if flavour == mariadb.name {
			make = MariaDB
		}
		s, err := make(context.Background(), Config{Dir: dir})
		if err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
		made <- s
	}()
	s := <-made
	ended := make(chan error)
	if _, err := occupy(context.Background(), s, ended); err != nil {
		fmt.Println("failed", err)
		return 1
	}
	fmt.Println("ready", s.folder.dir)
	fmt.Println("failed: a session stopped:", <-ended)
	return 1
}

// A killed parent takes its server with it, backends that never look up included. The lock is held by each
// of them, and so is free when the last is gone; the next start removes what they left.
func TestServerDiesWithItsParent(t *testing.T) {
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) { diesWithItsParent(t, f) })
	}
}

func diesWithItsParent(t *testing.T, f *flavour) {
	dir := open(t)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "STRANGLER_LOCALDB_PARENT="+dir, "STRANGLER_LOCALDB_FLAVOUR="+f.name)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	must(t, err)
	must(t, parent.Start())
	var left string
	if _, err := fmt.Fscanf(out, "ready %s\n", &left); err != nil {
		rest, _ := io.ReadAll(out)
		t.Fatalf("%v: %s", err, rest)
	}
	if n, err := children(pidOf(t, f, left)); err != nil || f == postgres && len(n) < 3 {
		t.Fatalf("children %v, %v", n, err)
	}
	file, err := openLock(filepath.Join(left, lockName))
	must(t, err)
	defer file.Close()
	if err := lock(file); err == nil {
		t.Fatal("nobody holds the lock of a server that runs")
	}
	serverOf(t, f, Config{Dir: dir})
	if _, err := os.Stat(left); err != nil {
		t.Fatalf("the folder of a server that runs was removed: %v", err)
	}

	must(t, parent.Process.Kill())
	if err := parent.Wait(); err == nil {
		t.Error("the parent was not killed")
	}
	must(t, syscall.Flock(int(file.Fd()), syscall.LOCK_EX)) // waits for the last of them
	for _, proc := range running(t, left) {
		t.Errorf("still there: %s", proc)
	}
	must(t, file.Close())
	serverOf(t, f, Config{Dir: dir})
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the dead server's folder is still there: %v", err)
	}
}

func pidOf(t *testing.T, f *flavour, dir string) int {
	t.Helper()
	path := filepath.Join(dir, "data", "postmaster.pid")
	if f == mariadb {
		path = filepath.Join(dir, "pid")
	}
	b, err := os.ReadFile(path)
	must(t, err)
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(line)
	must(t, err)
	return pid
}

// running are the living processes that work in a folder.
func running(t *testing.T, dir string) (names []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	must(t, err)
	for _, l := range links {
		if at, err := os.Readlink(l); err == nil && strings.HasPrefix(at, dir) {
			b, _ := os.ReadFile(filepath.Join(filepath.Dir(l), "cmdline"))
			names = append(names, filepath.Base(filepath.Dir(l))+" "+string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
		}
	}
	return names
}

// A crash leaves none of the sessions, whatever they do.
func TestKillTakesBusySessions(t *testing.T) {
	for _, f := range flavours {
		s := serverOf(t, f, Config{})
		ended := make(chan error)
		db, err := occupy(t.Context(), s, ended)
		must(t, err)
		must(t, s.Kill())
		for range busy[f].statements {
			if err := <-ended; err == nil {
				t.Errorf("%s: a session ended by itself", f.name)
			}
		}
		must(t, db.Close())
		for _, proc := range running(t, s.folder.dir) {
			t.Errorf("still there: %s", proc)
		}
	}
}

func segment(t *testing.T, id int) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/sysvipc/shm")
	must(t, err)
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == strconv.Itoa(id) {
			return true
		}
	}
	return false
}
