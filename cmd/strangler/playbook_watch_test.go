package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

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
	s.screen, s.columns, s.rows, s.patient = true, 100, 40, 2*time.Second
	frames := 0
	s.onPrint = func() {
		if frames++; frames == 2 {
			backend.Fail("run status", errors.New("broken"))
		}
	}
	got := s.expect(exitFailed, "playbook", "status", "delivery")
	if !strings.Contains(got.stdout, ", and is asked for another ") || !strings.Contains(got.stdout, "delivery") {
		t.Errorf("stdout %q", got.stdout)
	}
	if !strings.Contains(got.stderr, "the daemon has not answered for 2.0s") || !strings.Contains(got.stderr, "nothing is lost: the run of delivery goes on") {
		t.Errorf("stderr %q", got.stderr)
	}
	if frames < 4 {
		t.Errorf("it was asked %d times", frames)
	}
}

// One that comes back is shown as before, the note goes, and the next time that it goes away counts from then.
func TestDaemonComesBackWhileItIsWatched(t *testing.T) {
	s, backend := served(t)
	s.screen, s.columns, s.rows, s.patient = true, 100, 40, 2*time.Second
	frames, outages := 0, 0
	var since time.Time
	s.onPrint = func() {
		switch frames++; {
		case outages == 0 && frames == 2, outages == 1 && frames > 4 && time.Since(since) > s.patient:
			backend.Fail("run status", errors.New("broken"))
			outages, frames, since = outages+1, 2, time.Now()
		case frames == 4:
			backend.Fail("run status", nil)
		case outages == 2 && frames == 6:
			backend.Runs[0].State = strangler.RunDone
		}
	}
	got := s.expect(exitDone, "playbook", "status", "delivery")
	all := strings.Split(got.stdout, hideCursor)
	if n := strings.Count(got.stdout, "has not answered"); n != 4 || strings.Contains(all[len(all)-1], "has not answered") {
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
