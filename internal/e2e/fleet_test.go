//go:build !race

package e2e

import (
	"net/http"
	"slices"
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
	at := " at " + s.url(first.node.adminPort) + ", works on the runs of " + capability
	if _, err := b.Run(t.Context(), capability, o); err == nil || !strings.Contains(err.Error(), "another daemon, ") || !strings.Contains(err.Error(), at) {
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

// TestEvidenceOfAFleet: what every daemon's proxy has counted is evidence for a run, at whichever it is worked on.
func TestEvidenceOfAFleet(t *testing.T) {
	s := newSystem(t, sqlite, 300)
	s.resettle("{canary: [100%], requests: 30, hold: 20ms, shadow: 20ms, soak: 20ms, approve: []}")
	first, second := s.daemon, s.newDaemon(s.node("second.yaml"))
	s.start(first)
	s.start(second)
	c := s.client(first)
	defer c.Close()
	o := order
	o.Until = "canary"
	_, err := c.Run(t.Context(), capability, o)
	must(t, err)
	s.advance(c, "shadow") // which waits for requests as well
	shows := func(words string) {
		t.Helper()
		s.awaitWith("the canary to show "+words, func() bool {
			run, err := c.RunStatus(t.Context(), capability)
			i := slices.IndexFunc(run.Steps, func(s strangler.StepRun) bool { return s.Name == "canary" })
			return err == nil && i >= 0 && strings.Contains(run.Steps[i].Detail, words)
		}, first)
	}
	read := func(p *program) { // as often as the canary asks for, by visitors who have written nothing that they would have to see
		t.Helper()
		for range 30 {
			if status := get(s.url(p.node.proxyPort) + "/couriers/1"); status != http.StatusOK {
				t.Fatalf("a reader is answered %d", status)
			}
		}
	}
	shows("0 of 30 requests; no traffic: inconclusive")
	read(second) // which does not follow the split, and so leaves reads where the owner is
	shows("legacy 30 requests")
	read(first)
	shows("canary 100% held: service 30 requests")
}
