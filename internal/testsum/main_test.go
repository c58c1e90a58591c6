package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRun runs the real go command on a module that is made up.
func TestRun(t *testing.T) {
	const passing = "package x\nimport \"testing\"\nfunc TestA(t *testing.T) {}\nfunc TestB(t *testing.T) { t.Run(\"one\", TestA); t.Run(\"two\", TestA) }\n"
	cases := []struct {
		name   string
		test   string // the file x_test.go
		part   string
		ci     bool
		code   int
		closes string
		says   string
	}{
		{name: "Pass", test: passing, code: 0, closes: "3 passed, 0 failed"},
		{name: "Fail", test: passing + "func TestC(t *testing.T) { t.Error(\"the reason\") }\n", code: 1, closes: "3 passed, 1 failed", says: "the reason"},
		{name: "FailingSubtest", test: passing + "func TestC(t *testing.T) { t.Run(\"one\", TestA); t.Run(\"two\", func(t *testing.T) { t.Fatal(\"why\") }) }\n", code: 1, closes: "4 passed, 1 failed", says: "why"},
		{name: "FailingParent", test: passing + "func TestC(t *testing.T) { t.Run(\"one\", TestA); t.Fatal(\"why\") }\n", code: 1, closes: "4 passed, 1 failed", says: "why"},
		{name: "Skip", test: passing + "func TestC(t *testing.T) { t.Skip(\"why\") }\n", code: 0, closes: "3 passed, 0 failed", says: "skipped: example.invalid/x TestC"},
		{name: "SkipInCI", test: passing + "func TestC(t *testing.T) { t.Skip(\"why\") }\n", ci: true, code: 1, closes: "3 passed, 1 failed", says: "why"},
		{name: "Panic", test: passing + "func TestC(t *testing.T) { panic(\"the end\") }\n", code: 1, closes: "3 passed, 1 failed", says: "panic: the end"},
		{name: "Exit", test: passing + "func TestC(t *testing.T) { os.Exit(3) }\n", code: 1, closes: "3 passed, 1 failed"},
		{name: "AtTheEnd", test: passing + "func TestMain(m *testing.M) { m.Run(); println(\"a leak\"); os.Exit(1) }\n", code: 1, closes: "3 passed, 1 failed", says: "a leak"},
		{name: "TimeLimit", test: passing + "func TestC(t *testing.T) { select {} }\n", part: "tests: go test -timeout 1s ./...", code: 1, closes: "3 passed, 1 failed", says: "TestC"},
		{name: "Build", test: "package x\nfunc a() { undefined() }\n", code: 1, closes: "0 passed, 1 failed", says: "undefined: undefined"},
		{name: "NoTests", test: passing, part: "tests: go test -run ^TestZ ./...", code: 0, closes: "0 passed, 0 failed"},
		{name: "NoPackage", test: passing, part: "tests: go test ./nowhere", code: 1, closes: "0 passed, 1 failed", says: "nowhere"},
		{name: "BadFlag", test: passing, part: "tests: go test -nonsense ./...", code: 1, closes: "0 passed, 1 failed", says: "nonsense"},
		{name: "Check", test: passing, part: "vet: go vet ./...", code: 0, closes: "1 passed, 0 failed"},
		{name: "FailingCheck", test: "package x\nvar x = y\n", part: "vet: go vet ./...", code: 1, closes: "0 passed, 1 failed", says: "undefined: y"},
		{name: "Unformatted", test: "package   x\n", part: "format: gofmt -l .", code: 1, closes: "0 passed, 1 failed", says: "x_test.go"},
		{name: "NoProgram", test: passing, part: "check: no-such-program-here", code: 1, closes: "0 passed, 1 failed"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			text := c.test
			if strings.Contains(text, "os.") {
				text = strings.Replace(text, "import \"testing\"", "import (\n\"os\"\n\"testing\"\n)", 1)
			}
			write(t, dir, "go.mod", "module example.invalid/x\n\ngo 1.26\n")
			write(t, dir, "x_test.go", text)
			t.Chdir(dir)
			part := c.part
			if part == "" {
				part = "tests: env CGO_ENABLED=0 go test ./..."
			}
			var out bytes.Buffer
			if code := run(t.Context(), []string{part}, c.ci, &out); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
			if diff := cmp.Diff(c.closes, lines[len(lines)-1]); diff != "" {
				t.Errorf("closing line (-want +got):\n%s", diff)
			}
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("the output does not say %q", c.says)
			}
			if t.Failed() {
				t.Log(out.String())
			}
		})
	}
}

func TestRunAddsUpParts(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "go.mod", "module example.invalid/x\n\ngo 1.26\n")
	write(t, dir, "x_test.go", "package x\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) {}\n")
	t.Chdir(dir)
	var out bytes.Buffer
	code := run(t.Context(), []string{"vet: go vet .", "no: false", "tests: go test .", "again: go test ."}, false, &out)
	if code != 1 || !strings.HasSuffix(out.String(), "\n3 passed, 1 failed\n") {
		t.Errorf("exit code %d, output:\n%s", code, &out)
	}
}

func TestRunRefusesUnusableArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"go test"}, {"tests: "}} {
		var out bytes.Buffer
		if code := run(t.Context(), args, false, &out); code != 2 {
			t.Errorf("%q: exit code %d, want 2", args, code)
		}
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
