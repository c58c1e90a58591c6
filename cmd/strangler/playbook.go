package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler/playbook"
)

func (a *app) playbook() *cobra.Command {
	return group("playbook", "Take a capability through all steps, forward and back",
		"A playbook orders everything: expand, copy, verify, shadow, canary, cutover, soak,\ncomplete. A run belongs to the daemon: a closed terminal stops nothing, and a killed daemon\nresumes it.",
		"  strangler playbook show delivery\n  strangler playbook run delivery --follow\n  strangler playbook approve delivery cutover",
		a.playbookList(), a.playbookShow(), a.playbookRehearse(), a.playbookRun(), a.playbookStatus(), a.playbookApprove(), a.playbookPause(), a.playbookContinue(),
		a.playbookSkip(), a.playbookRetry(), a.playbookAccept(), a.playbookAbort(), a.playbookRollback(), a.playbookRender())
}

// listed is what `playbook list` prints as JSON.
type listed struct {
	Steps []playbook.Description `json:"steps"`
}

func (a *app) playbookList() *cobra.Command {
	return &cobra.Command{
		Use:     "list [CAP]",
		Short:   "List the steps",
		Long:    "Lists the steps of the playbook in their order; of a capability, with the steps of its own that\nstrangler.yaml puts between them, and of what kind those are. No daemon is needed.",
		Example: "  strangler playbook list\n  strangler playbook list delivery",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return needs("CAP")(cmd, args)
		},
		ValidArgsFunction: a.completeCapability,
		RunE: func(_ *cobra.Command, args []string) error {
			steps := playbook.Steps()
			if len(args) > 0 {
				_, capability, err := a.capability(args[0])
				if err != nil {
					return err
				}
				steps = playbook.StepsOf(capability)
			}
			width := 9
			for _, step := range steps {
				width = max(width, len(step.Name))
			}
			return a.print(listed{steps}, func(w io.Writer) {
				for i, step := range steps {
					mark := ""
					if step.Kind != "" {
						mark = " [" + step.Kind + "]"
					}
					if step.Final {
						mark = " [point of no return]"
					}
					fmt.Fprintf(w, "%d. %-*s %s%s\n", i+1, width, step.Name, step.Does, mark)
				}
			})
		},
	}
}

// shownPlan is what `playbook show` prints as JSON.
type shownPlan struct {
	playbook.Plan
	NextSteps []string `json:"next_steps"`
}

func (a *app) playbookShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show CAP",
		Short:             "Show what the playbook will do for a capability",
		Long:              "Shows the steps with the capability's own settings. No daemon is needed.",
		Example:           "  strangler playbook show delivery",
		Args:              needs("CAP"),
		ValidArgsFunction: a.completeCapability,
		RunE: func(_ *cobra.Command, args []string) error {
			_, capability, err := a.capability(args[0])
			if err != nil {
				return err
			}
			plan := shownPlan{Plan: playbook.Show(capability), NextSteps: []string{"strangler playbook run " + capability.Name}}
			plan.Routes, plan.Touches, plan.Tables = filled(plan.Routes), filled(plan.Touches), filled(plan.Tables)
			return a.print(plan, func(w io.Writer) {
				fmt.Fprint(w, plan.Plan.String())
				nextSteps(w, plan.NextSteps)
			})
		},
	}
}

// rendered is what `playbook render` prints as JSON: the text, or the file that was written.
type rendered struct {
	Capability string `json:"capability"`
	Markdown   string `json:"markdown,omitempty"`
	File       string `json:"file,omitempty"`
	DryRun     bool   `json:"dry_run,omitempty"`
}

func (a *app) playbookRender() *cobra.Command {
	var file string
	var dry bool
	cmd := &cobra.Command{
		Use:               "render CAP",
		Short:             "Print a capability's runbook as Markdown, or write it as a page",
		Long:              "Prints the runbook with the capability's own settings as Markdown: what moves, the ramp, what\nto see to beforehand, at each step what to look at by hand and how to go back, and what to do\nwhen something happens. --html writes it as one page with the way, the ramp and the tables\ndrawn, which needs nothing from anywhere else. No daemon is needed.",
		Example:           "  strangler playbook render delivery > delivery.md\n  strangler playbook render delivery --html delivery.html",
		Args:              needs("CAP"),
		ValidArgsFunction: a.completeCapability,
		RunE: func(_ *cobra.Command, args []string) error {
			_, capability, err := a.capability(args[0])
			if err != nil {
				return err
			}
			if file == "" {
				markdown := playbook.Render(capability)
				return a.print(rendered{Capability: capability.Name, Markdown: markdown}, func(w io.Writer) {
					fmt.Fprintln(w, strings.TrimRight(markdown, "\n"))
				})
			}
			page, err := playbook.RenderHTML(capability)
			if err != nil {
				return err
			}
			word := "wrote"
			if dry {
				word = "dry run: nothing was written; this would be:"
			} else if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
				return fmt.Errorf("writing the page: %w", err)
			}
			return a.print(rendered{Capability: capability.Name, File: file, DryRun: dry}, func(w io.Writer) {
				fmt.Fprintln(w, word, file)
			})
		},
	}
	cmd.Flags().StringVar(&file, "html", "", "write a page to this `file`")
	offerFiles(cmd, "html", "html")
	dryRunFlag(cmd, &dry)
	return cmd
}
