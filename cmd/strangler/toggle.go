package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/client"
)

func (a *app) toggle() *cobra.Command {
	return group("toggle", "See and set where a capability's requests go",
		"A toggle is legacy, shadow, canary with a percentage, or extracted. It cannot contradict\nthe owner of the rows: a cutover changes both.",
		"  strangler toggle list\n  strangler toggle set delivery canary --percent 10 --why \"first users\"",
		a.toggleList(), a.toggleGet(), a.toggleSet(), a.toggleHistory())
}

func (a *app) toggleList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List every toggle",
		Long:    "Lists every capability's toggle, its owner and its epoch.",
		Example: "  strangler toggle list\n  strangler toggle list -o json",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				snapshot, err := c.Snapshot(ctx)
				if err != nil {
					return err
				}
				return a.print(snapshot, func(w io.Writer) {
					writeToggles(w, snapshot.Toggles...)
					if snapshot.Stale {
						fmt.Fprintf(w, "stale: the control store cannot be reached; this is the state of %s\n", when(snapshot.At))
					}
				})
			})
		},
	}
}

func (a *app) toggleGet() *cobra.Command {
	return &cobra.Command{
		Use:               "get CAP",
		Short:             "Show one toggle",
		Long:              "Shows where a capability's requests go, who owns its writes, and at which epoch; and what\nthe proxy has noticed of it, as an identity that changes with every answer.",
		Example:           "  strangler toggle get delivery",
		Args:              needs("CAP"),
		ValidArgsFunction: a.completeCapability,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				toggle, err := c.Noticed(ctx, args[0])
				if err != nil {
					return err
				}
				return a.print(toggle, func(w io.Writer) {
					writeToggles(w, toggle.Toggle)
					for _, notice := range toggle.Notices {
						fmt.Fprintln(w, "noticed:", notice)
					}
				})
			})
		},
	}
}

// flipped is what `toggle set` prints as JSON.
type flipped struct {
	strangler.Flip
	DryRun    bool     `json:"dry_run,omitempty"`
	NextSteps []string `json:"next_steps"`
}

func (a *app) toggleSet() *cobra.Command {
	var why, share string
	var dry bool
	cmd := &cobra.Command{
		Use:   "set CAP legacy|shadow|canary|extracted",
		Short: "Set a toggle, and wait until every live instance has applied it",
		Long: `Sets where a capability's requests go. It returns when every live instance has applied the
change; if one has not, the change stands, the instance is named, and the exit code is 4.
A toggle that contradicts the owner is refused (exit code 3).`,
		Example: `  strangler toggle set delivery shadow --why "looking at it"
  strangler toggle set delivery canary --percent 10 --why "first users"
  strangler toggle set delivery legacy --why "errors" --dry-run`,
		Args:              needs("CAP", "legacy, shadow, canary or extracted"),
		ValidArgsFunction: a.capabilityThen(func(string) []string { return modes }),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := a.change(args[1], share, cmd.Flags().Changed("percent"), why)
			if err != nil {
				return err
			}
			return a.ask(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				flip, err := c.Flip(ctx, args[0], change, dry)
				if err != nil {
					return err
				}
				return a.printFlip(flip, dry)
			})
		},
	}
	cmd.Flags().StringVar(&share, "percent", "", "of a canary: the share of users, as in 10")
	cmd.Flags().StringVar(&why, "why", "", "the reason, kept in the audit (required)")
	dryRunFlag(cmd, &dry)
	return cmd
}

func (a *app) change(mode, share string, shareGiven bool, why string) (strangler.ToggleChange, error) {
	change := strangler.ToggleChange{Who: a.who(), Why: why}
	var err error
	if change.Mode, err = strangler.ParseMode(mode); err != nil {
		return change, unusable("%v", err)
	}
	switch {
	case strings.TrimSpace(why) == "":
		return change, unusable("--why is missing: a toggle is changed for a reason, and the audit keeps it")
	case change.Mode == strangler.ModeCanary && !shareGiven:
		return change, unusable("--percent is missing: a canary needs the share of users, as in --percent 10")
	case change.Mode != strangler.ModeCanary && shareGiven:
		return change, unusable("--percent goes with canary only")
	case shareGiven:
		if change.Percent, err = parsePercent(share); err != nil {
			return change, err
		}
		if change.Percent == 0 {
			return change, unusable("--percent 0 moves nobody; set the toggle to legacy")
		}
	}
	return change, nil
}

func (a *app) printFlip(flip strangler.Flip, dry bool) error {
	name := flip.Toggle.Capability
	result := flipped{Flip: flip, DryRun: dry, NextSteps: []string{"strangler toggle history " + name}}
	err := a.print(result, func(w io.Writer) {
		if dry {
			fmt.Fprintf(w, "dry run: nothing was changed; it would be applied by: %s\n", strings.Join(flip.Pending, ", "))
		}
		writeToggles(w, flip.Toggle)
	})
	if err != nil || dry || len(flip.Pending) == 0 {
		return err
	}
	return fmt.Errorf("the toggle of %s is %s at epoch %d, but not every live instance has applied it: %s has not, and will when it reaches the control store; look with strangler toggle list: %w",
		name, flip.Toggle.Describe(), flip.Toggle.Epoch, strings.Join(flip.Pending, ", "), strangler.ErrStopped)
}

func (a *app) toggleHistory() *cobra.Command {
	return &cobra.Command{
		Use:               "history CAP",
		Short:             "Show who changed a toggle or an owner, when and why",
		Long:              "Shows the audit of a capability: every change of its toggle and its owner.",
		Example:           "  strangler toggle history delivery",
		Args:              needs("CAP"),
		ValidArgsFunction: a.completeCapability,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				entries, err := c.History(ctx, args[0])
				if err != nil {
					return err
				}
				return a.print(admin.History{History: filled(entries)}, func(w io.Writer) {
					rows := [][]string{{"EPOCH", "AT", "WHO", "FROM", "TO", "WHY"}}
					for _, e := range entries {
						rows = append(rows, []string{fmt.Sprint(e.Epoch), when(e.At), e.Who, e.From, e.To, e.Why})
					}
					table(w, rows...)
				})
			})
		},
	}
}

func writeToggles(w io.Writer, toggles ...strangler.Toggle) {
	rows := [][]string{{"CAPABILITY", "TOGGLE", "OWNER", "EPOCH", "SINCE"}}
	for _, t := range toggles {
		mode := string(t.Mode)
		if t.Mode == strangler.ModeCanary {
			mode += " " + t.Percent.String()
		}
		if t.Gated {
			mode += " (writes are held)"
		}
		rows = append(rows, []string{t.Capability, mode, string(t.Owner), fmt.Sprint(t.Epoch), when(t.Since)})
	}
	table(w, rows...)
}
