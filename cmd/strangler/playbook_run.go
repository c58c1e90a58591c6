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
	offer(cmd, "until", steps()...)
	cmd.Flags().BoolVar(&follow, "follow", false, "show the steps until the run ends or waits")
	dryRunFlag(cmd, &dry)
	return cmd
}

func (a *app) playbookStatus() *cobra.Command {
	return a.verb(&cobra.Command{
		Use:     "status CAP",
		Short:   "Show where the latest run is, and what it waits for",
		Long:    "Shows each step of the latest run, what the run waits for, and what to do next.",
		Example: "  strangler playbook status delivery\n  strangler playbook status delivery -o json",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		run, err := c.RunStatus(ctx, capability)
		if err != nil {
			return err
		}
		return a.printRun(run)
	})
}

func (a *app) playbookApprove() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:               "approve CAP STEP",
		Short:             "Let a step that waits for a person go on",
		Long:              "Approves the step that a run waits at, under your name. Which steps wait is set by\nplaybook.approve in strangler.yaml.",
		Example:           "  strangler playbook approve delivery cutover",
		Args:              needs("CAP", "STEP"),
		ValidArgsFunction: a.capabilityThen(func(string) []string { return steps() }),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				o := admin.Order{Who: a.who(), Step: args[1]}
				if dry {
					return a.previewRun(ctx, c, args[0], "approve", o)
				}
				run, err := c.Approve(ctx, args[0], o)
				if err != nil {
					return err
				}
				return a.printRun(run)
			})
		},
	}
	dryRunFlag(cmd, &dry)
	return cmd
}

func (a *app) playbookRollback() *cobra.Command {
	var to string
	var dry, follow bool
	cmd := a.verb(&cobra.Command{
		Use:     "rollback CAP",
		Short:   "Take a run back, step by step",
		Long:    "Undoes the steps from the last one down to --to, by default the cutover. It returns when\nthat is under way; with --follow it shows the steps until they are undone. Refused after\ncomplete.",
		Example: "  strangler playbook rollback delivery --follow\n  strangler playbook rollback delivery --to expand",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		o := admin.Order{Who: a.who(), To: to}
		if dry {
			return a.previewRun(ctx, c, capability, "rollback", o)
		}
		run, err := c.RollbackRun(ctx, capability, o)
		if err != nil {
			return err
		}
		return a.showRun(ctx, c, run, follow)
	})
	cmd.Flags().StringVar(&to, "to", "", "the last `step` to undo (default: cutover)")
	offer(cmd, "to", steps()...)
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

// showRun prints a run that has begun; followed, it prints how it ended or what it waits for.
func (a *app) showRun(ctx context.Context, c *client.Client, run strangler.Run, follow bool) error {
	if follow {
		var err error
		if run, err = a.followRun(ctx, c, run.Capability); err != nil {
			return err
		}
	}
	if err := a.printRun(run); err != nil {
		return err
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
	run.Steps = filled(run.Steps)
	result := ran{Run: run, NextSteps: afterRun(run)}
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "run %d of %s: %s", run.ID, run.Capability, run.State)
		if who := approvedBy(run); who != "" {
			fmt.Fprintf(w, ", %s approved by %s", waitingStep(run).Name, who)
		} else if run.Waiting != "" {
			fmt.Fprintf(w, ", %s", run.Waiting)
		}
		if run.Error != "" {
			fmt.Fprintf(w, ": %s", run.Error)
		}
		fmt.Fprintln(w)
		rows := [][]string{{"STEP", "STATE", "SECONDS", "DETAIL"}}
		for _, s := range run.Steps {
			seconds := "-"
			if s.Seconds() > 0 {
				seconds = fmt.Sprintf("%.1f", s.Seconds())
			}
			rows = append(rows, []string{s.Name, string(s.State), seconds, s.Detail})
		}
		table(w, rows...)
		nextSteps(w, result.NextSteps)
	})
}

// afterRun is what to do next, by where a run stands.
func afterRun(run strangler.Run) []string {
	if step, waits := awaitsPerson(run); waits {
		return []string{"strangler playbook approve " + run.Capability + " " + step, "strangler playbook rollback " + run.Capability}
	}
	switch run.State {
	case strangler.RunFailed:
		if run.BackTo != "" {
			return []string{"strangler playbook rollback " + run.Capability}
		}
		return []string{"strangler playbook run " + run.Capability, "strangler playbook rollback " + run.Capability}
	case strangler.RunRolledBack:
		return []string{"strangler playbook run " + run.Capability}
	case strangler.RunDone:
		if run.Until != "" {
			return []string{"strangler playbook run " + run.Capability}
		}
		return []string{}
	}
	return []string{"strangler playbook status " + run.Capability}
}
