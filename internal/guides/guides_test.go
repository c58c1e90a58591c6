package guides

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // they wait most of the time
		panic(err)
	}
	goleak.VerifyTestMain(tests{m})
}

type tests struct{ *testing.M }

// Run removes what the tests share when they are over.
func (t tests) Run() int {
	code := t.M.Run()
	if err := os.RemoveAll(copied); err != nil {
		fmt.Println(err)
		return 1
	}
	return code
}

// TestGuides does what each guide says, in its order, each in a place of its own. One at whose end another begins is done there.
func TestGuides(t *testing.T) {
	t.Parallel()
	for _, name := range names(t) {
		g := load(t, name)
		title := strings.TrimSuffix(name, ".md")
		whole := g.behind != "" && g.until == load(t, g.behind).end()
		if whole {
			title = strings.TrimSuffix(g.behind, ".md") + "+" + title
		}
		if !slices.ContainsFunc(g.blocks, block.commands) || goesOnElsewhere(t, g) {
			continue
		}
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, g.onMariaDB())
			s := newShell(t, p)
			for _, b := range g.before(t) {
				follow(t, s, p, b, whole)
			}
			for _, b := range g.blocks {
				follow(t, s, p, b, true)
			}
			if name == watching {
				checkMetrics(t, s, p)
			}
		})
	}
}

// goesOnElsewhere reports whether another guide begins at the end of this one, which begins by itself.
func goesOnElsewhere(t *testing.T, g guide) bool {
	t.Helper()
	return g.behind == "" && slices.ContainsFunc(names(t), func(name string) bool {
		other := load(t, name)
		return other.behind == g.name && other.until == g.end()
	})
}

// follow does one block.
func follow(t *testing.T, s *shell, p *place, b block, compare bool) {
	t.Helper()
	if b.file != "" {
		must(t, os.WriteFile(filepath.Join(s.now(t), b.file), []byte(p.addresses.Replace(b.text)), 0o600))
	}
	if !b.commands() {
		return
	}
	list, err := commands(b)
	must(t, err)
	for _, c := range list {
		printed, code := s.do(t, p.addresses.Replace(c.text))
		printed = p.back.Replace(printed)
		t.Logf("$ %s\n%s", c.text, printed)
		if (code != 0) != c.failed {
			t.Fatalf("%s, line %d: %q ended with %d and printed:\n%s%s", b.heading, b.line, c.text, code, printed, logs(t, s))
		}
		if c.shows && compare {
			if diff := differs(c.want, printed); diff != "" {
				t.Errorf("%s, line %d: %q prints something else (-guide +printed):\n%s", b.heading, b.line, c.text, diff)
			}
		}
	}
}

// logs are the last lines of what the programs of a guide have logged.
func logs(t *testing.T, s *shell) string {
	t.Helper()
	printed, _ := s.do(t, "tail -n 20 *.log 2>&1")
	return printed
}

// named is a metric that a guide names.
type named struct{ guide, metric string }

var metric = regexp.MustCompile(`\bstrangler_(?:proxy|split)_[a-z_]+\b`)

func metricsOf(t *testing.T) (found []named) {
	t.Helper()
	for _, name := range names(t) {
		text, err := os.ReadFile(filepath.Join(folder, name))
		must(t, err)
		for _, m := range metric.FindAllString(string(text), -1) {
			if n := (named{name, m}); !slices.Contains(found, n) {
				found = append(found, n)
			}
		}
	}
	return found
}

// watching is the guide at whose end a daemon is asked for the metrics that all guides name: it has copied, verified and cut over.
const watching = "what-to-watch.md"

func checkMetrics(t *testing.T, s *shell, p *place) {
	t.Helper()
	printed, code := s.do(t, p.addresses.Replace(`curl -fsS -H "Authorization: Bearer $STRANGLER_TOKEN" http://127.0.0.1:8081/metrics`))
	if code != 0 {
		t.Fatalf("the metrics cannot be read:\n%s", printed)
	}
	for _, m := range metricsOf(t) {
		if !strings.Contains(printed, "\n# TYPE "+m.metric+" ") {
			t.Errorf("%s names the metric %s, which the daemon does not have", m.guide, m.metric)
		}
	}
}

// TestNothingIsForgotten: each guide is in the list of guides, and each block of commands is one that is done.
func TestNothingIsForgotten(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(folder, "README.md"))
	must(t, err)
	opening := regexp.MustCompile("(?m)^ *```(sh|console)")
	for _, name := range names(t) {
		g := load(t, name)
		text, err := os.ReadFile(filepath.Join(folder, name))
		must(t, err)
		done := 0
		for _, b := range g.blocks {
			if b.commands() {
				_, err := commands(b)
				must(t, err)
				done++
			}
		}
		if n := len(opening.FindAllString(string(text), -1)); n != done {
			t.Errorf("%s: %d blocks of commands, of which %d are done", name, n, done)
		}
		if name != "README.md" && !strings.Contains(string(index), "]("+name+")") {
			t.Errorf("README.md does not lead to %s", name)
		}
		if name == watching && done == 0 {
			t.Errorf("no daemon runs in %s that could be asked for the metrics", name)
		}
	}
}
