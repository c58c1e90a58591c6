package bench

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkBackfill copies pgbench's largest table in turn by psql COPY | psql COPY, with the key in place, and by a split
// with live capture, from its start until it is syncing. It reports the median rows/s of each, and their ratio.
// Run it with -benchtime 5x.
func BenchmarkBackfill(b *testing.B) {
	r := newRig(b)
	var pipe, split []time.Duration
	for b.Loop() {
		pipe, split = append(pipe, r.pipe()), append(split, r.split())
		b.Logf("COPY | COPY %s, split %s", pipe[len(pipe)-1], split[len(split)-1])
	}
	rate := func(of []time.Duration) float64 {
		slices.Sort(of)
		return float64(rows(b)) / of[len(of)/2].Seconds()
	}
	b.ReportMetric(rate(pipe), "copy-rows/s")
	b.ReportMetric(rate(split), "split-rows/s")
	b.ReportMetric(rate(split)/rate(pipe), "ratio")
	b.ReportMetric(0, "ns/op")
}
