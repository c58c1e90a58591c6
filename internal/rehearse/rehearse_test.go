package rehearse

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

// rehearse runs one that is to pass.
func (w *world) rehearse(o Options) *Report {
	w.t.Helper()
	report, err := Run(w.t.Context(), o)
	if report != nil {
		w.t.Logf("%+v", *report)
	}
	must(w.t, err)
	return report
}

// The reference capability goes forward, back and forward on copies of its databases, of every kind. Both are as they were
// before, and nothing is left of the copies.
func TestTheReferenceIsRehearsed(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		production := []string{w.image(w.shop), w.image(w.delivery)}
		report := w.rehearse(Options{Capability: w.capability, Rows: 100, Changes: 400})
		if !report.Passed || report.Mismatches != 0 || report.Compared < 500 || len(report.Left) > 0 {
			t.Errorf("%+v", report)
		}
		to := []strangler.Side{}
		for _, h := range report.HandOvers {
			to = append(to, h.To)
			if h.Held <= 0 || h.Attempts < 1 {
				t.Errorf("a hand-over that held nothing: %+v", h)
			}
		}
		if diff := cmp.Diff([]strangler.Side{strangler.Service, strangler.Legacy, strangler.Service}, to); diff != "" {
			t.Error(diff)
		}
		if c := report.Changes; c.Legacy < 2*enough || c.Service < 2*enough {
			t.Errorf("changes: %+v", c)
		}
		if diff := cmp.Diff(production, []string{w.image(w.shop), w.image(w.delivery)}); diff != "" {
			t.Errorf("production has changed: %s", diff)
		}
		w.nothingLeft()
	})
}
