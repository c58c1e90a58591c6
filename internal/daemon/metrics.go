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

	owner, changes, seconds, copied, pause *prometheus.Desc
}

func newSplitMetrics(s *migrations.Splits, cs []strangler.Capability) *splitMetrics {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("strangler_split_"+name, help, append([]string{"capability"}, labels...), nil)
	}
	return &splitMetrics{s, cs,
		d("owner", "1 for the side that owns the capability's writes.", "side"),
		d("lag_changes", "Changes at the owner that are not yet applied at the follower."),
		d("lag_seconds", "Age of the state that a reader of the follower may see."),
		d("rows_copied", "Rows of a table that the backfill has copied.", "table"),
		d("cutover_pause_seconds", "Longest hold of a write in the latest cutover, failed attempts included."),
	}
}

// Describe implements prometheus.Collector.
func (m *splitMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector. A split that cannot be read is left out.
func (m *splitMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, c := range m.capabilities {
		if c.Stateless() {
			continue
		}
		s, err := m.splits.Status(ctx, c.Name)
		if err != nil {
			continue
		}
		for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
			v := 0.0
			if s.Owner == side {
				v = 1
			}
			gauge(m.owner, v, c.Name, string(side))
		}
		gauge(m.changes, float64(s.Lag.Changes), c.Name)
		gauge(m.seconds, s.Lag.Seconds, c.Name)
		gauge(m.pause, s.Pause/1000, c.Name)
		for _, t := range s.Tables {
			gauge(m.copied, float64(t.RowsCopied), c.Name, t.Name)
		}
	}
}
