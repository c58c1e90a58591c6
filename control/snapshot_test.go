package control

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

func TestASnapshotOnDisk(t *testing.T) {
	s := newStore(t, sqlitePlace)
	path := filepath.Join(t.TempDir(), "state", "snapshot")
	_, err := LoadSnapshot(path)
	wants(t, err, strangler.ErrNotFound)

	for _, mode := range []strangler.Mode{strangler.ModeShadow, strangler.ModeLegacy} { // the second replaces the first
		must(set(t.Context(), s, "delivery", mode, 0))(t)
		want := must(s.Snapshot(t.Context()))(t)
		noError(t, SaveSnapshot(path, want))
		want.Stale = true
		if diff := cmp.Diff(want, must(LoadSnapshot(path))(t)); diff != "" {
			t.Fatal(diff)
		}
	}
	if info := must(os.Stat(path))(t); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o; want 600", info.Mode().Perm())
	}
	if entries := must(os.ReadDir(filepath.Dir(path)))(t); len(entries) != 1 {
		t.Errorf("files are left beside it: %v", entries)
	}

	content := must(os.ReadFile(path))(t)
	refused := func(damage string, at int, damaged []byte) {
		t.Helper()
		noError(t, os.WriteFile(path, damaged, 0o600))
		got, err := LoadSnapshot(path)
		wants(t, err, strangler.ErrRefused)
		if got.Toggles != nil {
			t.Fatalf("%s at %d: toggles are returned", damage, at)
		}
	}
	for i := range content {
		refused("truncated", i, content[:i])
		flipped := append([]byte(nil), content...)
		flipped[i] ^= 1
		refused("a bit changed", i, flipped)
	}
	refused("longer", len(content), append(content, '\n'))
}

func TestASnapshotThatCannotBeWrittenLeavesTheOldOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "snapshot")
	noError(t, os.MkdirAll(filepath.Join(path, "in the way"), 0o700))
	if err := SaveSnapshot(path, strangler.Snapshot{ControlID: "x"}); err == nil {
		t.Fatal("a folder was replaced by a file")
	}
	if entries := must(os.ReadDir(dir))(t); len(entries) != 1 {
		t.Errorf("files are left beside it: %v", entries)
	}
}
