package rehearse

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
		report := w.rehearse(Options{Dir: w.dir, Capability: w.capability, Rows: 100, Changes: 400})
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

// Where rows of production do not fit into the service's tables, the rehearsal says so, and still leaves nothing behind.
func TestADefectIsFound(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		service := w.open(w.delivery)
		if w.kind == sqliteKind {
			w.exec(service, "DROP TABLE courier_requests")
			w.exec(service, "CREATE TABLE courier_requests (idempotency_key TEXT PRIMARY KEY NOT NULL, request TEXT NOT NULL, body_hash TEXT NOT NULL, status INTEGER NOT NULL CHECK (status < 200), answer TEXT NOT NULL, recorded_at TEXT NOT NULL)")
		} else {
			w.exec(service, "ALTER TABLE courier_requests ADD CONSTRAINT few CHECK (status < 200)")
		}
		report, err := Run(t.Context(), Options{Dir: w.dir, Capability: w.capability, Rows: 50})
		if !errors.Is(err, ErrFound) || !strings.Contains(err.Error(), "courier_requests") || report.Passed {
			t.Errorf("%v, %+v", err, report)
		}
		w.nothingLeft()
	})
}

// A copy goes nowhere where anything is: not into production, not beside other tables, not to where the other copy goes, and no
// database is made unasked.
func TestWhereCopiesDoNotGo(t *testing.T) {
	for _, k := range []kind{postgresKind, mysqlKind} {
		t.Run(string(k), func(t *testing.T) {
			w := newWorld(t, k)
			used := k.fresh(t)
			w.exec(w.open(used), "CREATE TABLE theirs (id INTEGER PRIMARY KEY)")
			before := []string{w.image(w.shop), w.image(w.delivery), w.image(used)}
			for name, c := range map[string]struct {
				legacy, service string
				want            error
				says            string
			}{
				"production":         {w.shop, w.scratchAt, strangler.ErrRefused, "one and the same"},
				"the other side":     {w.delivery, w.scratchAt, strangler.ErrRefused, "one and the same"},
				"the other copy":     {w.scratchAt, w.scratchAt, strangler.ErrRefused, "one and the same"},
				"what has tables":    {used, w.scratchAt, strangler.ErrRefused, "theirs"},
				"nowhere":            {"", "", strangler.ErrRefused, "unasked"},
				"another kind":       {"sqlite:/x.db", w.scratchAt, strangler.ErrConfig, "another kind"},
				"nothing that there": {strings.Replace(w.scratchFor, "test_", "gone_", 1), w.scratchAt, strangler.ErrRefused, "cannot be reached"},
			} {
				capability := w.capability
				capability.Playbook.Rehearse = strangler.Rehearse{Legacy: c.legacy, Service: c.service}
				for what, f := range map[string]func(context.Context, Options) (*Report, error){"run": Run, "preview": Preview} {
					if _, err := f(t.Context(), Options{Dir: w.dir, Capability: capability}); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
						t.Errorf("%s, %s: %v", name, what, err)
					}
				}
			}
			if diff := cmp.Diff(before, []string{w.image(w.shop), w.image(w.delivery), w.image(used)}); diff != "" {
				t.Errorf("changed: %s", diff)
			}
			w.nothingLeft()
		})
	}
}

// Whenever a rehearsal is interrupted, it takes away what it has made.
func TestAnInterruptedRehearsalLeavesNothing(t *testing.T) {
	for _, at := range []string{"copies of both databases", "copy", "verify", "cutover", "changes at the service side", "rollback", "second cutover"} {
		t.Run(at, func(t *testing.T) {
			eachKind(t, func(t *testing.T, w *world) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				seen := false
				report, err := Run(ctx, Options{Dir: w.dir, Capability: w.capability, Rows: 50, Progress: func(p Progress) {
					if p.Phase == at {
						seen = true
						cancel()
					}
				}})
				if !seen || !errors.Is(err, strangler.ErrStopped) || !strings.Contains(err.Error(), "nothing is left") || len(report.Left) > 0 {
					t.Errorf("%v, %+v", err, report)
				}
				w.nothingLeft()
			})
		})
	}
}

// A preview says what would be read, and makes nothing.
func TestPreview(t *testing.T) {
	eachKind(t, func(t *testing.T, w *world) {
		report, err := Preview(t.Context(), Options{Dir: w.dir, Capability: w.capability, Rows: 70})
		must(t, err)
		all := fmt.Sprintf("%+v", report.Copied)
		for _, want := range []string{"{Side:legacy Table:couriers Moves:true Rows:70 Production:300}", "{Side:legacy Table:restaurants Moves:false Rows:0 Production:1}", "{Side:service Table:deliveries Moves:true Rows:0 Production:0}"} {
			if !strings.Contains(all, want) {
				t.Errorf("%s lacks %s", all, want)
			}
		}
		w.nothingLeft()
	})
}
