//go:build torture

package demo

import (
	"os"
	"strconv"
	"testing"
)

// Demos under as much traffic as the machine gives, one after another: STRANGLER_ROUNDS times three.
func TestTortureDemo(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("STRANGLER_ROUNDS"))
	if err != nil || rounds < 1 {
		rounds = 1
	}
	for range 3 * rounds {
		o, _, stderr := options(t)
		o.Rows, o.Clients, o.Rate = 20_000, 32, 5_000
		result, err := Run(t.Context(), o)
		if err != nil {
			t.Errorf("%v\n%s", err, stderr)
		}
		t.Logf("%d requests, %d writes, cutover %.0f ms, rollback %.0f ms", result.Requests.Sent, result.Writes.Acknowledged, result.Cutover.PauseMS, result.Rollback.PauseMS)
	}
}
