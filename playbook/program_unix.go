//go:build unix

package playbook

import (
	"errors"
	"os"
	"syscall"
)

// ask lets a program's group end by itself.
func ask(p *os.Process) error {
	err := syscall.Kill(-p.Pid, syscall.SIGTERM)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// end kills what is left of a program's group. The error is that nothing is.
func end(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
