package main

import (
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
)

func (a *app) demo() *cobra.Command {
	o := DemoOptions{Stdout: a.stdout, Stderr: a.stderr}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch a capability leave a living monolith, come back, and leave again",
		Long: `Starts a seeded monolith, its delivery service and the daemon, sends traffic through the
proxy, runs the playbook forward, back behind the cutover, and forward again, and checks
against a log of every acknowledged write that nothing was lost or done twice.

Its files stay in .strangler/demo. With --database postgres or mysql the rows are on a
private PostgreSQL or MariaDB server, which is made from the installed programs and gone
with the demo; where none is installed, the exit code is 2. Without --exit everything goes
on until Ctrl-C. With -o json one object is printed at the end, and the exit code is 0 only
when nothing failed, was lost, doubled or differs.`,
		Example: `  strangler demo
  strangler demo --exit -o json
  strangler demo --database postgres
  strangler demo --database mysql`,
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(kinds, o.Database) {
				return unusable("--database %q: it is sqlite, postgres or mysql", o.Database)
			}
			if o.Rows < 1 {
				return unusable("--rows %d: write a number from 1", o.Rows)
			}
			if a.hooks.Demo == nil {
				return notConnected("demo")
			}
			if o.Programs == "" {
				o.Programs = filepath.Dir(a.program)
			}
			o.JSON = a.json()
			kind, _ := a.env("TERM")
			_, plain := a.env("NO_COLOR")
			o.Terminal = a.terminal(a.stdout) && kind != "dumb" && !o.JSON
			o.Color = o.Terminal && !plain
			return a.hooks.Demo(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Database, "database", "sqlite", "sqlite, postgres or mysql")
	cmd.Flags().BoolVar(&o.Exit, "exit", false, "stop everything when it has been shown")
	cmd.Flags().IntVar(&o.Rows, "rows", 100_000, "rows of couriers and their plans, which move; a part of their orders comes on top")
	cmd.Flags().StringVar(&o.Dir, "dir", filepath.Join(".strangler", "demo"), "the `folder` of its files")
	cmd.Flags().StringVar(&o.Programs, "programs", "", "the `folder` of strangler, legacy-monolith and delivery (default: this program's)")
	offer(cmd, "database", kinds...)
	offerFiles(cmd, "dir")
	offerFiles(cmd, "programs")
	return cmd
}
