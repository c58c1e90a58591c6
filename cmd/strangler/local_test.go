package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/playbook"
)

// scribe is a Migrator that remembers what it is asked.
type scribe struct {
	statuses []ScriptStatus
	err      error
	calls    []string
}

func (s *scribe) Plan(_ context.Context, c strangler.Capability, dryRun bool) (PlanResult, error) {
	s.calls = append(s.calls, fmt.Sprintf("plan %s %v", c.Name, dryRun))
	return PlanResult{Files: []string{"a.up.sql"}, SQL: []Script{{"a.up.sql", "CREATE TABLE couriers (id);\n"}}, Notes: []string{"a foreign key is cut"}}, s.err
}

func (s *scribe) Up(_ context.Context, c strangler.Capability) ([]ScriptStatus, error) {
	s.calls = append(s.calls, "up "+c.Name)
	return s.statuses, s.err
}

func (s *scribe) Down(_ context.Context, c strangler.Capability) ([]ScriptStatus, error) {
	s.calls = append(s.calls, "down "+c.Name)
	return s.statuses, s.err
}

func (s *scribe) Status(context.Context, strangler.Capability) ([]ScriptStatus, error) {
	return s.statuses, s.err
}

func (s *scribe) Orphans(_ context.Context, c strangler.Capability) ([]string, error) {
	s.calls = append(s.calls, "orphans "+c.Name)
	return []string{"orders has rows with (courier) = (7), and there is no such couriers"}, s.err
}

func (s *scribe) Force(_ context.Context, c strangler.Capability, side strangler.Side, version int) error {
	s.calls = append(s.calls, fmt.Sprintf("force %s %s %d", c.Name, side, version))
	return s.err
}

func migrating(t *testing.T) (*shell, *scribe) {
	t.Helper()
	s := alone(t)
	m := &scribe{statuses: []ScriptStatus{{Side: strangler.Legacy, Version: 1, Pending: []string{"000002_fence.up.sql"}}, {Side: strangler.Service}}}
	s.hooks.Migrator = func(*config.Config) (Migrator, error) { return m, nil }
	return s, m
}

func TestMigrate(t *testing.T) {
	for _, c := range []struct {
		line, call string
		keys       []string
		says       string
	}{
		{"migrate plan delivery", "plan delivery false", []string{"files", "sql", "notes", "next_steps"}, "wrote a.up.sql\nnote: a foreign key is cut\nnext: strangler migrate up delivery\n"},
		{"migrate plan delivery --dry-run", "plan delivery true", []string{"files", "sql", "notes", "dry_run", "next_steps"}, "dry run: nothing was written; these scripts would be:\n\n-- a.up.sql\nCREATE TABLE couriers (id);\n"},
		{"migrate up delivery", "up delivery", []string{"scripts", "next_steps"}, "legacy   1        clean  000002_fence.up.sql\nservice  0        clean  -\nnext: strangler split start delivery\n"},
		{"migrate up delivery --dry-run", "", []string{"scripts", "dry_run", "next_steps"}, "legacy: of 000002_fence.up.sql those that come before the copy would run"},
		{"migrate down delivery", "down delivery", []string{"scripts", "next_steps"}, "next: strangler migrate status delivery"},
		{"migrate down delivery --dry-run", "", []string{"scripts", "dry_run", "next_steps"}, "legacy: the scripts from version 1 would run down"},
		{"migrate status delivery", "", []string{"scripts", "next_steps"}, "SIDE     VERSION  STATE  PENDING\n"},
		{"migrate orphans delivery", "orphans delivery", []string{"orphans"}, "orders has rows with (courier) = (7), and there is no such couriers\n"},
		{"migrate force delivery 2 --side legacy", "force delivery legacy 2", []string{"scripts", "next_steps"}, "next: strangler migrate up delivery"},
		{"migrate force delivery 0 --side service --dry-run", "", []string{"scripts", "dry_run", "next_steps"}, "service would be set to version 0, clean"},
	} {
		s, m := migrating(t)
		if got := s.expect(exitDone, strings.Fields(c.line)...); !strings.Contains(got.stdout, c.says) {
			t.Errorf("%s prints\n%s\nwant\n%s", c.line, got.stdout, c.says)
		}
		if got := strings.Join(m.calls, "; "); got != c.call {
			t.Errorf("%s asks for %q, want %q", c.line, got, c.call)
		}
		if diff := cmp.Diff(c.keys, keys(s.object(exitDone, strings.Fields(c.line)...)), unordered); diff != "" {
			t.Errorf("%s prints (-want +got):\n%s", c.line, diff)
		}
	}
}

func TestMigrateRefusals(t *testing.T) {
	s, m := migrating(t)
	m.statuses[0].Dirty = true
	if f := s.failure(exitRefused, "migrate", "up", "delivery", "--dry-run"); f.Error.Check != "scripts" || !strings.Contains(f.Error.Next[0], "strangler migrate force delivery VERSION --side legacy") {
		t.Errorf("%+v", f)
	}
	if got := s.expect(exitDone, "migrate", "status", "delivery"); !strings.Contains(got.stdout, "dirty") {
		t.Errorf("status %q", got.stdout)
	}
	m.err = strangler.Refuse("keys", "couriers has no key", "ALTER TABLE couriers ADD PRIMARY KEY (id)")
	for _, verb := range []string{"plan", "up", "down", "status"} {
		if f := s.failure(exitRefused, "migrate", verb, "delivery"); f.Error.Check != "keys" {
			t.Errorf("%s: %+v", verb, f)
		}
	}
	if f := s.failure(exitRefused, "migrate", "force", "delivery", "1", "--side", "legacy"); f.Error.Check != "keys" {
		t.Errorf("force: %+v", f)
	}
}

func TestCheck(t *testing.T) {
	s := alone(t)
	var findings []Finding
	s.hooks.Check = func(context.Context, *config.Config) ([]Finding, error) { return findings, nil }
	got := s.object(exitDone, "check")
	if diff := cmp.Diff(map[string]any{"file": s.file, "findings": []any{}, "next_steps": []any{"strangler serve"}}, got); diff != "" {
		t.Errorf("nothing to find (-want +got):\n%s", diff)
	}
	findings = []Finding{{Level: LevelOK, Check: "control", Message: "it answers"}, {Level: LevelWarning, Capability: "search", Check: "health", Message: "no health path", Next: []string{"name one"}}}
	if warned := s.expect(exitDone, "check"); !strings.Contains(warned.stdout, "no health path\n") || !strings.Contains(warned.stdout, "  - name one\n") {
		t.Errorf("check prints\n%s", warned.stdout)
	}
	findings = append(findings, Finding{Level: LevelMissing, Capability: "delivery", Check: "touch", Message: "no seam", Next: []string{"declare it"}})
	refused := s.expect(exitRefused, "check")
	for _, want := range []string{"missing  delivery    touch", "ok       -           control", "next: declare it"} {
		if !strings.Contains(refused.stdout, want) {
			t.Errorf("check prints\n%s\nwant %q", refused.stdout, want)
		}
	}
	if f := s.failure(exitRefused, "check"); f.Error.Check != "check" || cmp.Diff([]string{"declare it"}, f.Error.Next) != "" {
		t.Errorf("%+v", f)
	}
}

// TestCheckSaysWhatARunningDaemonNoticed of capabilities whose identity is a header.
func TestCheckSaysWhatARunningDaemonNoticed(t *testing.T) {
	s, backend := served(t)
	s.hooks.Check = func(context.Context, *config.Config) ([]Finding, error) { return nil, nil }
	backend.Notices = []string{"identities change"}
	if said := s.expect(exitDone, "check").stdout; strings.Contains(said, "identities change") {
		t.Errorf("without a header as its identity, check prints\n%s", said)
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file, []byte(strings.Replace(string(text), "    routes: [POST /couriers,", "    identity: {header: Cookie}\n    routes: [POST /couriers,", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	said := s.expect(exitDone, "check").stdout
	if !strings.Contains(said, "warning  delivery    identity  identities change") || !strings.Contains(said, "leave identity out") {
		t.Errorf("check prints\n%s", said)
	}
	if said := s.expect(exitDone, "toggle", "get", "delivery").stdout; !strings.Contains(said, "noticed: identities change\n") {
		t.Errorf("toggle get prints\n%s", said)
	}
}

func TestServe(t *testing.T) {
	s := alone(t)
	var got ServeOptions
	s.hooks.Serve = func(_ context.Context, cfg *config.Config, o ServeOptions) error {
		got = o
		o.Log.Info("listening", "file", filepath.Base(cfg.File))
		o.Ready(Serving{Proxy: "http://127.0.0.1:8080", Admin: "http://127.0.0.1:8081", Roles: o.Roles})
		return nil
	}
	result := s.expect(exitDone, "serve", "--log-format", "json")
	if diff := cmp.Diff([]string{"proxy", "worker"}, got.Roles); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
	if want := "proxy      http://127.0.0.1:8080\nadmin API  http://127.0.0.1:8081\nroles      proxy, worker\n"; result.stdout != want {
		t.Errorf("stdout %q, want %q", result.stdout, want)
	}
	if !strings.Contains(result.stderr, `"msg":"listening","file":"strangler.yaml"`) {
		t.Errorf("log %q", result.stderr)
	}
	s.expect(exitDone, "serve", "--roles", "worker", "--log-level", "error")
	if diff := cmp.Diff([]string{"worker"}, got.Roles); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
	s.hooks.Serve = func(context.Context, *config.Config, ServeOptions) error {
		return strangler.Refuse("control store", "it is older than the databases", "strangler split adopt delivery")
	}
	s.expect(exitRefused, "serve")
}

// A pid file that could not be written is refused before anything listens; one that can leaves no trace before the daemon serves.
func TestServeTriesItsPIDFile(t *testing.T) {
	s := alone(t)
	s.hooks.Serve = func(_ context.Context, _ *config.Config, o ServeOptions) error {
		t.Errorf("it serves with %s", o.PIDFile)
		return nil
	}
	dir := t.TempDir()
	missing := filepath.Join(dir, "no", "pid")
	if got := s.expect(exitUsage, "serve", "--pid-file", missing); !strings.Contains(got.stderr, "--pid-file "+missing+" cannot be written") || !strings.Contains(got.stderr, "nothing was started") {
		t.Errorf("stderr %q", got.stderr)
	}
	if got := s.expect(exitUsage, "serve", "--pid-file", dir); !strings.Contains(got.stderr, "is a folder") {
		t.Errorf("stderr %q", got.stderr)
	}
	served := ""
	s.hooks.Serve = func(_ context.Context, _ *config.Config, o ServeOptions) error {
		served = o.PIDFile
		return nil
	}
	file := filepath.Join(dir, "pid")
	s.expect(exitDone, "serve", "--pid-file", file)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 || served != file {
		t.Errorf("it serves with %q; in the folder is %v, %v", served, left, err)
	}
}

func TestDemo(t *testing.T) {
	s := alone(t)
	var got DemoOptions
	s.hooks.Demo = func(_ context.Context, o DemoOptions) error {
		got = o
		return nil
	}
	s.expect(exitDone, "demo", "--exit", "-o", "json")
	if !got.Exit || !got.JSON || got.Database != "sqlite" || got.Rows != 100_000 || got.Programs != "/opt/bin" || got.Dir != filepath.Join(".strangler", "demo") || got.Terminal || got.Color {
		t.Errorf("options %+v", got)
	}
	s.expect(exitDone, "demo", "--database", "postgres", "--programs", "/x")
	if got.Exit || got.JSON || got.Database != "postgres" || got.Programs != "/x" {
		t.Errorf("options %+v", got)
	}
	s.hooks.Demo = func(context.Context, DemoOptions) error { return errors.New("2 writes were lost") }
	s.expect(exitFailed, "demo", "--exit")
}

func TestVerbsThatAreNotConnected(t *testing.T) {
	s := alone(t)
	for _, line := range []string{"serve", "demo", "check", "migrate status delivery"} {
		if got := s.expect(exitFailed, strings.Fields(line)...); !strings.Contains(got.stderr, "this build of strangler has no") {
			t.Errorf("%s: %q", line, got.stderr)
		}
	}
}

func TestPlaybookWithoutADaemon(t *testing.T) {
	s := alone(t)
	if got := s.object(exitDone, "playbook", "list"); len(got["steps"].([]any)) != len(playbook.Steps()) {
		t.Errorf("list: %v", got)
	}
	if got := s.expect(exitDone, "playbook", "list"); !strings.HasPrefix(got.stdout, "1. expand") || !strings.Contains(got.stdout, "8. complete") {
		t.Errorf("list: %q", got.stdout)
	}
	if got := s.expect(exitDone, "playbook", "list", "search"); !strings.Contains(got.stdout, "6. service_ready Waits for GET http://127.0.0.1:9002/ready to answer 200. [http]\n7. cutover ") {
		t.Errorf("list of a capability: %q", got.stdout)
	}
	s.expect(exitUsage, "playbook", "list", "search", "delivery")
	if got := s.object(exitDone, "playbook", "show", "delivery"); got["capability"] != "delivery" || got["next_steps"] == nil || got["touches"] == nil {
		t.Errorf("show: %v", got)
	}
	if got := s.expect(exitDone, "playbook", "show", "search"); !strings.Contains(got.stdout, "next: strangler playbook run search") {
		t.Errorf("show: %q", got.stdout)
	}
	if got := s.expect(exitDone, "playbook", "render", "delivery"); !strings.HasPrefix(got.stdout, "# Playbook: delivery\n") {
		t.Errorf("render: %.80q", got.stdout)
	}
	if got := s.object(exitDone, "playbook", "render", "delivery"); !strings.HasPrefix(got["markdown"].(string), "# Playbook: delivery\n") {
		t.Errorf("render: %v", got)
	}
	page := filepath.Join(t.TempDir(), "page.html")
	s.expect(exitDone, "playbook", "render", "delivery", "--html", page, "--dry-run")
	if _, err := os.Stat(page); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a dry run wrote a page: %v", err)
	}
	s.expect(exitDone, "playbook", "render", "delivery", "--html", page)
	text, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(text), "delivery") || !strings.Contains(strings.ToLower(string(text)), "<html") {
		t.Errorf("the page: %.80q, %v", text, err)
	}
	s.expect(exitFailed, "playbook", "render", "delivery", "--html", filepath.Join(page, "below-a-file"))
}
