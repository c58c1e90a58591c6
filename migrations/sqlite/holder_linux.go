package sqlite

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Bytes that SQLite locks for the one writer: WAL_WRITE_LOCK in the shared-memory file, RESERVED_BYTE in
// the database itself (sqlite.org/walformat.html and fileformat2.html#the_lock_byte_page).
const (
	walWriteLock = 120
	reservedByte = 0x40000000 + 1
)

// holder names the process that has the write lock, from /proc/locks: opening and closing the file
// itself would drop this process's own locks on it. Empty when it cannot be told.
func holder(path string) string {
	table, err := os.ReadFile("/proc/locks")
	if err != nil {
		return ""
	}
	for file, at := range map[string]uint64{path + "-shm": walWriteLock, path: reservedByte} {
		var st syscall.Stat_t
		if syscall.Stat(file, &st) != nil {
			continue
		}
		inode := fmt.Sprintf(":%d", st.Ino)
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line) // 1: POSIX ADVISORY WRITE 4711 08:02:131 120 120
			var from, to uint64
			if len(f) == 8 && f[3] == "WRITE" && strings.HasSuffix(f[5], inode) && number(f[6], &from) && number(f[7], &to) && from <= at && at <= to {
				return "process " + f[4]
			}
		}
	}
	return ""
}

func number(s string, n *uint64) bool {
	_, err := fmt.Sscanf(s, "%d", n)
	return err == nil
}
