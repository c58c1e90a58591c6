package main

import (
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
)

// TestSplitStatusTellsTheSpeed: with a rate the table's line ends with it, without one it says nothing of it.
func TestSplitStatusTellsTheSpeed(t *testing.T) {
	s, backend := served(t)
	status := func(table strangler.TableProgress) string {
		backend.Splits = []strangler.SplitStatus{{Capability: "delivery", Phase: strangler.PhaseCopying, Owner: strangler.Legacy, Tables: []strangler.TableProgress{table}}}
		return s.expect(exitDone, "split", "status", "delivery").stdout
	}
	if got := status(strangler.TableProgress{Name: "couriers", RowsCopied: 50, RowsTotal: 200, Rate: 10, ETA: 15}); !strings.Contains(got, "50 of 200 rows (25%), 10 rows/s, 15 s left\n") {
		t.Errorf("stdout %q", got)
	}
	if got := status(strangler.TableProgress{Name: "couriers", RowsCopied: 50, RowsTotal: 200}); strings.Contains(got, "rows/s") {
		t.Errorf("stdout %q", got)
	}
}

// TestSplitStatusTellsWhyACopyWaits: while it is throttled it says by what, for people and for programs.
func TestSplitStatusTellsWhyACopyWaits(t *testing.T) {
	s, backend := served(t)
	status := strangler.SplitStatus{Capability: "delivery", Phase: strangler.PhaseCopying, Owner: strangler.Legacy, Throttled: "23 active sessions, limit 20", ThrottledSeconds: 4.5}
	backend.Splits = []strangler.SplitStatus{status}
	if got := s.expect(exitDone, "split", "status", "delivery").stdout; !strings.Contains(got, "copying, throttled: 23 active sessions, limit 20\n") {
		t.Errorf("stdout %q", got)
	}
	if got := s.expect(exitDone, "split", "status", "delivery", "-o", "json").stdout; !strings.Contains(got, `"throttled": "23 active sessions, limit 20"`) || !strings.Contains(got, `"throttled_seconds": 4.5`) {
		t.Errorf("stdout %q", got)
	}
	backend.Splits[0].Throttled = ""
	if got := s.expect(exitDone, "split", "status", "delivery").stdout; strings.Contains(got, "throttled") {
		t.Errorf("stdout %q", got)
	}
}

// TestALagThatIsNotKnownIsNoNumber: of a split and of a run it is told why nobody knows, for people and for programs.
func TestALagThatIsNotKnownIsNoNumber(t *testing.T) {
	s, backend := served(t)
	w := watchedRun()
	backend.Runs, backend.Toggle = []strangler.Run{w.Run}, w.Toggle
	backend.Splits = []strangler.SplitStatus{{Capability: "delivery", Phase: strangler.PhaseReversed, Owner: strangler.Service, Lag: strangler.Lag{Unknown: "the service database could not be asked:\nconnection refused"}}}
	for _, words := range [][]string{{"split", "status", "delivery"}, {"playbook", "status", "delivery"}, {"split", "verify", "delivery", "--dry-run"}} {
		got := s.expect(exitDone, words...).stdout
		if !strings.Contains(got, "not known: the service database could not be asked: connection refused\n") || strings.Contains(got, "0 changes") {
			t.Errorf("%v says %q", words, got)
		}
	}
	if got := s.expect(exitDone, "split", "status", "delivery", "-o", "json").stdout; !strings.Contains(got, `"unknown": "the service database could not be asked:\nconnection refused"`) {
		t.Errorf("as JSON: %s", got)
	}
}
