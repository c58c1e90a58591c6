//go:build !race

package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestScriptsThatRanByHand: a run goes on behind scripts that somebody has run, and takes them back with the rest, also where it got no
// further than to find them.
func TestScriptsThatRanByHand(t *testing.T) {
	t.Parallel()
	s := newSystem(t, sqlite, 50)
	legacy, service := s.kind.schema(t, s.legacyDB), s.kind.schema(t, s.serviceDB)
	taken := func() {
		t.Helper()
		s.back(s.daemon, "expand")
		if diff := cmp.Diff(legacy, s.kind.schema(t, s.legacyDB)) + cmp.Diff(service, s.kind.schema(t, s.serviceDB)); diff != "" {
			t.Fatalf("something is left (-before +after):\n%s", diff)
		}
	}
	s.command(t, "kim", 0, "migrate", "plan", capability)
	s.command(t, "kim", 0, "migrate", "up", capability)
	s.start(s.daemon)
	s.forward(s.daemon)
	taken()
	s.command(t, "kim", 0, "migrate", "up", capability)
	s.command(t, "kim", 0, "playbook", "run", capability, "--until", "expand", "--follow")
	taken()
}
