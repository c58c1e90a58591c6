package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/client"
	"github.com/strangler-fig/strangler/playbook"
)

func (a *app) playbookRun() *cobra.Command {
	var until string
	var dry, follow bool
	cmd := a.verb(&cobra.Command{
		Use:   "run CAP",
		Short: "Begin a run, or go on where one stopped",
		Long: `Runs the steps in their order, up to the end or to --until. It returns when the run is under
way; with --follow it shows the steps until the run ends, waits for a person, or soaks.
The run belongs to the daemon: Ctrl-C stops the watching only. A run that fails can be
resumed (exit code 4): run it again.`,
		Example: "  strangler playbook run delivery --dry-run\n  strangler playbook run delivery --follow\n  strangler playbook run delivery --until canary",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		o := admin.Order{Who: a.who(), Until: until}
		if dry {
			return a.previewRun(ctx, c, capability, "", o)
		}
		run, err := c.Run(ctx, capability, o)
		if err != nil {
			return err
		}
		return a.showRun(ctx, c, run, follow)
	})
	cmd.Flags().StringVar(&until, "until", "", "the last `step` to do (default: all of them)")
	complete(cmd, "until", a.stepsOfFirst)
	cmd.Flags().BoolVar(&follow, "follow", false, "show the steps until the run ends or waits")
	dryRunFlag(cmd, &dry)
	return cmd
}

func (a *app) playbookApprove() *cobra.Command {
	var dry bool
	var confirm string
	cmd := &cobra.Command{
		Use:               "approve CAP STEP",
		Short:             "Let a step that waits for a person go on",
		Long:              "Approves the step that a run waits at, under your name. Which steps wait is set by\nplaybook.approve in strangler.yaml. complete, the point of no return, is approved by typing the\ncapability's name: on a terminal it is asked for, elsewhere --confirm has it.",
		Example:           "  strangler playbook approve delivery cutover\n  strangler playbook approve delivery complete --confirm delivery",
		Args:              needs("CAP", "STEP"),
		ValidArgsFunction: a.capabilityThen(a.steps),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				o := admin.Order{Who: a.who(), Step: args[1]}
				if dry {
					if o.Confirm = confirm; a.terminal(a.stdin) && args[1] == playbook.Complete {
						o.Confirm = args[0] // it would be asked for
					}
					return a.previewRun(ctx, c, args[0], "approve", o)
				}
				if o.Confirm = confirm; o.Step == playbook.Complete {
					var err error
					if o.Confirm, err = a.noReturnAsked(ctx, args[0], confirm, "strangler playbook approve "+args[0]+" "+o.Step); err != nil {
						return err
					}
				}
				run, err := c.Approve(ctx, args[0], o)
				if err != nil {
					return err
				}
				return a.printRun(run)
			})
		},
	}
	confirmFlag(cmd, &confirm)
	dryRunFlag(cmd, &dry)
	return cmd
}

func (a *app) playbookRollback() *cobra.Command {
	var to string
	var dry, follow, all bool
	cmd := a.verb(&cobra.Command{
		Use:     "rollback CAP",
		Short:   "Take a run back, step by step",
		Long:    "Undoes the steps from the last one down to --to, or all of them. By default it sends every\nuser back: down to the cutover where the service owns, down to the shadow before; after a\nrollback that failed, it goes on to where that one went. It returns when that is under way;\nwith --follow it shows the steps until they are undone. Refused after complete.\n\n--dry-run prints every statement, flip and call that would be made, in order.",
		Example: "  strangler playbook rollback delivery --dry-run\n  strangler playbook rollback delivery --follow\n  strangler playbook rollback delivery --all",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		o := admin.Order{Who: a.who(), To: to}
		if all {
			o.To = playbook.All
		}
		if dry {
			return a.previewRun(ctx, c, capability, "rollback", o)
		}
		run, err := c.RollbackRun(ctx, capability, o)
		if err != nil {
			return err
		}
		return a.showRun(ctx, c, run, follow)
	})
	cmd.Flags().StringVar(&to, "to", "", "the last `step` to undo (default: cutover, or shadow where legacy owns)")
	cmd.Flags().BoolVar(&all, "all", false, "undo every step")
	cmd.MarkFlagsMutuallyExclusive("to", "all")
	complete(cmd, "to", a.stepsOfFirst)
	cmd.Flags().BoolVar(&follow, "follow", false, "show the steps until they are undone")
	dryRunFlag(cmd, &dry)
	return cmd
}

func (a *app) previewRun(ctx context.Context, c *client.Client, capability, verb string, o admin.Order) error {
	preview, err := c.PreviewRun(ctx, capability, verb, o)
	if err != nil {
		return err
	}
	return a.printPreview(preview)
}

// showRun prints a run that has begun; followed, it prints how it ended or what it waits for, unless that stands there already.
func (a *app) showRun(ctx context.Context, c *client.Client, run strangler.Run, follow bool) error {
	shown := false
	if follow {
		p := a.progress()
		status, err := a.followRun(ctx, c, p, run.Capability)
		if err != nil {
			return err
		}
		run, shown = status.Run, p.live && a.terminal(a.stdout) && !a.json()
	}
	if !shown {
		if err := a.printRun(run); err != nil {
			return err
		}
	}
	if run.State == strangler.RunFailed {
		again := "strangler playbook run " + run.Capability
		if run.BackTo != "" {
			again = "strangler playbook rollback " + run.Capability
		}
		return fmt.Errorf("run %d of %s failed: %s; nothing after it was begun; %s goes on where it stopped: %w", run.ID, run.Capability, run.Error, again, strangler.ErrStopped)
	}
	return nil
}

// ran is what the commands about a run print as JSON.
type ran struct {
	strangler.Run
	NextSteps []string `json:"next_steps"`
}

func (a *app) printRun(run strangler.Run) error {
	run.Steps, run.Acts = filled(run.Steps), filled(run.Acts)
	result := ran{Run: run, NextSteps: a.next(run)}
	return a.print(result, func(w io.Writer) {
		textRun(w, run)
		nextSteps(w, result.NextSteps)
	})
}

// textRun writes a run and its steps.
func textRun(w io.Writer, run strangler.Run) {
	fmt.Fprintf(w, "run %d of %s: %s", run.ID, run.Capability, run.State)
	if who := approvedBy(run); who != "" {
		fmt.Fprintf(w, ", %s approved by %s", waitingStep(run).Name, who)
	} else if run.Waiting != "" {
		fmt.Fprintf(w, ", %s", oneLine(run.Waiting))
	}
	if run.Error != "" {
		fmt.Fprintf(w, ": %s", oneLine(run.Error))
	}
	fmt.Fprintln(w)
	rows := [][]string{{"STEP", "STATE", "SECONDS", "DETAIL"}}
	for _, s := range run.Steps {
		seconds := "-"
		if s.Seconds() > 0 {
			seconds = fmt.Sprintf("%.1f", s.Seconds())
		}
		rows = append(rows, []string{s.Name, string(s.State), seconds, oneLine(s.Detail)})
	}
	table(w, rows...)
}
