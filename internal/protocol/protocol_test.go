package protocol

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// depths are the searches that STRANGLER_PROTOCOL_DEPTH chooses from, each deeper than the one before.
var depths = [][]struct {
	name string
	bounds
}{
	{
		{"TwoWrites", bounds{writes: 2, budget: budget{cutovers: 2, faults: 1}}},
		{"Decoding", bounds{writes: 1, decoding: true, budget: budget{cutovers: 2, faults: 1}}},
		{"Gate", bounds{proxy: true, budget: budget{cutovers: 1, toggles: 1, faults: 2}}},
	},
	{
		{"TwoWrites", bounds{writes: 2, budget: budget{cutovers: 2, faults: 2}}},
		{"ThreeCutovers", bounds{writes: 1, budget: budget{cutovers: 3, faults: 2}}},
		{"Decoding", bounds{writes: 2, decoding: true, budget: budget{cutovers: 3, faults: 1}}},
		{"Gate", bounds{proxy: true, budget: budget{cutovers: 3, toggles: 1, faults: 2}}},
	},
	{
		{"ThreeCutovers", bounds{writes: 2, budget: budget{cutovers: 3, faults: 2}}},
		{"ThreeFaults", bounds{writes: 1, budget: budget{cutovers: 3, faults: 3}}},
		{"Decoding", bounds{writes: 2, decoding: true, budget: budget{cutovers: 3, faults: 2}}},
		{"Gate", bounds{proxy: true, budget: budget{cutovers: 3, toggles: 1, faults: 3}}},
	},
	{
		{"ThreeWrites", bounds{writes: 3, budget: budget{cutovers: 3, faults: 2}}},
		{"FourCutovers", bounds{writes: 2, budget: budget{cutovers: 4, faults: 2}}},
		{"ThreeFaults", bounds{writes: 2, budget: budget{cutovers: 3, faults: 3}}},
		{"Decoding", bounds{writes: 2, decoding: true, budget: budget{cutovers: 3, faults: 3}}},
		{"Gate", bounds{writes: 1, proxy: true, budget: budget{cutovers: 3, toggles: 1, faults: 3}}},
	},
}

// TestProtocol searches the protocol as CUTOVER.md has it.
func TestProtocol(t *testing.T) {
	depth := defaultDepth
	if text := os.Getenv("STRANGLER_PROTOCOL_DEPTH"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n >= len(depths) {
			t.Fatalf("STRANGLER_PROTOCOL_DEPTH=%q: want 0 to %d", text, len(depths)-1)
		}
		depth = n
	}
	for _, c := range depths[depth] {
		t.Run(c.name, func(t *testing.T) {
			if depth <= 1 {
				t.Parallel() // deeper ones take gigabytes each
			}
			start := time.Now()
			found := run(rules{}, c.bounds)
			t.Logf("%+v: %d states in %v", c.bounds, found.states, time.Since(start).Round(time.Millisecond))
			if found.wrong != "" {
				t.Fatalf("%s\n%s", found.wrong, found.trace)
			}
		})
	}
}
