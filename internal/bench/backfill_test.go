package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

var captures = []strangler.Capture{strangler.CaptureTriggers, strangler.CaptureLogical}

// BenchmarkBackfill copies the table in turn by a split with live capture, from its start until it is syncing with a
// valid key, and by what people use otherwise.
func BenchmarkBackfill(b *testing.B) {
	r, n, before := newRig(b), rows(b), load()
	r.fill(0, n)
	took := map[string][]float64{}
	for range rounds(b) {
		for _, p := range peers {
			if p.installed() {
				took[p.name] = append(took[p.name], speed(n, p.copy(r)))
				r.same()
			}
		}
		for _, capture := range captures {
			r.fresh()
			d := newDaemon(b, r.move(capture))
			took[string(capture)] = append(took[string(capture)], speed(n, d.copy()))
			r.same()
			d.cancel()
		}
	}
	b.ReportMetric(0, "ns/op")
	sizes := fmt.Sprintf("%s rows, %d rounds", short(float64(n)), rounds(b))
	reference := measured(peers[0].name, "rows/s", took[peers[0].name]...)
	for _, capture := range captures {
		m := measured("", "rows/s", took[string(capture)]...)
		report(b, figure{Name: "backfill, capture: " + string(capture), Sizes: sizes, Load: before, Measured: m, Peer: reference, Value: m.Median / reference.Median, Bar: atLeast(1)})
	}
	for _, p := range peers[1:] {
		f := figure{Name: "backfill by " + p.name, Sizes: sizes, Load: before, Peer: reference}
		if !p.installed() {
			f.Note, f.Peer = p.program+" is not installed", nil
		} else {
			f.Measured = measured("", "rows/s", took[p.name]...)
			f.Value = f.Measured.Median / reference.Median
		}
		report(b, f)
	}
}

// speed is in rows/s.
func speed(rows int, took time.Duration) float64 { return float64(rows) / took.Seconds() }
