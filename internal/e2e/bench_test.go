//go:build !race

package e2e

import (
	"slices"
	"testing"
)

// BenchmarkCutover hands the writes over and back under traffic, and reports for how long a write was
// held: the longest hold of each cutover, failed attempts included. The median and the worst of all
// cutovers and rollbacks are reported in milliseconds. Run it with -benchtime 10x.
func BenchmarkCutover(b *testing.B) {
	s := newSystem(b, 10_000)
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
	b.ReportMetric(pauses[len(pauses)-1], "pause-worst-ms")
	b.ReportMetric(0, "ns/op")
	s.caughtUp(s.daemon)
	s.check("legacy", false)
}

func second[T any](_ T, err error) error { return err }
