package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// offered is what the shell is offered at the end of a command line, without what is said of each word.
func (s *shell) offered(args ...string) (words []string) {
	s.t.Helper()
	for line := range strings.Lines(s.expect(exitDone, append([]string{"__complete"}, args...)...).stdout) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if !strings.HasPrefix(word, ":") { // the directive
			words = append(words, word)
		}
	}
	return words
}

func TestCompletion(t *testing.T) {
	s := alone(t)
	scripts := filepath.Join(filepath.Dir(s.file), "migrations", "delivery")
	for _, name := range []string{"legacy/000001_capture.up.sql", "legacy/000001_capture.down.sql", "legacy/000012_fence.up.sql", "service/000002_tables.up.sql"} {
		file := filepath.Join(scripts, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const all = "expand copy verify shadow canary cutover soak complete"
	for line, want := range map[string]string{
		"split status ":                          "delivery search",
		"toggle set ":                            "delivery search",
		"toggle set delivery ":                   "legacy shadow canary extracted",
		"toggle get delivery ":                   "",
		"playbook approve ":                      "delivery search",
		"playbook approve delivery ":             all,
		"playbook approve delivery cutover ":     "",
		"playbook rollback delivery --to ":       all,
		"playbook run delivery --until ":         all,
		"serve --roles ":                         "proxy worker",
		"serve --roles proxy,":                   "proxy,worker",
		"serve --log-level ":                     "debug info warn error",
		"serve --log-format ":                    "text json",
		"demo --database ":                       "sqlite postgres mysql",
		"split adopt delivery --owner ":          "legacy service",
		"migrate force ":                         "delivery search",
		"migrate force delivery ":                "0 1 12 2",
		"migrate force --side legacy delivery ":  "0 1 12",
		"migrate force search ":                  "0",
		"migrate force delivery 2 --side ":       "legacy service",
		"version -o ":                            "text json",
		"check --output ":                        "text json",
		"check -c ":                              "yaml yml",
		"playbook render delivery --html ":       "html",
		"completion ":                            "bash zsh fish powershell",
		"playbook run delivery --follow search ": "",
	} {
		words := strings.Split(line, " ")
		if got := strings.Join(s.offered(words...), " "); got != want {
			t.Errorf("%q is offered %q, want %q", line, got, want)
		}
	}
	if got := s.expect(exitDone, "__complete", "playbook", "approve", "delivery", "").stdout; !strings.Contains(got, "cutover\t") {
		t.Errorf("the steps are offered without what they do: %q", got)
	}
}

// The names of capabilities are those of the file that -c names on the line, whatever else the file lacks; a file that cannot be
// read offers nothing, and says nothing.
func TestCompletionReadsTheFile(t *testing.T) {
	s := alone(t)
	delete(s.env, "STRANGLER_TOKEN") // the file names it, and a shell need not have it
	other := filepath.Join(t.TempDir(), "shop.yaml")
	for text, want := range map[string][]string{
		"capabilities: {billing: {routes: 7}, search: {}, Not a name: {}}\n": {"billing", "search"},
		"capabilities: [billing]\n": nil,
		"capabilities: {\n":         nil,
		"":                          nil,
	} {
		if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, s.offered("-c", other, "toggle", "get", "")); diff != "" {
			t.Errorf("%q (-want +offered):\n%s", text, diff)
		}
	}
	if diff := cmp.Diff([]string{"delivery", "search"}, s.offered("toggle", "get", "")); diff != "" {
		t.Errorf("without the token (-want +offered):\n%s", diff)
	}
	got := s.expect(exitDone, "__completeNoDesc", "-c", filepath.Join(t.TempDir(), "none.yaml"), "toggle", "get", "")
	if got.stdout != ":4\n" || strings.Contains(got.stderr, "none.yaml") {
		t.Errorf("stdout %q, stderr %q", got.stdout, got.stderr)
	}
}
