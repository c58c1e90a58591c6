package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/strangler-fig/strangler"
)

// manual is what `man` prints as JSON.
type manual struct {
	Files  []string `json:"files"`
	DryRun bool     `json:"dry_run,omitempty"`
}

func (a *app) man() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "man DIR",
		Short: "Write a man page for each command",
		Long: `Writes a man page for each command into a folder, which is made where it is not there. Their
date is today's, or that of SOURCE_DATE_EPOCH. No daemon is needed.`,
		Example: "  strangler man /usr/local/share/man/man1\n  strangler man pages --dry-run",
		Args:    needs("DIR"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !dry {
				if err := os.MkdirAll(args[0], 0o755); err != nil {
					return fmt.Errorf("making the folder of the man pages: %w", err)
				}
			}
			files, err := writePages(cmd.Root(), args[0], dry)
			if err != nil {
				return err
			}
			word := "wrote"
			if dry {
				word = "dry run: nothing was written; this would be:"
			}
			return a.print(manual{Files: files, DryRun: dry}, func(w io.Writer) {
				for _, file := range files {
					fmt.Fprintln(w, word, file)
				}
			})
		},
	}
	dryRunFlag(cmd, &dry)
	return cmd
}

// writePages writes the page of a command and of all below it, and returns their names.
func writePages(cmd *cobra.Command, dir string, dry bool) ([]string, error) {
	file := filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
	if !dry {
		var page bytes.Buffer
		cmd.DisableAutoGenTag = true // a history of one line that names the generator
		if err := doc.GenMan(cmd, &doc.GenManHeader{Source: "strangler " + strangler.Version, Manual: "Strangler"}, &page); err != nil {
			return nil, fmt.Errorf("making the page of %s: %w", cmd.CommandPath(), err)
		}
		if err := os.WriteFile(file, page.Bytes(), 0o644); err != nil {
			return nil, fmt.Errorf("writing a man page: %w", err)
		}
	}
	files := []string{file}
	for _, child := range cmd.Commands() {
		if !child.IsAvailableCommand() {
			continue
		}
		below, err := writePages(child, dir, dry)
		if err != nil {
			return nil, err
		}
		files = append(files, below...)
	}
	return files, nil
}
