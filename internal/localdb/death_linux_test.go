package localdb

import (
	"bytes"
	"context"
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

	"github.com/jackc/pgx/v5"
)

// parent starts a server below dir, from a thread that ends, with one backend that sleeps and one that
// computes, and tells their address.
func parent(dir string) int {
	made := make(chan *Server)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the function
		s, err := Postgres(context.Background(), Config{Dir: dir})
		if err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
		made <- s
	}()
	s := <-made
	for _, busy := range []string{"SELECT pg_sleep(3600)", "DO 'BEGIN LOOP END LOOP; END'"} {
		db, err := pgx.Connect(context.Background(), s.DSN("postgres"))
		if err != nil {
			fmt.Println("failed", err)
			return 1
		}
		go func() {
			_, err := db.Exec(context.Background(), busy)
			fmt.Println("failed: a backend stopped:", err)
		}()
	}
	db, err := pgx.Connect(context.Background(), s.DSN("postgres"))
	for n := 0; err == nil && n < 2; {
		err = db.QueryRow(context.Background(), "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()").Scan(&n)
	}
	if err != nil {
		fmt.Println("failed", err)
		return 1
	}
	fmt.Println("ready", s.folder.dir)
	select {}
}

// A killed parent takes its server with it, backends that never look up included. The lock is held by each
// of them, and so is free when the last is gone; the next start removes what they left.
func TestServerDiesWithItsParent(t *testing.T) {
	dir := open(t)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "STRANGLER_LOCALDB_PARENT="+dir)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	must(t, err)
	must(t, parent.Start())
	var left string
	if _, err := fmt.Fscanf(out, "ready %s\n", &left); err != nil {
		rest, _ := io.ReadAll(out)
		t.Fatalf("%v: %s", err, rest)
	}
	postmaster := pidOf(t, left)
	if n, err := children(postmaster); err != nil || len(n) < 3 {
		t.Fatalf("children %v, %v", n, err)
	}
	file, err := openLock(filepath.Join(left, lockName))
	must(t, err)
	defer file.Close()
	if err := lock(file); err == nil {
		t.Fatal("nobody holds the lock of a server that runs")
	}
	server(t, Config{Dir: dir})
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
	server(t, Config{Dir: dir})
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the dead server's folder is still there: %v", err)
	}
}

func pidOf(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
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

// A crash leaves none of the backends, whatever they do.
func TestKillTakesBusyBackends(t *testing.T) {
	s := server(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	for _, busy := range []string{"SELECT pg_sleep(3600)", "DO 'BEGIN LOOP END LOOP; END'"} {
		db := connect(t, s.DSN("postgres"))
		go func() {
			_, err := db.Exec(ctx, busy)
			ended <- err
		}()
	}
	for db := connect(t, s.DSN("postgres")); ask[int](t, db, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()") < 2; {
	}
	must(t, s.Kill())
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("a backend ended by itself")
		}
	}
	for _, proc := range running(t, s.folder.dir) {
		t.Errorf("still there: %s", proc)
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
