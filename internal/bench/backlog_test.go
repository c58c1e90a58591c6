package bench

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkBacklog stops the daemon of a split that is syncing, has pgbench make changes as fast as it can, and
// measures how long the daemon takes, from its next start, until nothing is left of them. There is one backlog for each
// capture: making it takes longest.
func BenchmarkBacklog(b *testing.B) {
	r, n := scaled(b)
	for _, capture := range captures {
		before := load()
		r.fresh()
		d := newDaemon(b, r.move(capture))
		d.copy()
		d.caughtUp()
		d.stop()
		each := (changes(b) + clients - 1) / clients
		made := r.transactions("-t", fmt.Sprint(each))
		began := time.Now()
		d.start()
		d.caughtUp()
		applied := float64(each*clients) / time.Since(began).Seconds()
		r.same()
		report(b, figure{Name: "backlog applied, capture: " + string(capture), Load: before, Sizes: fmt.Sprintf("%s changes, %s rows", short(float64(each*clients)), short(float64(n))),
			Measured: measured("", "changes/s", applied), Peer: measured("pgbench made", "changes/s", made), Value: applied / made, Bar: atLeast(3), Note: fmt.Sprintf("peak memory %s MB", short(d.peak()))})
		d.cancel()
	}
	b.ReportMetric(0, "ns/op")
}
