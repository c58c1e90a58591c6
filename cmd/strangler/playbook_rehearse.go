package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/rehearse"
)

func (a *app) playbookRehearse() *cobra.Command {
	var o rehearse.Options
	var dry bool
	cmd := &cobra.Command{
		Use:   "rehearse CAP",
		Short: "Take a capability forward, back and forward on scratch copies",
		Long: `Copies the capability's tables, those that foreign keys lead to, and a sample of their
rows, then runs expand, copy, verify, cutover, rollback and cutover there, while rows change.
It reports how long each took, for how long and under how many changes a second writes were
held, what differed, what surprised it, and what was not rehearsed: no request is replayed.
Production is only read: a role with SELECT will do. The copies go into two empty databases
that strangler.yaml names, of SQLite into temporary files, and are taken away at the end;
Ctrl-C, or a terminal that is closed, takes them away too. No daemon is needed.

  playbook: {rehearse: {legacy: "${REHEARSE_LEGACY}", service: "${REHEARSE_SERVICE}"}}`,
		Example: `  strangler playbook rehearse delivery
  strangler playbook rehearse delivery --dry-run
  strangler playbook rehearse delivery --rows 100000 --changes 500 -o json`,
		Args:              needs("CAP"),
		ValidArgsFunction: a.completeCapability,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if _, o.Capability, err = a.capability(args[0]); err != nil {
				return err
			}
			if o.Capability.Stateless() {
				return unusable("capability %s has no tables, so there is nothing to rehearse; strangler toggle set moves it", args[0])
			}
			if o.Rows < 1 || o.Changes < 0 || o.Changes > 1000 {
				return unusable("--rows is from 1, and --changes from 0 to 1000")
			}
			if a.hooks.Rehearse == nil {
				return notConnected("rehearse")
			}
			if o.Changes == 0 {
				o.Changes = -1 // none
			}
			p := a.progress()
			o.Progress = func(now rehearse.Progress) { p.show(drawRehearsal(p, now)) }
			report, err := a.hooks.Rehearse(cmd.Context(), o, dry)
			if report == nil || errors.Is(err, strangler.ErrRefused) && len(report.Left) == 0 {
				return err
			}
			fill(report)
			if errPrint := a.print(report, func(w io.Writer) { writeRehearsal(w, report) }); err == nil {
				err = errPrint
			}
			return err
		},
	}
	cmd.Flags().IntVar(&o.Rows, "rows", rehearse.DefaultRows, "rows of each table, beside those that foreign keys need")
	cmd.Flags().IntVar(&o.Changes, "changes", rehearse.DefaultChanges, "row changes a second, 0 to 1000")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "leave the copies where they are, to look at")
	dryRunFlag(cmd, &dry)
	return cmd
}

// fill has lists in JSON where there is nothing in them.
func fill(r *rehearse.Report) {
	r.Copied, r.Phases, r.HandOvers, r.Differences = filled(r.Copied), filled(r.Phases), filled(r.HandOvers), filled(r.Differences)
	r.Surprises, r.NotRehearsed, r.Left, r.NextSteps = filled(r.Surprises), filled(r.NotRehearsed), filled(r.Left), filled(r.NextSteps)
	r.Changes.RefusedBy = filled(r.Changes.RefusedBy)
}

// drawRehearsal is a bar for each table that is being copied, and a line for the phase.
func drawRehearsal(p *progress, now rehearse.Progress) (block []string, line string) {
	width := 0
	for _, t := range now.Tables {
		width = max(width, len(t.Name))
	}
	words := []string{now.Phase}
	for _, t := range now.Tables {
		share := percent(t.RowsCopied, t.RowsTotal)
		block = append(block, fmt.Sprintf("%-*s %s %3d%%  %d / %d rows", width, t.Name, p.bar(t.RowsCopied, t.RowsTotal), share, t.RowsCopied, t.RowsTotal))
		words = append(words, fmt.Sprintf("%s %d%%", t.Name, share/20*20))
	}
	last := p.paint(busy, now.Phase)
	if now.Changes > 0 {
		last += fmt.Sprintf(", %d changes", now.Changes)
	}
	return append(block, last), strings.Join(words, ", ")
}

func writeRehearsal(w io.Writer, r *rehearse.Report) {
	switch {
	case r.DryRun:
		fmt.Fprintf(w, "dry run: nothing was made; this would be read of production, at most %d rows of each table, and copied:\n", r.Rows)
	case r.Passed:
		fmt.Fprintf(w, "%s went forward, back and forward on copies, in %s; production was only read\n", r.Capability, span(r.Seconds))
	default:
		fmt.Fprintf(w, "%s did not come through its rehearsal; production was only read\n", r.Capability)
	}
	writeMeasures(w, r)
	for _, d := range r.Differences {
		fmt.Fprintf(w, "  %s (%s): %s %s\n", d.Table, d.Key, d.Kind, strings.Join(d.Columns, ", "))
	}
	for _, line := range r.Surprises {
		fmt.Fprintln(w, "surprise:", line)
	}
	for _, line := range r.NotRehearsed {
		fmt.Fprintln(w, "not rehearsed:", line)
	}
	for _, line := range r.Left {
		fmt.Fprintln(w, "left:", line)
	}
	nextSteps(w, r.NextSteps)
}

// writeMeasures writes what was copied, and what it took.
func writeMeasures(w io.Writer, r *rehearse.Report) {
	if len(r.Copied) > 0 {
		rows := [][]string{{"SIDE", "TABLE", "MOVES", "ROWS", "IN PRODUCTION"}}
		for _, c := range r.Copied {
			rows = append(rows, []string{string(c.Side), c.Table, map[bool]string{true: "yes", false: "no"}[c.Moves], fmt.Sprint(c.Rows), fmt.Sprint(c.Production)})
		}
		table(w, rows...)
	}
	if len(r.Phases) > 0 {
		rows := [][]string{{"PHASE", "TOOK", "ROWS/S", "ALL ROWS OF PRODUCTION (ESTIMATE)"}}
		for _, p := range r.Phases {
			rate, whole := "-", "-"
			if p.Rate > 0 {
				rate, whole = fmt.Sprintf("%.0f", p.Rate), span(p.Whole)
			}
			rows = append(rows, []string{p.Name, span(p.Seconds), rate, whole})
		}
		table(w, rows...)
	}
	if r.Capture != "" {
		fmt.Fprintln(w, "on the copies:", r.Capture)
	}
	for _, h := range r.HandOvers {
		word := map[strangler.Side]string{strangler.Service: "cutover", strangler.Legacy: "rollback"}[h.To]
		under := "while nothing was written"
		if h.Rate > 0 {
			under = fmt.Sprintf("under %.0f changes a second", h.Rate)
		}
		fmt.Fprintf(w, "%s: writes held for %.0f ms, %s (attempts: %d)\n", word, h.Held, under, h.Attempts)
		if h.Aborted != "" {
			fmt.Fprintf(w, "  aborted: %s\n", h.Aborted)
		}
	}
	if !r.DryRun {
		fmt.Fprintf(w, "changes: %d a second asked for, %d made at legacy, %d at the service; %d more were refused by the tables' own rules\n", r.Changes.Asked, r.Changes.Legacy, r.Changes.Service, r.Changes.Refused)
		fmt.Fprintf(w, "compared: %d rows, %d mismatches\n", r.Compared, r.Mismatches)
	}
}

// span is a number of seconds as people read it.
func span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
