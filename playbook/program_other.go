//go:build !unix

package playbook

import (
	"os"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

// There is no way to ask a program here: it is killed.
func ask(p *os.Process) error { return p.Kill() }

func end(*os.Process) {}
