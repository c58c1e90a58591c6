package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is one line of `go test -json`, as `go doc test2json` has it.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build output
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string // in a package's fail: the import path whose build failed
}

// packageRun is what is known of one package's tests while they run.
type packageRun struct {
	output map[string][]string // by test; "" is the package's own
	result map[string]string   // by test: "run" until it has ended, then "pass", "fail" or "skip"
	order  []string            // tests in the order in which they began
}

// read follows the events of one `go test -json` to their end and prints a line for each package that
// has tests, with the output of those that failed.
func read(r io.Reader, ci bool, out io.Writer) tally {
	var all tally
	running := map[string]*packageRun{}
	builds := map[string][]string{}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(out, line) // not from a test: the go command itself
			} else if e.Action == "build-output" {
				builds[e.ImportPath] = append(builds[e.ImportPath], e.Output)
			} else if e.Package != "" {
				if running[e.Package] == nil {
					running[e.Package] = &packageRun{output: map[string][]string{}, result: map[string]string{}}
				}
				if running[e.Package].take(e) {
					all.add(running[e.Package].close(e, builds[e.FailedBuild], ci, out))
					delete(running, e.Package)
				}
			}
		}
		if err != nil {
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(running)) { // the go command was stopped
		all.add(running[name].close(event{Action: "fail", Package: name}, nil, ci, out))
	}
	return all
}

// take records one event and says whether the package has ended with it.
func (p *packageRun) take(e event) (ended bool) {
	switch e.Action {
	case "output":
		p.output[e.Test] = append(p.output[e.Test], e.Output)
	case "run":
		p.result[e.Test] = "run"
		p.order = append(p.order, e.Test)
	case "pass", "fail", "skip":
		if e.Test == "" {
			return true
		}
		p.result[e.Test] = e.Action
		if e.Action == "pass" {
			delete(p.output, e.Test)
		}
	}
	return false
}

// close counts a package that has ended, prints its line, and before it what failed.
func (p *packageRun) close(end event, build []string, ci bool, out io.Writer) (t tally) {
	for _, test := range p.order {
		result := p.result[test]
		if p.toldBySubtests(test) {
			continue
		}
		switch {
		case result == "pass":
			t.passed++
		case result == "skip":
			t.skipped = append(t.skipped, short(end.Package)+" "+test)
			if ci {
				t.failed++
				p.print(out, end.Package, test, "skipped, which is a failure with CI=true")
			}
		case result == "fail":
			t.failed++
			p.print(out, end.Package, test, "")
		default:
			t.failed++
			p.print(out, end.Package, test, "it did not end")
		}
	}
	if end.Action == "fail" && t.failed == 0 {
		t.failed = 1
		for _, s := range build {
			fmt.Fprint(out, s)
		}
		p.print(out, end.Package, "", "")
	} else if p.unfinished() {
		p.print(out, end.Package, "", "") // the panic or the time limit that ended it
	}
	switch {
	case t.failed > 0:
		fmt.Fprintf(out, "FAIL  %-40s %s\n", short(end.Package), t)
	case t.passed > 0:
		fmt.Fprintf(out, "ok    %-40s %4d passed %7.1f s\n", short(end.Package), t.passed, end.Elapsed)
	}
	return t
}

// toldBySubtests reports whether counting test as well would count its subtests twice. A test that failed
// although none of its subtests did counts itself.
func (p *packageRun) toldBySubtests(test string) bool {
	has, failed := false, false
	for name, result := range p.result {
		if strings.HasPrefix(name, test+"/") {
			has = true
			failed = failed || result == "fail" || result == "run"
		}
	}
	return has && (p.result[test] == "pass" || failed)
}

func (p *packageRun) unfinished() bool {
	return slices.ContainsFunc(p.order, func(test string) bool { return p.result[test] == "run" })
}

func (p *packageRun) print(out io.Writer, pkg, test, why string) {
	fmt.Fprintf(out, "\nFAIL %s %s %s\n", short(pkg), test, why)
	for _, s := range p.output[test] {
		if !strings.HasPrefix(s, "=== ") {
			fmt.Fprint(out, "    "+s)
		}
	}
	fmt.Fprintln(out)
}

// short is an import path without the module's own beginning.
func short(pkg string) string {
	if pkg == module {
		return "."
	}
	return strings.TrimPrefix(pkg, module+"/")
}

const module = "github.com/strangler-fig/strangler"
