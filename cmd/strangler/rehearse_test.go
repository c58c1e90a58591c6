package main

import (
	"bufio"
	"context"
	"database/sql"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	_ "modernc.org/sqlite"
)

// rehearsing has databases of which the capability's table has three rows, and what really rehearses.
func rehearsing(t *testing.T, more string) *shell {
	t.Helper()
	s := alone(t)
	s.hooks = connected(func(string) (string, bool) { return "", false })
	t.Setenv("TMPDIR", t.TempDir())
	for name, statements := range map[string]string{
		"shop.db":     "PRAGMA journal_mode = wal; CREATE TABLE couriers (id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO couriers VALUES (1, 'a'), (2, 'b'), (3, 'c')",
		"delivery.db": "PRAGMA journal_mode = wal; " + more,
	} {
		path := filepath.Join(filepath.Dir(s.file), name)
		db, err := sql.Open("sqlite", "file:"+path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(statements); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func nothingTemporary(t *testing.T) {
	t.Helper()
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRehearse(t *testing.T) {
	s := rehearsing(t, "")
	got := s.expect(exitDone, "playbook", "rehearse", "delivery", "--dry-run")
	for _, want := range []string{"dry run: nothing was made; this would be read of production, at most 10000 rows of each table", "legacy  couriers  yes    3", "next: strangler playbook rehearse delivery\n"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q lacks %q", got.stdout, want)
		}
	}
	nothingTemporary(t)
	got = s.expect(exitDone, "playbook", "rehearse", "delivery")
	for _, want := range []string{"delivery went forward, back and forward on copies", "ALL ROWS OF PRODUCTION (ESTIMATE)", "changes: 200 a second asked for, ", "0 mismatches", "not rehearsed: HTTP", "next: strangler check\n"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q lacks %q", got.stdout, want)
		}
	}
	if !regexp.MustCompile(`(?m)^rollback: writes held for \d+ ms, under [1-9]\d* changes a second \(attempts: \d+\)$`).MatchString(got.stdout) {
		t.Errorf("%q does not say under which load writes were held", got.stdout)
	}
	if !strings.Contains(got.stderr, "verify behind the rollback\n") {
		t.Errorf("the progress is %q", got.stderr)
	}
	nothingTemporary(t)
	object := s.object(exitDone, "playbook", "rehearse", "delivery", "--changes", "0", "--rows", "2")
	if object["passed"] != true || len(object["hand_overs"].([]any)) != 3 || len(object["next_steps"].([]any)) == 0 {
		t.Errorf("%v", object)
	}
	nothingTemporary(t)
}

// What goes wrong is exit code 1, with what was measured until then.
func TestRehearseFindsADefect(t *testing.T) {
	s := rehearsing(t, "CREATE TABLE couriers (id INTEGER PRIMARY KEY, name TEXT NOT NULL CHECK (name <> 'b'))")
	got := s.expect(exitFailed, "playbook", "rehearse", "delivery")
	if !strings.Contains(got.stdout, "delivery did not come through its rehearsal; production was only read") || !strings.Contains(got.stderr, "CHECK constraint failed") {
		t.Errorf("stdout %q, stderr %q", got.stdout, got.stderr)
	}
	nothingTemporary(t)
}

// Ctrl-C is exit code 4, and nothing is left.
func TestRehearseInterrupted(t *testing.T) {
	s := rehearsing(t, "")
	s.ctx, s.onError = context.WithCancel(t.Context()) // with the first line of progress
	got := s.expect(exitStopped, "playbook", "rehearse", "delivery")
	if !strings.Contains(got.stderr, "production was only read, and nothing is left of the copies") {
		t.Errorf("stderr %q", got.stderr)
	}
	nothingTemporary(t)
}

// A terminal that is closed ends it as Ctrl-C does; not under nohup.
func TestRehearseOutOfATerminal(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		code   int
		says   string
	}{
		"closed":      {`exec "$0" "$@"`, exitStopped, "nothing is left of the copies"},
		"under nohup": {`trap "" HUP; exec "$0" "$@"`, exitDone, ""},
	} {
		t.Run(name, func(t *testing.T) {
			taken := make(chan os.Signal, 1) // a signal that is taken here is not ignored by what is started, also where the tests run under nohup
			signal.Notify(taken, syscall.SIGHUP)
			defer signal.Stop(taken)
			s := rehearsing(t, "")
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sh", "-c", c.script, program, "-c", s.file, "playbook", "rehearse", "delivery", "--changes", "0")
			cmd.Env = append(os.Environ(), itself+"=1", "STRANGLER_TOKEN=s3cret")
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			said := bufio.NewReader(stderr)
			first, err := said.ReadString('\n') // of its progress
			if err != nil {
				t.Fatalf("%q, %v", first, err)
			}
			if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Error(err)
			}
			rest, err := io.ReadAll(said)
			if err != nil {
				t.Error(err)
			}
			_ = cmd.Wait() // its code says it
			if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(rest), c.says) {
				t.Errorf("%s, stderr %q", cmd.ProcessState, first+string(rest))
			}
			nothingTemporary(t)
		})
	}
}

// With --keep the copies stay, and the report says where.
func TestRehearseKeeps(t *testing.T) {
	s := rehearsing(t, "")
	got := s.expect(exitDone, "playbook", "rehearse", "delivery", "--keep", "--changes", "0")
	found, err := filepath.Glob(filepath.Join(os.TempDir(), "strangler-rehearsal-*", "legacy.db"))
	if err != nil || len(found) != 1 || !strings.Contains(got.stdout, "left: the folder "+filepath.Dir(found[0])) {
		t.Errorf("%v, %v, %q", found, err, got.stdout)
	}
}

// Where a copy has no place, it is refused, with statements that make one.
func TestRehearseWithoutAPlace(t *testing.T) {
	s := rehearsing(t, "")
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(text), "sqlite:shop.db", "postgres://u:hunter2@127.0.0.1:1/shop", 1)
	if err := os.WriteFile(s.file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	got := s.expect(exitRefused, "playbook", "rehearse", "delivery")
	for _, want := range []string{"CREATE DATABASE strangler_rehearsal_legacy", `playbook: {rehearse: {legacy: "${REHEARSE_LEGACY}"}}`} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("stderr %q lacks %q", got.stderr, want)
		}
	}
	if strings.Contains(got.stderr, "hunter2") || got.stdout != "" {
		t.Errorf("stdout %q, stderr %q", got.stdout, got.stderr)
	}
}
