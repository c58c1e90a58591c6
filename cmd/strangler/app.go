package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/client"
	"github.com/strangler-fig/strangler/internal/config"
)

const defaultFile = "strangler.yaml"

// app is one run of the program: its surroundings and the flags that every verb has.
type app struct {
	process
	file   string // -c
	format string // -o: text or json
}

func (a *app) json() bool { return a.format == "json" }

// root is the tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "strangler",
		Short: "Move one capability at a time out of a running monolith, and back",
		Long: `Strangler moves one business capability at a time out of a running monolith into a
service that owns its data, while the monolith keeps serving. Every step can be
taken back without losing a write, until "complete".

Exit codes: 0 done, 1 failed, 2 unusable arguments or configuration, 3 refused by a
check (it says which, and what would satisfy it), 4 stopped half-way and resumable.
With -o json a result is one object on stdout, and an error one object on stderr.`,
		Example: `  strangler demo
  strangler init
  strangler check
  strangler serve
  strangler playbook run delivery --follow`,
		SilenceUsage:               true,
		SilenceErrors:              true,
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:                       noSuchCommand,
		SuggestionsMinimumDistance: 2,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE:          func(*cobra.Command, []string) error { return a.checkFormat() },
	}
	root.PersistentFlags().StringVarP(&a.file, "config", "c", defaultFile, "the configuration `file`; paths in it are relative to it")
	root.PersistentFlags().StringVarP(&a.format, "output", "o", "text", "text or json")
	offerFiles(root, "config", "yaml", "yml")
	offer(root, "output", formats...)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return unusable("%v; see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(
		a.demo(), a.init(), a.check(), a.snippet(), a.serve(),
		a.toggle(), a.migrate(), a.split(), a.playbook(),
		a.schema(), a.version(), a.man(), a.completion(),
	)
	return root
}

func (a *app) checkFormat() error {
	if !slices.Contains(formats, a.format) {
		return unusable("-o %s: it is text or json", a.format)
	}
	return nil
}

// group is a command that only holds others.
func group(use, short, long, example string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: noSuchCommand, SuggestionsMinimumDistance: 2}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var names []string
		for _, child := range cmd.Commands() {
			names = append(names, child.Name())
		}
		return unusable("%s needs one of: %s", cmd.CommandPath(), strings.Join(names, ", "))
	}
	cmd.AddCommand(children...)
	return cmd
}

func (a *app) config() (*config.Config, error) { return config.Load(a.file, a.env) }

// capability finds a capability in the file.
func (a *app) capability(name string) (*config.Config, strangler.Capability, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, strangler.Capability{}, err
	}
	capability, err := cfg.Capability(name)
	return cfg, capability, err
}

// ask runs a question to the daemon that the file names.
func (a *app) ask(ctx context.Context, question func(context.Context, *client.Client) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	start := "strangler serve"
	if a.file != defaultFile {
		start += " -c " + a.file
	}
	c, err := client.New(client.Config{URL: cfg.Admin.URL(), Token: cfg.Admin.Token, Start: start})
	if err != nil {
		return err
	}
	defer c.Close()
	return question(ctx, c)
}

// who is the person at the keyboard, for the audit.
func (a *app) who() string {
	user := "unknown"
	for _, name := range []string{"USER", "LOGNAME", "USERNAME"} {
		if value, ok := a.env(name); ok && value != "" {
			user = value
			break
		}
	}
	if a.host == "" {
		return user
	}
	return user + "@" + a.host
}

func (a *app) order(why string) admin.Order { return admin.Order{Who: a.who(), Why: why} }
