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
	"github.com/strangler-fig/strangler/playbook"
)

// handedOver is what `split cutover` and `split rollback` print as JSON.
type handedOver struct {
	strangler.Cutover
	Pause     *float64 `json:"pause_ms"` // null where the status could not be read afterwards
	NextSteps []string `json:"next_steps"`
}

func (a *app) splitCutover() *cobra.Command {
	return a.handOver(&cobra.Command{
		Use:   "cutover CAP",
		Short: "Hand the writes to the service",
		Long: `Holds new writes at the proxies, closes the legacy fence, lets the service catch up, decides,
and opens the service. It returns when that is done. The legacy tables follow the service
from then on, so rolling back loses nothing. What forbids it is refused (exit code 3).

--dry-run prints the one statement outside scripts: as it closes the owner's fence, and as it
opens the other side's.`,
		Example: "  strangler split cutover delivery --dry-run\n  strangler split cutover delivery --why \"load tests passed\"",
	}, "cutover", (*client.Client).Cutover)
}

func (a *app) splitRollback() *cobra.Command {
	return a.handOver(&cobra.Command{
		Use:     "rollback CAP",
		Short:   "Hand the writes back to the monolith",
		Long:    "The same cutover with the roles swapped; no write is lost. It returns when it is done.\nRefused after complete.\n\n--dry-run prints the one statement outside scripts: as it closes the owner's fence, and as it\nopens the other side's.",
		Example: "  strangler split rollback delivery --why \"p99 went up\"",
	}, "rollback", (*client.Client).Rollback)
}

func (a *app) handOver(cmd *cobra.Command, verb string, do func(*client.Client, context.Context, string, admin.Order) (strangler.Cutover, error)) *cobra.Command {
	var dry bool
	var why string
	a.verb(cmd, func(ctx context.Context, c *client.Client, capability string) error {
		if dry {
			return a.previewSplit(ctx, c, capability, verb, a.order(why))
		}
		cutover, err := do(c, ctx, capability, a.order(why))
		if err != nil {
			return err
		}
		a.sayAlone(capability, verb)
		result := handedOver{Cutover: cutover, NextSteps: []string{"strangler split status " + capability}}
		// The cutover stands; only how long it held writes may be unknown.
		if status, err := c.SplitStatus(ctx, capability); err == nil {
			result.Pause, result.NextSteps = &status.Pause, filled(status.NextSteps)
		}
		return a.print(result, func(w io.Writer) {
			fmt.Fprintf(w, "%s owns %s", cutover.Owner(), capability)
			if cutover.ID == 0 {
				fmt.Fprint(w, "; there has been no cutover")
			} else {
				fmt.Fprintf(w, " since epoch %d", cutover.Decided)
				if result.Pause != nil {
					fmt.Fprintf(w, "; a write was held for at most %.0f ms", *result.Pause)
				}
			}
			fmt.Fprintln(w)
			nextSteps(w, result.NextSteps)
		})
	})
	cmd.Flags().StringVar(&why, "why", "split "+verb, "the reason, kept in the audit")
	dryRunFlag(cmd, &dry)
	return cmd
}

// alone names the steps of the team's own that a step by hand passes over: those that the file puts before it, of complete those behind
// the cutover. Empty: there are none.
func (a *app) alone(capability, step string) string {
	_, c, err := a.capability(capability)
	if err != nil || step != playbook.Cutover && step != playbook.Complete {
		return ""
	}
	var own []string
	for _, d := range playbook.StepsOf(c) {
		switch {
		case d.Name == step && len(own) > 0:
			return fmt.Sprintf("%s alone, not what strangler.yaml puts before it: %s", step, strings.Join(own, ", "))
		case d.Name == step:
			return ""
		case d.Name == playbook.Cutover:
			own = nil
		case d.Kind != "":
			own = append(own, d.Name)
		}
	}
	return ""
}

func (a *app) sayAlone(capability, step string) {
	if line := a.alone(capability, step); line != "" {
		fmt.Fprintln(a.stderr, line)
	}
}

const noReturn = "this is the point of no return: the stream back to the legacy tables stops, and they are dropped together with their fence"

func (a *app) splitComplete() *cobra.Command {
	var dry bool
	var confirm string
	cmd := a.verb(&cobra.Command{
		Use:     "complete CAP",
		Short:   "End a split for good: the point of no return",
		Long:    "Stops the stream back and drops the legacy tables together with their fence. After it nothing\ncan be rolled back, so the capability's name is typed: on a terminal it is asked for, elsewhere\n--confirm has it.",
		Example: "  strangler split complete delivery --dry-run\n  strangler split complete delivery --confirm delivery",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		if dry {
			return a.previewSplit(ctx, c, capability, "complete", a.order(""))
		}
		o := a.order("")
		var err error
		if o.Confirm, err = a.noReturnAsked(ctx, capability, confirm, "strangler split complete "+capability); err != nil {
			return err
		}
		status, err := c.Complete(ctx, capability, o)
		if err != nil {
			return err
		}
		a.sayAlone(capability, playbook.Complete)
		return a.printStatus(status)
	})
	confirmFlag(cmd, &confirm)
	dryRunFlag(cmd, &dry)
	return cmd
}

func confirmFlag(cmd *cobra.Command, confirm *string) {
	cmd.Flags().StringVar(confirm, "confirm", "", "for the point of no return: the capability's `name`")
}

// noReturnAsked has the point of no return named by the capability's name: by confirm, or else it says on a terminal what cannot be
// undone, and the name is typed.
func (a *app) noReturnAsked(ctx context.Context, capability, confirm, command string) (string, error) {
	if confirm == capability {
		return confirm, nil
	}
	fmt.Fprintf(a.stderr, "complete %s: %s\n", capability, noReturn)
	switch {
	case confirm == "" && a.terminal(a.stdin):
		return capability, a.typed(ctx, capability)
	case confirm == "":
		return "", strangler.Refuse("confirmation", "nobody has typed the capability's name", command+" --confirm "+capability)
	}
	return "", strangler.Refuse("confirmation", fmt.Sprintf("--confirm has %s, and the capability's name is %s", confirm, capability), command+" --confirm "+capability)
}

func (a *app) splitAdopt() *cobra.Command {
	var dry, lost bool
	var owner, why string
	cmd := a.verb(&cobra.Command{
		Use:   "adopt CAP",
		Short: "Show who owns a capability after a restore or a loss, and let a person decide",
		Long: `When the control store is older than the databases, or a database was restored or failed
over, nothing opens by itself. adopt shows the evidence; with --owner a person decides: the
other side is closed, then the owner opened. Where the other side cannot be reached, it is
refused and nothing is changed (exit code 3), unless --lost says that its database is gone
for good.

Without --owner, and with --dry-run, nothing is changed.`,
		Example: "  strangler split adopt delivery\n  strangler split adopt delivery --owner legacy --lost --why \"service database lost\"",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		o := a.order(why)
		o.Lost = lost
		switch owner {
		case "":
			if lost {
				return unusable("--lost says that the other side is gone for good: give --owner too")
			}
		case string(strangler.Legacy), string(strangler.Service):
			if strings.TrimSpace(why) == "" {
				return unusable("--why is missing: naming an owner by hand is done for a reason, and the audit keeps it")
			}
			o.Owner = strangler.Side(owner)
		default:
			return unusable("--owner %q: it is legacy or service", owner)
		}
		if dry {
			o.Owner, o.Lost = "", false
		}
		evidence, err := c.Adopt(ctx, capability, o)
		if err != nil {
			return err
		}
		return a.printEvidence(evidence, capability, o.Owner)
	})
	cmd.Flags().StringVar(&owner, "owner", "", "the side that owns from now on: legacy or service")
	offer(cmd, "owner", sides...)
	cmd.Flags().StringVar(&why, "why", "", "the reason, kept in the audit (required with --owner)")
	cmd.Flags().BoolVar(&lost, "lost", false, "the other side's database is gone for good")
	dryRunFlag(cmd, &dry)
	return cmd
}

// adopted is what `split adopt` prints as JSON.
type adopted struct {
	admin.Evidence
	NextSteps []string `json:"next_steps"`
}

func (a *app) printEvidence(evidence admin.Evidence, capability string, owner strangler.Side) error {
	evidence.Lines = filled(evidence.Lines)
	result := adopted{Evidence: evidence, NextSteps: []string{"strangler split status " + capability}}
	if owner == "" {
		result.NextSteps = []string{"strangler split adopt " + capability + " --owner legacy|service --why TEXT"}
	}
	return a.print(result, func(w io.Writer) {
		for _, line := range evidence.Lines {
			fmt.Fprintln(w, "-", line)
		}
		writeToggles(w, evidence.Toggle)
		nextSteps(w, result.NextSteps)
	})
}
