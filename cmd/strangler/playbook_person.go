package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/client"
)

func (a *app) playbookPause() *cobra.Command {
	return a.asked("pause", "", "Have a run begin nothing more until it is continued",
		"Pauses a run, forward or back. An effect that is under way ends first: nothing is cut off. It\nstays paused over restarts; continue goes on.",
		"  strangler playbook pause delivery --why \"lunch\"")
}

func (a *app) playbookContinue() *cobra.Command {
	return a.asked("continue", "", "Have a paused run go on",
		"Has a paused run go on the way that it went, forward or back.",
		"  strangler playbook continue delivery")
}

func (a *app) playbookAbort() *cobra.Command {
	return a.asked("abort", "", "End a run where it stands",
		"Ends a run where it stands, and takes nothing back: what it has done stays, toggle and owner\ntoo. A verification or a program that is under way is cut off; scripts, and an attempt of a\ncutover, end first, either way whole. `playbook run` begins anew and finds what is done;\n`playbook rollback --all` still takes it back.",
		"  strangler playbook abort delivery --why \"not this week\"")
}

func (a *app) playbookSkip() *cobra.Command {
	return a.asked("skip", "STEP", "Have a run go on without a step, for a reason",
		"Has a run go on without a step: the one that it waits at or failed at, or one to come. The\nledger keeps who wanted that and why. expand, copy, cutover and complete cannot be skipped:\nthe others stand on them. What has been done of the step is taken back with the rest.",
		"  strangler playbook skip delivery shadow --why \"no reads to compare\"")
}

func (a *app) playbookRetry() *cobra.Command {
	return a.asked("retry", "STEP", "Have a step of a run done anew",
		"Has a step done anew, whatever came of it, and the run go on from there. What was found before\ndoes not count: a verification is made again. `playbook run` goes on at the step that failed.",
		"  strangler playbook retry delivery verify")
}

// asked is a command that asks something of the run that is there; argument is STEP where it is about one.
func (a *app) asked(verb, argument, short, long, example string) *cobra.Command {
	var dry bool
	var why string
	arguments := []string{"CAP"}
	if argument != "" {
		arguments = append(arguments, argument)
	}
	cmd := &cobra.Command{
		Use:   verb + " " + strings.Join(arguments, " "),
		Short: short, Long: long, Example: example,
		Args:              needs(arguments...),
		ValidArgsFunction: a.completeCapability,
		RunE: func(cmd *cobra.Command, args []string) error {
			o := a.order(why)
			if len(args) > 1 {
				o.Step = args[1]
			}
			if verb == "skip" && why == "" {
				return fmt.Errorf("%w: a step is skipped for a reason: --why is missing", strangler.ErrConfig)
			}
			return a.ask(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				if dry {
					return a.previewRun(ctx, c, args[0], verb, o)
				}
				got, err := c.AskRun(ctx, args[0], verb, o)
				if err != nil {
					return err
				}
				return a.printRun(got.Run)
			})
		},
	}
	if argument != "" {
		cmd.ValidArgsFunction = a.capabilityThen(a.steps)
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, kept in the ledger")
	dryRunFlag(cmd, &dry)
	return cmd
}

func (a *app) playbookAccept() *cobra.Command {
	var dry, yes bool
	cmd := a.verb(&cobra.Command{
		Use:   "accept CAP",
		Short: "Have a run go by settings that have changed since it began",
		Long: `A run goes by the settings that strangler.yaml had for the capability when it began. Where they
have changed when the daemon starts, the run waits, and this shows the difference: on a
terminal it asks, elsewhere --yes answers. Where its steps have changed, another run goes on
with what is done. To keep the old settings, put the file back and restart the daemon.`,
		Example: "  strangler playbook accept delivery --dry-run\n  strangler playbook accept delivery --yes",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		o := a.order("")
		preview, err := c.PreviewRun(ctx, capability, "accept", o)
		if err != nil {
			return err
		}
		if dry {
			return a.printPreview(preview)
		}
		for _, line := range preview.Lines {
			fmt.Fprintln(a.stderr, line)
		}
		if !yes {
			if !a.terminal(a.stdin) {
				return strangler.Refuse("confirmation", "nobody has said that the changes are meant", "strangler playbook accept "+capability+" --yes")
			}
			if err := a.typed(ctx, "yes"); err != nil {
				return err
			}
		}
		got, err := c.AskRun(ctx, capability, "accept", o)
		if err != nil {
			return err
		}
		return a.printRun(got.Run)
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	dryRunFlag(cmd, &dry)
	return cmd
}

// typed waits for a word on the terminal.
func (a *app) typed(ctx context.Context, word string) error {
	fmt.Fprintf(a.stderr, "type %s to go on: ", word)
	line, err := answer(ctx, bufio.NewReader(a.stdin))
	if err != nil {
		return err
	}
	if line != word {
		return strangler.Refuse("confirmation", "the answer was not "+word, "ask again, and type "+word)
	}
	return nil
}
