//go:build unix

package localdb

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/strangler-fig/strangler"
)

// account is the user that a server runs as. Both databases refuse to run as root.
type account struct {
	name     string
	uid, gid int
	other    bool // not this process's own: it is root
}

// owner is this process's own user, or, for root, the first of the flavour's accounts that exists.
func (f *flavour) owner() (account, error) {
	if uid := os.Geteuid(); uid != 0 {
		return account{name: strconv.Itoa(uid), uid: uid, gid: os.Getegid()}, nil
	}
	for _, name := range f.accounts {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			continue
		}
		return account{name: name, uid: uid, gid: gid, other: true}, nil
	}
	return account{}, fmt.Errorf("%w: %s does not run as root, and there is no user %s; nothing was started, run this as another user",
		strangler.ErrConfig, f.name, strings.Join(f.accounts, " and no user "))
}

// wears makes a child run as the account.
func (a account) wears(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	if a.other {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// barrier is the first folder on the way to dir that the account cannot go through, or "". Access lists
// beyond the permission bits are not looked at.
func (a account) barrier(dir string) string {
	if a.other || dir == "" {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return dir
		}
		for at := real; ; at = filepath.Dir(at) {
			info, err := os.Stat(at)
			if err != nil || !a.passes(info) {
				return at
			}
			if at == filepath.Dir(at) {
				return ""
			}
		}
	}
	return ""
}

// passes reports whether the account may go through a folder.
func (a account) passes(info os.FileInfo) bool {
	const mayPass = 0o1
	at, ok := info.Sys().(*syscall.Stat_t)
	switch mode := info.Mode(); {
	case !ok:
		return false
	case int(at.Uid) == a.uid:
		return mode&(mayPass<<6) != 0
	case int(at.Gid) == a.gid:
		return mode&(mayPass<<3) != 0
	default:
		return mode&mayPass != 0
	}
}

// own gives a file that this process has made to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}
