package localdb

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// attributes put a program into a group of its own, so that Ctrl-C in the terminal does not reach it, and
// have the kernel send it the last signal when this process dies. That passes over a change of user, since the
// sender is the one who dies.
func attributes(last syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: last}
}

// watch has nothing to do where the kernel does it.
func watch(int, syscall.Signal) (func() error, error) { return func() error { return nil }, nil }

// children are the living children of a process.
func children(of int) (pids []int, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended meanwhile
		} else if err != nil {
			return nil, err
		}
		// "pid (name) state parent …", and the name may hold anything.
		_, rest, _ := bytes.Cut(b[bytes.LastIndexByte(b, ')')+1:], []byte(" "))
		fields := bytes.Fields(rest)
		if len(fields) < 2 || string(fields[0]) == "Z" || string(fields[0]) == "X" || string(fields[1]) != strconv.Itoa(of) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
