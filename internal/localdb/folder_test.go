//go:build linux

package localdb

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
)

// somebody is an account that owns nothing here.
var somebody = account{name: "somebody", uid: 54321, gid: 54321, other: true}

func TestFolderThatTheUserCannotEnter(t *testing.T) {
	dir := open(t)
	closed := filepath.Join(dir, "closed")
	must(t, os.MkdirAll(filepath.Join(closed, "below"), 0o755))
	must(t, os.Symlink(filepath.Join(closed, "below"), filepath.Join(dir, "link")))
	if at := somebody.barrier(filepath.Join(dir, "link")); at != "" {
		t.Errorf("%s stands in the way", at)
	}
	must(t, os.Chmod(closed, 0o700))
	for _, in := range []string{closed, filepath.Join(closed, "below"), filepath.Join(dir, "link")} {
		if at := somebody.barrier(in); at != closed {
			t.Errorf("on the way to %s stands %q, want %s", in, at, closed)
		}
	}
	if at := (account{uid: os.Geteuid(), gid: os.Getegid(), other: true}).barrier(closed); at != "" {
		t.Errorf("the owner cannot go through %s", at)
	}

	_, err := newFolder(filepath.Join(closed, "new"), postgres, somebody)
	if !errors.Is(err, strangler.ErrConfig) || !strings.Contains(err.Error(), "chmod o+x "+closed) {
		t.Errorf("error %v", err)
	}

	t.Setenv("TMPDIR", closed)
	parent, err := postgres.parentFolder("", somebody)
	if err != nil || within(parent, closed) {
		t.Errorf("the default is %s (%v), where the user cannot go", parent, err)
	}
	t.Setenv("TMPDIR", dir)
	if parent, err := postgres.parentFolder("", somebody); err != nil || parent != dir {
		t.Errorf("the default is %s (%v), want %s", parent, err, dir)
	}
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// A new start removes what dead servers left, and nothing else.
func TestSweepRemovesTheDead(t *testing.T) {
	dir := open(t)
	who, err := postgres.owner()
	must(t, err)
	living, err := newFolder(dir, postgres, who)
	must(t, err)
	defer living.Remove()
	make := func(name string, files ...string) string {
		at := filepath.Join(dir, name)
		must(t, os.MkdirAll(at, 0o755))
		for _, f := range files {
			must(t, os.WriteFile(filepath.Join(at, f), nil, 0o600))
		}
		return at
	}
	dead := make(postgres.prefix+"dead", lockName, "data")
	unlocked := make(postgres.prefix+"unlocked", lockName+".new")
	other := make("other", lockName)
	tricked := make(postgres.prefix + "tricked")
	must(t, os.Symlink(filepath.Join(other, lockName), filepath.Join(tricked, lockName)))

	next, err := newFolder(dir, postgres, who)
	must(t, err)
	for _, at := range []string{living.dir, unlocked, other, tricked, next.dir} {
		if _, err := os.Stat(at); err != nil {
			t.Errorf("%s was removed", at)
		}
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s was left: %v", dead, err)
	}
	for range 2 {
		must(t, next.Remove())
	}
	if _, err := os.Stat(next.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s was left: %v", next.dir, err)
	}
}

func TestNewestCompleteVersionIsChosen(t *testing.T) {
	dir := t.TempDir()
	install := func(version string, names ...string) {
		bin := filepath.Join(dir, version, "bin")
		must(t, os.MkdirAll(bin, 0o755))
		for _, n := range names {
			must(t, os.WriteFile(filepath.Join(bin, n), nil, 0o755))
		}
	}
	pattern := []string{filepath.Join(dir, "pg@*", "bin")}
	install("pg@17", "psql", "initdb")
	if got := newest(pattern); got != "" {
		t.Errorf("%s is complete", got)
	}
	for _, v := range []string{"pg@9.6", "pg@15", "pg@16", "pg@13"} {
		install(v, "initdb", "postgres")
		if v == "pg@16" {
			must(t, os.Chmod(filepath.Join(dir, v, "bin", "postgres"), 0o644))
		}
	}
	if got := newest(pattern); got != postgresBin(filepath.Join(dir, "pg@15", "bin")) {
		t.Errorf("chosen: %s", got)
	}
}

// The search path leads to the programs through a link or through pg_config; without any of it, the one
// command that installs them is told.
func TestProgramsInTheSearchPath(t *testing.T) {
	real, err := installedPostgres()
	must(t, err)
	usual := places
	defer func() { places = usual }()
	places = []string{filepath.Join(t.TempDir(), "*")}

	dir := t.TempDir()
	t.Setenv("PATH", dir)
	_, err = installedPostgres()
	if !errors.Is(err, strangler.ErrConfig) || !strings.Contains(err.Error(), "apt-get install") || !strings.Contains(err.Error(), "create_main_cluster = false") {
		t.Errorf("error %v", err)
	}
	must(t, os.Symlink(real.path("postgres"), filepath.Join(dir, "postgres")))
	if got, err := installedPostgres(); err != nil || got != real {
		t.Errorf("through a link: %s, %v", got, err)
	}
	must(t, os.Remove(filepath.Join(dir, "postgres")))
	must(t, os.WriteFile(filepath.Join(dir, "pg_config"), []byte("#!/bin/sh\necho "+filepath.Dir(real.path("postgres"))), 0o755))
	if got, err := installedPostgres(); err != nil || got != real {
		t.Errorf("through pg_config: %s, %v", got, err)
	}
}
