package bench

import (
	"fmt"
	"os"
	"testing"

	"github.com/strangler-fig/strangler"
)

// loads are what pgbench is watched beside. A bar without a value is COPY | COPY's own ratio.
var loads = []struct {
	name    string
	capture strangler.Capture // empty: COPY | COPY
	syncing *bar
}{
	{"COPY | COPY", "", nil},
	{"triggers", strangler.CaptureTriggers, atLeast(0.85)},
	{"logical", strangler.CaptureLogical, atLeast(0.9)},
}

// beside is what pgbench did with and without something, one value a round.
type beside struct{ ratio, average, p95, with, without []float64 }

func (s *beside) add(without, with window) {
	s.ratio, s.with, s.without = append(s.ratio, with.tps/without.tps), append(s.with, with.tps), append(s.without, without.tps)
	s.average, s.p95 = append(s.average, milliseconds(with.average)), append(s.p95, milliseconds(with.p95))
}

// BenchmarkLoad runs pgbench's own transaction at half of the rate that it reaches by itself, and watches it alone, then
// beside a copy, then beside a split that is syncing, in one run of pgbench each.
func BenchmarkLoad(b *testing.B) {
	r, n := scaled(b)
	before := load()
	most := r.transactions("-T", fmt.Sprint(int(span(b).Seconds())))
	copying, syncing := map[string]*beside{}, map[string]*beside{}
	for range rounds(b) {
		for _, l := range loads {
			if copying[l.name] == nil {
				copying[l.name], syncing[l.name] = &beside{}, &beside{}
			}
			r.watched(most/2, l.capture, "", copying[l.name], syncing[l.name])
		}
	}
	b.ReportMetric(0, "ns/op")
	sizes := fmt.Sprintf("%s rows, %d rounds, pgbench -R %.0f of %.0f, %s each", short(float64(n)), rounds(b), most/2, most, span(b))
	pipe := measured("", "", copying[loads[0].name].ratio...)
	for _, l := range loads {
		f := copying[l.name].figure("TPS beside copying, "+l.name, sizes, before)
		if l.capture != "" {
			f.Name += ", no throttle"
			f.Bar = atLeast(pipe.Median)
		}
		report(b, f)
	}
	for _, l := range loads[1:] {
		f := syncing[l.name].figure("TPS beside syncing, "+l.name, sizes, before)
		f.Bar = l.syncing
		report(b, f)
	}
}

// BenchmarkThrottle is the same beside a copy whose throttle is on: STRANGLER_BENCH_THROTTLE is the value of the key
// throttle in the capability's part of strangler.yaml. Without it the table says that it was not measured.
func BenchmarkThrottle(b *testing.B) {
	name, throttle := "TPS beside copying, throttled", os.Getenv("STRANGLER_BENCH_THROTTLE")
	b.ReportMetric(0, "ns/op")
	if throttle == "" {
		report(b, figure{Name: name, Bar: atLeast(0.9), Load: load(), Note: "not measured: STRANGLER_BENCH_THROTTLE is empty"})
		return
	}
	r, n := scaled(b)
	before := load()
	most := r.transactions("-T", fmt.Sprint(int(span(b).Seconds())))
	var copying, syncing beside
	for range rounds(b) {
		r.watched(most/2, strangler.CaptureTriggers, throttle, &copying, &syncing)
	}
	f := copying.figure(name, fmt.Sprintf("%s rows, %d rounds, pgbench -R %.0f of %.0f, %s each", short(float64(n)), rounds(b), most/2, most, span(b)), before)
	f.Bar, f.Note = atLeast(0.9), f.Note+"; throttle: "+throttle
	report(b, f)
}

// watched is one run of pgbench.
func (r *rig) watched(rate float64, capture strangler.Capture, throttle string, copying, syncing *beside) {
	r.t.Helper()
	r.fresh()
	p := r.pgbench(rate)
	defer p.stop()
	p.warm()
	without := p.watch(span(r.t))
	if capture == "" {
		copying.add(without, p.during(r.pipe))
		return
	}
	m := r.move(capture)
	m.throttle = throttle
	d := newDaemon(r.t, m)
	copying.add(without, p.during(d.copy))
	d.follows(rate)
	p.warm()
	syncing.add(without, p.watch(span(r.t)))
	p.stop()
	d.caughtUp()
	r.same()
	d.cancel()
}

func (s *beside) figure(name, sizes, before string) figure {
	ratio := measured("", "", s.ratio...)
	return figure{Name: name, Sizes: sizes, Load: before, Measured: measured("", "TPS", s.with...), Peer: measured("alone", "TPS", s.without...), Value: ratio.Median,
		Note: fmt.Sprintf("ratio %s–%s, latency average %s ms, p95 %s ms", short(ratio.Low), short(ratio.High), short(measured("", "", s.average...).Median), short(measured("", "", s.p95...).Median))}
}
