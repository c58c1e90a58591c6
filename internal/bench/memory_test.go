package bench

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/strangler-fig/strangler"
)

// BenchmarkMemory copies tables of rising size, each by a daemon of its own, and asks for the most memory that it had in
// use and for the time. The largest has ten times the rows of the usual one.
func BenchmarkMemory(b *testing.B) {
	r, n, before := newRig(b), rows(b), load()
	peak, took, wrong := map[int][]float64{}, map[int][]float64{}, map[int][]float64{}
	sizes := []int{n / 2, n, 2 * n, 5 * n, 10 * n}
	there := 0
	for _, size := range sizes {
		r.fill(there, size)
		there = size
		for range rounds(b) {
			r.fresh()
			d := newDaemon(b, r.move(strangler.CaptureTriggers))
			t, e := d.foretold()
			took[size], wrong[size] = append(took[size], t.Seconds()), append(wrong[size], e)
			peak[size] = append(peak[size], d.peak())
			r.same()
			d.cancel()
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, size := range sizes {
		found.plot = append(found.plot, point{size, measured("", "s", took[size]...).Median, measured("", "MB", peak[size]...).Median})
	}
	small, large := measured(short(float64(n))+" rows", "MB", peak[n]...), measured(short(float64(10*n))+" rows", "MB", peak[10*n]...)
	text := fmt.Sprintf("%s and %s rows, %d rounds", short(float64(n)), short(float64(10*n)), rounds(b))
	report(b, figure{Name: "the daemon's peak memory", Sizes: text, Load: before, Measured: large, Peer: small, Value: slices.Max(slices.Concat(small.Values, large.Values)), Unit: "MB", Bar: atMost(200)})
	report(b, figure{Name: "peak memory, ten times the rows", Sizes: text, Load: before, Measured: large, Peer: small, Value: large.Median / small.Median, Bar: atMost(1.2)})
	eta := figure{Name: "time left, told at half-way", Sizes: short(float64(10*n)) + " rows", Load: before, Bar: atMost(0.2)}
	if told := slices.DeleteFunc(wrong[10*n], math.IsNaN); len(told) == 0 {
		eta.Note = "the copy was too short for it to be told"
	} else {
		eta.Measured = measured("wrong by", "", told...)
		eta.Value = eta.Measured.High
	}
	report(b, eta)
	quick, slow := measured(short(float64(n))+" rows", "s", took[n]...), measured(short(float64(10*n))+" rows", "s", took[10*n]...)
	report(b, figure{Name: "time of ten times the rows, ÷ 10", Sizes: text, Load: before, Measured: slow, Peer: quick, Value: slow.Median / quick.Median / 10, Bar: atMost(1.2)})
}
