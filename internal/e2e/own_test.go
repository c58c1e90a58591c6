//go:build !race

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

// TestOwnSteps takes the reference system forward and back through a step of each kind of the team's own, by the command line. A gate that
// is not met outlives its daemon, and nothing that was done before it is done again.
func TestOwnSteps(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) {
		s, team := newSystem(t, k, 300), newTeam(t)
		s.withSteps(team)
		s.start(s.daemon)
		load := s.traffic(s.daemon, 4)
		defer load.stop()

		listed := s.command(t, "bob", 0, "playbook", "list", capability)
		for _, want := range []string{"warm_caches [run]", "no_orphans [sql]", "errors_low [prometheus]", "sign_off [approve]", "night [wait]", "tell [notify]", "ready [http]"} {
			name, mark, _ := strings.Cut(want, " ")
			if !regexp.MustCompile(`(?m)^[0-9]+\. ` + name + ` .*` + regexp.QuoteMeta(mark)).MatchString(listed) {
				t.Errorf("the list lacks %s:\n%s", want, listed)
			}
		}
		s.command(t, "bob", 0, "playbook", "run", capability, "--until", "late")
		await(t, "the gate to wait", func() bool {
			run := s.runStatus(t)
			return strings.Contains(run.Waiting, "waiting for GET") && strings.Contains(detail(run, "ready"), "it answered 503; curl -i ")
		})
		s.kill(s.daemon)
		s.start(s.daemon)
		await(t, "the gate to wait again", func() bool { return strings.Contains(s.runStatus(t).Waiting, "waiting for GET") })
		team.answer(http.StatusOK)
		await(t, "the approval", func() bool { return strings.Contains(s.runStatus(t).Waiting, "approval") })
		if refused := s.command(t, "eve", 3, "playbook", "approve", capability, "sign_off"); !strings.Contains(refused, "alice") {
			t.Errorf("eve was told %q", refused)
		}
		s.command(t, "alice", 0, "playbook", "approve", capability, "sign_off")
		await(t, "the end", func() bool { return s.runStatus(t).State == strangler.RunDone })
		for _, step := range s.runStatus(t).Steps {
			if step.State != strangler.StepDone && step.Name != "complete" {
				t.Errorf("%s is %s: %s", step.Name, step.State, step.Detail)
			}
		}
		s.diary(t, "first forward", "warm_caches forward", "late forward")
		if told := team.told(); len(told) != 1 || told[0] != "tell: the couriers have moved" {
			t.Errorf("told %q", told)
		}

		back := s.command(t, "bob", 0, "playbook", "rollback", capability, "--to", "first", "--follow")
		s.diary(t, "first forward", "warm_caches forward", "late forward", "late back", "warm_caches back", "first back")
		if !strings.Contains(back, string(strangler.RunRolledBack)) {
			t.Errorf("it says\n%s", back)
		}
		load.awaitWrites(10)
		load.stop()
		s.check(strangler.Legacy, true)
	})
}

// window is a good sample at each step of the window that is asked for.
func window(t *testing.T, asked url.Values) string {
	var at [3]float64
	for i, key := range []string{"start", "end", "step"} {
		var err error
		if at[i], err = strconv.ParseFloat(asked.Get(key), 64); err != nil || at[2] < 0 {
			t.Errorf("%s is %q, %v", key, asked.Get(key), err)
			return ""
		}
	}
	var all []string
	for when := at[0]; when <= at[1]; when += max(at[2], 1) {
		all = append(all, fmt.Sprintf(`[%.3f,"0.001"]`, when))
	}
	return strings.Join(all, ",")
}

// team is what the steps ask and tell.
type team struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	posts  []string
}

func newTeam(t *testing.T) *team {
	m := &team{status: http.StatusServiceUnavailable}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		switch r.URL.Path {
		case "/ready":
			w.WriteHeader(m.status)
			fmt.Fprint(w, `{"state":"ready"}`)
		case "/api/v1/query_range":
			fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[%s]}]}}`, window(t, r.URL.Query()))
		case "/hook":
			var told struct{ Step, Text string }
			if err := json.NewDecoder(r.Body).Decode(&told); err != nil {
				t.Error(err)
			}
			m.posts = append(m.posts, told.Step+": "+told.Text)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *team) answer(status int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status = status
}

func (m *team) told() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.posts
}

// withSteps puts a step of each kind into the daemon's file, and the program that they run beside it.
func (s *system) withSteps(m *team) {
	s.t.Helper()
	file := s.daemon.node.file
	must(s.t, os.WriteFile(filepath.Join(filepath.Dir(file), "program.sh"), []byte("#!/bin/sh\necho \"$STRANGLER_STEP $STRANGLER_DIRECTION\" >>diary\ntouch \"$1\"\n"), 0o700))
	text, err := os.ReadFile(file)
	must(s.t, err)
	text = regexp.MustCompile(`(?m)^    playbook: .*$`).ReplaceAllLiteral(text, []byte(fmt.Sprintf(`    playbook:
      canary: [50%%, 100%%]
      hold: 20ms
      requests: 5
      shadow: 20ms
      soak: 20ms
      approve: []
      steps:
        - {name: first, before: expand, run: {command: [./program.sh, first], undo: [./program.sh, first]}}
        - {name: warm_caches, after: verify, run: {command: [./program.sh, warm], check: [test, -e, warm], undo: [./program.sh, cool]}, timeout: 1m, retries: 1}
        - {name: errors_low, after: canary, prometheus: {url: %[1]q, query: "rate(errors[5m])", below: 0.01, for: 10m}}
        - {name: no_orphans, before: cutover, sql: {side: legacy, query: "SELECT count(*) FROM couriers WHERE id IS NULL", answer: "0"}}
        - {name: none_there, before: cutover, sql: {side: service, query: "SELECT count(*) FROM couriers WHERE id IS NULL", answer: "0"}}
        - {name: ready, before: cutover, http: {url: "%[1]s/ready", json: {$.state: ready}}}
        - {name: tell, after: cutover, notify: {url: "%[1]s/hook", text: the couriers have moved}}
        - {name: night, after: cutover, wait: {for: 100ms}}
        - {name: sign_off, before: soak, approve: {by: [alice]}}
        - {name: late, after: soak, run: {command: [./program.sh, late], undo: [./program.sh, late]}}
`, m.URL)))
	must(s.t, os.WriteFile(file, text, 0o600))
}

// command runs the command line for somebody and returns what it printed. Another exit code is an error of the test's.
func (s *system) command(t *testing.T, who string, exit int, args ...string) string {
	t.Helper()
	dir, err := programs()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "strangler"), append([]string{"-c", s.daemon.node.file}, args...)...)
	cmd.Env = append(os.Environ(), "USER="+who)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var ended *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &ended) || cmd.ProcessState.ExitCode() != exit {
		t.Fatalf("strangler %s: %v, want exit code %d:\n%s\nthe daemon printed:\n%s", strings.Join(args, " "), err, exit, out.String(), s.daemon.output.last(4000))
	}
	return out.String()
}

func (s *system) runStatus(t *testing.T) (run strangler.Run) {
	t.Helper()
	must(t, json.Unmarshal([]byte(s.command(t, "bob", 0, "playbook", "status", capability, "-o", "json")), &run))
	if run.State == strangler.RunFailed {
		t.Fatalf("the run failed: %s\nthe daemon printed:\n%s", run.Error, s.daemon.output.last(4000))
	}
	return run
}

func detail(run strangler.Run, name string) string {
	for _, s := range run.Steps {
		if s.Name == name {
			return s.Detail
		}
	}
	return ""
}

// diary is what the programs have written.
func (s *system) diary(t *testing.T, want ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(s.daemon.node.file), "diary"))
	must(t, err)
	if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(string(text)), "\n")); diff != "" {
		t.Errorf("what the programs did (-want +got):\n%s", diff)
	}
}
