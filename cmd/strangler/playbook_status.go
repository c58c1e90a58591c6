package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/client"
)

func (a *app) playbookStatus() *cobra.Command {
	var once bool
	cmd := a.verb(&cobra.Command{
		Use:   "status CAP",
		Short: "Show where the latest run is, what it waits for, and when it may end",
		Long: `Shows each step of the latest run, what the run waits for and how far that is, the toggle, the
lag, both sides' requests and errors, when the run may end, and what to do next. On a terminal
it goes on showing them until the run has ended or is paused; Ctrl-C ends the watching, never
the run. Elsewhere, and with --once, it prints them once. Requests are those of the proxy in
the daemon that answers, since it started.`,
		Example: "  strangler playbook status delivery\n  strangler playbook status delivery --once\n  strangler playbook status delivery -o json",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		if p := a.progressOn(a.stdout); p.live && !once && !a.json() {
			return a.watchStatus(ctx, c, p, capability)
		}
		status, err := c.WholeRun(ctx, capability)
		if err != nil {
			return err
		}
		return a.printWhole(status)
	})
	cmd.Flags().BoolVar(&once, "once", false, "on a terminal, too, print it once")
	return cmd
}

// watchStatus shows a run until it has ended, is paused, or nobody looks any more; the last of the three is no failure.
func (a *app) watchStatus(ctx context.Context, c *client.Client, p *progress, capability string) error {
	_, err := a.watchRun(ctx, c, p, capability, func(run strangler.Run) bool { return !goesOn(run) })
	if ctx.Err() == nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "\r\x1b[2Knobody watches any more, and the run goes on; look again with strangler playbook status %s\n",
		capability)
	return err
}

// goesOn reports whether a run does something by itself, or will.
func goesOn(run strangler.Run) bool {
	return run.State == strangler.RunRunning || run.State == strangler.RunWaiting || run.State == strangler.RunUndoing
}

// status is what `playbook status` prints as JSON.
type status struct {
	admin.RunStatus
	NextSteps []string `json:"next_steps"`
}

func (a *app) printWhole(s admin.RunStatus) error {
	s.Steps, s.Acts = filled(s.Steps), filled(s.Acts)
	result := status{s, a.next(s.Run)}
	return a.print(result, func(w io.Writer) {
		textRun(w, s.Run)
		rows := [][]string{}
		for _, f := range facts(s) {
			rows = append(rows, []string{f.label + ":", oneLine(f.text)})
		}
		table(w, rows...)
		nextSteps(w, result.NextSteps)
	})
}
