package admin_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/admin/admintest"
	"github.com/strangler-fig/strangler/playbook"
)

func runStatus(t *testing.T, server *admin.Server, path string) (s admin.RunStatus, run strangler.Run) {
	t.Helper()
	got := ask(t, server, question{method: "GET", path: path})
	if got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	for _, v := range []any{&s, &run} {
		if err := json.Unmarshal([]byte(got.body), v); err != nil {
			t.Fatal(err)
		}
	}
	return s, run
}

func TestRunStatusHasWhatSurroundsTheRun(t *testing.T) {
	backend := admintest.New()
	backend.Ahead = playbook.Ahead
	began := time.Now().UTC().Truncate(time.Second)
	verified := strangler.Verify{At: began, Rows: 10}
	backend.Toggle.Mode, backend.Toggle.Percent = strangler.ModeCanary, 10_000
	backend.Runs[0].State, backend.Runs[0].Waiting = strangler.RunWaiting, "waiting for approval: …"
	backend.Runs[0].Steps = []strangler.StepRun{{Name: "cutover", State: strangler.StepWaiting, Started: began, Detail: "waiting for approval: …; next is cutting over"}}
	backend.Splits[0].Lag, backend.Splits[0].LastVerify = strangler.Lag{Changes: 3, Seconds: 0.5}, verified
	backend.Splits[0].Verifying = &strangler.Verifying{Rows: 4, After: []byte("key"), Differences: []strangler.Difference{{Table: "couriers", Key: "7"}}}
	backend.Traffic = map[strangler.Side]admin.SideTraffic{strangler.Legacy: {Requests: 90, Errors: 1}, strangler.Service: {Requests: 10}}
	backend.Instances = append(backend.Instances, strangler.Instance{ID: "two", Live: true}, strangler.Instance{ID: "gone"})
	server := admintest.Open(t, backend.Config())

	got, run := runStatus(t, server, "/v1/runs/delivery")
	want := backend.Runs[0]
	want.Acts = []strangler.Act{}
	if diff := cmp.Diff(want, run); diff != "" {
		t.Errorf("the run's own fields (-want +got):\n%s", diff)
	}
	if age := time.Since(got.At); age < 0 || age > time.Minute {
		t.Errorf("asked at %v", got.At)
	}
	if diff := cmp.Diff(admin.RunStatus{
		Run: want, At: got.At, Toggle: backend.Toggle,
		Split: &admin.RunSplit{Phase: strangler.PhaseSyncing, Lag: strangler.Lag{Changes: 3, Seconds: 0.5}, Tables: backend.Splits[0].Tables,
			LastVerify: verified, Verifying: &strangler.Verifying{Rows: 4}},
		Traffic: &admin.Traffic{Legacy: admin.SideTraffic{Requests: 90, Errors: 1}, Service: admin.SideTraffic{Requests: 10}, Instances: 2},
		Outlook: &strangler.Outlook{CountsOn: []string{"no estimate for cutover"}},
		Waits:   &strangler.Wait{For: "a person's approval of cutover", HowFar: "next is cutting over", Command: "strangler split status delivery"},
	}, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// The run is shown also where what surrounds it cannot be had.
func TestRunStatusWithoutItsSplit(t *testing.T) {
	backend := admintest.New()
	backend.Ahead = playbook.Ahead
	backend.Fail("status", errors.New("connection refused"))
	cfg := backend.Config()
	cfg.Counts = nil
	cfg.Capabilities = append(cfg.Capabilities, strangler.Capability{Name: "search"})
	server := admintest.Open(t, cfg)
	got, _ := runStatus(t, server, "/v1/runs/delivery")
	if got.ID != 3 || got.Split == nil || got.Split.Error != "its status could not be read: connection refused" || got.Traffic != nil {
		t.Errorf("%+v", got)
	}
	if got, _ := runStatus(t, server, "/v1/runs/search"); got.ID != 3 || got.Split != nil {
		t.Errorf("a stateless one: %+v", got)
	}
	backend.Fail("toggle", strangler.ErrNotFound)
	if got := ask(t, server, question{method: "GET", path: "/v1/runs/delivery"}); got.status != 404 {
		t.Errorf("without its toggle: %d %s", got.status, got.body)
	}
}
