package guides

import (
	"bytes"
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
	"time"
)

// patience is how long one command may take. None takes a tenth of it.
const patience = 2 * time.Minute

// mark stands before and behind the exit code in what the shell prints.
const mark = "\x1e"

// shell is one in which a person does what a guide says. What it starts in the background lives as long as it.
type shell struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	script  string // the file that holds a command while it is done
	printed chan []byte
	ended   chan struct{} // closed when nothing is printed any more
}

// leave has what still runs end with the shell, which ends with this process at the latest.
const leave = `trap 'trap "" TERM; kill -TERM 0; wait' EXIT; trap 'exit 1' HUP` + "\n"

func newShell(t *testing.T, p *place) *shell {
	t.Helper()
	s := &shell{script: filepath.Join(t.TempDir(), "command"), printed: make(chan []byte), ended: make(chan struct{})}
	s.cmd = exec.Command("bash", "--norc", "--noprofile")
	s.cmd.Dir, s.cmd.Env = p.home, p.env
	s.cmd.SysProcAttr = attributes()
	read, write, err := os.Pipe()
	must(t, err)
	s.cmd.Stdout, s.cmd.Stderr = write, write
	s.in, err = s.cmd.StdinPipe()
	must(t, err)
	started, done := make(chan error), make(chan error, 1)
	go func() { // ends with the shell
		runtime.LockOSThread() // the system ends the shell with the thread that started it
		err := s.cmd.Start()
		started <- err
		if err == nil {
			done <- s.cmd.Wait()
		}
	}()
	must(t, <-started)
	must(t, write.Close())
	stop := make(chan struct{})
	go func() { // ends when the last process has closed its output, which cleaning up waits for
		defer close(s.ended)
		defer read.Close()
		for {
			b := make([]byte, 32<<10)
			n, err := read.Read(b)
			if n > 0 {
				select {
				case s.printed <- b[:n]:
				case <-stop:
				}
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		s.in.Close()
		s.signal(t, syscall.SIGTERM)
		timer := time.NewTimer(20 * time.Second)
		defer timer.Stop()
		select {
		case <-done:
			done <- nil
		case <-timer.C:
			t.Error("what the guide started did not end when it was asked")
		}
		s.signal(t, syscall.SIGKILL)
		<-done
		<-s.ended
	})
	s.write(t, leave)
	return s
}

// signal goes to the shell and to all that it has started.
func (s *shell) signal(t *testing.T, sig syscall.Signal) {
	if err := syscall.Kill(-s.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
}

func (s *shell) write(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(s.in, text); err != nil {
		t.Fatalf("the shell is gone: %v", err)
	}
}

// do does a command, and returns what it printed and its exit code.
func (s *shell) do(t *testing.T, text string) (string, int) {
	t.Helper()
	must(t, os.WriteFile(s.script, []byte(text+"\n"), 0o600))
	// The exit code is set again, so that a command may ask for that of the one before.
	s.write(t, fmt.Sprintf(". %s </dev/null; __=$?; printf '%s%%d%s' $__; (exit $__)\n", s.script, mark, mark))
	var printed bytes.Buffer
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case b := <-s.printed:
			printed.Write(b)
		case <-s.ended:
			t.Fatalf("the shell ended at %q:\n%s", text, printed.String())
		case <-timer.C:
			t.Fatalf("%q does not end:\n%s", text, printed.String())
		}
		if parts := strings.Split(printed.String(), mark); len(parts) == 3 {
			code, err := strconv.Atoi(parts[1])
			must(t, err)
			return parts[0], code
		}
	}
}

// now reports what the shell stands in.
func (s *shell) now(t *testing.T) string {
	t.Helper()
	dir, _ := s.do(t, "pwd")
	return strings.TrimSpace(dir)
}
