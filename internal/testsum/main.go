// Command testsum runs the parts of a test run one after the other, shows what failed, and closes with one
// line: the number of tests that passed and failed in all of them.
//
//	testsum 'vet: go vet ./...' 'tests: go test -timeout 8m ./...'
//
// A part is a name, a colon and a command, split at spaces. A command with `go test` in it gets -json, and
// each of its tests counts; a test that has subtests is counted by them. Any other command counts as one
// check, which fails when it exits with an error, or when it is gofmt and prints something. What fails
// without a failing test (a build, a leak found at the end, a time limit) counts as one failure.
//
// A skipped test is listed; with CI=true in the environment it is a failure. Every part runs, whatever
// the ones before it did. Exit codes: 0 all passed, 1 something failed, 2 unusable arguments.
//
// Read main.go (the parts), then packages.go (what `go test -json` says).
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv("CI") == "true", os.Stdout))
}

// part is one command of a test run.
type part struct {
	name    string
	command []string
}

func run(ctx context.Context, args []string, ci bool, out io.Writer) int {
	parts, err := parse(args)
	if err != nil {
		fmt.Fprintln(out, err)
		return 2
	}
	var all tally
	for _, p := range parts {
		start := time.Now()
		fmt.Fprintf(out, "--- %s\n", p.name)
		t := p.run(ctx, ci, out)
		fmt.Fprintf(out, "    %s: %s in %s\n", p.name, t, time.Since(start).Round(time.Second/10))
		all.add(t)
	}
	if len(all.skipped) > 0 {
		fmt.Fprintf(out, "skipped: %s\n", strings.Join(all.skipped, ", "))
	}
	fmt.Fprintln(out, all)
	if all.failed > 0 {
		return 1
	}
	return 0
}

func parse(args []string) ([]part, error) {
	var parts []part
	for _, arg := range args {
		name, command, found := strings.Cut(arg, ": ")
		words := strings.Fields(command)
		if !found || len(words) == 0 {
			return nil, fmt.Errorf("part %q: want a name, a colon, a space and a command", arg)
		}
		parts = append(parts, part{name, words})
	}
	if len(parts) == 0 {
		return nil, errors.New("want parts, as in 'tests: go test ./...'")
	}
	return parts, nil
}

// testAt is the index of "test" in a `go test` command, or -1.
func (p part) testAt() int {
	for i := range p.command[1:] {
		if p.command[i] == "go" && p.command[i+1] == "test" {
			return i + 1
		}
	}
	return -1
}

func (p part) run(ctx context.Context, ci bool, out io.Writer) tally {
	at := p.testAt()
	if at < 0 {
		return p.check(ctx, out)
	}
	words := slices.Insert(slices.Clone(p.command), at+1, "-json")
	cmd := command(ctx, words)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return failure(out, err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return failure(out, err)
	}
	t := read(stdout, ci, out)
	err = cmd.Wait()
	out.Write(stderr.Bytes())
	if err != nil && t.failed == 0 {
		t.add(failure(out, err))
	}
	return t
}

// check runs a command that is no test: it passes or it does not.
func (p part) check(ctx context.Context, out io.Writer) tally {
	printed, err := command(ctx, p.command).CombinedOutput()
	out.Write(printed)
	if err == nil && p.command[0] == "gofmt" && len(printed) > 0 {
		err = errors.New("these files are not formatted; `make fmt` does it")
	}
	if err != nil {
		return failure(out, err)
	}
	return tally{passed: 1}
}

// command ends its process with SIGINT when ctx ends, so that `go test` stops its own children.
func command(ctx context.Context, words []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	return cmd
}

func failure(out io.Writer, err error) tally {
	fmt.Fprintf(out, "FAIL %v\n", err)
	return tally{failed: 1}
}

// tally counts tests.
type tally struct {
	passed, failed int
	skipped        []string
}

func (t *tally) add(o tally) {
	t.passed += o.passed
	t.failed += o.failed
	t.skipped = append(t.skipped, o.skipped...)
}

// String is the closing line.
func (t tally) String() string { return fmt.Sprintf("%d passed, %d failed", t.passed, t.failed) }
