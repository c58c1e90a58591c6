//go:build !race

package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
)

// tracedAsker asks a proxy for a kilobyte; without a sample it has no traces.
func tracedAsker(t testing.TB, sample *strangler.Percent) func() {
	t.Helper()
	conf := config(canned(t, kilobyte+strings.Repeat("x", 1024)))
	if sample != nil {
		to := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
		t.Cleanup(to.Close)
		conf.Traces = Traces{Endpoint: to.URL, Sample: *sample}
	}
	p, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(t.Context()) })
	return asker(t, p, "GET /restaurants HTTP/1.1\r\n"+browserLines+"traceparent: "+aTraceparent+"\r\ntracestate: a=1\r\n\r\n")
}

// A request that is not sampled costs no allocation either, although its upstream is told of its span.
func TestARequestThatIsNotSampledAllocatesNothing(t *testing.T) {
	if engine != EngineH1 {
		return
	}
	ask := tracedAsker(t, new(strangler.Percent))
	for range 200 {
		ask()
	}
	const n = 5000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		ask()
	}
	runtime.ReadMemStats(&after)
	if got := float64(after.Mallocs-before.Mallocs) / n; got > 0.05 {
		t.Errorf("%.2f allocations a request", got)
	}
}

func BenchmarkTraces(b *testing.B) {
	none, all := strangler.Percent(0), strangler.Hundred
	for _, one := range []struct {
		name   string
		sample *strangler.Percent
	}{{"off", nil}, {"0%", &none}, {"100%", &all}} {
		b.Run(one.name, func(b *testing.B) {
			engine = EngineH1
			ask := tracedAsker(b, one.sample)
			b.ReportAllocs()
			for b.Loop() {
				ask()
			}
		})
	}
}
