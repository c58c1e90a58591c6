package guides

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// terminal is a person at one, with an interactive shell.
type terminal struct {
	t       *testing.T
	master  *os.File
	printed chan []byte
	screen  screen
	raw     bytes.Buffer // what was printed since the last command was typed
	began   int          // the row that it was typed in
}

// prompt shows how the command before has ended. It may stand behind what that printed last.
var prompt = regexp.MustCompile(`\[(\d+)\] \$ $`)

func newTerminal(t *testing.T, p *place) *terminal {
	t.Helper()
	master, slave := pseudoTerminal(t)
	cmd := exec.Command("bash", "--norc", "--noprofile", "--noediting", "-i")
	cmd.Dir, cmd.Env = p.home, append(p.env, "TERM=xterm", "PS1=[$?] $ ", "PS2=")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, cmd.Start())
	must(t, slave.Close())
	term := &terminal{t: t, master: master, printed: make(chan []byte)}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() { // ends when the terminal is closed, which cleaning up waits for
		defer close(ended)
		for {
			b := make([]byte, 32<<10)
			n, err := master.Read(b)
			if err != nil {
				return
			}
			select {
			case term.printed <- b[:n]:
			case <-stop:
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		must(t, master.Close()) // the system tells the shell, and the shell all that it has started
		<-ended
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		timer := time.NewTimer(20 * time.Second)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
			t.Error("the shell did not end with its terminal")
			must(t, cmd.Process.Kill())
			<-done
		}
	})
	term.await("a prompt", term.prompts)
	return term
}

// pseudoTerminal is wide enough for every line: https://man7.org/linux/man-pages/man4/pts.4.html
func pseudoTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	raw, err := master.SyscallConn()
	must(t, err)
	ask := func(request uintptr, about unsafe.Pointer) {
		var code syscall.Errno
		must(t, raw.Control(func(fd uintptr) { _, _, code = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(about)) }))
		if code != 0 {
			t.Fatal(code)
		}
	}
	var locked, number int32
	size := [4]uint16{50, 1000}
	ask(syscall.TIOCSPTLCK, unsafe.Pointer(&locked))
	ask(syscall.TIOCGPTN, unsafe.Pointer(&number))
	ask(syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	return master, slave
}

// await reads the screen until it is as wanted.
func (term *terminal) await(what string, seen func() bool) {
	term.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for !seen() {
		select {
		case b := <-term.printed:
			term.raw.Write(b)
			term.screen.write(b)
		case <-timer.C:
			term.t.Fatalf("%s never comes; the screen:\n%s", what, term.screen.from(term.began))
		}
	}
}

func (term *terminal) prompts() bool { return prompt.MatchString(term.screen.here()) }

// press types a line, as far as the prompt comes back or a question is asked.
func (term *terminal) press(text string) {
	term.t.Helper()
	_, err := term.master.WriteString(text + "\n")
	must(term.t, err)
}

// typed types a command, and the answer where it asks for one; it returns what is on the screen then, and how the command ended.
func (term *terminal) typed(text, answer string) (string, int) {
	term.t.Helper()
	term.began = term.screen.row
	term.raw.Reset()
	from := term.screen.row + 1
	term.press(text)
	asked := func() bool { return strings.HasSuffix(term.screen.here(), question) }
	back := func() bool { return term.screen.row >= from && term.prompts() }
	term.await("the prompt behind "+text, func() bool { return back() || asked() })
	if asked() {
		term.press(answer)
		term.await("the prompt behind the answer to "+text, back)
	}
	code, err := strconv.Atoi(prompt.FindStringSubmatch(term.screen.here())[1])
	must(term.t, err)
	return term.screen.from(from), code
}

var (
	coloured = "\x1b[32m"
	upwards  = regexp.MustCompile(`\x1b\[\d+A`)
	question = "type delivery to go on: "
)

// TestTerminal types the first guide at a terminal, and reads its screen.
func TestTerminal(t *testing.T) {
	t.Parallel()
	p := newPlace(t, false)
	term := newTerminal(t, p)
	runs := 0
	for _, b := range load(t, "first-extraction.md").blocks {
		if b.file != "" {
			must(t, os.WriteFile(filepath.Join(p.home, "rehearsal", b.file), []byte(p.addresses.Replace(b.text)), 0o600))
		}
		if !b.commands() {
			continue
		}
		list, err := commands(b)
		must(t, err)
		for _, c := range list {
			if c.text == "strangler playbook approve delivery complete --confirm delivery" {
				term.complete()
				c.text = strings.TrimSuffix(c.text, " --confirm delivery") // at a terminal it asks
			}
			shown, code := term.typed(p.addresses.Replace(c.text), "delivery")
			if (code != 0) != c.failed {
				t.Fatalf("%s, line %d: %q ended with %d and shows:\n%s", b.heading, b.line, c.text, code, shown)
			}
			if strings.Contains(c.text, "strangler playbook run delivery --follow") {
				if runs++; runs == 1 {
					term.progress(shown)
				}
			}
		}
	}
	if runs < 3 {
		t.Errorf("the guide follows a run %d times", runs)
	}
	if _, code := term.typed("kill $(jobs -p); wait", ""); code != 0 {
		t.Error("what the guide started has not ended")
	}
}

// progress: a run is drawn in place, in colours, and stays on the screen once; NO_COLOR leaves the colours out.
func (term *terminal) progress(shown string) {
	term.t.Helper()
	if raw := term.raw.String(); !strings.Contains(raw, coloured) || !upwards.MatchString(raw) {
		term.t.Errorf("a run is not drawn in colours and in place: %q", raw)
	}
	_, drawn, found := strings.Cut(shown, "delivery · run 1 · waiting")
	if !found || strings.Count(drawn, "✔ expand") != 1 || strings.Count(drawn, "… cutover") != 1 || !strings.Contains(drawn, "\nwaits for a person's approval of cutover\n") || strings.Contains(drawn, "\x1b") {
		term.t.Errorf("the run on the screen:\n%s", shown)
	}
	if !strings.Contains(drawn, "\nnext      strangler playbook approve delivery cutover\n") {
		term.t.Errorf("what to do next is not on the screen:\n%s", shown)
	}
	shown, code := term.typed("NO_COLOR=1 strangler playbook run delivery --follow", "")
	if raw := term.raw.String(); code != 0 || strings.Contains(raw, coloured) || !strings.Contains(shown, "✔ expand") {
		term.t.Errorf("with NO_COLOR: %d %q", code, raw)
	}
}

// complete: it asks for the capability's name, and nothing else will do. Behind the name it is the run that is in the way.
func (term *terminal) complete() {
	term.t.Helper()
	shown, code := term.typed("strangler split complete delivery", "no")
	if code != 3 || !strings.Contains(shown, "the point of no return") || !strings.Contains(shown, "the answer was not delivery") {
		term.t.Errorf("another name: %d\n%s", code, shown)
	}
	if shown, code := term.typed("strangler split status delivery", ""); code != 0 || !strings.Contains(shown, "reversed") {
		term.t.Errorf("a refused complete has done something: %d\n%s", code, shown)
	}
	if shown, code := term.typed("strangler split complete delivery", "delivery"); code != 3 || !strings.Contains(shown, question+"delivery\n") || !strings.Contains(shown, `refused by the check "run"`) {
		term.t.Errorf("its name: %d\n%s", code, shown)
	}
}
