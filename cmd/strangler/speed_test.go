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
