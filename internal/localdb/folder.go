package localdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/strangler-fig/strangler"
)

const lockName = "lock"

// folder is where a server keeps everything. Its lock is held by this process and by every process of the
// server: while it can be taken, nobody lives in the folder.
type folder struct {
	dir  string // absolute
	lock *os.File
}

// newFolder makes a folder below parent that the account can enter, and removes what dead servers left
// there.
func newFolder(parent string, f *flavour, who account) (*folder, error) {
	parent, err := f.parentFolder(parent, who)
	if err != nil {
		return nil, err
	}
	sweep(parent, f.prefix)
	dir, err := os.MkdirTemp(parent, f.prefix)
	if err != nil {
		return nil, fmt.Errorf("%w: the folder of a private %s server cannot be made; nothing was started: %w", strangler.ErrConfig, f.name, err)
	}
	made := &folder{dir: dir}
	if err := made.take(who); err != nil {
		return nil, errors.Join(fmt.Errorf("the folder of a private %s server cannot be used; nothing was started: %w", f.name, err), made.Remove())
	}
	return made, nil
}

// take locks the folder and gives it to the account. The lock gets its name when it is held, so that nobody
// who finds it takes the folder for a dead server's.
func (f *folder) take(who account) (err error) {
	made := filepath.Join(f.dir, lockName+".new")
	if f.lock, err = os.OpenFile(made, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := lock(f.lock); err != nil {
		return err
	}
	if err := os.Rename(made, filepath.Join(f.dir, lockName)); err != nil {
		return err
	}
	return who.own(f.dir)
}

// Remove removes the folder and gives up the lock; twice is safe.
func (f *folder) Remove() error {
	err := os.RemoveAll(f.dir)
	if f.lock != nil {
		if e := f.lock.Close(); !errors.Is(e, os.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// parentFolder is the one that was asked for, or the first common one that the account can enter.
func (f *flavour) parentFolder(asked string, who account) (string, error) {
	if asked != "" {
		parent, err := filepath.Abs(asked)
		if err == nil {
			err = os.MkdirAll(parent, 0o755)
		}
		if err != nil {
			return "", fmt.Errorf("%w: the folder for a private %s server: %w; nothing was started", strangler.ErrConfig, f.name, err)
		}
		if at := who.barrier(parent); at != "" {
			return "", fmt.Errorf("%w: %s does not run as root, and the user %s cannot enter %s; nothing was started. Name another folder, or allow it with chmod o+x %s",
				strangler.ErrConfig, f.name, who.name, at, at)
		}
		return parent, nil
	}
	for _, parent := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		parent, err := filepath.Abs(parent)
		if err != nil {
			continue
		}
		if info, err := os.Stat(parent); err == nil && info.IsDir() && who.barrier(parent) == "" {
			return parent, nil
		}
	}
	return "", fmt.Errorf("%w: the user %s can enter none of %s, /tmp and /var/tmp; nothing was started. Name in TMPDIR a folder that it can enter", strangler.ErrConfig, who.name, os.TempDir())
}

// sweep removes the folders of dead servers. What it cannot read, lock or remove is somebody else's, or a
// later start's.
func sweep(parent, prefix string) {
	found, _ := filepath.Glob(filepath.Join(parent, prefix+"*"))
	for _, dir := range found {
		if file, err := openLock(filepath.Join(dir, lockName)); err == nil {
			left := &folder{dir: dir, lock: file}
			if lock(file) == nil {
				_ = left.Remove()
			} else {
				_ = file.Close()
			}
		}
	}
}
