//go:build !linux

package h1

import (
	"net"
	"syscall"
)

// Elsewhere everything goes through net.Conn: a client's leaving is seen by its next read or write,
// and a connection that an upstream has closed by the next request on it.

func rawOf(net.Conn) syscall.RawConn { return nil }

func sysRead(uintptr, []byte) (int, error)  { return 0, syscall.ENOSYS }
func sysWrite(uintptr, []byte) (int, error) { return 0, syscall.ENOSYS }
func sysPeek(uintptr) (int, error)          { return 0, syscall.EAGAIN }
