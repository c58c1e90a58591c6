package playbook

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	strangler "github.com/strangler-fig/strangler"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// scene is a run at a step: those before it are done, those behind it pending.
func scene(at string, state strangler.StepState, change func(*strangler.Scene)) strangler.Scene {
	s := strangler.Scene{
		Capability: strangler.Capability{
			Name: "delivery", Routes: []strangler.Route{{}}, Tables: []strangler.Table{{From: "couriers", To: "couriers"}},
			Playbook: strangler.PlaybookSettings{
				Canary: []strangler.Percent{10_000, 100_000, strangler.Hundred}, Hold: 2 * time.Minute, Shadow: 5 * time.Minute, Soak: 24 * time.Hour,
				Approve: []string{Cutover, Complete},
			},
		},
		Run:    strangler.Run{ID: 3, Capability: "delivery", State: strangler.RunRunning, Started: ago(time.Hour)},
		Toggle: strangler.Toggle{Capability: "delivery", Mode: strangler.ModeLegacy, Owner: strangler.Legacy, Since: ago(time.Hour)},
		Split:  &strangler.SplitStatus{Phase: strangler.PhaseSyncing, Owner: strangler.Legacy},
		Now:    noon,
	}
	now := strangler.StepDone
	for _, d := range order {
		record := strangler.StepRun{Name: d.Name, State: now}
		if d.Name == at {
			record.State, now = state, strangler.StepPending
		}
		s.Run.Steps = append(s.Run.Steps, record)
	}
	if change != nil {
		change(&s)
	}
	return s
}

func TestOutlook(t *testing.T) {
	const all = 5*time.Minute + 3*2*time.Minute + 24*time.Hour
	approvals := "without the approvals of cutover and complete"
	for name, c := range map[string]struct {
		scene strangler.Scene
		left  time.Duration
		none  bool
		on    []string
	}{
		"at the beginning": {
			scene: scene(Expand, strangler.StepDoing, func(s *strangler.Scene) { s.Split.Phase = strangler.PhaseNone }),
			left:  all, on: []string{approvals, "no estimate for expand, copy, verify, cutover and complete"},
		},
		"copying, at a pace": {
			scene: scene(Copy, strangler.StepWaiting, func(s *strangler.Scene) {
				s.Split.Phase, s.Split.Tables = strangler.PhaseCopying, []strangler.TableProgress{
					{Name: "a", RowsCopied: 50, RowsTotal: 50}, {Name: "b", RowsCopied: 400, RowsTotal: 1000, Rate: 10, ETA: 60}, {Name: "c", RowsTotal: 600}}
			}),
			left: all + 2*time.Minute, on: []string{approvals, "no estimate for verify, cutover and complete", "with the copy at 10 rows a second"},
		},
		"copying, and nobody knows how fast": {
			scene: scene(Copy, strangler.StepWaiting, func(s *strangler.Scene) {
				s.Split.Phase, s.Split.Tables = strangler.PhaseCopying, []strangler.TableProgress{{Name: "a", RowsCopied: 50, RowsTotal: 500}}
			}),
			left: all, on: []string{approvals, "no estimate for copy (its pace is not known yet), verify, cutover and complete"},
		},
		"making keys behind the rows": {
			scene: scene(Copy, strangler.StepWaiting, func(s *strangler.Scene) {
				s.Split.Phase, s.Split.Tables = strangler.PhaseCopying, []strangler.TableProgress{{Name: "a", RowsCopied: 50, RowsTotal: 50}}
			}),
			left: all, on: []string{approvals, "no estimate for the end of copy, verify, cutover and complete"},
		},
		"the split cannot be read": {
			scene: scene(Copy, strangler.StepWaiting, func(s *strangler.Scene) { s.Split = nil }),
			left:  all, on: []string{approvals, "no estimate for copy, verify, cutover and complete"},
		},
		"a shadow that is held": {
			scene: scene(Shadow, strangler.StepWaiting, func(s *strangler.Scene) { s.Toggle.Mode, s.Toggle.Since = strangler.ModeShadow, ago(time.Minute) }),
			left:  all - time.Minute, on: []string{approvals, "no estimate for cutover and complete"},
		},
		"a shadow whose hold is over": {
			scene: scene(Shadow, strangler.StepWaiting, func(s *strangler.Scene) { s.Toggle.Mode, s.Toggle.Since = strangler.ModeShadow, ago(time.Hour) }),
			left:  all - 5*time.Minute, on: []string{approvals, "no estimate for cutover and complete"},
		},
		"the second share of a canary, which waits for requests too": {
			scene: scene(Canary, strangler.StepWaiting, func(s *strangler.Scene) {
				s.Toggle.Mode, s.Toggle.Percent, s.Toggle.Since = strangler.ModeCanary, 100_000, ago(30*time.Second)
				s.Capability.Playbook.Requests = 200
			}),
			left: 90*time.Second + 2*time.Minute + 24*time.Hour,
			on: []string{approvals, "no estimate for cutover and complete",
				"with 200 requests answered by the service at each share of the canary by then"},
		},
		"waiting for the approval of the cutover": {
			scene: scene(Cutover, strangler.StepWaiting, func(s *strangler.Scene) { s.Toggle.Mode, s.Toggle.Percent = strangler.ModeCanary, strangler.Hundred }),
			left:  24 * time.Hour, on: []string{approvals, "no estimate for cutover and complete"},
		},
		"approved": {
			scene: scene(Cutover, strangler.StepDoing, func(s *strangler.Scene) { s.Run.Steps[5].Approved = "ann" }),
			left:  24 * time.Hour, on: []string{"without the approval of complete", "no estimate for cutover and complete"},
		},
		"only until the canary": {
			scene: scene(Shadow, strangler.StepWaiting, func(s *strangler.Scene) {
				s.Toggle.Mode, s.Toggle.Since, s.Run.Until = strangler.ModeShadow, ago(time.Minute), Canary
			}),
			left: 10 * time.Minute, on: []string{},
		},
		"the soak, counted from the cutover": {
			scene: scene(Soak, strangler.StepWaiting, func(s *strangler.Scene) {
				s.Toggle.Mode, s.Toggle.Owner, s.Toggle.Since = strangler.ModeExtracted, strangler.Service, ago(time.Minute)
				s.Split.Phase, s.Split.Owner = strangler.PhaseReversed, strangler.Service
				s.Split.Cutover = &strangler.Cutover{State: strangler.Committed, To: strangler.Service, Ended: ago(4 * time.Hour)}
			}),
			left: 20 * time.Hour, on: []string{"without the approval of complete", "no estimate for complete"},
		},
		"nothing left of a known length": {
			scene: scene(Complete, strangler.StepWaiting, nil),
			on:    []string{"without the approval of complete", "no estimate for complete"},
		},
		"stateless": {
			scene: scene(Shadow, strangler.StepWaiting, func(s *strangler.Scene) {
				s.Capability.Tables, s.Split, s.Capability.Playbook.Approve = nil, nil, nil
				s.Toggle.Mode, s.Toggle.Since = strangler.ModeShadow, ago(4*time.Minute)
			}),
			left: 7*time.Minute + 24*time.Hour, on: []string{},
		},
		"holds that the capability leaves to the engine": {
			scene: scene(Shadow, strangler.StepPending, func(s *strangler.Scene) {
				s.Capability.Playbook.Hold, s.Capability.Playbook.Shadow, s.Run.Until = 0, 0, Canary
			}),
			left: 40 * time.Minute, on: []string{},
		},
		"a step that a person has skipped": {
			scene: scene(Canary, strangler.StepDoing, func(s *strangler.Scene) { s.Run.Steps[6].State = strangler.StepSkipped }),
			left:  3 * 2 * time.Minute, on: []string{approvals, "no estimate for cutover and complete"},
		},
		"steps of its own": {
			scene: scene(Complete, strangler.StepDone, func(s *strangler.Scene) {
				s.Capability.Playbook.Own = []strangler.OwnStep{
					{Name: "settle", After: Complete, Wait: &strangler.WaitStep{For: time.Hour}},
					{Name: "rest", After: Complete, Wait: &strangler.WaitStep{For: time.Hour}},
					{Name: "smoke", After: Complete, Run: &strangler.RunStep{}},
					{Name: "slo", After: Complete, Prometheus: &strangler.PrometheusStep{For: time.Hour}},
					{Name: "legal", After: Complete, Approve: &strangler.ApproveStep{}},
					{Name: "tell", After: Complete, Notify: &strangler.NotifyStep{}},
				}
				s.Run.Steps = append(s.Run.Steps, strangler.StepRun{Name: "settle", State: strangler.StepWaiting, Started: ago(20 * time.Minute)})
				for _, name := range []string{"rest", "smoke", "slo", "legal", "tell"} {
					s.Run.Steps = append(s.Run.Steps, strangler.StepRun{Name: name, State: strangler.StepPending})
				}
			}),
			left: 100 * time.Minute, on: []string{"without the approval of legal", "no estimate for smoke (run) and slo (prometheus)"},
		},
		"paused": {
			scene: scene(Canary, strangler.StepPending, func(s *strangler.Scene) { s.Run.State, s.Run.Until = strangler.RunPaused, Canary }),
			left:  6 * time.Minute, on: []string{"being continued now"},
		},
		"failed":      {scene: scene(Copy, strangler.StepFailed, func(s *strangler.Scene) { s.Run.State = strangler.RunFailed }), none: true},
		"aborted":     {scene: scene(Copy, strangler.StepPending, func(s *strangler.Scene) { s.Run.State = strangler.RunAborted }), none: true},
		"going back":  {scene: scene(Copy, strangler.StepUndoing, func(s *strangler.Scene) { s.Run.State = strangler.RunUndoing }), none: true},
		"done":        {scene: scene("", "", func(s *strangler.Scene) { s.Run.State = strangler.RunDone }), none: true},
		"rolled back": {scene: scene("", "", func(s *strangler.Scene) { s.Run.State = strangler.RunRolledBack }), none: true},
	} {
		got, _ := Ahead(c.scene)
		var want *strangler.Outlook
		if !c.none {
			want = &strangler.Outlook{Seconds: c.left.Seconds(), CountsOn: c.on}
			if c.left > 0 {
				want.ETA = noon.Add(c.left)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWaits(t *testing.T) {
	waiting := func(at, text, detail string, change func(*strangler.Scene)) strangler.Scene {
		s := scene(at, strangler.StepWaiting, change)
		s.Run.State, s.Run.Waiting = strangler.RunWaiting, text
		for i := range s.Run.Steps {
			if s.Run.Steps[i].Name == at {
				s.Run.Steps[i].Detail = detail
			}
		}
		return s
	}
	const lag = "waiting for the lag to fall to 1000 changes and 10s"
	paused := scene(Canary, strangler.StepPending, nil)
	paused.Run.State, paused.Run.Paused = strangler.RunPaused, "ann@laptop"
	for name, c := range map[string]struct {
		scene strangler.Scene
		want  *strangler.Wait
	}{
		"not at all": {scene(Copy, strangler.StepDoing, nil), nil},
		"an approval": {
			waiting(Cutover, "waiting for approval: strangler playbook approve delivery cutover",
				"waiting for approval: strangler playbook approve delivery cutover; next is cutting over to the service", nil),
			&strangler.Wait{For: "a person's approval of cutover", HowFar: "next is cutting over to the service", Command: "strangler split status delivery"},
		},
		"a gate with numbers": {
			waiting(Cutover, lag, lag+"; it is 4200 changes and 31.0s", nil),
			&strangler.Wait{For: "the lag to fall to 1000 changes and 10s", HowFar: "it is 4200 changes and 31.0s", Command: "strangler split status delivery"},
		},
		"numbers that are of something before": {
			waiting(Cutover, lag, "cutting over", nil),
			&strangler.Wait{For: "the lag to fall to 1000 changes and 10s", Command: "strangler split status delivery"},
		},
		"the copy": {
			waiting(Copy, "waiting for the copy", "waiting for the copy: 50 of 200 rows in 1 tables", nil),
			&strangler.Wait{For: "the copy", HowFar: "50 of 200 rows in 1 tables", Command: "strangler split status delivery"},
		},
		"a hold": {
			waiting(Canary, "waiting for canary 10% to be held until 12:01", "waiting for canary 10% to be held until 12:01; service 7 requests", func(s *strangler.Scene) {
				s.Toggle.Mode, s.Toggle.Percent, s.Toggle.Since = strangler.ModeCanary, 100_000, ago(30*time.Second)
			}),
			&strangler.Wait{For: "canary 10% to be held until 12:01", HowFar: "30s of 2m, 1m30s left; service 7 requests", Command: "strangler toggle get delivery"},
		},
		"days, without their seconds": {
			waiting(Soak, "waiting for the soak", "waiting for the soak", func(s *strangler.Scene) {
				s.Toggle.Owner, s.Toggle.Since, s.Capability.Playbook.Soak = strangler.Service, ago(25*time.Hour+time.Second), 14*24*time.Hour
			}),
			&strangler.Wait{For: "the soak", HowFar: "1d1h of 14d, 12d22h left", Command: "strangler split status delivery"},
		},
		"stateless": {
			waiting(Cutover, "waiting for instances", "waiting for instances", func(s *strangler.Scene) { s.Capability.Tables, s.Split = nil, nil }),
			&strangler.Wait{For: "instances", Command: "strangler toggle get delivery"},
		},
		"paused": {paused, &strangler.Wait{For: "a person to continue it", HowFar: "paused by ann@laptop", Command: "strangler playbook continue delivery"}},
	} {
		_, got := Ahead(c.scene)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Each of the playbook's steps has a command that shows more of it.
func TestLook(t *testing.T) {
	c := strangler.Capability{Name: "delivery", Tables: []strangler.Table{{}}}
	for _, d := range Steps() {
		if d.Look == "" || LookAt(c, d.Name) == "strangler playbook show delivery" {
			t.Errorf("%s has none", d.Name)
		}
	}
}
