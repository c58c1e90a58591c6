package main

import (
	"encoding/json"
	"fmt"
	"io"
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
			fmt.Fprintln(w, "the fence would be closed by:")
		}
		for _, statement := range p.Statements {
			fmt.Fprintln(w, "  "+strings.ReplaceAll(strings.TrimSpace(statement), "\n", "\n  "))
		}
		nextSteps(w, p.NextSteps)
	})
}
