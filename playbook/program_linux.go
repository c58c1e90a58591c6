package playbook

import "syscall"

// attributes put a program into a group of its own, and have the kernel kill it when the daemon dies: a daemon that comes after must not run
// it once more beside it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
