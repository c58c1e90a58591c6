//go:build unix && !linux

package localdb

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attributes put a program into a group of its own, so that Ctrl-C in the terminal does not reach it.
func attributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// watch has a shell wait for a line that this process writes when all is well. When it dies instead, the
// pipe between them ends, and the shell sends the last signal.
func watch(pid int, last syscall.Signal) (func() error, error) {
	cmd := exec.Command("/bin/sh", "-c", `trap "" HUP INT TERM; read -r line || kill -"$1" "$0"`, strconv.Itoa(pid), strconv.Itoa(int(last)))
	cmd.SysProcAttr = attributes(last)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting what watches process %d: %w", pid, err)
	}
	return func() error {
		_, err := in.Write([]byte("done\n"))
		return errors.Join(err, in.Close(), cmd.Wait())
	}, nil
}

// children are the living children of a process.
func children(of int) (pids []int, err error) {
	out, err := exec.Command("ps", "-axo", "pid=,ppid=,stat=").Output()
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[1] != strconv.Itoa(of) || strings.HasPrefix(fields[2], "Z") {
			continue
		}
		pid, err := strconv.Atoi(fields[0])
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
