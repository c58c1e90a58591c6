package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestClip(t *testing.T) {
	long := strings.Repeat("a", 20)
	for row, want := range map[string]string{
		"short":                           "short",
		long:                              long,
		long + "b":                        long[:19] + "…",
		"\x1b[32m" + long + "b\x1b[0m":    "\x1b[32m" + long[:19] + "…\x1b[0m",
		"\x1b[32m" + long + "\x1b[0m":     "\x1b[32m" + long + "\x1b[0m",
		strings.Repeat("█", 20) + "é":     strings.Repeat("█", 19) + "…",
		strings.Repeat("界", 10):           strings.Repeat("界", 10),
		strings.Repeat("界", 10) + "a":     strings.Repeat("界", 9) + "…",
		"a" + strings.Repeat("界", 10):     "a" + strings.Repeat("界", 9) + "…",
		"e\u0301" + long[:19]:             "e\u0301" + long[:19],
		strings.Repeat("✔", 20):           strings.Repeat("✔", 20),
		strings.Repeat("\x1b[1mx", 20):    strings.Repeat("\x1b[1mx", 20),
		"\x1b[1m" + long + long + "\x1b[": "\x1b[1m" + long[:19] + "…\x1b[",
	} {
		if got := clip(row, 20); got != want || width(got) > 20 {
			t.Errorf("clip(%q) = %q, want %q", row, got, want)
		}
	}
}

// A terminal that is made narrower wraps what stands on it; the next block begins where that one did. One with few rows
// gets as much as it shows: what has left the screen could not be replaced.
func TestBlockOnATerminalThatIsResized(t *testing.T) {
	var out bytes.Buffer
	columns, rows := 80, 24
	p := &progress{w: &out, live: true, size: func() (int, int) { return columns, rows }}
	draw := func(rowsOfIt ...string) string {
		out.Reset()
		p.show(rowsOfIt, "")
		return out.String()
	}
	const start, end = hideCursor, "\r\x1b[J" + showCursor
	if got, want := draw(strings.Repeat("x", 70), "y"), start+"\r\x1b[2K"+strings.Repeat("x", 70)+"\n\r\x1b[2Ky\n"+end; got != want {
		t.Errorf("the first block: %q, want %q", got, want)
	}
	columns = 40 // 70 columns stand in two rows now
	if got, want := draw("short", "y"), start+"\x1b[3A\r\x1b[2Kshort\n\r\x1b[2Ky\n"+end; got != want {
		t.Errorf("on a narrow terminal: %q, want %q", got, want)
	}
	if got, want := draw("one"), start+"\x1b[2A\r\x1b[2Kone\n"+end; got != want {
		t.Errorf("a shorter block: %q, want %q", got, want)
	}
	rows = 3
	if got, want := draw("1", "2", "3", "4"), start+"\x1b[1A\r\x1b[2K1\n\r\x1b[2K2\n"+end; got != want {
		t.Errorf("on a low terminal: %q, want %q", got, want)
	}
	rows, columns = 1, 1
	if got := draw("1", "2"); strings.Count(got, "\n") != 1 || strings.Contains(got, "A") {
		t.Errorf("on a terminal of one row: %q", got)
	}
}
