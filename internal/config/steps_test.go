package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/strangler-fig/strangler"
)

// withSteps is a file with one step of the team's own a line, the first on line 8.
func withSteps(lines ...string) string {
	return `legacy: {url: http://h:1, database: sqlite:shop.db}
capabilities:
  a:
    routes: [/a]
    service: {url: 'http://h:2', database: sqlite:a.db}
    tables: [t]
    playbook: {requests: 500, approve: [cutover], steps: [
` + strings.Join(lines, "\n") + "\n]}\n"
}

func TestOwnSteps(t *testing.T) {
	c := load(t, withSteps(
		`{name: warm_caches, after: verify, run: {command: [./warm.sh, "--all", ""], check: [is-warm], undo: [bin/cool.sh], env: [KUBECONFIG]}, timeout: 5m, retries: 2},`,
		`{name: service-ready, before: cutover, http: {url: "http://u:p@h/ready?x=1", json: {$.state: ready, "$.checks[0].ok": true}}},`,
		`{name: no_orphans, before: cutover, sql: {side: legacy, query: SELECT 1, answer: 0}, timeout: 1s},`,
		`{name: errors_low, after: canary, prometheus: {url: "http://p:9090/x/", query: up, above: -1, below: 1e3, for: 10m}},`,
		`{name: sign_off, before: complete, approve: {by: [alice, bob]}},`,
		`{name: anybody, after: complete, approve: {}},`,
		`{name: night, before: expand, wait: {for: 1d}},`,
		`{name: tell, after: cutover, notify: {url: "${HOOK}", text: moved}},`,
		`{name: silent, after: complete, run: {command: ["true"]}}`,
	), map[string]string{"HOOK": "https://chat/s3cret"})
	p, above, below := c.Capabilities[0].Playbook, -1.0, 1000.0
	want := []strangler.OwnStep{
		{Name: "warm_caches", After: "verify", Timeout: 5 * time.Minute, Retries: 2, Run: &strangler.RunStep{Dir: c.Dir, Env: []string{"KUBECONFIG"},
			Command: []string{filepath.Join(c.Dir, "warm.sh"), "--all", ""}, Check: []string{"is-warm"}, Undo: []string{filepath.Join(c.Dir, "bin", "cool.sh")}}},
		{Name: "service-ready", Before: "cutover", Timeout: 30 * time.Second, HTTP: &strangler.HTTPStep{URL: "http://u:p@h/ready?x=1", Status: 200,
			JSON: map[string]string{"$.state": "ready", "$.checks[0].ok": "true"}}},
		{Name: "no_orphans", Before: "cutover", Timeout: time.Second, SQL: &strangler.SQLStep{Side: strangler.Legacy, Query: "SELECT 1", Answer: "0"}},
		{Name: "errors_low", After: "canary", Timeout: 30 * time.Second, Prometheus: &strangler.PrometheusStep{URL: "http://p:9090/x", Query: "up",
			Above: &above, Below: &below, For: 10 * time.Minute}},
		{Name: "sign_off", Before: "complete", Approve: &strangler.ApproveStep{By: []string{"alice", "bob"}}},
		{Name: "anybody", After: "complete", Approve: &strangler.ApproveStep{}},
		{Name: "night", Before: "expand", Wait: &strangler.WaitStep{For: 24 * time.Hour}},
		{Name: "tell", After: "cutover", Timeout: 30 * time.Second, Retries: 2, Notify: &strangler.NotifyStep{URL: "https://chat/s3cret", Text: "moved"}},
		{Name: "silent", After: "complete", Timeout: 10 * time.Minute, Run: &strangler.RunStep{Dir: c.Dir, Command: []string{"true"}}},
	}
	if diff := cmp.Diff(want, p.Own); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if p.Requests != 500 {
		t.Errorf("requests: %d", p.Requests)
	}
	for _, o := range p.Own {
		for _, secret := range []string{"s3cret", "u:p", "x=1", "--all"} {
			if strings.Contains(o.String(), secret) {
				t.Errorf("%s shows %q", o, secret)
			}
		}
	}
}

// TestOwnStepProblems: a line of the file each, and what is said of it.
func TestOwnStepProblems(t *testing.T) {
	const kinds = "run, http, sql, prometheus, approve, wait, notify"
	const places = "expand, copy, verify, shadow, canary, cutover, soak, complete"
	for line, want := range map[string][]string{
		`{name: A b, before: copy, wait: {for: 1h}}`:                                                 {`.name: "A b": write small letters, digits, - and _, at most 30, a letter first`},
		`{name: a2345678901234567890123456789x1, before: copy, wait: {for: 1h}}`:                     {`.name: "a2345678901234567890123456789x1": write small letters, digits, - and _, at most 30, a letter first`},
		`{name: soak, before: copy, wait: {for: 1h}}`:                                                {`.name: "soak" is the playbook's own; give the step another name`},
		`{name: rollback, before: copy, wait: {for: 1h}}`:                                            {`.name: "rollback" is the playbook's own; give the step another name`},
		`{before: copy, wait: {for: 1h}}`:                                                            {`.name: it is missing; give the step a name, as in warm_caches`},
		`{name: x, wait: {for: 1h}}`:                                                                 {`: say where the step stands by one of before and after, as in {before: cutover}`},
		`{name: x, before: copy, after: copy, wait: {for: 1h}}`:                                      {`: say where the step stands by one of before and after, as in {before: cutover}`},
		`{name: x, before: y, wait: {for: 1h}}`:                                                      {`.before: "y" is not a step of the playbook; its steps are ` + places},
		`{name: x, before: copy}`:                                                                    {`: a step is one of ` + kinds + `; this one has none of them`},
		`{name: x, before: copy, wait: {for: 1h}, approve: {}}`:                                      {`: a step is one of ` + kinds + `; this one has approve and wait`},
		`{name: x, before: copy, exec: {command: [a]}}`:                                              {`.exec: unknown key; the keys here are name, before, after, timeout, retries, ` + kinds, `: a step is one of ` + kinds + `; this one has none of them`},
		`{name: x, before: copy, wait: {for: 1h}, timeout: 1s}`:                                      {`.timeout: a step of the kind wait waits for as long as it takes; leave it out`},
		`{name: x, before: copy, approve: {}, retries: 1}`:                                           {`.retries: a step of the kind approve waits until it is met, and asks as often as that takes; leave it out`},
		`{name: x, before: copy, http: {url: "http://h"}, retries: 1}`:                               {`.retries: a step of the kind http waits until it is met, and asks as often as that takes; leave it out`},
		`{name: x, before: copy, run: {command: [a]}, retries: -1}`:                                  {`.retries: "-1": write a whole number from 0, as in 0`},
		`{name: x, before: copy, run: {command: [a]}, timeout: 0s}`:                                  {`.timeout: "0s": write a duration above zero, as in 10m0s`},
		`{name: x, before: copy, run: {}}`:                                                           {`.run.command: it is missing; write a program and its arguments, as in [./warm.sh, --all]`},
		`{name: x, before: copy, run: {command: a b}}`:                                               {`.run.command: this is a single value; write a list, as in [a, b]`},
		`{name: x, before: copy, run: {command: []}}`:                                                {`.run.command: write a program and its arguments, as in [./warm.sh, --all]`},
		`{name: x, before: copy, run: {command: [a], env: [A=b], shell: true}}`:                      {`.run.shell: unknown key; the keys here are command, check, undo, env`, `.run.env[0]: write the name of a variable of the daemon's environment, as in KUBECONFIG`},
		`{name: x, after: complete, run: {command: [a], undo: [b]}}`:                                 {`.run: nothing that comes after complete can be taken back; leave undo out, or have the step come before complete`},
		`{name: x, before: copy, http: {}}`:                                                          {`.http.url: it is missing; write a URL, as in http://127.0.0.1:9001/ready`},
		`{name: x, before: copy, http: {url: ftp://h, status: 99, json: {state: a, $.b: }}}`:         {`.http.url: this is not a URL that can be asked; write http:// or https://, a host and a path, as in http://127.0.0.1:9001/ready`, `.http.status: "99": write the status that the answer has to have, as in 200`, `.http.json.state: this is not a path into the answer; write names behind dots and places in brackets, as in $.checks[0].state`, `.http.json.$.b: it has no value; write what has to stand there, as in ready, or "null"`},
		`{name: x, before: copy, sql: {}}`:                                                           {`.sql.side: it is missing; write legacy or service`, `.sql.query: it is missing; write a query that answers one value`, `.sql.answer: it is missing; write what the query has to answer, as in "0"`},
		`{name: x, before: copy, sql: {side: monolith, query: " ", answer: 0}}`:                      {`.sql.query: it is empty; write a query that answers one value`, `.sql.side: "monolith" is no side; write legacy or service`},
		`{name: x, before: copy, prometheus: {url: "http://h/api/v1", query: up}}`:                   {`.prometheus: say what the value has to be by above or below, as in {below: 0.01}`, `.prometheus.url: /api/v1 is put behind the URL; write what stands before it`},
		`{name: x, before: copy, prometheus: {url: "http://h", query: up, above: much, for: often}}`: {`.prometheus.for: "often": write a duration with its unit, as in 14d, 12h, 30s or 1d12h`, `.prometheus.above: "much": write a number, as in 0.01`},
		`{name: x, before: copy, approve: {by: []}}`:                                                 {`.approve.by: the list is empty; write who may, as in [alice, bob], or leave it out where anybody may`},
		`{name: x, before: copy, wait: {}}`:                                                          {`.wait.for: it is missing; write how long, as in 2h`},
		`{name: x, before: copy, notify: {url: "http://h"}}`:                                         {`.notify.text: it is missing; write what is to be said`},
	} {
		got := problems(t, withSteps("", line), nil)
		for i := range want {
			want[i] = "line 9, capabilities.a.playbook.steps[0]" + want[i]
		}
		if diff := cmp.Diff(want, got, cmp.Transformer("set", func(all []string) map[string]bool {
			set := map[string]bool{}
			for _, s := range all {
				set[s] = true
			}
			return set
		})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

func TestOwnStepsTogether(t *testing.T) {
	got := problems(t, withSteps("{name: x, after: copy, wait: {for: 1h}},", "{name: x, after: copy, wait: {for: 1h}}"), nil)
	if want := []string{"line 9, capabilities.a.playbook.steps[1].name: the step x stands twice, first on line 8; give one of them another name"}; !cmp.Equal(want, got) {
		t.Errorf("%q", got)
	}
	text := strings.Replace(withSteps("{name: x, after: copy, approve: {}}, {name: y, after: copy, wait: {for: 1h}}"), "[cutover]", "[x, y, z]", 1)
	if got, want := problems(t, text, nil), []string{`line 7, capabilities.a.playbook.approve[0]: "x" waits for a person anyway; leave it out`, `line 7, capabilities.a.playbook.approve[2]: "z" is not a step; the steps are expand, copy, verify, shadow, canary, cutover, soak, complete, x, y`}; !cmp.Equal(want, got) {
		t.Errorf("%q", got)
	}
}

// TestNobodyToAsk: a database is asked where there is one, and where the capability has something there.
func TestNobodyToAsk(t *testing.T) {
	for text, want := range map[string]string{
		"legacy: {url: http://h:1}\ncapabilities:\n  a: {routes: [/a], service: {url: http://h:2}, playbook: {steps: [{name: x, after: shadow, sql: {side: legacy, query: SELECT 1, answer: 1}}]}}\n":                                      "line 3, capabilities.a.playbook.steps[0].sql: the capability has no tables, so no database is asked; leave the step out",
		"legacy: {url: http://h:1, database: sqlite:l.db}\ncapabilities:\n  a: {routes: [/a], service: {url: http://h:2}, tables: [t], playbook: {steps: [{name: x, after: shadow, sql: {side: service, query: SELECT 1, answer: 1}}]}}\n": "line 3, capabilities.a.playbook.steps[0].sql.side: the service side has no database that could be asked",
	} {
		got := problems(t, text, nil)
		if found := strings.Join(got, "\n"); !strings.Contains(found, want) {
			t.Errorf("%q; want %q", found, want)
		}
	}
}
