//go:build unix && !linux

package demo

import "syscall"

// attributes put a program into a group of its own, so that Ctrl-C in the terminal reaches the demo
// alone.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
