package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/playbook"
)

// The words that arguments and flags take, as the shell is offered them.
var (
	formats   = []string{"text", "json"}
	logLevels = []string{"debug", "info", "warn", "error"}
	kinds     = []string{"sqlite", "postgres", "mysql"}
	roleNames = []string{"proxy", "worker"}
	sides     = []string{string(strangler.Legacy), string(strangler.Service)}
	modes     = []string{string(strangler.ModeLegacy), string(strangler.ModeShadow), string(strangler.ModeCanary), string(strangler.ModeExtracted)}
)

// steps are a capability's, each with what it does; the playbook's alone where the file cannot be read.
func (a *app) steps(capability string) (all []string) {
	steps := playbook.Steps()
	if _, c, err := a.capability(capability); err == nil {
		steps = playbook.StepsOf(c)
	}
	for _, step := range steps {
		all = append(all, cobra.CompletionWithDesc(step.Name, step.Does))
	}
	return all
}

// stepsOfFirst are those of the capability that the line names first.
func (a *app) stepsOfFirst(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.steps(append(args, "")[0]), cobra.ShellCompDirectiveNoFileComp
}

// completeCapability offers the file's capabilities to the shell.
func (a *app) completeCapability(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return config.Names(a.file), cobra.ShellCompDirectiveNoFileComp
}

// capabilityThen offers a capability, and behind it what next has.
func (a *app) capabilityThen(next func(capability string) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return next(args[0]), cobra.ShellCompDirectiveNoFileComp
		}
		return a.completeCapability(cmd, args, word)
	}
}

// versions are the numbers of a capability's scripts, and 0 for none; side is empty for both sides.
func (a *app) versions(capability, side string) []string {
	if side == "" {
		side = "*"
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(a.file), "migrations", capability, side, "*_*.up.sql"))
	if err != nil {
		return nil
	}
	all := []string{"0"}
	for _, file := range files {
		number, _, _ := strings.Cut(filepath.Base(file), "_")
		all = append(all, strings.TrimLeft(number, "0"))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// offer has the shell complete a flag's value by some words.
func offer(cmd *cobra.Command, flag string, words ...string) {
	complete(cmd, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// offerList does so for a flag whose words stand in a list with commas.
func offerList(cmd *cobra.Command, flag string, words ...string) {
	complete(cmd, flag, func(_ *cobra.Command, _ []string, word string) (all []string, _ cobra.ShellCompDirective) {
		before := word[:strings.LastIndex(word, ",")+1]
		given := strings.Split(before, ",")
		for _, w := range words {
			if !slices.Contains(given, w) {
				all = append(all, before+w)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	})
}

// offerFiles does so by files that end so, or folders where nothing is said of ends.
func offerFiles(cmd *cobra.Command, flag string, ends ...string) {
	directive := cobra.ShellCompDirectiveFilterFileExt
	if len(ends) == 0 {
		directive = cobra.ShellCompDirectiveFilterDirs
	}
	complete(cmd, flag, cobra.FixedCompletions(ends, directive))
}

func complete(cmd *cobra.Command, flag string, by cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, by); err != nil {
		panic(err) // the command has no such flag, and every run of the program says so
	}
}
