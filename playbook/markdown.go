package playbook

import (
	"regexp"
	"strings"
)

// code is a code span of any text: its fence is longer than any run of backticks in it.
func code(s string) string {
	s = oneLine(s)
	ticks := fenceOf(s, "`")
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return ticks + s + ticks
}

// fenceOf is the shortest run of backticks, from least on, that the text does not have.
func fenceOf(s, least string) string {
	for strings.Contains(s, least) {
		least += "`"
	}
	return least
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

var special = regexp.MustCompile("[\\\\`*<>\\[\\]&~]|\\b_|_\\b")

// plain is any text that means nothing but itself.
func plain(s string) string { return special.ReplaceAllString(oneLine(s), `\$0`) }

// prose is a text in which code stands in backticks.
func prose(s string) string {
	parts := spans(s)
	for i, part := range parts {
		if i%2 == 0 {
			parts[i] = special.ReplaceAllString(part, `\$0`)
		} else {
			parts[i] = code(part)
		}
	}
	return strings.Join(parts, "")
}

// spans are the stretches of a prose, every other one code. A backtick that nothing closes is one of the text.
func spans(s string) []string {
	parts := strings.Split(s, "`")
	if len(parts)%2 == 0 {
		last := len(parts) - 1
		parts = append(parts[:last-1], parts[last-1]+"`"+parts[last])
	}
	return parts
}

// row is a line of a table; its cells are Markdown.
func row(cells ...string) string {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}
