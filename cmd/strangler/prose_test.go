package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// prose are the documents whose command lines people copy. COMMANDS.md is made from the commands themselves.
func prose(t *testing.T) []string {
	t.Helper()
	all := []string{"../../README.md"}
	for _, pattern := range []string{"../../docs/*.md", "../../docs/guides/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		all = append(all, found...)
	}
	return slices.DeleteFunc(all, func(name string) bool { return filepath.Base(name) == "COMMANDS.md" })
}

var (
	blockOf   = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	inline    = regexp.MustCompile("`([^`]+)`")
	annotated = regexp.MustCompile(`strangler [^"{}]*\{\{[^}]*\}\}`) // in an alert: as far as the label that stands for the capability
	labels    = regexp.MustCompile(`\{\{[^}]*\}\}`)
	remark    = regexp.MustCompile(`(^|\s)#.*`)
)

// commandLines are those of a document: in backticks, in blocks of commands, and in alerts. In backticks "strangler" may be left out
// before what it has below.
func commandLines(text string) (all []string) {
	for _, b := range blockOf.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(b[2]) {
			command, typed := strings.CutPrefix(line, "$ ")
			switch {
			case (b[1] == "sh" || b[1] == "console" && typed) && strings.HasPrefix(command, "strangler "):
				all = append(all, remark.ReplaceAllString(strings.TrimSpace(command), ""))
			case b[1] == "yml":
				for _, found := range annotated.FindAllString(line, -1) {
					all = append(all, labels.ReplaceAllString(found, "CAP"))
				}
			}
		}
	}
	for _, m := range inline.FindAllStringSubmatch(blockOf.ReplaceAllString(text, ""), -1) {
		line := strings.Join(strings.Fields(m[1]), " ")
		first, rest, several := strings.Cut(line, " ")
		switch {
		case first == "strangler" && several:
			all = append(all, line)
		case several && !strings.HasPrefix(rest, "[-") && slices.ContainsFunc((&app{}).root().Commands(), func(c *cobra.Command) bool { return c.Name() == first && c.HasSubCommands() }):
			all = append(all, "strangler "+line)
		}
	}
	return all
}

var (
	word     = regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`)
	plumbing = regexp.MustCompile(`\s+(\||2?>|&).*$`)
)

// unparsed says what the program would not take of a command line; "" where it takes it. A command that is only named has neither
// arguments nor flags, whichever it needs.
func unparsed(line string) string {
	line = plumbing.ReplaceAllString(strings.NewReplacer("[", "", "]", "").Replace(line), "")
	words := word.FindAllString(line, -1)
	for i, w := range words {
		words[i] = strings.Trim(w, `"'`)
	}
	root := (&app{}).root()
	cmd, rest, err := root.Find(words[1:])
	if err != nil {
		return err.Error()
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err.Error()
	}
	args := cmd.Flags().Args()
	if cmd.HasSubCommands() && len(args) > 0 {
		return cmd.CommandPath() + " has no command " + args[0]
	}
	flags := 0
	cmd.Flags().Visit(func(*pflag.Flag) { flags++ })
	if cmd.HasSubCommands() || len(args) == 0 && flags == 0 {
		return ""
	}
	if err := cmd.ValidateArgs(args); err != nil {
		return err.Error()
	}
	return ""
}

// TestProseParses: command lines in the text, tables and alerts of documents, which nobody executes, are some that the program takes.
func TestProseParses(t *testing.T) {
	found := 0
	for _, name := range prose(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commandLines(string(text)) {
			found++
			if why := unparsed(line); why != "" {
				t.Errorf("%s: %q: %s", filepath.Base(name), line, why)
			}
		}
	}
	if found < 200 {
		t.Errorf("%d command lines found", found)
	}
}

func TestProseIsRead(t *testing.T) {
	text := "Of `strangler split\nstatus CAP`, `toggle set`, `toggle: x` and `split`.\n\n```sh\nstrangler check   # why\nls\n```\n```console\n$ strangler version\nstrangler 1.0\n```\n" +
		"```yml\na: {summary: \"See. strangler split verify {{ $labels.capability }} says.\"}\n```\n```text\nstrangler x\n```\n"
	want := []string{"strangler check", "strangler version", "strangler split verify CAP", "strangler split status CAP", "strangler toggle set"}
	if got := commandLines(text); !slices.EqualFunc(want, got, func(a, b string) bool { return a == strings.TrimSpace(b) }) {
		t.Errorf("%q", got)
	}
	for line, fine := range map[string]bool{
		"strangler playbook rollback CAP --to expand": true, "strangler playbook run": true, "strangler playbook": true, "strangler demo [--database postgres]": true,
		`strangler toggle set CAP canary --percent 10 --why "…"`: true, "strangler schema > x.json": true, "strangler check | grep x": true,
		"strangler playbook roll CAP": false, "strangler playbook run CAP --untill verify": false, "strangler playbook run --follow": false,
		"strangler split status a b": false, "strangler mend": false, "strangler toggle set CAP": false, "strangler split --follow": false,
	} {
		if why := unparsed(line); (why == "") != fine {
			t.Errorf("%q: %q", line, why)
		}
	}
}
