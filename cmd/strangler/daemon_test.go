package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

// Each command asks the daemon for the right thing in the name of whoever runs it, and prints one
// object with these keys.
func TestCommandsAskTheDaemon(t *testing.T) {
	status := []string{"capability", "phase", "owner", "epoch", "tables", "lag", "last_verify", "uncompared", "differing", "pause_ms", "next_steps", "retained_wal_bytes"}
	cutover := []string{"id", "capability", "from", "to", "state", "epoch", "decided", "position", "released", "who", "why", "started", "ended", "pause_ms", "next_steps"}
	run := []string{"id", "capability", "state", "who", "started", "ended", "steps", "acts", "next_steps"}
	for _, c := range []struct {
		line []string
		call string // empty: nothing is changed
		keys []string
	}{
		{[]string{"toggle", "list"}, "", []string{"control_id", "toggles", "at", "stale"}},
		{[]string{"toggle", "get", "delivery"}, "", []string{"capability", "mode", "percent", "owner", "epoch", "gated", "since"}},
		{[]string{"toggle", "set", "delivery", "canary", "--percent", "0.5", "--why", "first users"}, "flip delivery canary 0.5% ann@laptop first users", []string{"toggle", "applied", "pending", "next_steps"}},
		{[]string{"toggle", "history", "delivery"}, "", []string{"history"}},
		{[]string{"split", "start", "delivery"}, "start delivery", status},
		{[]string{"split", "status", "delivery"}, "", status},
		{[]string{"split", "writers", "delivery"}, "", []string{"writers"}},
		{[]string{"split", "verify", "delivery"}, "verify delivery", []string{"rows", "mismatches"}},
		{[]string{"split", "verify", "delivery", "--repair"}, "repair delivery", []string{"rows", "mismatches"}},
		{[]string{"split", "cutover", "delivery", "--why", "now"}, "cutover delivery ann@laptop now", cutover},
		{[]string{"split", "rollback", "delivery"}, "rollback delivery ann@laptop split rollback", cutover},
		{[]string{"split", "complete", "delivery", "--confirm", "delivery"}, "complete delivery ann@laptop delivery", status},
		{[]string{"split", "cancel", "delivery"}, "cancel delivery", status},
		{[]string{"split", "adopt", "delivery"}, "adopt delivery  ann@laptop ", []string{"lines", "toggle", "next_steps"}},
		{[]string{"split", "adopt", "delivery", "--owner", "service", "--why", "burnt"}, "adopt delivery service ann@laptop burnt", []string{"lines", "toggle", "next_steps"}},
		{[]string{"split", "adopt", "delivery", "--owner", "service", "--lost", "--why", "burnt"}, "adopt delivery service ann@laptop burnt lost", []string{"lines", "toggle", "next_steps"}},
		{[]string{"playbook", "run", "delivery", "--until", "soak"}, "run delivery soak ann@laptop", run},
		{[]string{"playbook", "status", "delivery"}, "", append([]string{"at", "toggle", "split", "traffic"}, run...)},
		{[]string{"playbook", "approve", "delivery", "cutover"}, "approve delivery cutover ann@laptop", run},
		{[]string{"playbook", "rollback", "delivery", "--to", "copy"}, "run rollback delivery copy ann@laptop", run},
		{[]string{"playbook", "rollback", "delivery", "--all"}, "run rollback delivery all ann@laptop", run},
		{[]string{"playbook", "approve", "delivery", "complete", "--confirm", "delivery"}, "approve delivery complete ann@laptop delivery", run},
		{[]string{"playbook", "pause", "delivery", "--why", "lunch"}, "playbook pause delivery ann@laptop lunch", run},
		{[]string{"playbook", "continue", "delivery"}, "playbook continue delivery ann@laptop", run},
		{[]string{"playbook", "abort", "delivery"}, "playbook abort delivery ann@laptop", run},
		{[]string{"playbook", "skip", "delivery", "soak", "--why", "x"}, "playbook skip delivery soak ann@laptop x", run},
		{[]string{"playbook", "retry", "delivery", "verify"}, "playbook retry delivery verify ann@laptop", run},
		{[]string{"playbook", "accept", "delivery", "--yes"}, "playbook accept delivery ann@laptop", run},
	} {
		s, backend := served(t)
		if diff := cmp.Diff(c.keys, keys(s.object(exitDone, c.line...)), unordered); diff != "" {
			t.Errorf("%v prints (-want +got):\n%s", c.line, diff)
		}
		if got := strings.Join(backend.Calls(), "; "); got != c.call {
			t.Errorf("%v asks for %q, want %q", c.line, got, c.call)
		}
		if got := s.expect(exitDone, c.line...); got.stdout == "" || strings.Contains(got.stdout, "{") {
			t.Errorf("%v prints %q", c.line, got.stdout)
		}
	}
}

func TestDryRunsChangeNothing(t *testing.T) {
	s, backend := served(t)
	for _, line := range []string{
		"toggle set delivery shadow --why x", "split start delivery", "split verify delivery", "split cutover delivery", "split rollback delivery",
		"split complete delivery", "split cancel delivery", "playbook run delivery", "playbook approve delivery cutover", "playbook rollback delivery --to expand",
		"playbook pause delivery", "playbook continue delivery", "playbook abort delivery", "playbook skip delivery soak --why x", "playbook retry delivery soak", "playbook accept delivery",
	} {
		words := append(strings.Fields(line), "--dry-run")
		if got := s.object(exitDone, words...); got["dry_run"] != true || got["next_steps"] == nil {
			t.Errorf("%s: %v", line, got)
		}
		if got := s.expect(exitDone, words...); !strings.HasPrefix(got.stdout, "dry run: nothing was changed") {
			t.Errorf("%s: %q", line, got.stdout)
		}
	}
	if calls := backend.Calls(); len(calls) != 0 {
		t.Errorf("a dry run had an effect: %v", calls)
	}
	if got := s.expect(exitDone, "split", "cutover", "delivery", "--dry-run"); !strings.Contains(got.stdout, "the owner's fence would be closed, and the other side's opened, by:\n  UPDATE strangler_fence SET state = 'closed' -- from legacy\n  UPDATE strangler_fence SET state = 'open' -- from legacy\n") {
		t.Errorf("a dry cutover prints %q", got.stdout)
	}
	s.expect(exitDone, "split", "adopt", "delivery", "--owner", "service", "--lost", "--why", "x", "--dry-run")
	if diff := cmp.Diff([]string{"adopt delivery  ann@laptop x"}, backend.Calls()); diff != "" {
		t.Errorf("a dry adopt (-want +got):\n%s", diff)
	}
}

// TestADryRunExitsAsTheRealThing: what a check refuses, and what is not there, is so beforehand. A rollback is told step by step.
func TestADryRunExitsAsTheRealThing(t *testing.T) {
	s, backend := served(t)
	if got := s.expect(exitDone, "playbook", "rollback", "delivery", "--dry-run").stdout; !strings.Contains(got, "down to cutover\n\ncutover\n  service's database: -- closes the fence\n    UPDATE strangler_fence\n\ncanary\n  toggle: canary 10% → legacy\nnext: strangler playbook rollback delivery\n") {
		t.Errorf("a dry rollback prints %q", got)
	}
	for line, name := range map[string]string{
		"approve delivery cutover": "would playbook approve", "skip delivery cutover --why x": "would playbook skip", "retry delivery nope": "would playbook retry", "pause delivery": "would playbook pause",
		"continue delivery": "would playbook continue", "abort delivery": "would playbook abort", "rollback delivery": "foretell back",
	} {
		backend.Fail(name, strangler.Refuse("step", "it does not wait"))
		s.failure(exitRefused, append([]string{"playbook"}, append(strings.Fields(line), "--dry-run")...)...)
		backend.Fail(name, nil)
	}
	if calls := backend.Calls(); len(calls) != 0 {
		t.Errorf("a dry run had an effect: %v", calls)
	}
}

func TestSplitStatusIsTheWholeStatus(t *testing.T) {
	s, backend := served(t)
	want := backend.Splits[0]
	want.Cutover = &strangler.Cutover{ID: 1, Capability: "delivery", From: strangler.Legacy, To: strangler.Service, State: strangler.Aborted}
	want.Pause, want.Error = 12.5, "it broke"
	backend.Splits[0] = want
	var got strangler.SplitStatus
	if err := json.Unmarshal([]byte(s.expect(exitDone, "split", "status", "delivery", "-o", "json").stdout), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	text := s.expect(exitDone, "split", "status", "delivery").stdout
	for _, words := range []string{"10 of 10 rows (100%)", "legacy, epoch 7", "it broke", "held for 12 ms", "next: strangler split verify delivery"} {
		if !strings.Contains(text, words) {
			t.Errorf("status does not say %q:\n%s", words, text)
		}
	}
}

func TestVerifyFailsOnAMismatch(t *testing.T) {
	s, backend := served(t)
	backend.Verify.Mismatches = 2
	if got := s.object(exitFailed, "split", "verify", "delivery"); cmp.Diff(map[string]any{"rows": 10.0, "mismatches": 2.0}, got) != "" {
		t.Errorf("verify prints %v", got)
	}
	if got := s.expect(exitFailed, "split", "verify", "delivery"); got.stdout != "10 rows compared, 2 mismatches\n" || !strings.Contains(got.stderr, "the sides differ") {
		t.Errorf("stdout %q, stderr %q", got.stdout, got.stderr)
	}
}

func TestVerifyNamesWhatDiffers(t *testing.T) {
	s, backend := served(t)
	backend.Verify.Mismatches, backend.Verify.Repaired = 1, 2
	backend.Verify.Differences = []strangler.Difference{
		{Table: "couriers", Key: "7", Kind: strangler.DifferenceDiffers, Columns: []string{"name", "city"}, Repaired: true},
		{Table: "couriers", Key: "8", Kind: strangler.DifferenceMissing, Repaired: true},
		{Table: "courier_actions", Key: "1, 2", Kind: strangler.DifferenceExtra},
	}
	want := `10 rows compared, 1 mismatches, 2 repaired
  couriers, key 7: differs in name, city; repaired
  couriers, key 8: is missing at the side that follows; repaired
  courier_actions, key 1, 2: is only at the side that follows
`
	if got := s.expect(exitFailed, "split", "verify", "delivery", "--repair").stdout; got != want {
		t.Errorf("it prints (-want +got):\n%s", cmp.Diff(want, got))
	}
	if got := s.expect(exitDone, "split", "verify", "delivery", "--repair", "--dry-run").stdout; !strings.Contains(got, "log the key") || !strings.Contains(got, "--repair") {
		t.Errorf("the dry run prints %q", got)
	}
}

// A split that stopped, because a database or the control store was put back, refuses to go on by itself; adopt
// shows what a person decides by.
func TestStoppedSplitIsRefused(t *testing.T) {
	s, backend := served(t)
	adopt := []string{"strangler split adopt delivery"}
	stopped := backend.Splits[0]
	stopped.Phase, stopped.Error, stopped.NextSteps = strangler.PhaseStopped, "the store was put back from an older copy", adopt
	backend.Splits[0] = stopped
	backend.Evidence = []string{"control store A: owner legacy, epoch 7", "legacy database: control store A, fence closed at epoch 9"}
	for _, verb := range []string{"cutover", "rollback", "start"} {
		backend.Fail(verb, fmt.Errorf("split %s: %w", verb, strangler.Refuse("restore", stopped.Error+"; nothing was opened", adopt...)))
		if f := s.failure(exitRefused, "split", verb, "delivery"); f.Error.Check != "restore" || cmp.Diff(adopt, f.Error.Next) != "" || !strings.Contains(f.Error.Message, "nothing was opened") {
			t.Errorf("%s: %+v", verb, f)
		}
	}
	if text := s.expect(exitDone, "split", "status", "delivery").stdout; !strings.Contains(text, stopped.Error) || !strings.Contains(text, "next: "+adopt[0]) {
		t.Errorf("status does not say why it stopped:\n%s", text)
	}
	text := s.expect(exitDone, "split", "adopt", "delivery").stdout
	for _, line := range backend.Evidence {
		if !strings.Contains(text, line) {
			t.Errorf("adopt does not show %q:\n%s", line, text)
		}
	}
	got := s.object(exitDone, "split", "adopt", "delivery")
	if diff := cmp.Diff([]any{backend.Evidence[0], backend.Evidence[1]}, got["lines"]); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
}

func TestToggleThatIsNotAppliedEverywhere(t *testing.T) {
	s, backend := served(t)
	backend.Pending = []string{"two"}
	got := s.object(exitStopped, "toggle", "set", "delivery", "shadow", "--why", "x")
	if diff := cmp.Diff([]any{"two"}, got["pending"]); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	if text := s.expect(exitStopped, "toggle", "set", "delivery", "shadow", "--why", "x").stderr; !strings.Contains(text, "two has not") {
		t.Errorf("stderr %q", text)
	}
}

// A step by hand names the steps of the team's own that it passes over, before and afterwards; going back passes over none.
func TestByHandNamesWhatItPassesOver(t *testing.T) {
	s, _ := served(t)
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	const steps = "    tables: [couriers]\n    playbook: {steps: [{name: warm, after: copy, wait: {for: 1h}}, {name: errors_low, before: cutover, wait: {for: 1h}}, {name: sign_off, after: soak, approve: {}}, {name: tell, after: complete, wait: {for: 1h}}]}\n"
	if err := os.WriteFile(s.file, []byte(strings.Replace(string(text), "    tables: [couriers]\n", steps, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"split cutover delivery":                     "cutover alone, not what strangler.yaml puts before it: warm, errors_low\n",
		"split complete delivery --confirm delivery": "complete alone, not what strangler.yaml puts before it: sign_off\n",
		"split rollback delivery":                    "",
		"split verify delivery":                      "",
	} {
		if got := s.expect(exitDone, strings.Fields(line)...).stderr; got != want {
			t.Errorf("%s says %q, want %q", line, got, want)
		}
		if got := s.expect(exitDone, append(strings.Fields(line), "--dry-run")...).stdout; want != "" && !strings.Contains(got, "- "+want) || strings.Contains(got, "alone") != (want != "") {
			t.Errorf("the dry run of %s prints %q, want %q", line, got, want)
		}
	}
}

// A rollback before any cutover names who owns, and no epoch that there was never a decision of.
func TestRollbackOfNoCutover(t *testing.T) {
	s, backend := served(t)
	backend.Cutover = strangler.Cutover{Capability: "delivery", From: strangler.Legacy, To: strangler.Service}
	if got := s.expect(exitDone, "split", "rollback", "delivery").stdout; !strings.HasPrefix(got, "legacy owns delivery; there has been no cutover\n") {
		t.Errorf("it prints %q", got)
	}
}

// The point of no return is reached by the capability's name alone: typed on a terminal, or given by --confirm. Whoever has not given
// it is told what cannot be undone, and nothing is asked of the daemon.
func TestCompleteIsNamed(t *testing.T) {
	for command, call := range map[string]string{
		"split complete delivery":            "complete delivery ann@laptop delivery",
		"playbook approve delivery complete": "approve delivery complete ann@laptop delivery",
	} {
		s, backend := served(t)
		line := strings.Fields(command)
		refused := func(args ...string) {
			t.Helper()
			got := s.expect(exitRefused, append(line, args...)...)
			if !strings.Contains(got.stderr, "point of no return") || !strings.Contains(got.stderr, `refused by the check "confirmation"`) || len(backend.Calls()) != 0 {
				t.Errorf("%s %v: stderr %q, calls %v", command, args, got.stderr, backend.Calls())
			}
		}
		s.stdin = "delivery\n" // which nobody types where there is no terminal
		refused()
		refused("--confirm", "search")
		s.tty = true
		refused("--confirm", "search")
		s.stdin = "no\n"
		refused()
		s.stdin = ""
		refused()
		s.stdin = "delivery\n"
		s.expect(exitDone, line...)
		s.tty = false
		s.expect(exitDone, append(line, "--confirm", "delivery")...)
		if diff := cmp.Diff([]string{call, call}, backend.Calls()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", command, diff)
		}
	}
}

// Ctrl-C ends each question that a command asks, and nothing is changed.
func TestInterruptedAtAQuestion(t *testing.T) {
	for _, line := range []string{"split complete delivery", "playbook approve delivery complete", "playbook accept delivery"} {
		s, backend := served(t)
		var silent silence
		s.ctx, silent.begins = context.WithCancel(t.Context())
		silent.ends = make(chan struct{})
		s.tty, s.input = true, silent
		if got := s.expect(exitFailed, strings.Fields(line)...); !strings.Contains(got.stderr, "interrupted; nothing was changed") || len(backend.Calls()) != 0 {
			t.Errorf("%s: stderr %q, calls %v", line, got.stderr, backend.Calls())
		}
		close(silent.ends)
	}
}

// silence is a person who types nothing.
type silence struct {
	begins func() // called when an answer is waited for
	ends   chan struct{}
}

func (s silence) Read([]byte) (int, error) {
	s.begins()
	<-s.ends
	return 0, io.EOF
}

// copying are the states that a followed split goes through.
func copying(last strangler.Phase) []strangler.SplitStatus {
	state := func(phase strangler.Phase, copied int64, trouble string) strangler.SplitStatus {
		return strangler.SplitStatus{Capability: "delivery", Phase: phase, Owner: strangler.Legacy, Error: trouble,
			Tables: []strangler.TableProgress{{Name: "couriers", RowsCopied: copied, RowsTotal: 200}}}
	}
	ended := ""
	if last == strangler.PhaseStopped {
		ended = "disk full"
	}
	return []strangler.SplitStatus{
		state(strangler.PhaseCopying, 0, ""), state(strangler.PhaseCopying, 0, ""), state(strangler.PhaseCopying, 50, ""), state(strangler.PhaseCopying, 51, ""), state(strangler.PhaseCopying, 51, "no room"), state(last, 200, ended),
	}
}

func TestFollowedSplitWritesLines(t *testing.T) {
	s, backend := served(t)
	backend.Splits = copying(strangler.PhaseSyncing)
	got := s.expect(exitDone, "split", "start", "delivery", "--follow")
	if diff := cmp.Diff("copying, couriers 0%\ncopying, couriers 20%\ncopying, couriers 20%, no room\nsyncing, couriers 100%\n", got.stderr); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if !strings.Contains(got.stdout, "syncing") {
		t.Errorf("stdout %q", got.stdout)
	}
	backend.Splits = copying(strangler.PhaseSyncing)
	if v := s.object(exitDone, "split", "start", "delivery", "--follow"); v["phase"] != "syncing" {
		t.Errorf("object %v", v)
	}
	backend.Splits = copying(strangler.PhaseStopped)
	if got := s.expect(exitStopped, "split", "start", "delivery", "--follow"); !strings.Contains(got.stderr, "disk full; nothing is lost, legacy still owns") {
		t.Errorf("stderr %q", got.stderr)
	}
	backend.Splits = copying(strangler.PhaseCancelled)
	s.expect(exitFailed, "split", "start", "delivery", "--follow")
}

func TestFollowedSplitDrawsBars(t *testing.T) {
	s, backend := served(t)
	s.tty = true
	follow := func() string {
		backend.Splits = copying(strangler.PhaseSyncing)
		return s.expect(exitDone, "split", "start", "delivery", "--follow").stderr
	}
	coloured := follow()
	if !strings.Contains(coloured, "\x1b[2A\r\x1b[2Kcouriers \x1b[32m███████\x1b[0m░") || !strings.Contains(coloured, " 25%  50 / 200 rows") {
		t.Errorf("bars: %q", coloured)
	}
	s.env["NO_COLOR"] = ""
	if plain := follow(); strings.Contains(plain, "\x1b[32m") || !strings.Contains(plain, "\x1b[2A\r\x1b[2Kcouriers ███████░") {
		t.Errorf("bars without colours: %q", plain)
	}
	s.env["TERM"] = "dumb"
	if lines := follow(); strings.Contains(lines, "\x1b") || !strings.HasPrefix(lines, "copying, couriers 0%\n") {
		t.Errorf("on a dumb terminal: %q", lines)
	}
}

// running are the states of a followed run.
func running(last strangler.Run) []strangler.Run {
	first := strangler.Run{ID: 3, Capability: "delivery", State: strangler.RunRunning, Steps: []strangler.StepRun{{Name: "copy", State: strangler.StepDoing}, {Name: "cutover", State: strangler.StepPending}}}
	gate := strangler.Run{ID: 3, Capability: "delivery", State: strangler.RunWaiting, Waiting: "waiting for the lag to fall", Steps: []strangler.StepRun{{Name: "copy", State: strangler.StepDone}, {Name: "cutover", State: strangler.StepWaiting}}}
	last.ID, last.Capability = 3, "delivery"
	return []strangler.Run{first, first, gate, last}
}

func TestFollowedRun(t *testing.T) {
	for name, c := range map[string]struct {
		last strangler.Run
		exit int
		line string
		next []any
	}{
		"ends": {
			strangler.Run{State: strangler.RunDone, Steps: []strangler.StepRun{{Name: "copy", State: strangler.StepDone}, {Name: "cutover", State: strangler.StepDone}}},
			exitDone, "run done", []any{},
		},
		"waits for a person": {
			strangler.Run{State: strangler.RunWaiting, Waiting: "waiting for approval: …", Steps: []strangler.StepRun{{Name: "copy", State: strangler.StepDone}, {Name: "cutover", State: strangler.StepWaiting}}},
			exitDone, "cutover: waiting, waiting for approval: …", []any{"strangler playbook approve delivery cutover", "strangler playbook rollback delivery", "strangler split status delivery"},
		},
		"soaks": {
			strangler.Run{State: strangler.RunWaiting, Waiting: "waiting for the soak", Steps: []strangler.StepRun{{Name: "soak", State: strangler.StepWaiting}}},
			exitDone, "soak: waiting, waiting for the soak", []any{"strangler split status delivery", "strangler playbook status delivery"},
		},
		"fails": {
			strangler.Run{State: strangler.RunFailed, Error: "disk full", Steps: []strangler.StepRun{{Name: "copy", State: strangler.StepFailed, Detail: "disk full"}}},
			exitStopped, "copy: failed: disk full", []any{"strangler playbook run delivery", "strangler playbook retry delivery copy",
				"strangler playbook rollback delivery", "strangler split status delivery"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, backend := served(t)
			backend.Runs = running(c.last)
			got := s.expect(c.exit, "playbook", "run", "delivery", "--follow")
			want := "copy: doing\ncutover: waiting, waiting for the lag to fall\n" + c.line + "\n"
			if progress, _, _ := strings.Cut(got.stderr, "strangler: "); progress != want {
				t.Errorf("progress (-want +got):\n%s", cmp.Diff(want, progress))
			}
			backend.Runs = running(c.last)
			if diff := cmp.Diff(c.next, s.object(c.exit, "playbook", "run", "delivery", "--follow")["next_steps"]); diff != "" {
				t.Errorf("next steps (-want +got):\n%s", diff)
			}
		})
	}
}

// What was approved a moment ago is still waiting in the ledger: it is watched on, and nobody is asked to approve it again.
func TestApprovedRunIsFollowed(t *testing.T) {
	approved := strangler.Run{ID: 3, Capability: "delivery", State: strangler.RunWaiting, Waiting: "waiting for approval: …",
		Steps: []strangler.StepRun{{Name: "cutover", State: strangler.StepWaiting, Approved: "ann@laptop"}}}
	done := strangler.Run{ID: 3, Capability: "delivery", State: strangler.RunDone, Steps: []strangler.StepRun{{Name: "cutover", State: strangler.StepDone}}}
	s, backend := served(t)
	backend.Runs = []strangler.Run{approved, approved, done}
	if got := s.expect(exitDone, "playbook", "run", "delivery", "--follow"); !strings.Contains(got.stdout, "run 3 of delivery: done") ||
		!strings.HasPrefix(got.stderr, "cutover: waiting, approved by ann@laptop\n") {
		t.Errorf("%+v", got)
	}
	backend.Runs = []strangler.Run{approved}
	got := s.expect(exitDone, "playbook", "status", "delivery").stdout
	if !strings.Contains(got, "run 3 of delivery: waiting, cutover approved by ann@laptop\n") || !strings.Contains(got, "strangler playbook status delivery") {
		t.Error(got)
	}
}

// Ctrl-C ends the watching and nothing else, and says so.
func TestInterruptedFollowing(t *testing.T) {
	s, backend := served(t)
	s.ctx, s.onError = context.WithCancel(t.Context())
	backend.Splits = copying(strangler.PhaseCopying)
	got := s.expect(exitFailed, "split", "start", "delivery", "--follow")
	if !strings.Contains(got.stderr, "nobody watches the split of delivery any more, and it goes on in the daemon; look with strangler split status delivery") {
		t.Errorf("stderr %q", got.stderr)
	}
}

// So it does before the daemon has answered.
func TestInterruptedCommand(t *testing.T) {
	s, backend := served(t)
	ctx, interrupt := context.WithCancel(t.Context())
	s.ctx = ctx
	block := backend.Block("start")
	backend.Splits = copying(strangler.PhaseCopying)
	done := make(chan result)
	go func() { done <- s.run("split", "start", "delivery", "--follow") }()
	<-block.Entered
	interrupt()
	got := <-done
	if got.code != exitFailed || !strings.Contains(got.stderr, "goes on in the daemon") {
		t.Errorf("code %d, stderr %q", got.code, got.stderr)
	}
	block.Release()
	if err := block.Left(); err != nil {
		t.Errorf("the operation ended with the command: %v", err)
	}
}
