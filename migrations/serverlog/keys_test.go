package serverlog

import (
	"bytes"
	"os"
	"testing"

	"github.com/strangler-fig/strangler/migrations"
)

// TestManyKeysAreKeptInAFile: what was added to several sets, twice and in any order, comes once, in an order of its own,
// and nothing is left behind in the folder for temporary files.
func TestManyKeysAreKeptInAFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	const n = 400_000
	sets := []*Keys{{}, {}, {}}
	for i := range int64(n) {
		k := i * 7919 % n // every number once, far from its neighbours
		must(t, sets[i%2].Add(migrations.Key{k, "key"}))
		must(t, sets[i%2].Add(migrations.Key{n - 1 - k, "key"}))
	}
	must(t, sets[2].Add(migrations.Key{int64(n), []byte{0}}))
	for i := range 2 {
		if len(sets[i].runs) < 2 || sets[i].bytes > spillBytes {
			t.Errorf("set %d has %d runs in its file and %d bytes in memory", i, len(sets[i].runs), sets[i].bytes)
		}
	}
	for range 2 { // they can be read again
		got, before := 0, []byte(nil)
		for k, err := range Distinct(sets) {
			must(t, err)
			e := migrations.Encode(k)
			if before != nil && bytes.Compare(before, e) >= 0 {
				t.Fatalf("%v comes behind a key that is not lower", k)
			}
			got, before = got+1, e
		}
		if got != n+1 {
			t.Errorf("%d keys, want %d", got, n+1)
		}
	}
	for range Distinct(sets) { // whoever has enough may stop
		break
	}
	must(t, CloseAll(sets))
	must(t, CloseAll(sets))
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

// TestNoRoomForManyKeys says which folder has none.
func TestNoRoomForManyKeys(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere/at/all")
	var s Keys
	var err error
	for i := int64(0); err == nil && i < 1_000_000; i++ {
		err = s.Add(migrations.Key{i})
	}
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("/nowhere/at/all; nothing was lost")) {
		t.Errorf("without a folder it says: %v", err)
	}
	must(t, s.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
