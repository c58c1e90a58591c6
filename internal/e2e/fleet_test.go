//go:build !race

package e2e

import (
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
)

// TestRunOfAFleet: of two daemons one works on a run. The other refuses to, and says who does; when the first is killed within the
// run it takes the run over by itself and brings it to its end, and nothing is lost.
func TestRunOfAFleet(t *testing.T) {
	s := newSystem(t, sqlite, 300)
	first, second := s.daemon, s.newDaemon(s.node("second.yaml"))
	s.start(first)
	s.start(second)
	writes := s.traffic(second, 4)
	a, b := s.client(first), s.client(second)
	defer a.Close()
	defer b.Close()
	o := order
	o.Until = "soak"
	_, err := a.Run(t.Context(), capability, o)
	must(t, err)
	if _, err := b.Run(t.Context(), capability, o); err == nil || !strings.Contains(err.Error(), "another daemon, ") {
		t.Errorf("a run at the other daemon: %v", err)
	}
	if _, err := b.RollbackRun(t.Context(), capability, o); err == nil || !strings.Contains(err.Error(), "another daemon, ") {
		t.Errorf("a rollback at the other daemon: %v", err)
	}
	s.awaitWith("the copy's end", func() bool {
		run, err := b.RunStatus(t.Context(), capability)
		return err == nil && stepState(run, "copy") == strangler.StepDone
	}, first)
	s.kill(first)
	s.awaitWith("the other daemon to end the run", func() bool {
		run, err := b.RunStatus(t.Context(), capability)
		return err == nil && run.State == strangler.RunDone
	}, second)
	writes.awaitWrites(20)
	writes.stop()
	s.caughtUp(second)
	s.check(strangler.Service, false)
}
