package migrations

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

// TestThrottleIsLoggedOnce: a load that comes and goes, as the copy itself may make it do, is one throttle in the log;
// it ends when the limits have been kept for a while, or with the copy.
func TestThrottleIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	x := newThrottle(strangler.Capability{Name: "delivery", Throttle: strangler.Throttle{Sessions: 2}}, slog.New(slog.NewTextHandler(&log, nil)))
	lines := func() (began, ended int) {
		return strings.Count(log.String(), "the copy is throttled"), strings.Count(log.String(), "the copy is no longer throttled")
	}
	now := time.Unix(1000, 0)
	for range 20 {
		x.set(now, "3 active sessions, limit 2", "")
		x.set(now.Add(throttleCheck), "", "")
		now = now.Add(2 * throttleCheck)
	}
	if began, ended := lines(); began != 1 || ended != 0 {
		t.Errorf("a throttle that goes on is logged as %d beginnings, %d ends:\n%s", began, ended, &log)
	}
	x.set(now.Add(throttleCalm), "", "")
	if began, ended := lines(); began != 1 || ended != 1 || !strings.Contains(log.String(), "waited=5s") {
		t.Errorf("one that is over: %d beginnings, %d ends:\n%s", began, ended, &log)
	}
	if _, waited := x.state(); waited != 20*throttleCheck {
		t.Errorf("the copy has waited for %s", waited)
	}
	x.set(now.Add(2*throttleCalm), "3 active sessions, limit 2", "2 sessions of other roles")
	x.set(now.Add(2*throttleCalm+throttleCheck), "3 active sessions, limit 2", "2 sessions of other roles")
	x.end()
	if began, ended := lines(); began != 2 || ended != 2 {
		t.Errorf("the end of the copy: %d beginnings, %d ends:\n%s", began, ended, &log)
	}
	if n := strings.Count(log.String(), "does not see all of the load"); n != 1 {
		t.Errorf("what is not seen is said %d times:\n%s", n, &log)
	}
	if why, _ := x.state(); why != "" {
		t.Errorf("behind the copy it is throttled: %s", why)
	}
}

// TestEveryLimitHoldsByItself: each has to be exceeded, and is named; what is not limited does not count.
func TestEveryLimitHoldsByItself(t *testing.T) {
	load := Load{Sessions: 21, Lag: 11 * time.Second, LagBytes: 65 << 20, Latency: 51 * time.Millisecond}
	for want, limits := range map[string]strangler.Throttle{
		"21 active sessions, limit 20":                                   {Sessions: 20},
		"a standby is 11s behind, limit 10s":                             {Lag: 10 * time.Second},
		"a standby is 68157440 bytes behind, limit 67108864":             {LagBytes: 64 << 20},
		"reading a row and a commit took 51ms, limit 50ms":               {Latency: 50 * time.Millisecond},
		"21 active sessions, limit 1; a standby is 11s behind, limit 1s": {Sessions: 1, Lag: time.Second, Latency: time.Minute},
		"": {Sessions: 21, Lag: 11 * time.Second, LagBytes: 65 << 20, Latency: 51 * time.Millisecond},
	} {
		if got := beyond(limits, load); got != want {
			t.Errorf("%+v: %q, want %q", limits, got, want)
		}
	}
	if got := beyond(strangler.Throttle{}, load); got != "" {
		t.Errorf("no limits: %q", got)
	}
}

// counting is a meter of a server that is never loaded.
type counting struct{ n int }

func (c *counting) Load(context.Context) (Load, error) { c.n++; return Load{}, nil }

// TestLanesShareAMeasurement: what one lane has measured just now lets the others begin; one whose copy ends does not wait.
func TestLanesShareAMeasurement(t *testing.T) {
	x := newThrottle(strangler.Capability{Throttle: strangler.Throttle{Sessions: 2}}, strangler.Discard())
	m := &counting{}
	x.checked = time.Now().Add(time.Hour)
	for range 100 {
		if err := x.pass(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if m.n != 0 {
		t.Errorf("measured %d times, though it was known", m.n)
	}
	x.checked = time.Time{}
	if err := x.pass(t.Context(), m); err != nil || m.n != 1 {
		t.Errorf("measured %d times, %v", m.n, err)
	}
	x.set(time.Now(), "loaded", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.pass(ctx, m); !errors.Is(err, context.Canceled) {
		t.Errorf("a lane whose copy has ended: %v", err)
	}
}
