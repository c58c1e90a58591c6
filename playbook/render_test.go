package playbook

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	strangler "github.com/strangler-fig/strangler"
)

var update = flag.Bool("update", false, "write the generated files anew")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what steps.go generates; -update writes it (-file +generated):\n%s", path, diff)
	}
}

func TestDocument(t *testing.T) { golden(t, "../docs/PLAYBOOK.md", Document()) }

func TestStateDiagram(t *testing.T) { golden(t, "../docs/STATES.svg", StateDiagram()) }

func TestRender(t *testing.T) {
	c := delivery()
	c.Touches = append(c.Touches, strangler.Touch{Route: strangler.Route{Method: "POST", Pattern: "/sweep"}})
	golden(t, "testdata/delivery.md", Render(c))
	golden(t, "testdata/stateless.md", Render(stateless()))
	golden(t, "testdata/everything.md", Render(everything()))
	golden(t, "testdata/everything.html", rendered(t, everything()))
}

// TestRenderHTML: the page fetches nothing, and escapes what a configuration may hold.
func TestRenderHTML(t *testing.T) {
	c := everything()
	c.Playbook.Canary = []strangler.Percent{10_000, 500_000, strangler.Hundred}
	c.Service.URLs = []string{`http://x.test/<script>alert("x")</script>`}
	html, err := RenderHTML(c)
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?i)<script|<link|<img|<iframe|\bsrc=|\bhref=|url\(|@import`).FindString(html); found != "" {
		t.Errorf("the page has %q", found)
	}
	for _, want := range []string{"POST /couriers", "courier_actions", "waits for approval", "point of no return", "strangler playbook approve delivery cutover", "1%, 50%, 100%", "its rows with courier &lt;&gt; 0; its columns but total", "<code>invoices(order_id)</code> on delete cascade"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(html, "CAP") {
		t.Error("the page has CAP where the name belongs")
	}
	for _, tag := range []string{"div", "li", "ol", "ul", "section", "pre", "dl", "main", "body", "html"} {
		opened, closed := len(regexp.MustCompile("<"+tag+"[ >]").FindAllString(html, -1)), strings.Count(html, "</"+tag+">")
		if opened == 0 || opened != closed {
			t.Errorf("<%s> opens %d times, closes %d times", tag, opened, closed)
		}
	}
}

func TestShow(t *testing.T) {
	if got := Show(delivery()).Tables[2]; got.How() != ": "+strings.Join(got.Words, "; ") || len(got.Words) != 4 || !got.OneWay {
		t.Errorf("how orders go: %+v", got)
	}
	plan := Show(stateless())
	if !plan.Stateless || !plan.Steps[0].Skipped || plan.Steps[3].Skipped || !plan.Steps[5].Approval || !plan.Steps[7].Final {
		t.Errorf("the plan is %+v", plan)
	}
	for _, s := range plan.Steps {
		for _, text := range append(append([]string{s.Back}, s.ByHand...), s.Commands...) {
			if !s.Skipped && strings.Contains(text, "split ") {
				t.Errorf("step %s of a capability that has no split says: %s", s.Name, text)
			}
		}
	}
	if s := plan.String(); !strings.Contains(s, "no tables, passed over") || strings.Count(s, "\n") != 9 {
		t.Errorf("as text:\n%s", s)
	}
	b, err := json.Marshal(plan)
	if err != nil || !strings.Contains(string(b), `"point_of_no_return":true`) {
		t.Errorf("as JSON: %s, %v", b, err)
	}
	Steps()[0].Commands[0] = "changed"
	if Steps()[0].Commands[0] == "changed" {
		t.Error("the caller's slice is the playbook's own")
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 90 * time.Second: "1m30s", time.Hour: "1h", 90 * time.Minute: "1h30m",
		14 * 24 * time.Hour: "14d", 36 * time.Hour: "1d12h", 20 * time.Second: "20s"} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
}

// TestRenderOwn: a capability's own steps stand in their places, with their kinds, and show nothing secret.
func TestRenderOwn(t *testing.T) {
	c := delivery()
	c.Playbook.Approve = append(c.Playbook.Approve, "warm")
	c.Playbook.Own = []strangler.OwnStep{
		{Name: "warm", After: Verify, Timeout: 1, Run: &strangler.RunStep{Command: []string{"/srv/warm.sh", "--token=hunter2"}, Check: []string{"is-warm"}, Undo: []string{"/srv/cool.sh", "hunter2"}}},
		{Name: "ready", Before: Cutover, Timeout: 1, HTTP: &strangler.HTTPStep{URL: "http://u:hunter2@h/ready?hunter2", Status: 200, JSON: map[string]string{"$.state": "ready"}}},
		{Name: "a_long_name_of_a_step", Before: Complete, Approve: &strangler.ApproveStep{By: []string{"alice", "bob"}}},
		{Name: "tell", After: Complete, Timeout: 1, Notify: &strangler.NotifyStep{URL: "https://chat.test/hunter2", Text: "done"}},
	}
	html, err := RenderHTML(c)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"plan": Show(c).String(), "Markdown": Render(c), "page": html} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the %s shows a secret:\n%s", what, text)
		}
	}
	for _, want := range []string{
		" 4. warm                  Runs warm.sh. It is done when is-warm exits with 0. [a step of your own: run] [waits for approval]\n 5. shadow ",
		` 7. ready                 Waits for GET http://h/ready to answer 200, $.state "ready". [a step of your own: http]` + "\n 8. cutover ",
		"10. a_long_name_of_a_step Waits for the approval of alice or bob. [a step of your own: approve] [waits for approval]\n11. complete ",
		`12. tell                  Tells chat.test "done". [a step of your own: notify]`,
	} {
		if !strings.Contains(Show(c).String(), want) {
			t.Errorf("the plan lacks %q:\n%s", want, Show(c))
		}
	}
	for _, want := range []string{"### 4. warm\n\n**a step of your own: run · waits for approval**", "- **Undo:** Runs cool.sh, where the step was begun.", "strangler playbook approve delivery a_long_name_of_a_step\n"} {
		if !strings.Contains(Render(c), want) {
			t.Errorf("the Markdown lacks %q:\n%s", want, Render(c))
		}
	}
}

func TestValidate(t *testing.T) {
	good := func() Config { return newWorld(delivery()).config() }
	if _, err := New(good()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no ledger":         func(c *Config) { c.Ledger = nil },
		"no owners":         func(c *Config) { c.Owners = nil },
		"nothing counts":    func(c *Config) { c.Traffic, c.Capabilities[0].Playbook.Requests = nil, 5 },
		"negative hold":     func(c *Config) { c.CanaryHold = -1 },
		"negative tries":    func(c *Config) { c.Tries = -1 },
		"twice":             func(c *Config) { c.Capabilities = append(c.Capabilities, c.Capabilities[0]) },
		"unnamed":           func(c *Config) { c.Capabilities[0].Name = "" },
		"unknown approval":  func(c *Config) { c.Capabilities[0].Playbook.Approve = []string{"cutovr"} },
		"negative soak":     func(c *Config) { c.Capabilities[0].Playbook.Soak = -1 },
		"falling canary":    func(c *Config) { c.Capabilities[0].Playbook.Canary = []strangler.Percent{500_000, 10_000} },
		"level canary":      func(c *Config) { c.Capabilities[0].Playbook.Canary = []strangler.Percent{10_000, 10_000} },
		"canary of nothing": func(c *Config) { c.Capabilities[0].Playbook.Canary = []strangler.Percent{0, 10_000} },
		"negative requests": func(c *Config) { c.Capabilities[0].Playbook.Requests = -1 },
		"an own without a name": func(c *Config) {
			c.Capabilities[0].Playbook.Own = []strangler.OwnStep{{After: Copy, Wait: &strangler.WaitStep{For: 1}}}
		},
		"an own with another's": func(c *Config) {
			c.Capabilities[0].Playbook.Own = []strangler.OwnStep{{Name: Soak, After: Copy, Wait: &strangler.WaitStep{For: 1}}}
		},
		"an own without a place": func(c *Config) {
			c.Capabilities[0].Playbook.Own = []strangler.OwnStep{{Name: "x", Wait: &strangler.WaitStep{For: 1}}}
		},
		"an own in two places": func(c *Config) {
			c.Capabilities[0].Playbook.Own = []strangler.OwnStep{{Name: "x", Before: Copy, After: Copy, Wait: &strangler.WaitStep{For: 1}}}
		},
		"an own beside an own": func(c *Config) {
			c.Capabilities[0].Playbook.Own = []strangler.OwnStep{{Name: "x", After: "x", Wait: &strangler.WaitStep{For: 1}}}
		},
		"an own of no kind": func(c *Config) { c.Capabilities[0].Playbook.Own = []strangler.OwnStep{{Name: "x", After: Copy}} },
		"an own without a limit": func(c *Config) {
			c.Capabilities[0].Playbook.Own = []strangler.OwnStep{{Name: "x", After: Copy, Run: &strangler.RunStep{Command: []string{"true"}}}}
		},
		"an own with nobody to ask": func(c *Config) {
			c.Capabilities[0].Playbook.Own = []strangler.OwnStep{{Name: "x", After: Copy, Timeout: 1, SQL: &strangler.SQLStep{}}}
		},
		"an own of no program": func(c *Config) {
			c.Capabilities[0].Playbook.Own = []strangler.OwnStep{{Name: "x", After: Copy, Timeout: 1, Run: &strangler.RunStep{}}}
		},
		"canary over all": func(c *Config) { c.Capabilities[0].Playbook.Canary = []strangler.Percent{strangler.Hundred + 1} },
	} {
		c := good()
		spoil(&c)
		if _, err := New(c); !errors.Is(err, strangler.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := good()
	none.Capabilities, none.Splits, none.Owners, none.Traffic = []strangler.Capability{stateless()}, nil, nil, nil
	if _, err := New(none); err != nil {
		t.Errorf("stateless needs no splits: %v", err)
	}
}
