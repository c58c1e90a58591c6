package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/client"
	"github.com/strangler-fig/strangler/migrations"
)

func (a *app) split() *cobra.Command {
	return group("split", "Move a capability's tables to the service's database, and back",
		"A split copies the tables while the monolith goes on writing, follows every change, and\nhands the writes over in one moment. Until complete everything can be taken back.",
		"  strangler split start delivery --follow\n  strangler split verify delivery\n  strangler split cutover delivery",
		a.splitStart(), a.splitStatus(), a.splitWriters(), a.splitVerify(),
		a.splitCutover(), a.splitRollback(), a.splitComplete(), a.splitCancel(), a.splitAdopt())
}

// verb is a command for one capability that asks the daemon.
func (a *app) verb(cmd *cobra.Command, question func(ctx context.Context, c *client.Client, capability string) error) *cobra.Command {
	cmd.Args = needs("CAP")
	cmd.ValidArgsFunction = a.completeCapability
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.ask(cmd.Context(), func(ctx context.Context, c *client.Client) error { return question(ctx, c, args[0]) })
	}
	return cmd
}

func (a *app) splitStart() *cobra.Command {
	var dry, follow bool
	cmd := a.verb(&cobra.Command{
		Use:   "start CAP",
		Short: "Begin or resume the copy",
		Long: `Begins to copy the rows into the service's database, following every change meanwhile. It
returns when the split is under way; with --follow it shows progress until it is syncing.
The split belongs to the daemon: Ctrl-C stops the watching only.`,
		Example: "  strangler split start delivery\n  strangler split start delivery --follow",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		if dry {
			return a.previewSplit(ctx, c, capability, "start", a.order(""))
		}
		status, err := c.Start(ctx, capability, a.order(""))
		if err != nil {
			return err
		}
		if follow {
			if status, err = a.followSplit(ctx, c, capability); err != nil {
				return err
			}
		}
		return a.printStatus(status)
	})
	cmd.Flags().BoolVar(&follow, "follow", false, "show progress until the split is syncing")
	dryRunFlag(cmd, &dry)
	return cmd
}

func (a *app) splitStatus() *cobra.Command {
	return a.verb(&cobra.Command{
		Use:     "status CAP",
		Short:   "Show how far a split has come",
		Long:    "Shows phase, owner, epoch, rows copied, lag, the last verification and what to do next.\nPhases: planned, copying, syncing, reversed (the service owns, legacy follows), complete,\ncancelled, stopped (with the error).",
		Example: "  strangler split status delivery\n  strangler split status delivery -o json",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		status, err := c.SplitStatus(ctx, capability)
		if err != nil {
			return err
		}
		return a.printStatus(status)
	})
}

func (a *app) printStatus(s strangler.SplitStatus) error {
	s.Tables, s.NextSteps = filled(s.Tables), filled(s.NextSteps)
	return a.print(s, func(w io.Writer) { writeStatus(w, s) })
}

// speed is how fast a table is copied and how long it will take, where that is known.
func speed(t strangler.TableProgress) string {
	if t.Rate <= 0 {
		return ""
	}
	return fmt.Sprintf(", %.0f rows/s, %.0f s left", t.Rate, t.ETA)
}

func writeStatus(w io.Writer, s strangler.SplitStatus) {
	phase := string(s.Phase)
	if s.Phase == strangler.PhaseNone {
		phase = "not yet planned"
	}
	if s.Doing != "" {
		phase += ", " + s.Doing
	}
	if s.Throttled != "" {
		phase += ", throttled: " + s.Throttled
	}
	rows := [][]string{
		{"capability", s.Capability},
		{"phase", phase},
		{"owner", fmt.Sprintf("%s, epoch %d", s.Owner, s.Epoch)},
	}
	if s.Error != "" {
		rows = append(rows, []string{"error", s.Error})
	}
	if s.Retrying != "" {
		rows = append(rows, []string{"tries again", s.Retrying})
	}
	for _, t := range s.Tables {
		rows = append(rows, []string{"table " + t.Name, fmt.Sprintf("%d of %d rows (%d%%)%s", t.RowsCopied, t.RowsTotal, percent(t.RowsCopied, t.RowsTotal), speed(t))})
	}
	lag := fmt.Sprintf("%d changes, %.1f s", s.Lag.Changes, s.Lag.Seconds)
	if s.Lag.Unknown != "" {
		lag = "not known: " + oneLine(s.Lag.Unknown)
	}
	rows = append(rows, []string{"lag", lag})
	if s.RetainedWAL > 0 {
		rows = append(rows, []string{"retained log", migrations.Size(s.RetainedWAL) + " at the monolith's server"})
	}
	verified := "never"
	if v := s.LastVerify; !v.At.IsZero() {
		verified = fmt.Sprintf("%s: %d rows, %d mismatches", when(v.At), v.Rows, v.Mismatches)
	}
	rows = append(rows, []string{"verified", verified})
	if v := s.Verifying; v != nil {
		rows = append(rows, []string{"verifying", fmt.Sprintf("begun %s: %d rows so far, %d mismatches; cut off, it goes on from there", when(v.Started), v.Rows, v.Mismatches)})
	}
	if s.Uncompared > 0 {
		rows = append(rows, []string{"to compare", fmt.Sprintf("%d rows that were applied lately", s.Uncompared)})
	}
	if s.Differing > 0 {
		rows = append(rows, []string{"differing", fmt.Sprintf("%d rows are not alike at the two sides", s.Differing)})
	}
	if k := s.Cutover; k != nil {
		rows = append(rows, []string{"last cutover", fmt.Sprintf("to %s, %s, writes held for %.0f ms", k.To, k.State, s.Pause)})
	}
	table(w, rows...)
	nextSteps(w, s.NextSteps)
}

func (a *app) splitWriters() *cobra.Command {
	return a.verb(&cobra.Command{
		Use:     "writers CAP",
		Short:   "Show who wrote the capability's tables lately",
		Long:    "Shows application name, user, address and how often. Whoever is not the monolith needs a\nroute, a touch or a seam before the cutover: its writes will be refused.",
		Example: "  strangler split writers delivery",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		writers, err := c.Writers(ctx, capability)
		if err != nil {
			return err
		}
		return a.print(admin.Writers{Writers: filled(writers)}, func(w io.Writer) {
			rows := [][]string{{"APPLICATION", "USER", "ADDRESS", "WRITES", "LAST"}}
			for _, x := range writers {
				rows = append(rows, []string{x.Application, x.User, x.Address, fmt.Sprint(x.Writes), when(x.Last)})
			}
			table(w, rows...)
		})
	})
}

// compared is what `split verify` prints as JSON.
type compared struct {
	Rows        int64                  `json:"rows"`
	Mismatches  int64                  `json:"mismatches"`
	Repaired    int64                  `json:"repaired,omitempty"`
	Differences []strangler.Difference `json:"differences,omitempty"`
}

// differs says what a mismatch is, without a value of its row.
func differs(d strangler.Difference) string {
	what := map[strangler.DifferenceKind]string{strangler.DifferenceMissing: "is missing at the side that follows", strangler.DifferenceExtra: "is only at the side that follows",
		strangler.DifferenceDiffers: "differs in " + strings.Join(d.Columns, ", ")}[d.Kind]
	if d.Repaired {
		what += "; repaired"
	}
	return fmt.Sprintf("%s, key %s: %s", d.Table, d.Key, what)
}

func (a *app) splitVerify() *cobra.Command {
	var dry, repair bool
	cmd := a.verb(&cobra.Command{
		Use:     "verify CAP",
		Short:   "Compare both sides row by row",
		Long:    "Compares both sides row by row while they are written to. It returns when it is done; the\nexit code is 1 when a row differs. The first 20 that do are named, by key and column.\nWith --repair the stream brings the owner's rows again where they differ.",
		Example: "  strangler split verify delivery\n  strangler split verify delivery -o json\n  strangler split verify delivery --repair",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		o := a.order("")
		o.Repair = repair
		if dry {
			return a.previewSplit(ctx, c, capability, "verify", o)
		}
		v, err := c.Verify(ctx, capability, o)
		if err != nil {
			return err
		}
		if err := a.print(compared{v.Rows, v.Mismatches, v.Repaired, v.Differences}, func(w io.Writer) {
			fmt.Fprintf(w, "%d rows compared, %d mismatches", v.Rows, v.Mismatches)
			if v.Repaired > 0 {
				fmt.Fprintf(w, ", %d repaired", v.Repaired)
			}
			fmt.Fprintln(w)
			for _, d := range v.Differences {
				fmt.Fprintln(w, "  "+differs(d))
			}
		}); err != nil {
			return err
		}
		if v.Mismatches > 0 {
			return errors.New("the sides differ; the owner's rows are the ones that count, and none was changed; bring them again with strangler split verify " + capability + " --repair")
		}
		return nil
	})
	cmd.Flags().BoolVar(&repair, "repair", false, "bring the owner's rows again where the sides differ")
	dryRunFlag(cmd, &dry)
	return cmd
}

func (a *app) splitCancel() *cobra.Command {
	var dry bool
	cmd := a.verb(&cobra.Command{
		Use:     "cancel CAP",
		Short:   "Take a split back before the service owns",
		Long:    "Stops the copy, runs the scripts down and removes all that Strangler made. The rows in the\nlegacy database stay as they are. Refused while the service owns.",
		Example: "  strangler split cancel delivery --dry-run\n  strangler split cancel delivery",
	}, func(ctx context.Context, c *client.Client, capability string) error {
		if dry {
			return a.previewSplit(ctx, c, capability, "cancel", a.order(""))
		}
		status, err := c.Cancel(ctx, capability, a.order(""))
		if err != nil {
			return err
		}
		return a.printStatus(status)
	})
	dryRunFlag(cmd, &dry)
	return cmd
}

func (a *app) previewSplit(ctx context.Context, c *client.Client, capability, verb string, o admin.Order) error {
	preview, err := c.PreviewSplit(ctx, capability, verb, o)
	if err != nil {
		return err
	}
	if line := a.alone(capability, verb); line != "" {
		preview.Lines = append(preview.Lines, line)
	}
	return a.printPreview(preview)
}
