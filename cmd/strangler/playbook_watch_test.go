package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
)

// Ctrl-C ends the watching, and is no failure: the run goes on.
func TestInterruptedStatus(t *testing.T) {
	s, backend := served(t)
	s.screen, s.columns, s.rows = true, 100, 40
	s.ctx, s.onPrint = context.WithCancel(t.Context())
	backend.Runs[0].State = strangler.RunRunning
	got := s.expect(exitDone, "playbook", "status", "delivery")
	if !strings.HasSuffix(got.stdout, showCursor+"\r\x1b[2Knobody watches any more, and the run goes on; look again with strangler playbook status delivery\n") {
		t.Errorf("stdout %q", got.stdout)
	}
	if calls := backend.Calls(); len(calls) != 0 {
		t.Errorf("it had an effect: %v", calls)
	}
}

// A daemon that goes away is asked again; what was known of the run stays, and a note says so.
func TestDaemonGoesAwayWhileItIsWatched(t *testing.T) {
	s, backend := served(t)
	s.screen, s.columns, s.rows = true, 100, 40
	frames := 0
	s.onPrint = func() {
		if frames++; frames == 2 {
			backend.Fail("run status", errors.New("broken"))
		}
	}
	got := s.expect(exitFailed, "playbook", "status", "delivery")
	if !strings.Contains(got.stdout, "the daemon has not answered for 0.") || !strings.Contains(got.stdout, "delivery") {
		t.Errorf("stdout %q", got.stdout)
	}
	if !strings.Contains(got.stderr, "the daemon has not answered for 0.1s") || !strings.Contains(got.stderr, "nothing is lost: the run of delivery goes on") {
		t.Errorf("stderr %q", got.stderr)
	}
	if frames < 4 {
		t.Errorf("it was asked %d times", frames)
	}
}

// One that comes back is shown as before, and the note goes.
func TestDaemonComesBackWhileItIsWatched(t *testing.T) {
	s, backend := served(t)
	s.screen, s.columns, s.rows = true, 100, 40
	frames := 0
	s.onPrint = func() {
		switch frames++; frames {
		case 2:
			backend.Fail("run status", errors.New("broken"))
		case 4:
			backend.Fail("run status", nil)
		case 6:
			backend.Runs[0].State = strangler.RunDone
		}
	}
	got := s.expect(exitDone, "playbook", "status", "delivery")
	all := strings.Split(got.stdout, hideCursor)
	if n := strings.Count(got.stdout, "has not answered"); n == 0 || strings.Contains(all[len(all)-1], "has not answered") {
		t.Errorf("it says so %d times, at the end %q", n, all[len(all)-1])
	}
}

// A question that cannot be answered is not asked again.
func TestStatusOfWhatThereIsNot(t *testing.T) {
	s, backend := served(t)
	s.screen = true
	backend.Fail("run status", strangler.ErrNotFound)
	if got := s.expect(exitUsage, "playbook", "status", "delivery"); got.stdout != "" {
		t.Errorf("stdout %q", got.stdout)
	}
}

// The command that shows more is one that the capability has: a stateless one has no split.
func TestLookOfAStatelessCapability(t *testing.T) {
	s, backend := served(t)
	backend.Runs[0] = strangler.Run{ID: 3, Capability: "search", State: strangler.RunFailed, Steps: []strangler.StepRun{{Name: "cutover", State: strangler.StepFailed}}}
	got := s.expect(exitDone, "playbook", "status", "delivery").stdout
	if !strings.Contains(got, "strangler toggle get search\n") || strings.Contains(got, "strangler split") {
		t.Errorf("it prints %s", got)
	}
}
