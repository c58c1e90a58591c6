//go:build unix

package localdb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	graceTime = 15 * time.Second // for a server to end its children by itself
	goneTime  = 30 * time.Second // for what it started to be gone once it is
)

// command is what to run.
type command struct {
	path string
	args []string
	dir  string
	log  string // path of the file that takes its output
	who  account
	lock *os.File // held by the program, and by all that it starts, until the last has ended
	in   io.Reader
	last syscall.Signal // what it gets when this process dies
}

// process is one program, with whatever it starts.
type process struct {
	handle  *os.Process
	done    chan struct{} // closed when it has ended
	err     error         // how it ended; read after done
	life    *os.File      // ends when it and everything that it started have
	unwatch func() error  // ends what kills it behind us
}

// start runs a program that is killed when this process dies, however that dies.
func start(c command) (*process, error) {
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	life, held, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer held.Close()
	cmd := exec.Command(c.path, c.args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.dir, c.in, log, log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"} // none of the user's PG… and MYSQL_… variables
	cmd.ExtraFiles = []*os.File{c.lock, held}
	cmd.SysProcAttr = c.who.wears(attributes(c.last))
	p := &process{done: make(chan struct{}), life: life}
	started := make(chan error)
	go func() {
		// Linux kills the child when the thread that started it ends, so this one stays until then.
		runtime.LockOSThread()
		err := cmd.Start()
		p.handle = cmd.Process
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(err, life.Close())
	}
	if p.unwatch, err = watch(p.handle.Pid, c.last); err != nil {
		return nil, errors.Join(err, p.crash(), p.gone())
	}
	return p, nil
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

// stop sends a signal that ends a server, and crashes it where it does not end in time. gone has to be
// called next.
func (p *process) stop(how os.Signal, within time.Duration) error {
	_ = p.handle.Signal(how) // it may be gone already
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return p.crash()
	}
}

// crash kills the program and its children, none of which gets to do anything more. gone has to be called
// next.
func (p *process) crash() error {
	pid := p.handle.Pid
	if err := p.handle.Signal(syscall.SIGSTOP); errors.Is(err, os.ErrProcessDone) {
		return nil
	} else if err != nil {
		return fmt.Errorf("stopping process %d: %w", pid, err)
	}
	// Stopped, it starts no more children and does not see the death of those that it has.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !p.ended() {
		living, err := children(pid)
		if err != nil {
			return errors.Join(fmt.Errorf("looking for the children of process %d: %w", pid, err), p.handle.Kill())
		}
		if len(living) == 0 {
			break
		}
		for _, child := range living {
			if err := syscall.Kill(child, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return errors.Join(fmt.Errorf("killing process %d: %w", child, err), p.handle.Kill())
			}
		}
		<-tick.C
	}
	if err := p.handle.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing process %d: %w", pid, err)
	}
	return nil
}

// gone waits until the program, and then everything that it started, has ended.
func (p *process) gone() error {
	<-p.done
	var err error
	if p.unwatch != nil {
		err = p.unwatch()
	}
	if e := p.life.SetReadDeadline(time.Now().Add(goneTime)); e != nil {
		return errors.Join(err, e, p.life.Close())
	}
	if _, e := io.Copy(io.Discard, p.life); e != nil {
		err = errors.Join(err, fmt.Errorf("process %d has ended, and something that it started has not, after %v: %w", p.handle.Pid, goneTime, e))
	}
	return errors.Join(err, p.life.Close())
}

func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// openLock opens a lock that somebody has made, and nothing else that may stand there.
func openLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// releaseMemory gives back the few bytes of System V shared memory by which a killed server would be found
// still running. A server that starts again does it itself.
func releaseMemory(data string) {
	b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return
	}
	const line = 6 // its key and its id
	if lines := strings.Split(string(b), "\n"); len(lines) > line {
		if fields := strings.Fields(lines[line]); len(fields) == 2 {
			_ = exec.Command("ipcrm", "-m", fields[1]).Run() // no harm is done by what stays
		}
	}
}
