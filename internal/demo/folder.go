package demo

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/strangler-fig/strangler"
)

// marker is the file by which a folder is known as a demo's. It is locked while the demo runs.
const marker = "demo.lock"

// folder is where the demo keeps everything.
type folder struct {
	dir  string // absolute
	lock *os.File
}

// prepare makes the folder, or empties the one that an earlier demo left. A folder that is not a demo's,
// or in which one runs, is refused.
func prepare(dir string) (*folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("the demo's folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the demo's folder cannot be made; nothing was started: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("the demo's folder cannot be read; nothing was started: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, marker)); len(entries) > 0 && err != nil {
		return nil, strangler.Refuse("folder", dir+" holds files, and no demo made them", "name an empty folder with --dir")
	}
	f := &folder{dir: dir}
	if f.lock, err = os.OpenFile(f.path(marker), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("the demo's folder cannot be used; nothing was started: %w", err)
	}
	if err := lock(f.lock); err != nil {
		return nil, errors.Join(strangler.Refuse("folder", "a demo runs in "+dir, "stop it with Ctrl-C", "name another folder with --dir"), f.lock.Close())
	}
	for _, e := range entries {
		if e.Name() == marker {
			continue
		}
		if err := os.RemoveAll(f.path(e.Name())); err != nil {
			return nil, errors.Join(fmt.Errorf("what an earlier demo left cannot be removed; nothing was started: %w", err), f.lock.Close())
		}
	}
	return f, nil
}

// Close gives the folder free. What is in it stays.
func (f *folder) Close() error { return f.lock.Close() }

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// shown is a path as a person in the working folder writes it; near goes before one below it.
func shown(near, path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if below, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(below) {
		return near + below
	}
	return path
}

func (f *folder) write(name, text string) error {
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the demo's %s: %w", name, err)
	}
	return nil
}

// secret makes a token for the admin API and keeps a copy for whoever wants to ask the daemon.
func (f *folder) secret() (string, error) {
	token := rand.Text()
	return token, f.write("token", token)
}
