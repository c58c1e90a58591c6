package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
)

func (a *app) migrate() *cobra.Command {
	return group("migrate", "Make and run a capability's golang-migrate scripts",
		"Every change that Strangler makes to a database is a golang-migrate script under\nmigrations/CAP/legacy and migrations/CAP/service beside strangler.yaml. Review and commit\nthem; any golang-migrate runs them too. No daemon is needed.",
		"  strangler migrate plan delivery\n  strangler migrate up delivery\n  strangler migrate status delivery",
		a.migratePlan(), a.migrateRun("up"), a.migrateRun("down"), a.migrateStatus(), a.migrateOrphans(), a.migrateForce())
}

// migrator finds the capability and what works on its scripts.
func (a *app) migrator(name string) (Migrator, strangler.Capability, error) {
	cfg, capability, err := a.capability(name)
	if err != nil {
		return nil, capability, err
	}
	if capability.Stateless() {
		return nil, capability, unusable("capability %s has no tables, so it has no scripts; strangler toggle set moves it", name)
	}
	if a.hooks.Migrator == nil {
		return nil, capability, notConnected("migrator")
	}
	m, err := a.hooks.Migrator(cfg)
	return m, capability, err
}

// planned is what `migrate plan` prints as JSON.
type planned struct {
	PlanResult
	DryRun    bool     `json:"dry_run,omitempty"`
	NextSteps []string `json:"next_steps"`
}

func (a *app) migratePlan() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "plan CAP",
		Short: "Write the scripts of a capability",
		Long: `Inspects both databases and writes the scripts: in the service's database the tables, where
they are not there yet; in the legacy database capture and fence. What forbids the split
(a table without a key, missing rights, rows in a target) is refused, and nothing is
written. With --dry-run the scripts are printed instead.`,
		Example:           "  strangler migrate plan delivery\n  strangler migrate plan delivery --dry-run",
		Args:              needs("CAP"),
		ValidArgsFunction: a.completeCapability,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, capability, err := a.migrator(args[0])
			if err != nil {
				return err
			}
			plan, err := m.Plan(cmd.Context(), capability, dry)
			if err != nil {
				return err
			}
			plan.Files, plan.SQL, plan.Notes = filled(plan.Files), filled(plan.SQL), filled(plan.Notes)
			result := planned{PlanResult: plan, DryRun: dry, NextSteps: []string{"strangler migrate up " + capability.Name}}
			if dry {
				result.NextSteps = []string{"strangler migrate plan " + capability.Name}
			}
			return a.print(result, func(w io.Writer) { writePlan(w, result) })
		},
	}
	dryRunFlag(cmd, &dry)
	return cmd
}

func writePlan(w io.Writer, p planned) {
	if p.DryRun {
		fmt.Fprintln(w, "dry run: nothing was written; these scripts would be:")
		for _, script := range p.SQL {
			fmt.Fprintf(w, "\n-- %s\n%s\n", script.Path, strings.TrimSpace(script.SQL))
		}
		fmt.Fprintln(w)
	} else {
		for _, file := range p.Files {
			fmt.Fprintln(w, "wrote", file)
		}
	}
	if p.Capture != "" {
		fmt.Fprintln(w, p.Capture)
	}
	for _, note := range p.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	nextSteps(w, p.NextSteps)
}

// scripts is what the other verbs print as JSON.
type scripts struct {
	Scripts   []ScriptStatus `json:"scripts"`
	DryRun    bool           `json:"dry_run,omitempty"`
	NextSteps []string       `json:"next_steps"`
}

func (a *app) printScripts(lines []string, statuses []ScriptStatus, dry bool, next ...string) error {
	for i := range statuses {
		statuses[i].Pending = filled(statuses[i].Pending)
	}
	return a.print(scripts{filled(statuses), dry, filled(next)}, func(w io.Writer) {
		for _, line := range lines {
			fmt.Fprintln(w, line)
		}
		rows := [][]string{{"SIDE", "VERSION", "STATE", "PENDING"}}
		for _, s := range statuses {
			state := "clean"
			if s.Dirty {
				state = "dirty"
			}
			pending := strings.Join(s.Pending, ", ")
			if pending == "" {
				pending = "-"
			}
			rows = append(rows, []string{string(s.Side), fmt.Sprint(s.Version), state, pending})
		}
		table(w, rows...)
		nextSteps(w, next)
	})
}

// migrateRun is `migrate up` and `migrate down`.
func (a *app) migrateRun(direction string) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:               direction + " CAP",
		Example:           fmt.Sprintf("  strangler migrate %s delivery\n  strangler migrate %[1]s delivery --dry-run", direction),
		Args:              needs("CAP"),
		ValidArgsFunction: a.completeCapability,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, capability, err := a.migrator(args[0])
			if err != nil {
				return err
			}
			if dry {
				return a.wouldMigrate(cmd.Context(), m, capability, direction)
			}
			do, next := m.Up, "strangler split start "+capability.Name
			if direction == "down" {
				do, next = m.Down, "strangler migrate status "+capability.Name
			}
			statuses, err := do(cmd.Context(), capability)
			if err != nil {
				return err
			}
			return a.printScripts(nil, statuses, false, next)
		},
	}
	switch direction {
	case "up":
		cmd.Short = "Run the scripts that come before the copy"
		cmd.Long = "Runs the scripts that come before the copy, on both databases. The service's fence is\nclosed from the start, the legacy one open: nothing changes for the application. Scripts\nof the cutover run at the cutover."
	case "down":
		cmd.Short = "Run the scripts down"
		cmd.Long = "Runs the scripts down, on both databases, and removes what they made. Refused while the\nservice owns."
	}
	dryRunFlag(cmd, &dry)
	return cmd
}

// wouldMigrate says from the status alone what a run would do.
func (a *app) wouldMigrate(ctx context.Context, m Migrator, c strangler.Capability, direction string) error {
	statuses, err := m.Status(ctx, c)
	if err != nil {
		return err
	}
	lines := []string{"dry run: nothing was run; the scripts stand like this:"}
	for _, s := range statuses {
		switch {
		case s.Dirty:
			return strangler.Refuse("scripts", fmt.Sprintf("the scripts of %s are dirty at version %d: one ended half-way", s.Side, s.Version),
				fmt.Sprintf("put the database right, then strangler migrate force %s VERSION --side %s", c.Name, s.Side))
		case direction == "down" && s.Version > 0:
			lines = append(lines, fmt.Sprintf("%s: the scripts from version %d would run down", s.Side, s.Version))
		case direction == "up" && len(s.Pending) > 0:
			lines = append(lines, fmt.Sprintf("%s: of %s those that come before the copy would run", s.Side, strings.Join(s.Pending, ", ")))
		}
	}
	return a.printScripts(lines, statuses, true, fmt.Sprintf("strangler migrate %s %s", direction, c.Name))
}

func (a *app) migrateStatus() *cobra.Command {
	return &cobra.Command{
		Use:               "status CAP",
		Short:             "Show how far the scripts have run",
		Long:              "Shows, for both databases, the version that the scripts have reached, whether one ended\nhalf-way (dirty), and which have not run.",
		Example:           "  strangler migrate status delivery",
		Args:              needs("CAP"),
		ValidArgsFunction: a.completeCapability,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, capability, err := a.migrator(args[0])
			if err != nil {
				return err
			}
			statuses, err := m.Status(cmd.Context(), capability)
			if err != nil {
				return err
			}
			return a.printScripts(nil, statuses, false)
		},
	}
}

// orphans is what `migrate orphans` prints as JSON.
type orphans struct {
	Orphans []string `json:"orphans"`
}

func (a *app) migrateOrphans() *cobra.Command {
	return &cobra.Command{
		Use:   "orphans CAP",
		Short: "List rows that foreign keys would forbid",
		Long: `Lists rows, at most 20, of which a foreign key of the capability's tables, or to them,
points at nothing. Keys between tables that move and tables that stay are cut before the
cutover: from then on each side has to see for itself that what it refers to is there. A
rollback puts them back, and leaves such rows for you to mend. The legacy database is
asked, which has the rows of both sides until complete.`,
		Example:           "  strangler migrate orphans delivery",
		Args:              needs("CAP"),
		ValidArgsFunction: a.completeCapability,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, capability, err := a.migrator(args[0])
			if err != nil {
				return err
			}
			found, err := m.Orphans(cmd.Context(), capability)
			if err != nil {
				return err
			}
			return a.print(orphans{filled(found)}, func(w io.Writer) {
				for _, line := range found {
					fmt.Fprintln(w, line)
				}
				if len(found) == 0 {
					fmt.Fprintln(w, "none")
				}
			})
		},
	}
}

func (a *app) migrateForce() *cobra.Command {
	var dry bool
	var side string
	cmd := &cobra.Command{
		Use:               "force CAP VERSION",
		Short:             "Say which version a database has, after a script ended half-way",
		Long:              "Sets the version of one side and clears the dirty mark, without running anything. First put\nthe database right by hand. Version 0 means that none has run.",
		Example:           "  strangler migrate force delivery 2 --side legacy",
		Args:              needs("CAP", "VERSION"),
		ValidArgsFunction: a.capabilityThen(func(capability string) []string { return a.versions(capability, side) }),
		RunE: func(cmd *cobra.Command, args []string) error {
			version, err := strconv.Atoi(args[1])
			if err != nil || version < 0 {
				return unusable("version %q: write the number of a script, or 0 for none", args[1])
			}
			if side != string(strangler.Legacy) && side != string(strangler.Service) {
				return unusable("--side %q: it is legacy or service", side)
			}
			m, capability, err := a.migrator(args[0])
			if err != nil {
				return err
			}
			var lines []string
			if dry {
				lines = []string{fmt.Sprintf("dry run: nothing was changed; %s would be set to version %d, clean; now:", side, version)}
			} else if err := m.Force(cmd.Context(), capability, strangler.Side(side), version); err != nil {
				return err
			}
			statuses, err := m.Status(cmd.Context(), capability)
			if err != nil {
				return err
			}
			return a.printScripts(lines, statuses, dry, "strangler migrate up "+capability.Name)
		},
	}
	cmd.Flags().StringVar(&side, "side", "", "legacy or service (required)")
	offer(cmd, "side", sides...)
	dryRunFlag(cmd, &dry)
	return cmd
}
