//go:build !race

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/strangler-fig/strangler"
)

// terminal is one with a program on it.
type terminal struct {
	t     testing.TB
	keys  *os.File // what a person types goes in, what the program shows comes out
	cmd   *exec.Cmd
	ended chan error

	mu    sync.Mutex
	shown bytes.Buffer
}

// onTerminal starts a program on a terminal of a size. Its modes are as a shell leaves them.
func onTerminal(t testing.TB, columns, rows uint16, name string, args ...string) *terminal {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	fd := int(keys.Fd())
	must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	must(t, err)
	screen, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	x := &terminal{t: t, keys: keys, cmd: exec.Command(name, args...), ended: make(chan error, 1)}
	x.resize(columns, rows)
	x.cmd.Env = append(os.Environ(), "TERM=xterm")
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = screen, screen, screen
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, x.cmd.Start())
	must(t, screen.Close())
	var reading sync.WaitGroup
	reading.Go(x.read)
	go func() { x.ended <- x.cmd.Wait() }() // it ends with the program, which the clean-up below ends
	t.Cleanup(func() {
		if err := x.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		reading.Wait()
		must(t, keys.Close())
	})
	return x
}

// read takes in what is shown until nobody has the terminal any more.
func (x *terminal) read() {
	b := make([]byte, 4096)
	for {
		n, err := x.keys.Read(b)
		x.mu.Lock()
		x.shown.Write(b[:n])
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *terminal) resize(columns, rows uint16) {
	x.t.Helper()
	must(x.t, unix.IoctlSetWinsize(int(x.keys.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}))
}

func (x *terminal) all() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.shown.String()
}

var sequences = regexp.MustCompile(`\x1b\[[?0-9]*[A-Za-z]`)

// frame is what was drawn last, as whole rows.
func (x *terminal) frame() []string {
	frames := strings.Split(x.all(), "\x1b[?25l")
	for i := len(frames) - 1; i > 0; i-- {
		if text, _, whole := strings.Cut(frames[i], "\x1b[?25h"); whole {
			text = strings.ReplaceAll(sequences.ReplaceAllString(text, ""), "\r", "")
			return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		}
	}
	return nil
}

// see waits until the frame has all of some words, with a space between any two.
func (x *terminal) see(words ...string) {
	x.t.Helper()
	defer func() {
		if x.t.Failed() {
			x.t.Logf("the terminal shows:\n%s", strings.Join(x.frame(), "\n"))
		}
	}()
	await(x.t, strings.Join(words, ", "), func() bool {
		text := strings.Join(strings.Fields(strings.Join(x.frame(), " ")), " ")
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	})
}

// fits demands that no row wraps and that none has left the screen.
func (x *terminal) fits(columns, rows int) {
	x.t.Helper()
	frame := x.frame()
	if len(frame) >= rows {
		x.t.Errorf("%d rows on a terminal of %d:\n%s", len(frame), rows, strings.Join(frame, "\n"))
	}
	for _, row := range frame {
		if n := utf8.RuneCountInString(row); n >= columns {
			x.t.Errorf("%d columns on a terminal of %d: %q", n, columns, row)
		}
	}
}

// TestStatusOnATerminal: a person watches a run with `strangler playbook status`, from its first hold until it waits for them, makes
// the terminal narrower, loses the daemon and gets it back, and goes away. The run goes on.
func TestStatusOnATerminal(t *testing.T) {
	dir, err := programs()
	must(t, err)
	program := filepath.Join(dir, "strangler")
	s := &system{t: t}
	n := node{file: filepath.Join(t.TempDir(), "strangler.yaml"), proxyPort: freePort(t), adminPort: freePort(t)}
	must(t, os.WriteFile(n.file, fmt.Appendf(nil, `
control: sqlite:control.db
proxy: {listen: 127.0.0.1:%d}
admin: {listen: 127.0.0.1:%d}
legacy: {url: "http://127.0.0.1:%d"}
capabilities:
  search:
    routes: [/search]
    service: {url: "http://127.0.0.1:%d"}
    playbook: {shadow: 2s, canary: [100%%], hold: 1s, requests: 0, soak: 14d, approve: [cutover]}
`, n.proxyPort, n.adminPort, freePort(t), freePort(t)), 0o600))
	daemon := s.newDaemon(n)
	s.start(daemon)
	c := s.client(daemon)
	defer c.Close()
	status := []string{"-c", n.file, "playbook", "status", "search"}
	if _, err := c.Run(t.Context(), "search", order); err != nil {
		t.Fatal(err)
	}

	x := onTerminal(t, 80, 30, program, status...)
	x.see("search · run 1", "… shadow", "· cutover", "waits for the shadow to be held", "toggle shadow, owner legacy", "ends at 2", "without the approval of cutover")
	x.see("✔ shadow", "✔ canary", "… cutover", "waits for a person's approval of cutover", "next strangler playbook approve search cutover")
	x.fits(80, 30)

	x.resize(40, 20)
	x.see("search · run 1 · waiting", "waits for a person's approval of cutover")
	await(t, "a narrow frame", func() bool {
		for _, row := range x.frame() {
			if utf8.RuneCountInString(row) >= 40 {
				return false
			}
		}
		return true
	})
	x.fits(40, 20)

	x.resize(80, 30)
	s.kill(daemon)
	x.see("the daemon has not answered for", "run 1 · waiting")
	s.start(daemon)
	await(t, "the daemon's answer", func() bool { return !strings.Contains(strings.Join(x.frame(), "\n"), "not answered") })

	_, err = x.keys.Write([]byte{3}) // Ctrl-C
	must(t, err)
	if err := <-x.ended; err != nil {
		t.Errorf("Ctrl-C is a failure: %v", err)
	}
	await(t, "the last words", func() bool {
		return strings.HasSuffix(x.all(), "nobody watches any more, and the run goes on; look again with strangler playbook status search\r\n")
	})
	if all := x.all(); strings.LastIndex(all, "\x1b[?25l") > strings.LastIndex(all, "\x1b[?25h") || strings.Contains(all, "\x1b[?1049h") {
		t.Errorf("the cursor is left away, or another screen: %q", all[max(0, len(all)-400):])
	}
	if run, err := c.RunStatus(t.Context(), "search"); err != nil || run.State != strangler.RunWaiting || len(run.Acts) > 1 {
		t.Errorf("the run: %+v, %v", run, err)
	}

	// Whoever looks on sees the approval take effect; elsewhere than on a terminal it is printed once.
	y := onTerminal(t, 80, 30, program, status...)
	y.see("waits for a person's approval of cutover")
	o := order
	o.Step = "cutover"
	_, err = c.Approve(t.Context(), "search", o)
	must(t, err)
	y.see("✔ cutover", "… soak", "waits for the soak of 14d", "13d23h left")
	out, err := exec.Command(program, status...).Output()
	if err != nil || strings.Contains(string(out), "\x1b") || !strings.Contains(string(out), "waits for:  the soak of 14d") {
		t.Errorf("through a pipe: %v\n%s", err, out)
	}
	if _, err := c.RollbackRun(t.Context(), "search", order); err != nil {
		t.Fatal(err)
	}
	y.see("run 1 · rolled back", "↩ cutover")
	if err := <-y.ended; err != nil {
		t.Errorf("a run that has ended is a failure of who watched it: %v", err)
	}
}
