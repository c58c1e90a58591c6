package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin/admintest"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/localdb/localdbtest"
	"github.com/strangler-fig/strangler/playbook"
)

// itself is the environment variable by which the tests' program is strangler.
const itself = "STRANGLER_TEST_ITSELF"

func TestMain(m *testing.M) {
	if os.Getenv(itself) != "" {
		main()
	}
	goleak.VerifyTestMain(localdbtest.Main(m))
}

// shell is a run of the program with a folder of its own.
type shell struct {
	t       *testing.T
	file    string
	env     map[string]string
	hooks   hooks
	stdin   string
	input   io.Reader // in place of stdin; nil: stdin
	tty     bool      // stdin and stderr are terminals
	screen  bool      // stdout is one
	columns int       // of the terminals
	rows    int
	patient time.Duration // with a daemon that does not answer
	ctx     context.Context
	onError func() // called when something is written to stderr
	onPrint func() // likewise to stdout
}

// watched calls back at each write.
type watched struct {
	bytes.Buffer
	written func()
}

func (w *watched) Write(b []byte) (int, error) {
	if w.written != nil {
		w.written()
	}
	return w.Buffer.Write(b)
}

// result is what a run left behind.
type result struct {
	stdout, stderr string
	code           int
}

// alone has a configuration and no daemon.
func alone(t *testing.T) *shell {
	t.Helper()
	return with(t, "127.0.0.1:1")
}

func with(t *testing.T, admin string) *shell {
	t.Helper()
	file := filepath.Join(t.TempDir(), "strangler.yaml")
	text := fmt.Sprintf(`
admin: {listen: %q, token: "${STRANGLER_TOKEN}"}
legacy: {url: http://127.0.0.1:9000, database: sqlite:shop.db}
capabilities:
  delivery:
    routes: [POST /couriers, "GET /couriers/{id}"]
    service: {url: http://127.0.0.1:9001, database: sqlite:delivery.db}
    tables: [couriers]
  search:
    routes: [/search]
    service: {url: http://127.0.0.1:9002}
    playbook: {steps: [{name: service_ready, before: cutover, http: {url: "http://127.0.0.1:9002/ready"}}]}
`, admin)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &shell{t: t, file: file, env: map[string]string{"STRANGLER_TOKEN": "s3cret", "USER": "ann"}, patient: 50 * time.Millisecond, ctx: t.Context()}
}

// served has a configuration and an admin API with a backend behind it.
func served(t *testing.T) (*shell, *admintest.Backend) {
	t.Helper()
	backend := admintest.New()
	cfg := backend.Config()
	cfg.Token = "s3cret"
	server := admintest.Open(t, cfg)
	return with(t, strings.TrimPrefix(server.URL(), "http://")), backend
}

// run runs a command line, with the shell's file unless it names another.
func (s *shell) run(args ...string) result {
	s.t.Helper()
	stdout, stderr := watched{written: s.onPrint}, watched{written: s.onError}
	var stdin io.Reader = strings.NewReader(s.stdin)
	if s.input != nil {
		stdin = s.input
	}
	code := run(s.ctx, process{
		args: append([]string{"-c", s.file}, args...), stdin: stdin, stdout: &stdout, stderr: &stderr,
		env:      func(name string) (string, bool) { v, ok := s.env[name]; return v, ok },
		host:     "laptop",
		program:  "/opt/bin/strangler",
		poll:     time.Millisecond,
		patience: s.patient,
		terminal: func(stream any) bool {
			if stream == any(&stdout) {
				return s.screen
			}
			return s.tty
		},
		size:  func(any) (int, int) { return s.columns, s.rows },
		hooks: s.hooks,
	})
	return result{stdout.String(), stderr.String(), code}
}

// expect runs a command line and demands its exit code.
func (s *shell) expect(code int, args ...string) result {
	s.t.Helper()
	got := s.run(args...)
	if got.code != code {
		s.t.Fatalf("strangler %s: exit code %d, want %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), got.code, code, got.stdout, got.stderr)
	}
	return got
}

// object runs a command line with -o json and returns the object on stdout.
func (s *shell) object(code int, args ...string) map[string]any {
	s.t.Helper()
	got := s.expect(code, append(args, "-o", "json")...)
	var v map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil {
		s.t.Fatalf("strangler %s: stdout is not one object: %v\n%s", strings.Join(args, " "), err, got.stdout)
	}
	return v
}

// failed is an error on stderr with -o json.
type failed struct {
	Error struct {
		Code, Message, Check string
		Next                 []string
	}
	Exit int
}

func (s *shell) failure(code int, args ...string) failed {
	s.t.Helper()
	got := s.expect(code, append(args, "-o", "json")...)
	var f failed
	if err := json.Unmarshal([]byte(got.stderr), &f); err != nil {
		s.t.Fatalf("strangler %s: stderr is not one object: %v\n%s", strings.Join(args, " "), err, got.stderr)
	}
	if f.Exit != code || f.Error.Next == nil {
		s.t.Errorf("strangler %s: %s", strings.Join(args, " "), got.stderr)
	}
	return f
}

func keys(v map[string]any) []string {
	var names []string
	for name := range v {
		names = append(names, name)
	}
	return names
}

var unordered = cmp.Transformer("unordered", func(names []string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
})

func TestEveryCommandHasHelpAndExample(t *testing.T) {
	a := &app{}
	count := 0
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		count++
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s: short %q, long %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Long, cmd.Example)
		}
		for line := range strings.Lines(cmd.Long) {
			if len(line) > 96 {
				t.Errorf("%s: a line of its help has %d characters", cmd.CommandPath(), len(line))
			}
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(a.root())
	if count != 47 {
		t.Errorf("%d commands", count)
	}
}

// The examples of the help are command lines that the program takes.
func TestExamplesParse(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			words := strings.Fields(strings.NewReplacer("source <(", "", ")", "").Replace(line))
			if len(words) == 0 || words[0] != "strangler" {
				t.Errorf("%s: the example %q is no command", cmd.CommandPath(), line)
				continue
			}
			found, rest, err := (&app{}).root().Find(words[1:])
			if err != nil || !found.Runnable() {
				t.Errorf("%s: the example %q: %v", cmd.CommandPath(), line, err)
				continue
			}
			for _, word := range rest {
				if name, ok := strings.CutPrefix(word, "--"); ok && found.Flags().Lookup(name) == nil {
					t.Errorf("%s: the example %q has an unknown flag --%s", cmd.CommandPath(), line, name)
				}
			}
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk((&app{}).root())
}

func TestArgumentsThatCannotBeUsed(t *testing.T) {
	s, backend := served(t)
	for _, c := range []struct{ line, says string }{
		{"toggel list", "did you mean toggle?"},
		{"toggle", "needs one of: get, history, list, set"},
		{"toggle histry", "did you mean history?"},
		{"toggle get", "CAP is missing"},
		{"toggle get delivery now", `"now" is one argument too many`},
		{"toggle list --deep", "unknown flag: --deep"},
		{"toggle list -o yaml", "text or json"},
		{"toggle set delivery off --why x", "legacy, shadow, canary, extracted"},
		{"toggle set delivery legacy", "--why is missing"},
		{"toggle set delivery canary --why x", "--percent is missing"},
		{"toggle set delivery shadow --percent 5 --why x", "canary only"},
		{"toggle set delivery canary --percent NaN --why x", "0 to 100"},
		{"toggle set delivery canary --percent 101 --why x", "0 to 100"},
		{"toggle set delivery canary --percent 0 --why x", "moves nobody"},
		{"toggle get billing", "the daemon knows delivery"},
		{"split adopt delivery --owner both --why x", "legacy or service"},
		{"split adopt delivery --owner legacy", "--why is missing"},
		{"split adopt delivery --lost", "give --owner too"},
		{"migrate up billing", "it has delivery, search"},
		{"migrate up search", "no tables"},
		{"migrate force delivery two --side legacy", "number of a script"},
		{"migrate force delivery 2", "legacy or service"},
		{"playbook show billing", "it has delivery, search"},
		{"playbook approve delivery", "STEP is missing"},
		{"playbook rehearse search", "no tables"},
		{"playbook rehearse delivery --rows 0", "from 1"},
		{"serve --roles cook", "proxy and worker"},
		{"serve --log-level loud", "debug, info, warn or error"},
		{"serve --log-format xml", "text or json"},
		{"demo --database oracle", "sqlite, postgres or mysql"},
		{"demo --rows 0", "from 1"},
		{"completion tcsh", "bash, zsh, fish and powershell"},
		{"man", "DIR is missing"},
		{"version 2", "one argument too many"},
	} {
		got := s.expect(exitUsage, strings.Fields(c.line)...)
		if got.stdout != "" || !strings.HasPrefix(got.stderr, "strangler: ") || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%s: stdout %q, stderr %q; want %q", c.line, got.stdout, got.stderr, c.says)
		}
		if f := s.failure(exitUsage, strings.Fields(strings.Replace(c.line, "-o yaml", "-o", 1))...); !strings.Contains(c.line, "-o yaml") && !strings.Contains(f.Error.Message, c.says) {
			t.Errorf("%s as JSON: %+v", c.line, f)
		}
	}
	if calls := backend.Calls(); len(calls) != 0 {
		t.Errorf("an unusable command line had an effect: %v", calls)
	}
}

func TestConfigurationThatCannotBeUsed(t *testing.T) {
	s := alone(t)
	delete(s.env, "STRANGLER_TOKEN")
	got := s.expect(exitUsage, "toggle", "list")
	if !strings.Contains(got.stderr, "line 2, admin.token: the environment variable STRANGLER_TOKEN is not set") {
		t.Errorf("stderr: %s", got.stderr)
	}
	s.file = filepath.Join(t.TempDir(), "none.yaml")
	if got := s.expect(exitUsage, "check"); !strings.Contains(got.stderr, "there is no such file") {
		t.Errorf("stderr: %s", got.stderr)
	}
}

func TestUnreachableDaemon(t *testing.T) {
	s := alone(t)
	f := s.failure(exitFailed, "split", "cutover", "delivery")
	if !strings.Contains(f.Error.Message, "nothing was changed") || cmp.Diff([]string{"strangler serve -c " + s.file}, f.Error.Next) != "" {
		t.Errorf("%+v", f)
	}
}

// Each kind of error has its exit code, however the daemon wrapped it.
func TestExitCodes(t *testing.T) {
	s, backend := served(t)
	for _, c := range []struct {
		err  error
		exit int
		code string
	}{
		{fmt.Errorf("cutting over: %w", strangler.Refuse("lag", "it is behind", "wait")), exitRefused, "refused"},
		{fmt.Errorf("x: %w", strangler.ErrConflict), exitFailed, "conflict"},
		{fmt.Errorf("x: %w", strangler.ErrUnknown), exitFailed, "unknown"},
		{fmt.Errorf("x: %w", strangler.ErrSuperseded), exitFailed, "superseded"},
		{fmt.Errorf("x: %w", strangler.ErrStopped), exitStopped, "stopped"},
		{fmt.Errorf("x: %w", strangler.ErrConfig), exitUsage, "configuration"},
		{fmt.Errorf("x: %w", strangler.ErrNotFound), exitUsage, "not_found"},
		{fmt.Errorf("x"), exitFailed, "failed"},
	} {
		backend.Fail("cutover", c.err)
		if f := s.failure(c.exit, "split", "cutover", "delivery"); f.Error.Code != c.code {
			t.Errorf("%v: %+v", c.err, f)
		}
	}
	backend.Fail("cutover", strangler.Refuse("lag", "it is behind", "wait"))
	got := s.expect(exitRefused, "split", "cutover", "delivery")
	if got.stderr != "strangler: refused by the check \"lag\": it is behind; nothing was changed; next: wait\n" || got.stdout != "" {
		t.Errorf("stdout %q, stderr %q", got.stdout, got.stderr)
	}
	if f := s.failure(exitRefused, "split", "cutover", "delivery"); f.Error.Check != "lag" || cmp.Diff([]string{"wait"}, f.Error.Next) != "" {
		t.Errorf("%+v", f)
	}
}

func TestVersionAndCompletion(t *testing.T) {
	s := alone(t)
	if got := s.expect(exitDone, "version"); !strings.HasPrefix(got.stdout, "strangler "+strangler.Version+" (go") {
		t.Errorf("version: %q", got.stdout)
	}
	if diff := cmp.Diff([]string{"version", "go", "platform", "revision"}, keys(s.object(exitDone, "version")), unordered); diff != "" {
		t.Errorf("version (-want +got):\n%s", diff)
	}
	for _, name := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := s.expect(exitDone, "completion", name); !strings.Contains(got.stdout, "strangler") {
			t.Errorf("completion %s: %.80q", name, got.stdout)
		}
	}
	if got := s.expect(exitDone, "__complete", "split", "status", ""); !strings.HasPrefix(got.stdout, "delivery\nsearch\n") {
		t.Errorf("completing a capability: %q", got.stdout)
	}
}

func TestHelpIsOnStdout(t *testing.T) {
	s := alone(t)
	for _, line := range []string{"", "--help", "split cutover --help", "help split"} {
		if got := s.expect(exitDone, strings.Fields(line)...); !strings.Contains(got.stdout, "Usage:") || got.stderr != "" {
			t.Errorf("%q: stdout %.60q, stderr %q", line, got.stdout, got.stderr)
		}
	}
}

// The steps that strangler.yaml may name are the playbook's.
func TestStepNamesAgree(t *testing.T) {
	var names []string
	for _, step := range playbook.Steps() {
		names = append(names, step.Name)
	}
	if diff := cmp.Diff(names, config.StepNames); diff != "" {
		t.Errorf("config.StepNames (-playbook +config):\n%s", diff)
	}
}

func TestDocNamesFilesThatExist(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for word := range strings.FieldsSeq(string(text)) {
		if name := strings.Trim(word, ",.;:()"); strings.HasSuffix(name, ".go") {
			named++
			if _, err := os.Stat(name); err != nil {
				t.Errorf("doc.go names %s: %v", name, err)
			}
		}
	}
	if named < 15 {
		t.Errorf("doc.go names %d files", named)
	}
}
