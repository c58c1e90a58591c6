package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/strangler-fig/strangler/internal/admin"
)

// print writes a result: v as JSON, or what text writes. A stdout that is gone is an error.
func (a *app) print(v any, text func(io.Writer)) error {
	var b strings.Builder
	if a.json() {
		encoder := json.NewEncoder(&b)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(v); err != nil {
			return fmt.Errorf("writing the result: %w", err)
		}
	} else {
		text(&b)
	}
	if _, err := io.WriteString(a.stdout, b.String()); err != nil {
		return fmt.Errorf("writing the result to stdout: %w", err)
	}
	return nil
}

// table writes rows in columns; the first row is the head.
func table(w io.Writer, rows ...[]string) {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(columns, strings.Join(row, "\t"))
	}
	columns.Flush()
}

// nextSteps writes what to do next, if anything.
func nextSteps(w io.Writer, steps []string) {
	for i, step := range steps {
		word := "next:"
		if i > 0 {
			word = "     "
		}
		fmt.Fprintln(w, word, step)
	}
}

// when writes a time in UTC to the second; a dash for none.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// lasting is a duration in its two largest units, as in 0.4s, 12s, 3m2s, 1h, 13d2h.
func lasting(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(unit time.Duration, name string, smaller time.Duration, smallerName string) string {
		s := fmt.Sprintf("%d%s", d/unit, name)
		if rest := d % unit / smaller; rest > 0 {
			s += fmt.Sprintf("%d%s", rest, smallerName)
		}
		return s
	}
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", max(0, d).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return two(time.Minute, "m", time.Second, "s")
	case d < day:
		return two(time.Hour, "h", time.Minute, "m")
	}
	return two(day, "d", time.Hour, "h")
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// printPreview shows a dry run.
func (a *app) printPreview(p admin.Preview) error {
	return a.print(p, func(w io.Writer) {
		fmt.Fprintln(w, "dry run: nothing was changed; this would be done:")
		for _, line := range p.Lines {
			fmt.Fprintln(w, "-", line)
		}
		for _, step := range p.Steps {
			fmt.Fprintf(w, "  %-9s %-8s %s\n", step.Name, step.State, step.Detail)
		}
		step := ""
		for _, planned := range p.Planned {
			if planned.Step != step {
				step = planned.Step
				fmt.Fprintf(w, "\n%s\n", step)
			}
			fmt.Fprintf(w, "  %s: %s\n", planned.Where, strings.ReplaceAll(planned.Do, "\n", "\n    "))
		}
		if len(p.Statements) > 0 {
			fmt.Fprintln(w, "the owner's fence would be closed, and the other side's opened, by:")
		}
		for _, statement := range p.Statements {
			fmt.Fprintln(w, "  "+strings.ReplaceAll(strings.TrimSpace(statement), "\n", "\n  "))
		}
		nextSteps(w, p.NextSteps)
	})
}
