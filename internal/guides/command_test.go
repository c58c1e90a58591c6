package guides

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// command is one thing that a person types, and what is shown of its output.
type command struct {
	text   string // several lines where it goes on
	shows  bool   // want is what it prints
	want   string
	failed bool // its exit code is asked for by the next one, and is not 0
}

// commands takes a block apart.
func commands(b block) (list []command, err error) {
	lines := strings.Split(strings.TrimSuffix(b.text, "\n"), "\n")
	if b.kind == "console" {
		list, err = session(lines)
	} else {
		list, err = script(lines)
	}
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("it has no command")
	}
	if err != nil {
		return nil, fmt.Errorf("the block of line %d: %w", b.line, err)
	}
	for i := range list {
		list[i].failed = i+1 < len(list) && list[i+1].text == "echo $?"
	}
	return list, nil
}

// script are commands alone. One goes on behind a backslash, and to the end of what it is given with <<'WORD'.
func script(lines []string) (list []command, err error) {
	for i := 0; i < len(lines); i++ {
		text := lines[i]
		if trimmed := strings.TrimSpace(text); trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		for goesOn(text) {
			if i++; i == len(lines) {
				return nil, fmt.Errorf("%q does not end", text)
			}
			text += "\n" + lines[i]
		}
		list = append(list, command{text: text})
	}
	return list, nil
}

var given = regexp.MustCompile(`<<'(\w+)'`)

func goesOn(text string) bool {
	if m := given.FindStringSubmatch(text); m != nil {
		return !strings.HasSuffix(text, "\n"+m[1])
	}
	return strings.HasSuffix(text, `\`)
}

// session are commands with their output.
func session(lines []string) (list []command, err error) {
	for _, line := range lines {
		text, typed := strings.CutPrefix(line, "$ ")
		more, goes := strings.CutPrefix(line, "> ")
		switch last := len(list) - 1; {
		case typed:
			list = append(list, command{text: text, shows: true})
		case last < 0:
			return nil, fmt.Errorf("%q is printed before a command", line)
		case goes && list[last].want == "" && goesOn(list[last].text):
			list[last].text += "\n" + more
		default:
			list[last].want += line + "\n"
		}
	}
	return list, nil
}

// differs compares what a command printed with what the guide shows; "" where it is that.
func differs(want, got string) string {
	pattern := strings.Builder{}
	pattern.WriteString(`^`)
	for _, line := range strings.Split(strings.TrimRight(squeeze(want), "\n"), "\n") {
		if line == "…" {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		for i, part := range strings.Split(line, "…") {
			if i > 0 {
				pattern.WriteString(`.*`)
			}
			pattern.WriteString(regexp.QuoteMeta(part))
		}
		pattern.WriteString(`\n`)
	}
	pattern.WriteString(`$`)
	printed := strings.TrimRight(squeeze(got), "\n") + "\n"
	if regexp.MustCompile(pattern.String()).MatchString(printed) {
		return ""
	}
	return cmp.Diff(want, got)
}

var blanks = regexp.MustCompile(`[ \t]+`)

// squeeze makes one blank of many, and none at a line's end: how wide a column is depends on what else is in it.
func squeeze(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(blanks.ReplaceAllString(line, " "), " \r")
	}
	return strings.Join(lines, "\n")
}

func TestCommandsAreTakenApart(t *testing.T) {
	got, err := commands(block{kind: "sh", text: "a   # why\n\n# comment\nb \\\n  c\ncat <<'END'\nx\nEND\n"})
	must(t, err)
	if diff := cmp.Diff([]command{{text: "a   # why"}, {text: "b \\\n  c"}, {text: "cat <<'END'\nx\nEND"}}, got, cmp.AllowUnexported(command{})); diff != "" {
		t.Error(diff)
	}
	got, err = commands(block{kind: "console", text: "$ a \\\n>   b\nout\n> quoted\n$ false\n$ echo $?\n1\n"})
	must(t, err)
	if diff := cmp.Diff([]command{
		{text: "a \\\n  b", shows: true, want: "out\n> quoted\n"}, {text: "false", shows: true, failed: true}, {text: "echo $?", shows: true, want: "1\n"},
	}, got, cmp.AllowUnexported(command{})); diff != "" {
		t.Error(diff)
	}
	for _, b := range []block{{kind: "sh", text: "# nothing\n"}, {kind: "sh", text: "cat <<'END'\nx\n"}, {kind: "console", text: "out\n$ a\n"}} {
		if list, err := commands(b); err == nil {
			t.Errorf("%q: %+v", b.text, list)
		}
	}
}

func TestOutputIsCompared(t *testing.T) {
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{"a  b\n", "a b  \n", true},
		{"a …s\nc\n", "a 0.1 s\nc\n", true},
		{"a …s\nc\n", "a 0.1 m\nc\n", false},
		{"a\n…\nz\n", "a\nb\nc\nz\n", true},
		{"a\n…\nz\n", "a\nz\n", true},
		{"a\n…\nz\n", "a\nb\nz\ny\n", false},
		{"a\n", "a\nb\n", false},
		{"a\nb\n", "a\n", false},
		{"a.c\n", "abc\n", false},
		{"", "a\n", false},
		{"", "", true},
		{"…\n", "", true},
	} {
		if diff := differs(c.want, c.got); (diff == "") != c.same {
			t.Errorf("%q and %q: %s", c.want, c.got, diff)
		}
	}
}
