package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the generated files anew")

// TestReference: docs/COMMANDS.md says of every command what its own help says.
func TestReference(t *testing.T) {
	golden(t, "../../docs/COMMANDS.md", reference((&app{}).root()))
}

// TestSchemaFile: the schema in docs is the one that is printed, in either format.
func TestSchemaFile(t *testing.T) {
	s := alone(t)
	printed := s.expect(exitDone, "schema").stdout
	golden(t, "../../docs/strangler.schema.json", printed)
	if diff := cmp.Diff(printed, s.expect(exitDone, "schema", "-o", "json").stdout); diff != "" {
		t.Errorf("-o json (-text +json):\n%s", diff)
	}
}

// golden demands that a generated file is what it would be now.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what the program says; go test ./cmd/strangler -update writes it (-file +program):\n%s", file, diff)
	}
}

// reference is the page: what all commands share, then each in the order of the help.
func reference(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Commands\n\nThis page is made from the commands themselves: `go test ./cmd/strangler -update` writes it.\n\n%s\n\n", root.Long)
	fmt.Fprintf(&b, "Every command has these flags, and `--help`:\n\n%s", flagTable(root.PersistentFlags()))
	b.WriteString("\n| command | what for |\n| --- | --- |\n")
	each(root, func(cmd *cobra.Command) {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", cmd.CommandPath(), strings.ReplaceAll(cmd.CommandPath(), " ", "-"), cmd.Short)
	})
	each(root, func(cmd *cobra.Command) {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n", cmd.CommandPath(), cmd.Short)
		if !cmd.HasSubCommands() {
			fmt.Fprintf(&b, "```\n%s\n```\n\n", cmd.UseLine())
		}
		fmt.Fprintf(&b, "%s\n\n", cmd.Long)
		if cmd.LocalFlags().HasFlags() {
			fmt.Fprintf(&b, "%s\n", flagTable(cmd.LocalFlags()))
		}
		fmt.Fprintf(&b, "```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimSpace(cmd.Example), "\n  ", "\n"))
	})
	return b.String()
}

// each visits all commands below one.
func each(parent *cobra.Command, visit func(*cobra.Command)) {
	for _, cmd := range parent.Commands() {
		visit(cmd)
		each(cmd, visit)
	}
}

func flagTable(flags *pflag.FlagSet) string {
	var b strings.Builder
	b.WriteString("| flag | default | what it says |\n| --- | --- | --- |\n")
	flags.VisitAll(func(f *pflag.Flag) {
		value, usage := pflag.UnquoteUsage(f)
		name := strings.TrimSpace("--" + f.Name + " " + strings.ToUpper(value))
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		preset := ""
		if f.DefValue != "" && f.DefValue != "false" {
			preset = "`" + strings.Trim(f.DefValue, "[]") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, preset, strings.ReplaceAll(usage, "|", `\|`))
	})
	return b.String()
}

// TestManPages: each command has a page that is found by its name, with its flags and examples in it.
func TestManPages(t *testing.T) {
	s := alone(t)
	dir := filepath.Join(t.TempDir(), "share", "man1")
	would := s.object(exitDone, "man", dir, "--dry-run")["files"]
	if _, err := os.Stat(dir); err == nil {
		t.Error("a dry run has made the folder")
	}
	did := s.object(exitDone, "man", dir)["files"]
	if diff := cmp.Diff(would, did); diff != "" {
		t.Errorf("files (-dry run +written):\n%s", diff)
	}
	count := 1
	each((&app{}).root(), func(*cobra.Command) { count++ })
	if pages, err := os.ReadDir(dir); err != nil || len(pages) != count || len(did.([]any)) != count {
		t.Errorf("%d pages, %v; want %d", len(pages), err, count)
	}
	page, err := os.ReadFile(filepath.Join(dir, "strangler-playbook-run.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`.TH "STRANGLER-PLAYBOOK-RUN" "1"`, `\fB--until\fP`, `strangler playbook run delivery --follow`, `\fBstrangler-playbook(1)\fP`} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	taken := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.expect(exitFailed, "man", taken)
}
