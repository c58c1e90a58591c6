package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	graceTime = 5 * time.Second // for a program to stop by itself
	pipeTime  = 2 * time.Second // for what it left behind to let go of its output
	tailLines = 15
)

// process is one program that the demo runs. It dies with the demo, however that dies, where the system
// can be told so.
type process struct {
	name     string
	log      *tail
	done     chan struct{} // closed when it has ended
	err      error         // how it ended; read after done
	handle   *os.Process
	stopping atomic.Bool
}

// command is what to run.
type command struct {
	name string // for people, and of its log
	path string
	args []string
	dir  string
	env  []string // beside the demo's own
	log  string   // path of the file that takes its output
}

// start runs a program. Stop has to be called.
func start(c command) (*process, error) {
	file, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting the %s: %w", c.name, err)
	}
	p := &process{name: c.name, log: newTail(file), done: make(chan struct{})}
	cmd := exec.Command(c.path, c.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = c.dir, p.log, p.log, pipeTime
	cmd.Env = append(cmd.Environ(), c.env...)
	cmd.SysProcAttr = attributes()
	started := make(chan error)
	go func() {
		// Linux kills the child when the thread that started it ends, so this one stays until then.
		runtime.LockOSThread()
		defer file.Close()
		err := cmd.Start()
		p.handle = cmd.Process
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting the %s: %w; build it first, as make demo does, or name its folder with --programs", c.name, err)
	}
	return p, nil
}

// Stop asks the program to end, kills it and whatever it started when it does not, and returns when it
// is gone. Stopping again does nothing. The error is that it had to be killed.
func (p *process) Stop() error {
	p.stopping.Store(true)
	ask(p.handle)
	timer := time.NewTimer(graceTime)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	end(p.handle)
	<-p.done
	return fmt.Errorf("the %s did not stop within %v and was killed", p.name, graceTime)
}

// ended reports whether the program is gone.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// tail writes a log on, keeps its last lines, and looks for the address in the line "listening".
type tail struct {
	file      io.Writer
	listening chan string // holds one

	mu    sync.Mutex
	rest  []byte
	lines []string
}

func newTail(file io.Writer) *tail { return &tail{file: file, listening: make(chan string, 1)} }

// Write implements io.Writer. A full disk does not stop the program.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest = append(t.rest, b...)
	for {
		line, rest, found := bytes.Cut(t.rest, []byte("\n"))
		if !found {
			break
		}
		t.rest = rest
		t.line(line)
	}
	if _, err := t.file.Write(b); err != nil && !errors.Is(err, os.ErrClosed) {
		t.lines = append(t.lines, "(the log cannot be written: "+err.Error()+")")
	}
	return len(b), nil
}

func (t *tail) line(line []byte) {
	t.lines = append(t.lines, string(line))
	t.lines = t.lines[max(0, len(t.lines)-tailLines):]
	var record struct{ Msg, Address string }
	if json.Unmarshal(line, &record) == nil && record.Msg == "listening" && record.Address != "" {
		select {
		case t.listening <- record.Address:
		default: // it listens on several; the first is the one
		}
	}
}

// Last are the last lines, indented.
func (t *tail) Last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	if len(t.rest) > 0 {
		lines = append(lines[:len(lines):len(lines)], string(t.rest))
	}
	if len(lines) == 0 {
		return "    (nothing)"
	}
	return "    " + strings.Join(lines, "\n    ")
}
