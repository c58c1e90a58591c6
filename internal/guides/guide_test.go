package guides

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// folder is where the guides are, from here.
const folder = "../../docs/guides"

// guide is one document.
type guide struct {
	name   string // of its file
	behind string // the guide whose commands come first, and
	until  string // the last section of it
	blocks []block
}

// block is what stands between two fences.
type block struct {
	heading string // the section's
	line    int
	kind    string // as the fence says it
	file    string // where the text is saved; "" for most
	text    string
}

func (b block) commands() bool { return b.kind == "sh" || b.kind == "console" }

// shown are the kinds that belong into other programs.
var shown = []string{"text", "yaml", "yml", "json", "ini", "nginx", "sql", "ruby", "python", "php", "java"}

var (
	savedAs = regexp.MustCompile(`^<!-- saved as (\S+) -->$`)
	begins  = regexp.MustCompile(`^<!-- begins behind (\S+\.md): (.+) -->$`)
	fence   = regexp.MustCompile("^```(.*)$")
)

// parse reads a guide. What looks like a block or a comment of ours and is none is an error: it would not be done.
func parse(name, text string) (guide, error) {
	g := guide{name: name}
	var in *block
	heading, file := "", ""
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case in != nil && line == "```":
			g.blocks = append(g.blocks, *in)
			in, file = nil, ""
		case in != nil:
			in.text += line + "\n"
		case m != nil:
			in = &block{heading: heading, line: i + 1, kind: m[1], file: file}
			if !in.commands() && !slices.Contains(shown, in.kind) {
				return g, fmt.Errorf("%s, line %d: a block of the kind %q is neither done (sh, console) nor shown (%s)", name, i+1, in.kind, strings.Join(shown, ", "))
			}
			if in.commands() && file != "" {
				return g, fmt.Errorf("%s, line %d: commands are done, not saved", name, i+1)
			}
		case savedAs.MatchString(line):
			file = savedAs.FindStringSubmatch(line)[1]
		case begins.MatchString(line):
			of := begins.FindStringSubmatch(line)
			g.behind, g.until = of[1], of[2]
		case strings.HasPrefix(strings.TrimSpace(line), "<!--"), strings.HasPrefix(strings.TrimSpace(line), "```"):
			return g, fmt.Errorf("%s, line %d: %q is not understood", name, i+1, line)
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
		case file != "" && line != "":
			return g, fmt.Errorf("%s, line %d: nothing follows to be saved as %s", name, i+1, file)
		}
	}
	if in != nil {
		return g, fmt.Errorf("%s, line %d: the block does not end", name, in.line)
	}
	return g, nil
}

// load reads a guide of the folder.
func load(t *testing.T, name string) guide {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	must(t, err)
	g, err := parse(name, string(text))
	must(t, err)
	return g
}

// names are the guides' files.
func names(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.md"))
	must(t, err)
	var found []string
	for _, path := range paths {
		found = append(found, filepath.Base(path))
	}
	if len(found) < 9 {
		t.Fatalf("%d guides found: %v", len(found), found)
	}
	return found
}

// onMariaDB reports whether a server of MariaDB is asked.
func (g guide) onMariaDB() bool {
	return slices.ContainsFunc(g.blocks, func(b block) bool { return b.kind == "sh" && strings.Contains(b.text, "\nmariadb ") })
}

// end is the last section with a block.
func (g guide) end() string {
	if len(g.blocks) == 0 {
		return ""
	}
	return g.blocks[len(g.blocks)-1].heading
}

// before are the blocks of another guide that come first.
func (g guide) before(t *testing.T) (blocks []block) {
	t.Helper()
	if g.behind == "" {
		return nil
	}
	first := load(t, g.behind)
	reached := false
	for _, b := range append(first.before(t), first.blocks...) {
		if reached && b.heading != g.until {
			break
		}
		reached = reached || b.heading == g.until
		blocks = append(blocks, b)
	}
	if !reached {
		t.Fatalf("%s begins behind %q of %s, where no such section has a block", g.name, g.until, g.behind)
	}
	return blocks
}

// TestBlocksAreRead has what a guide may hold, and what is refused because it would not be done.
func TestBlocksAreRead(t *testing.T) {
	g, err := parse("g.md", "<!-- begins behind a.md: The end -->\n# Title\n\n## One\n\n```sh\na\nb\n```\n<!-- saved as x.yaml -->\n\n```yaml\nk: v\n```\n\n```ruby\nx\n```\n")
	must(t, err)
	if g.behind != "a.md" || g.until != "The end" || len(g.blocks) != 3 {
		t.Fatalf("%+v", g)
	}
	want := []block{{"One", 6, "sh", "", "a\nb\n"}, {"One", 12, "yaml", "x.yaml", "k: v\n"}, {"One", 16, "ruby", "", "x\n"}}
	if !slices.Equal(g.blocks, want) {
		t.Errorf("%+v", g.blocks)
	}
	for _, text := range []string{
		"```bash\na\n```\n", "```\na\n```\n", "```sh title\na\n```\n", "  ```sh\n  a\n  ```\n", "```sh\na\n", "<!-- saves as x -->\n",
		"<!-- saved as x -->\ntext\n```yaml\na: b\n```\n", "<!-- saved as x -->\n```sh\na\n```\n",
	} {
		if g, err := parse("g.md", text); err == nil {
			t.Errorf("%q is read as %+v", text, g.blocks)
		}
	}
}
