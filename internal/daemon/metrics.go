package daemon

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// splitMetrics reads the status of every split when Prometheus asks.
type splitMetrics struct {
	splits       *migrations.Splits
	capabilities []strangler.Capability

	owner, phase, changes, seconds, copied, rows, throttled, verified, mismatches, differing, pause, retained *prometheus.Desc
}

func newSplitMetrics(s *migrations.Splits, cs []strangler.Capability) *splitMetrics {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("strangler_split_"+name, help, append([]string{"capability"}, labels...), nil)
	}
	return &splitMetrics{s, cs,
		d("owner", "1 for the side that owns the capability's writes.", "side"),
		d("phase", "1 for the phase that the split is in.", "phase"),
		d("lag_changes", "Changes at the owner that are not yet applied at the follower; absent while a database cannot be asked."),
		d("lag_seconds", "Age of the state that a reader of the follower may see; absent while nobody knows."),
		d("rows_copied", "Rows of a table that the backfill has copied.", "table"),
		d("rows", "Rows of a table that there are to copy; an estimate while copying.", "table"),
		d("throttled_seconds_total", "Time that the copy has waited for the load of the monolith's database to fall below a limit."),
		d("verified_timestamp_seconds", "When the latest verification ended; absent before the first."),
		d("mismatches", "Rows that the latest verification found different; absent before the first."),
		d("differing", "Rows found different and not equal since; at most 1,000 of each table are counted."),
		d("cutover_pause_seconds", "Longest hold of a write in the latest cutover, failed attempts included."),
		d("retained_wal_bytes", "What the monolith's server keeps of its log for the split; 0 where changes are not read from there."),
	}
}

// Describe implements prometheus.Collector.
func (m *splitMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector. A split that cannot be read is left out.
func (m *splitMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, c := range m.capabilities {
		if c.Stateless() {
			continue
		}
		s, err := m.splits.Status(ctx, c.Name)
		if err != nil {
			continue
		}
		m.send(ch, s)
	}
}

// phases are those that a split which was ever planned can be in.
var phases = []strangler.Phase{
	strangler.PhasePlanned, strangler.PhaseCopying, strangler.PhaseSyncing, strangler.PhaseReversed,
	strangler.PhaseComplete, strangler.PhaseCancelled, strangler.PhaseStopped,
}

func (m *splitMetrics) send(ch chan<- prometheus.Metric, s strangler.SplitStatus) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{s.Capability}, labels...)...)
	}
	one := func(is bool) float64 {
		if is {
			return 1
		}
		return 0
	}
	for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
		gauge(m.owner, one(s.Owner == side), string(side))
	}
	for _, p := range phases {
		gauge(m.phase, one(s.Phase == p), string(p))
	}
	if s.Lag.Unknown == "" {
		gauge(m.changes, float64(s.Lag.Changes))
	}
	gauge(m.differing, float64(s.Differing))
	if s.Lag.Unknown == "" || s.Lag.Seconds > 0 {
		gauge(m.seconds, s.Lag.Seconds)
	}
	gauge(m.pause, s.Pause/1000)
	gauge(m.retained, float64(s.RetainedWAL))
	ch <- prometheus.MustNewConstMetric(m.throttled, prometheus.CounterValue, s.ThrottledSeconds, s.Capability)
	for _, t := range s.Tables {
		gauge(m.copied, float64(t.RowsCopied), t.Name)
		gauge(m.rows, float64(t.RowsTotal), t.Name)
	}
	if v := s.LastVerify; !v.At.IsZero() {
		gauge(m.verified, float64(v.At.UnixMilli())/1000)
		gauge(m.mismatches, float64(v.Mismatches))
	}
}
