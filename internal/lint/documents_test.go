package lint

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/config/schematest"
)

// documents are the Markdown files that people read.
func documents(t *testing.T) []string {
	return files(t, func(name string) bool {
		return strings.HasSuffix(name, ".md") && !strings.Contains(name, "testdata/")
	})
}

var (
	fence    = regexp.MustCompile("(?ms)^```.*?^```")
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`)
	testName = regexp.MustCompile(`^(?:Test|Fuzz|Benchmark|Example)[A-Z]\w*$`)
	target   = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
	slugDrop = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// code are the code spans of a document, and the lines of its fenced blocks without a prompt or comment; of a session
// (console) what was typed, and not what came of it.
func code(text string) (out []string) {
	for _, block := range fence.FindAllString(text, -1) {
		for _, line := range strings.Split(block, "\n") {
			if strings.HasPrefix(block, "```console") && !strings.HasPrefix(line, "$ ") {
				continue
			}
			line, _, _ = strings.Cut(line, " #")
			out = append(out, strings.TrimPrefix(strings.TrimSpace(line), "$ "))
		}
	}
	for _, span := range codeSpan.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		out = append(out, strings.TrimSpace(span[1]))
	}
	return out
}

func TestLinksResolve(t *testing.T) {
	for _, name := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(read(t, name), ""), -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			full := path.Join(path.Dir(name), to)
			if to == "" {
				full = name
			}
			if !exists(t, full) {
				t.Errorf("%s: the link to %s leads nowhere", name, m[1])
			} else if anchor != "" && !slices.Contains(anchors(read(t, full)), anchor) {
				t.Errorf("%s: %s has no heading #%s", name, full, anchor)
			}
		}
	}
}

// anchors are the names that headings can be linked by.
func anchors(text string) (out []string) {
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		slug := slugDrop.ReplaceAllString(strings.ToLower(m[1]), "")
		out = append(out, strings.ReplaceAll(slug, " ", "-"))
	}
	return out
}

// TestNamedFilesExist looks at code spans that begin like a path of this repository.
func TestNamedFilesExist(t *testing.T) {
	tests := testFunctions(t)
	for _, name := range documents(t) {
		for _, span := range code(read(t, name)) {
			first, _, slash := strings.Cut(span, "/")
			switch {
			case testName.MatchString(span):
				if !slices.Contains(tests, span) {
					t.Errorf("%s names the test %s, which is not there", name, span)
				}
			case slash && (slices.Contains(folders, first) || first == "docs") && !strings.ContainsAny(span, " <>*…{}"):
				if !exists(t, span) {
					t.Errorf("%s names %s, which is not there", name, span)
				}
			}
		}
	}
}

// TestNamedCasesExist looks at the cases that docs/CUTOVER.md names behind a test: of TestMutations by
// their names, of TestConformance in italics.
func TestNamedCasesExist(t *testing.T) {
	mutations := read(t, "internal/protocol/mutation_test.go")
	var conformance strings.Builder
	for _, name := range files(t, func(name string) bool { return strings.HasPrefix(name, "migrations/enginetest/") }) {
		conformance.WriteString(read(t, name))
	}
	checked := 0
	text := read(t, "docs/CUTOVER.md")
	for _, m := range regexp.MustCompile("`TestMutations` ((?:[A-Z]\\w+(?:, )?)+)").FindAllStringSubmatch(text, -1) {
		for _, name := range strings.Split(strings.TrimSuffix(m[1], ", "), ", ") {
			checked++
			if !strings.Contains(mutations, `{"`+name+`"`) {
				t.Errorf("docs/CUTOVER.md names the case %q of TestMutations, which is not there", name)
			}
		}
	}
	for _, m := range regexp.MustCompile("`TestConformance` ((?:\\*[^*\n]+\\*(?:, )?)+)").FindAllStringSubmatch(text, -1) {
		for _, name := range strings.Split(strings.Trim(strings.TrimSuffix(m[1], ", "), "*"), "*, *") {
			checked++
			if !strings.Contains(conformance.String(), `{"`+name+`"`) {
				t.Errorf("docs/CUTOVER.md names the case %q of TestConformance, which is not there", name)
			}
		}
	}
	if checked < 20 {
		t.Errorf("%d cases were found in docs/CUTOVER.md", checked)
	}
}

// testFunctions are the names of all tests, benchmarks and examples.
func testFunctions(t *testing.T) (names []string) {
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w+)\(`)
	for _, name := range files(t, suffix("_test.go")) {
		for _, m := range function.FindAllStringSubmatch(read(t, name), -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// TestExampleLoads reads every strangler.yaml that a document shows as the program would, and as an editor.
func TestExampleLoads(t *testing.T) {
	example := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")
	valid := schematest.Compile(t, config.Schema())
	shown := 0
	for _, name := range documents(t) {
		for _, m := range example.FindAllStringSubmatch(read(t, name), -1) {
			shown++
			file := filepath.Join(t.TempDir(), "strangler.yaml")
			if err := os.WriteFile(file, []byte(m[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			var root yaml.Node
			if err := yaml.Unmarshal([]byte(m[1]), &root); err != nil {
				t.Fatal(err)
			}
			if err := valid(&root); err != nil {
				t.Errorf("%s shows a strangler.yaml that the schema for editors refuses: %v", name, err)
			}
			if _, err := config.Load(file, func(string) (string, bool) { return "a-value-of-the-environment", true }); err != nil {
				t.Errorf("%s shows a strangler.yaml that does not load: %v", name, err)
			}
		}
	}
	if shown == 0 {
		t.Error("no document shows a strangler.yaml")
	}
}

// TestEveryRoomIsShown: the page of the architecture names each package that has a page of its own.
func TestEveryRoomIsShown(t *testing.T) {
	page := read(t, "docs/ARCHITECTURE.md")
	rooms, err := filepath.Glob(filepath.Join(root(t), "*", "*", "doc.go"))
	if err != nil || len(rooms) == 0 {
		t.Fatalf("no rooms: %v", err)
	}
	for _, room := range rooms {
		name, err := filepath.Rel(root(t), filepath.Dir(room))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(page, "`"+filepath.ToSlash(name)+"`") {
			t.Errorf("docs/ARCHITECTURE.md has no row for %s", name)
		}
	}
}

func TestMakeTargetsExist(t *testing.T) {
	var targets []string
	for _, m := range target.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets = append(targets, m[1])
	}
	for _, name := range documents(t) {
		for _, line := range code(read(t, name)) {
			words := strings.Fields(line)
			if len(words) > 3 && words[1] == "-C" {
				words = slices.Delete(words, 1, 3)
			}
			if len(words) >= 2 && words[0] == "make" && !slices.Contains(targets, words[1]) {
				t.Errorf("%s names `make %s`, which is no target", name, words[1])
			}
		}
	}
}

// TestCommandsExist asks the program itself which commands and flags it has.
func TestCommandsExist(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "strangler")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", bin, "./cmd/strangler")
	build.Dir = root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	helps := map[string]string{}
	help := func(command string) string {
		if _, known := helps[command]; !known {
			out, err := exec.Command(bin, append(strings.Fields(command), "--help")...).CombinedOutput()
			if err != nil {
				t.Fatalf("strangler %s --help: %v\n%s", command, err, out)
			}
			helps[command] = string(out)
		}
		return helps[command]
	}
	checked := 0
	for _, name := range documents(t) {
		for _, line := range code(read(t, name)) {
			if words := strings.Fields(strings.TrimPrefix(line, "bin/")); len(words) >= 2 && words[0] == "strangler" {
				checked++
				if problem := commandProblem(words[1:], help); problem != "" {
					t.Errorf("%s: `%s`: %s", name, line, problem)
				}
			}
		}
	}
	if checked == 0 {
		t.Error("no document shows a command")
	}
}

// commandProblem says which word of a command line help does not know, or "".
func commandProblem(words []string, help func(command string) string) string {
	command, done := "", false
	for _, word := range words {
		switch below := subcommands(help(command)); {
		case strings.HasPrefix(word, "--"):
			flag, _, _ := strings.Cut(word, "=")
			if !regexp.MustCompile(regexp.QuoteMeta(flag) + `\b`).MatchString(help(command)) {
				return "there is no flag " + flag
			}
		case strings.HasPrefix(word, "-"):
			done = done || command != "" // what follows a short flag is its value
		case done || len(below) == 0:
			done = true
		case slices.Contains(below, word):
			command = strings.TrimSpace(command + " " + word)
		default:
			return "there is no command " + word
		}
	}
	return ""
}

// subcommands reads them from a command's help.
func subcommands(help string) (names []string) {
	_, list, found := strings.Cut(help, "Available Commands:\n")
	if !found {
		return nil
	}
	list, _, _ = strings.Cut(list, "\n\n")
	for _, line := range strings.Split(list, "\n") {
		if words := strings.Fields(line); len(words) > 0 {
			names = append(names, words[0])
		}
	}
	return names
}

func TestCommandProblemsAreFound(t *testing.T) {
	help := func(command string) string {
		switch command {
		case "":
			return "Available Commands:\n  split   move tables\n  serve   the daemon\n\nFlags:\n  --dry-run\n"
		case "split":
			return "Available Commands:\n  start   begin\n\nFlags:\n  --dry-run\n"
		}
		return "Usage: x\n\nFlags:\n  --follow   show\n"
	}
	cases := []struct {
		line string
		fine bool
	}{
		{"serve", true},
		{"split start CAP --follow", true},
		{"split start delivery", true},
		{"split stop CAP", false},
		{"move", false},
		{"split start CAP --fast", false},
		{"split start CAP --follow=yes", true},
		{"--dry-run split start CAP", true},
	}
	for _, c := range cases {
		if problem := commandProblem(strings.Fields(c.line), help); (problem == "") != c.fine {
			t.Errorf("%q: %q", c.line, problem)
		}
	}
}
