package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strangler-fig/strangler"
)

// TestSplitMetricsSayWhatStatusSays: phase, rows and verification are there, and nothing is said of a verification
// that has not been.
func TestSplitMetricsSayWhatStatusSays(t *testing.T) {
	m := newSplitMetrics(nil, nil)
	s := strangler.SplitStatus{Capability: "delivery", Phase: strangler.PhaseCopying, Owner: strangler.Legacy, ThrottledSeconds: 1.5, Differing: 4, RetainedWAL: 4096,
		Tables: []strangler.TableProgress{{Name: "couriers", RowsCopied: 50, RowsTotal: 200}}}
	registry := prometheus.NewRegistry()
	registry.MustRegister(fixed{m, &s})
	before := gathered(t, registry)
	for name, want := range map[string]float64{
		"strangler_split_phase delivery copying": 1, "strangler_split_phase delivery syncing": 0,
		"strangler_split_rows delivery couriers": 200, "strangler_split_rows_copied delivery couriers": 50,
		"strangler_split_differing delivery":               4,
		"strangler_split_throttled_seconds_total delivery": 1.5,
		"strangler_split_retained_wal_bytes delivery":      4096,
		"strangler_split_owner delivery legacy":            1, "strangler_split_owner delivery service": 0,
	} {
		if got, there := before[name]; !there || got != want {
			t.Errorf("%s is %v, %v; want %v", name, got, there, want)
		}
	}
	if _, there := before["strangler_split_mismatches delivery"]; there {
		t.Error("mismatches of a verification that has not been")
	}
	if changes, there := before["strangler_split_lag_changes delivery"]; !there || changes != 0 {
		t.Errorf("a lag of nothing is %v, %v", changes, there)
	}
	s.Lag = strangler.Lag{Unknown: "connection refused"}
	unknown := gathered(t, registry)
	for _, name := range []string{"strangler_split_lag_changes delivery", "strangler_split_lag_seconds delivery"} {
		if got, there := unknown[name]; there {
			t.Errorf("%s is %v where nobody knows", name, got)
		}
	}
	s.Lag.Seconds = 40
	if got := gathered(t, registry)["strangler_split_lag_seconds delivery"]; got != 40 {
		t.Errorf("the age of what the follower has is %v", got)
	}
	s.LastVerify = strangler.Verify{At: time.Unix(1000, 0), Rows: 7, Mismatches: 3}
	after := gathered(t, registry)
	if after["strangler_split_mismatches delivery"] != 3 || after["strangler_split_verified_timestamp_seconds delivery"] != 1000 {
		t.Errorf("behind a verification: %v", after)
	}
}

// fixed collects one status.
type fixed struct {
	m *splitMetrics
	s *strangler.SplitStatus
}

func (f fixed) Describe(chan<- *prometheus.Desc)    {}
func (f fixed) Collect(ch chan<- prometheus.Metric) { f.m.send(ch, *f.s) }

// gathered are the values, by name and labels.
func gathered(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, x := range f.GetMetric() {
			words := []string{f.GetName()}
			for _, l := range x.GetLabel() {
				words = append(words, l.GetValue())
			}
			out[strings.Join(words, " ")] = x.GetGauge().GetValue() + x.GetCounter().GetValue()
		}
	}
	return out
}
