package admin_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/admin/admintest"
)

func TestDryRunsChangeNothing(t *testing.T) {
	backend := admintest.New()
	backend.Changes = []string{"- canary 1%", "+ canary 2%"}
	backend.Steps = []strangler.StepRun{{Name: "expand", State: strangler.StepDone}, {Name: "copy", State: strangler.StepPending}, {Name: "verify", State: strangler.StepPending}}
	backend.Runs[0].Steps = []strangler.StepRun{{Name: "copy", State: strangler.StepDone}, {Name: "cutover", State: strangler.StepDone}, {Name: "soak", State: strangler.StepWaiting}, {Name: "complete", State: strangler.StepPending}}
	server := admintest.Open(t, backend.Config())
	preview := func(path, body string) admin.Preview {
		t.Helper()
		got := ask(t, server, question{method: "POST", path: path + "?dry_run=true", body: body})
		var p admin.Preview
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != 200 || !p.DryRun || len(p.Lines) == 0 {
			t.Fatalf("%s: %d %s: %v", path, got.status, got.body, err)
		}
		return p
	}
	if p := preview("/v1/splits/delivery/cutover", `{"who":"ann"}`); cmp.Diff([]string{"UPDATE strangler_fence SET state = 'closed' -- from legacy", "UPDATE strangler_fence SET state = 'open' -- from legacy"}, p.Statements) != "" {
		t.Errorf("statements of a cutover: %v", p.Statements)
	}
	if p := preview("/v1/splits/delivery/rollback", `{"who":"ann"}`); len(p.Statements) != 0 || !strings.Contains(p.Lines[1], "legacy owns already") {
		t.Errorf("rollback while legacy owns: %+v", p)
	}
	if p := preview("/v1/splits/delivery/complete", `{"who":"ann"}`); !strings.Contains(strings.Join(p.Lines, "\n"), "point of no return") {
		t.Errorf("complete: %v", p.Lines)
	}
	for _, verb := range []string{"start", "verify", "cancel"} {
		preview("/v1/splits/delivery/"+verb, `{"who":"ann"}`)
	}
	if p := preview("/v1/runs/delivery", `{"who":"ann","until":"copy"}`); len(p.Steps) != 2 {
		t.Errorf("steps until copy: %v", p.Steps)
	}
	if p := preview("/v1/runs/delivery/rollback", `{"who":"ann"}`); cmp.Diff([]string{"undo the steps of delivery from the last one down to cutover"}, p.Lines) != "" || cmp.Diff(backend.Back, p.Planned) != "" || p.NextSteps[0] != "strangler playbook rollback delivery" {
		t.Errorf("rollback of a run: %+v", p)
	}
	preview("/v1/runs/delivery/approve", `{"who":"ann","step":"cutover"}`)
	for verb, words := range map[string]string{"pause": "would end first", "continue": "go on where", "abort": "end where it stands", "skip": "without step soak", "retry": "step soak would be done anew", "accept": "+ canary 2%"} {
		if p := preview("/v1/runs/delivery/"+verb, `{"who":"ann","step":"soak","why":"x"}`); !strings.Contains(strings.Join(p.Lines, "\n"), words) {
			t.Errorf("%s: %q", verb, p.Lines)
		}
	}
	if p := preview("/v1/runs/delivery/rollback", `{"who":"ann","to":"all"}`); len(p.Planned) != 2 || !strings.HasSuffix(p.NextSteps[0], "--all") {
		t.Errorf("rollback of all: %+v", p)
	}
	if calls := backend.Calls(); len(calls) != 0 {
		t.Errorf("a dry run had an effect: %v", calls)
	}
	ask(t, server, question{method: "POST", path: "/v1/splits/delivery/adopt?dry_run=true", body: `{"who":"ann","owner":"service","lost":true,"why":"x"}`})
	if diff := cmp.Diff([]string{"adopt delivery  ann x"}, backend.Calls()); diff != "" {
		t.Errorf("a dry adopt names no owner (-want +got):\n%s", diff)
	}
}

// TestDryRunsAreRefusedAsTheRealThing: with the same status, code and words.
func TestDryRunsAreRefusedAsTheRealThing(t *testing.T) {
	backend := admintest.New()
	backend.Splits[0].Owner = strangler.Service
	server := admintest.Open(t, backend.Config())
	for verb, name := range map[string]string{
		"approve": "would playbook approve", "pause": "would playbook pause", "continue": "would playbook continue", "abort": "would playbook abort",
		"skip": "would playbook skip", "retry": "would playbook retry", "accept": "would playbook accept", "rollback": "foretell back",
	} {
		for status, is := range []error{strangler.ErrNotFound, strangler.Refuse("step", "nothing can go on without it")} {
			status = []int{404, 409}[status]
			backend.Fail(name, is)
			got := ask(t, server, question{method: "POST", path: "/v1/runs/delivery/" + verb + "?dry_run=true", body: `{"who":"ann","step":"cutover","why":"x"}`})
			if got.status != status {
				t.Errorf("a dry %s answers %d %s, want %d", verb, got.status, got.body, status)
			}
		}
	}
	if got := ask(t, server, question{method: "POST", path: "/v1/splits/delivery/rollback?dry_run=true", body: `{"who":"ann"}`}); got.status != 409 {
		t.Errorf("a dry rollback by hand answers %d %s", got.status, got.body)
	}
	for _, verb := range []string{"approve", "skip", "retry"} {
		got := ask(t, server, question{method: "POST", path: "/v1/runs/delivery/" + verb + "?dry_run=true", body: `{"who":"ann","why":"x"}`})
		if got.status != 400 || !strings.Contains(got.body, "step is missing") {
			t.Errorf("a dry %s of no step answers %d %s", verb, got.status, got.body)
		}
	}
	if calls := backend.Calls(); len(calls) != 0 {
		t.Errorf("a dry run had an effect: %v", calls)
	}
}

func TestDryFlip(t *testing.T) {
	backend := admintest.New()
	server := admintest.Open(t, backend.Config())
	got := ask(t, server, question{method: "PUT", path: "/v1/toggles/delivery?dry_run=true", body: `{"mode":"shadow","who":"ann","why":"x"}`})
	if got.status != 200 || !strings.Contains(got.body, `"mode":"shadow"`) || !strings.Contains(got.body, `"epoch":8`) || !strings.Contains(got.body, `"applied":[],"pending":["one"]`) {
		t.Errorf("dry flip: %d %s", got.status, got.body)
	}
	got = ask(t, server, question{method: "PUT", path: "/v1/toggles/delivery?dry_run=true", body: `{"mode":"extracted","who":"ann","why":"x"}`})
	if detail := failure(t, got); detail.Check != "toggle" || cmp.Diff([]string{"strangler split cutover delivery"}, detail.Next) != "" {
		t.Errorf("against the owner: %+v", detail)
	}
	if calls := backend.Calls(); len(calls) != 0 {
		t.Errorf("a dry flip had an effect: %v", calls)
	}
}
