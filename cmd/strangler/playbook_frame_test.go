package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
)

// watchedRun has a step of each kind that there is, in the middle of a canary.
func watchedRun() admin.RunStatus {
	at := time.Date(2026, 3, 4, 12, 30, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return at.Add(-d) }
	step := func(name string, state strangler.StepState, began, ended time.Duration, detail string) strangler.StepRun {
		s := strangler.StepRun{Name: name, State: state, Detail: detail, Started: ago(began)}
		if ended > 0 {
			s.Ended = ago(ended)
		}
		return s
	}
	s := admin.RunStatus{
		Run:    strangler.Run{ID: 7, Capability: "delivery", State: strangler.RunWaiting, Waiting: "waiting for canary 10% to be held until 12:35", Who: "ann@laptop", Started: ago(2*time.Hour + 5*time.Minute)},
		At:     at,
		Toggle: strangler.Toggle{Capability: "delivery", Mode: strangler.ModeCanary, Percent: 100_000, Owner: strangler.Legacy, Epoch: 9, Since: ago(5 * time.Minute)},
		Split: &admin.RunSplit{Phase: strangler.PhaseSyncing, Lag: strangler.Lag{Changes: 1234, Seconds: 2.25}, Tables: []strangler.TableProgress{{Name: "couriers", RowsCopied: 10, RowsTotal: 10}},
			LastVerify: strangler.Verify{At: ago(26 * time.Hour), Rows: 1234567}},
		Traffic: &admin.Traffic{Legacy: admin.SideTraffic{Requests: 90_000, Errors: 3}, Service: admin.SideTraffic{Requests: 1_000, Errors: 12}, Instances: 3},
		Waits:   &strangler.Wait{For: "canary 10% to be held until 12:35", HowFar: "5m of 10m, 5m left; service 1000 requests, 1.20% errors", Command: "strangler toggle get delivery"},
		Outlook: &strangler.Outlook{ETA: at.Add(14*24*time.Hour + 25*time.Minute), Seconds: 1, CountsOn: []string{"without the approvals of cutover and complete", "no estimate for smoke (run), cutover and complete"}},
	}
	s.Steps = []strangler.StepRun{
		step("expand", strangler.StepDone, 125*time.Minute, 125*time.Minute-400*time.Millisecond, "the scripts have run"),
		step("copy", strangler.StepDone, 124*time.Minute, 120*time.Minute, "1234567 of 1234567 rows in 3 tables copied; changes are followed"),
		step("verify", strangler.StepSkipped, 20*time.Minute, 20*time.Minute-time.Second, "by ann@laptop"),
		step("shadow", strangler.StepDone, 19*time.Minute, 9*time.Minute, "shadowed: a\tname\nwith \x1b[2J in it"),
		step("canary", strangler.StepWaiting, 15*time.Minute, 0, "waiting for canary 10% to be held until 12:35"),
		{Name: "smoke", State: strangler.StepPending}, {Name: "cutover", State: strangler.StepPending}, {Name: "soak", State: strangler.StepPending}, {Name: "complete", State: strangler.StepPending},
	}
	for i := range 4 {
		s.Acts = append(s.Acts, strangler.Act{At: ago(time.Duration(4-i) * time.Minute), Who: "ann@laptop", What: "skip", Step: "verify", Why: fmt.Sprintf("reason %d", i)})
	}
	return s
}

// failedRun has gone wrong half-way back.
func failedRun() admin.RunStatus {
	s := watchedRun()
	s.State, s.Waiting, s.Error, s.Waits, s.Outlook, s.Acts = strangler.RunFailed, "", "step canary: the service\n\x1b[2Jdoes not answer", nil, nil, nil
	s.Steps[4].State, s.Steps[4].Detail, s.Steps[4].Ended = strangler.StepFailed, "the service does not answer", s.At
	s.Steps[5].State, s.Steps[6].State, s.Steps[6].Detail = strangler.StepUndone, strangler.StepUndone, "legacy owns"
	s.Ended = s.At.Add(-time.Minute)
	s.Split = &admin.RunSplit{Phase: strangler.PhaseCopying, Throttled: "sessions 9 of 4", Error: "connection refused", Tables: []strangler.TableProgress{{Name: "couriers", RowsCopied: 500, RowsTotal: 2000, Rate: 1200}}}
	return s
}

func frame(s admin.RunStatus, columns, rows int, colour bool) []string {
	p := &progress{live: true, color: colour, size: func() (int, int) { return columns, rows }}
	return drawRun(p, s, afterRun(s.Run, []string{"strangler toggle get delivery"}), "")
}

// TestFrame: what a run looks like on a terminal. Escape sequences are written ␛.
func TestFrame(t *testing.T) {
	for name, s := range map[string]admin.RunStatus{"waiting": watchedRun(), "failed": failedRun()} {
		for _, columns := range []int{80, 40} {
			for _, colour := range []bool{true, false} {
				kind := "plain"
				if colour {
					kind = "colour"
				}
				var shown []string
				for _, row := range frame(s, columns, 60, colour) {
					row = clip(row, columns-1)
					if strings.ContainsAny(row, "\n\r\t") || width(row) >= columns {
						t.Errorf("%d columns: the row %q breaks the frame", columns, row)
					}
					shown = append(shown, strings.ReplaceAll(row, "\x1b", "␛"))
				}
				text := strings.Join(shown, "\n") + "\n"
				if colour != strings.Contains(text, "␛") {
					t.Errorf("%s, %s: escape sequences", name, kind)
				}
				golden(t, filepath.Join("testdata", fmt.Sprintf("run-%s-%d-%s.txt", name, columns, kind)), text)
			}
		}
	}
}

// On a low terminal the frame is cut where it hurts least: what a person has to know and do is the last to go.
func TestFrameOnALowTerminal(t *testing.T) {
	s := watchedRun()
	for rows := 60; rows >= 14; rows-- {
		all := frame(s, 100, rows, false)
		if len(all) >= rows {
			t.Errorf("%d rows are drawn on a terminal of %d", len(all), rows)
		}
		text := strings.Join(all, "\n")
		for _, words := range []string{"delivery · run 7 · waiting", "… canary", "waits for canary 10%", "ends "} {
			if !strings.Contains(text, words) {
				t.Errorf("with %d rows it does not say %q:\n%s", rows, words, text)
			}
		}
	}
	if text := strings.Join(frame(s, 100, 14, false), "\n"); !strings.Contains(text, "✔ 4 steps are over") || !strings.Contains(text, "· smoke, cutover, soak, complete") {
		t.Errorf("the steps:\n%s", text)
	}
}

func TestNextSteps(t *testing.T) {
	steps := func(state strangler.StepState) []strangler.StepRun {
		return []strangler.StepRun{{Name: "copy", State: strangler.StepDone}, {Name: "verify", State: state}}
	}
	for _, c := range []struct {
		run  strangler.Run
		want string
	}{
		{strangler.Run{State: strangler.RunRunning, Steps: steps(strangler.StepDoing)}, "status CAP"},
		{strangler.Run{State: strangler.RunWaiting, Waiting: "waiting for the copy", Steps: steps(strangler.StepWaiting)}, "LOOK; status CAP"},
		{strangler.Run{State: strangler.RunWaiting, Waiting: "waiting for approval: …", Steps: steps(strangler.StepWaiting)}, "approve CAP verify; rollback CAP; LOOK"},
		{strangler.Run{State: strangler.RunWaiting, Waiting: "waiting for approval: …", Steps: []strangler.StepRun{{Name: "verify", State: strangler.StepWaiting, Approved: "ann"}}}, "LOOK; status CAP"},
		{strangler.Run{State: strangler.RunFailed, Steps: []strangler.StepRun{{Name: "cutover", State: strangler.StepFailed}}}, "run CAP; retry CAP cutover; rollback CAP; LOOK"},
		{strangler.Run{State: strangler.RunWaiting, Waiting: "waiting for changed settings to be accepted: …"}, "accept CAP; rollback CAP"},
		{strangler.Run{State: strangler.RunPaused, Steps: steps(strangler.StepPending)}, "continue CAP; rollback CAP; abort CAP"},
		{strangler.Run{State: strangler.RunAborted, Steps: steps(strangler.StepPending)}, "run CAP; rollback CAP"},
		{strangler.Run{State: strangler.RunFailed, Steps: steps(strangler.StepFailed)}, `run CAP; retry CAP verify; skip CAP verify --why "…"; rollback CAP; LOOK`},
		{strangler.Run{State: strangler.RunFailed, Steps: steps(strangler.StepPending)}, "run CAP; rollback CAP"},
		{strangler.Run{State: strangler.RunFailed, BackTo: "cutover", Steps: steps(strangler.StepUndoing)}, "rollback CAP; LOOK"},
		{strangler.Run{State: strangler.RunUndoing, BackTo: "cutover", Steps: steps(strangler.StepUndoing)}, "status CAP"},
		{strangler.Run{State: strangler.RunRolledBack, BackTo: "cutover"}, "run CAP"},
		{strangler.Run{State: strangler.RunDone, Until: "canary"}, "run CAP"},
		{strangler.Run{State: strangler.RunDone}, ""},
	} {
		c.run.Capability = "delivery"
		var got, look []string
		if present(c.run) != "" {
			look = []string{"LOOK"}
		}
		for _, step := range afterRun(c.run, look) {
			step = strings.TrimPrefix(strings.TrimPrefix(step, "strangler "), "playbook ")
			got = append(got, strings.ReplaceAll(step, "delivery", "CAP"))
		}
		if diff := cmp.Diff(c.want, strings.Join(got, "; ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.run.State, diff)
		}
	}
}

// Elsewhere than on a terminal the status is printed once, whatever the run does, and so it is with --once.
func TestStatusIsPrintedOnce(t *testing.T) {
	s, backend := served(t)
	w := watchedRun()
	backend.Runs = []strangler.Run{w.Run}
	backend.Toggle, backend.Traffic = w.Toggle, map[strangler.Side]admin.SideTraffic{strangler.Legacy: w.Traffic.Legacy, strangler.Service: w.Traffic.Service}
	backend.Ahead = func(strangler.Scene) (*strangler.Outlook, *strangler.Wait) { return w.Outlook, w.Waits }
	first := s.expect(exitDone, "playbook", "status", "delivery").stdout
	for _, words := range []string{
		"run 7 of delivery: waiting, waiting for canary 10%", "canary    waiting", "verify    skipped", "a name with  [2J in it", "waits for:  canary 10% to be held", "so far:     5m of 10m",
		"toggle:     canary 10%, owner legacy, epoch 9", "split:      syncing", "lag:        0 changes", "legacy:     90,000 requests through this daemon, 3 errors (0.00%)",
		"service:    1,000 requests through this daemon, 12 errors (1.20%)", "ends:       at 2026-03-18 12:55 UTC at the earliest", "asked:", "next: strangler toggle get delivery",
	} {
		if !strings.Contains(first, words) {
			t.Errorf("it does not say %q:\n%s", words, first)
		}
	}
	s.screen = true
	if got := s.expect(exitDone, "playbook", "status", "delivery", "--once").stdout; strings.Contains(got, "\x1b") || !strings.Contains(got, "waits for:") {
		t.Errorf("--once prints %q", got)
	}
	if got := s.object(exitDone, "playbook", "status", "delivery"); got["outlook"] == nil || got["waits"] == nil || got["next_steps"] == nil {
		t.Errorf("as JSON: %v", got)
	}
	s.env["TERM"] = "dumb"
	if got := s.expect(exitDone, "playbook", "status", "delivery").stdout; strings.Contains(got, "\x1b") {
		t.Errorf("a dumb terminal gets %q", got)
	}
}

// On a terminal it goes on until the run no longer does.
func TestStatusGoesOnUntilTheRunHasEnded(t *testing.T) {
	for _, last := range []strangler.RunState{strangler.RunDone, strangler.RunFailed, strangler.RunRolledBack, strangler.RunAborted, strangler.RunPaused} {
		s, backend := served(t)
		s.screen, s.columns, s.rows = true, 100, 40
		backend.Runs = running(strangler.Run{State: last, Steps: []strangler.StepRun{{Name: "copy", State: strangler.StepDone}, {Name: "cutover", State: strangler.StepPending}}})
		got := s.expect(exitDone, "playbook", "status", "delivery")
		frames := strings.Split(got.stdout, hideCursor)[1:]
		if len(frames) != 4 || !strings.Contains(frames[1], "run 3\x1b[0m") && !strings.Contains(frames[1], "run 3 · ") || !strings.Contains(frames[3], string(last)) {
			t.Errorf("%s: %d frames, the last %q", last, len(frames), frames[len(frames)-1])
		}
		if !slices.ContainsFunc(frames, func(f string) bool { return strings.HasSuffix(f, "\r\x1b[J"+showCursor) }) || got.stderr != "" {
			t.Errorf("%s: the cursor is left away; stderr %q", last, got.stderr)
		}
	}
}
