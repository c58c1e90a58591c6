package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
)

// usage is an error of the arguments: exit code 2.
type usage struct{ message string }

func (u usage) Error() string { return u.message + "; nothing was changed" }
func (u usage) Unwrap() error { return strangler.ErrConfig }

func unusable(format string, args ...any) error { return usage{fmt.Sprintf(format, args...)} }

// needs asks for exactly the arguments named.
func needs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return unusable("%s: %s is missing; see %[1]s --help", cmd.CommandPath(), names[len(args)])
		case len(args) > len(names):
			return unusable("%s: %q is one argument too many; see %[1]s --help", cmd.CommandPath(), args[len(names)])
		}
		return nil
	}
}

// noSuchCommand is for commands that only hold others.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		message += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return unusable("%s; see %s --help", message, cmd.CommandPath())
}

var percentText = regexp.MustCompile(`^[0-9]+(\.[0-9]{1,4})?%?$`)

// parsePercent reads "10" or "10%", up to four decimals.
func parsePercent(s string) (strangler.Percent, error) {
	p, err := strangler.ParsePercent(s)
	if err != nil || !percentText.MatchString(s) {
		return 0, unusable("--percent %q: write a number from 0 to 100, as in 10", s)
	}
	return p, nil
}

// dryRunFlag adds --dry-run.
func dryRunFlag(cmd *cobra.Command, dry *bool) {
	cmd.Flags().BoolVar(dry, "dry-run", false, "say what would be done, and change nothing")
}
