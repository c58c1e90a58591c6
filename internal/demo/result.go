package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/invariant"
)

// Result is the outcome of the demo. It is what -o json prints.
type Result struct {
	Capability string   `json:"capability"`
	Database   string   `json:"database"`
	Requests   Requests `json:"requests"`
	Writes     Writes   `json:"writes"`
	Cutover    Pause    `json:"cutover"` // of both
	Rollback   Pause    `json:"rollback"`
	Verify     Verify   `json:"verify"`
	Steps      []Step   `json:"steps"` // of all three runs, in the order in which they were taken

	Seconds  float64 `json:"-"` // all of it took
	failures []string
	findings error
}

// Requests counts what the clients sent, and what a user would call failed.
type Requests struct {
	Sent   int64 `json:"sent"`
	Failed int64 `json:"failed"`
}

// Writes counts the writes answered 2xx; which of them are not there, or not as they were answered;
// and what is there more often than once or without anybody having been told.
type Writes struct {
	Acknowledged int `json:"acknowledged"`
	Lost         int `json:"lost"`
	Duplicated   int `json:"duplicated"`
}

// Pause is the longest that a write was held, in milliseconds.
type Pause struct {
	PauseMS float64 `json:"pause_ms"`
}

// Verify counts the rows of the tables that moved, and those that differ between the two sides.
type Verify struct {
	Rows       int64 `json:"rows"`
	Mismatches int64 `json:"mismatches"`
}

// Step is one step of the playbook as it went. A step that was undone is there twice.
type Step struct {
	Name    string              `json:"name"`
	State   strangler.StepState `json:"state"`
	Seconds float64             `json:"seconds"`
}

// add takes over the steps of a run that are in that state, and one that failed, in the order in which
// they were taken. Steps that never were done are not undone either, whatever the ledger says.
func (r *Result) add(run strangler.Run, state strangler.StepState) {
	steps := slices.Clone(run.Steps)
	if state == strangler.StepUndone {
		slices.Reverse(steps)
	}
	for _, s := range steps {
		undone := s.State == strangler.StepUndone && !r.did(s.Name)
		if s.State == strangler.StepFailed || s.State == state && !undone {
			r.Steps = append(r.Steps, Step{Name: s.Name, State: s.State, Seconds: s.Seconds()})
		}
	}
}

func (r *Result) did(name string) bool {
	return slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Name == name && s.State == strangler.StepDone })
}

// found takes over what the checker found.
func (r *Result) found(report invariant.Report) {
	r.Writes = Writes{Acknowledged: report.Acknowledged, Lost: report.Lost, Duplicated: report.Duplicated + report.Forked}
	r.Verify = Verify{Rows: report.Rows, Mismatches: report.Mismatches}
	r.findings = report.Err()
}

// Err is nil when nothing failed, was lost, was done twice or differs.
func (r Result) Err() error {
	var errs []error
	if r.Requests.Failed > 0 {
		errs = append(errs, fmt.Errorf("%d of %d requests failed; the first of them:\n  %s", r.Requests.Failed, r.Requests.Sent, strings.Join(r.failures, "\n  ")))
	}
	if r.Writes.Lost > 0 || r.Writes.Duplicated > 0 || r.Verify.Mismatches > 0 {
		findings := r.findings
		if findings == nil {
			findings = errors.New("writes were lost, done twice, or differ between the two sides")
		}
		errs = append(errs, findings)
	}
	return errors.Join(errs...)
}

// write shows the result on stdout.
func (r Result) write(o Options) error {
	if o.JSON {
		encoder := json.NewEncoder(o.Stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(r); err != nil {
			return fmt.Errorf("writing the result to stdout: %w", err)
		}
		return nil
	}
	if _, err := io.WriteString(o.Stdout, r.table(paint(o.Color))); err != nil {
		return fmt.Errorf("writing the result to stdout: %w", err)
	}
	return nil
}

// table is the result for people.
func (r Result) table(p paint) string {
	good := func(n int64, word string) string {
		s := thousands(n) + " " + word
		if n > 0 {
			return p.red(s)
		}
		return p.green(s)
	}
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	b.WriteString("\n")
	line("requests", "%s sent, %s", thousands(r.Requests.Sent), good(r.Requests.Failed, "failed"))
	line("writes", "%s acknowledged, %s, %s", thousands(int64(r.Writes.Acknowledged)), good(int64(r.Writes.Lost), "lost"), good(int64(r.Writes.Duplicated), "done twice"))
	line("cutover", "held a write for %s at most, the rollback for %s", milliseconds(r.Cutover.PauseMS), milliseconds(r.Rollback.PauseMS))
	line("rows", "%s compared, %s", thousands(r.Verify.Rows), good(r.Verify.Mismatches, "differ"))
	line("time", "%.0f s", r.Seconds)
	return b.String()
}

func milliseconds(ms float64) string { return strconv.FormatFloat(ms, 'f', 0, 64) + " ms" }

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
