package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/strangler-fig/strangler"
)

// build is what `version` prints.
type build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Revision string `json:"revision"` // empty where it was built outside a repository
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Prints the version, what it was built with, and from which revision.",
		Example: "  strangler version\n  strangler version -o json",
		Args:    needs(),
		RunE: func(*cobra.Command, []string) error {
			b := build{Version: strangler.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, setting := range info.Settings {
					if setting.Key == "vcs.revision" {
						b.Revision = setting.Value
					}
				}
			}
			return a.print(b, func(w io.Writer) {
				fmt.Fprintf(w, "strangler %s (%s, %s)", b.Version, b.Go, b.Platform)
				if b.Revision != "" {
					fmt.Fprintf(w, " %s", b.Revision)
				}
				fmt.Fprintln(w)
			})
		},
	}
}

func (a *app) completion() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:       "completion bash|zsh|fish|powershell",
		Short:     "Print a shell's completion script",
		Long:      "Prints a script that lets a shell complete commands, flags, what they take, and the names of\nthe capabilities in strangler.yaml. No daemon is needed.",
		Example:   "  source <(strangler completion bash)\n  strangler completion fish > ~/.config/fish/completions/strangler.fish",
		Args:      needs("the shell (bash, zsh, fish or powershell)"),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.stdout, true)
			case "zsh":
				return root.GenZshCompletion(a.stdout)
			case "fish":
				return root.GenFishCompletion(a.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.stdout)
			}
			return unusable("completion: %q is not a shell that it knows; it knows bash, zsh, fish and powershell", args[0])
		},
	}
}
