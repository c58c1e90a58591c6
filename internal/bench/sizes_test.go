package bench

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// The sizes, which the environment may change; the figures of docs/FIGURES.md are of these.
func rows(t testing.TB) int      { return number(t, "STRANGLER_BENCH_ROWS", 2_000_000) }
func rounds(t testing.TB) int    { return number(t, "STRANGLER_BENCH_ROUNDS", 5) }
func changes(t testing.TB) int   { return number(t, "STRANGLER_BENCH_CHANGES", 1_000_000) }
func handOvers(t testing.TB) int { return number(t, "STRANGLER_BENCH_CUTOVERS", 20) }
func writeRate(t testing.TB) int { return number(t, "STRANGLER_BENCH_WRITES", 500) }

// span is how long pgbench is watched for one figure.
func span(t testing.TB) time.Duration {
	return time.Duration(number(t, "STRANGLER_BENCH_SECONDS", 30)) * time.Second
}

func number(t testing.TB, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is no number from 1; nothing was measured", name, text)
	}
	return n
}
