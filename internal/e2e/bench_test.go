//go:build !race

package e2e

import (
	"slices"
	"testing"

	"github.com/strangler-fig/strangler/internal/localdb"
)

// BenchmarkCutover hands the writes over and back under traffic, and reports for how long a write was
// held: the longest hold of each cutover, failed attempts included. The median, the 19th of 20 and the worst
// of all cutovers and rollbacks are reported in milliseconds. Run it with -benchtime 20x.
func BenchmarkCutover(b *testing.B) {
	for _, k := range []*kind{sqlite, onServer(durable)} {
		b.Run(string(k.dialect), func(b *testing.B) { benchmarkCutover(b, k) })
	}
}

// durable is a server that waits for its disk, as those of a team do.
func durable(t testing.TB) *localdb.Server {
	t.Helper()
	s, err := localdb.Postgres(t.Context(), localdb.Config{Durable: true})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func benchmarkCutover(b *testing.B, k *kind) {
	s := newSystem(b, k, 10_000)
	s.start(s.daemon)
	w := s.traffic(s.daemon, 8)
	s.until(s.daemon, "verify")
	c := s.client(s.daemon)
	defer c.Close()
	var pauses []float64
	hand := func(f func() error) {
		s.awaitWith("the hand over", func() bool { return f() == nil }, s.daemon)
		st, err := c.SplitStatus(b.Context(), capability)
		must(b, err)
		pauses = append(pauses, st.Pause)
		w.awaitWrites(20)
	}
	written := w.wrote.Load()
	for b.Loop() {
		hand(func() error { return second(c.Cutover(b.Context(), capability, order)) })
		hand(func() error { return second(c.Rollback(b.Context(), capability, order)) })
	}
	b.ReportMetric(float64(w.wrote.Load()-written)/b.Elapsed().Seconds(), "writes/s")
	w.stop()
	slices.Sort(pauses)
	b.ReportMetric(pauses[len(pauses)/2], "pause-median-ms")
	b.ReportMetric(pauses[len(pauses)*95/100], "pause-p95-ms")
	b.ReportMetric(pauses[len(pauses)-1], "pause-worst-ms")
	b.ReportMetric(0, "ns/op")
	s.caughtUp(s.daemon)
	s.check("legacy", false)
}

func second[T any](_ T, err error) error { return err }
