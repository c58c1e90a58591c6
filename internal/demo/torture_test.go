//go:build torture

package demo

import (
	"os"
	"strconv"
	"testing"
)

// Demos under as much traffic as the machine gives, one after another: STRANGLER_ROUNDS times two on each kind of
// database.
func TestTortureDemo(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("STRANGLER_ROUNDS"))
	if err != nil || rounds < 1 {
		rounds = 1
	}
	for i := range 6 * rounds {
		o, _, stderr := options(t)
		o.Rows, o.Clients, o.Rate = 20_000, 32, 5_000
		o.Database = []string{"sqlite", "postgres", "mysql"}[i%3]
		result, err := Run(t.Context(), o)
		if err != nil {
			t.Errorf("%v\n%s", err, stderr)
		}
		t.Logf("%s: %d requests, %d writes, cutover %.0f ms, rollback %.0f ms", o.Database, result.Requests.Sent, result.Writes.Acknowledged, result.Cutover.PauseMS, result.Rollback.PauseMS)
	}
}
