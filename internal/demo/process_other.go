//go:build !unix

package demo

import (
	"os"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

// There is no way to ask a program here: it is killed, and its databases recover.
func ask(p *os.Process) { _ = p.Kill() }

func end(p *os.Process) { _ = p.Kill() }

func lock(*os.File) error { return nil }
