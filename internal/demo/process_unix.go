//go:build unix

package demo

import (
	"os"
	"syscall"
)

// The errors are those of a process that is gone already.

// ask lets a program end by itself.
func ask(p *os.Process) { _ = p.Signal(syscall.SIGTERM) }

// end kills a program and all that it started.
func end(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	_ = p.Kill()
}

// lock fails when another process has locked the file. Closing it, or dying, gives it free.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
