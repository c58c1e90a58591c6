package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// progress shows something that changes: on a terminal it redraws a block in place, elsewhere it
// writes a line each time that one differs from the last.
type progress struct {
	w     io.Writer
	live  bool // a terminal that takes cursor movements
	color bool
	size  func() (columns, rows int) // of the terminal, at this moment; at least 1 each
	drawn []int                      // widths of the rows of the block that stands on the terminal
	last  string                     // the line written last
}

// progress is on stderr: stdout is for the result.
func (a *app) progress() *progress { return a.progressOn(a.stderr) }

func (a *app) progressOn(stream io.Writer) *progress {
	kind, _ := a.env("TERM")
	_, plain := a.env("NO_COLOR")
	live := a.terminal(stream) && kind != "dumb"
	return &progress{w: stream, live: live, color: live && !plain, size: func() (int, int) {
		if a.size != nil {
			if columns, rows := a.size(stream); columns > 0 && rows > 0 {
				return columns, rows
			}
		}
		return usualColumns, usualRows
	}}
}

// A terminal that does not say its size is taken for one of these.
const (
	usualColumns = 80
	usualRows    = 24
)

const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
)

// show replaces the block on a terminal, or writes the line if it is new. A block is one write, with the cursor hidden
// in it only: whatever ends the program leaves the cursor where it belongs. What does not fit is cut off.
func (p *progress) show(block []string, line string) {
	if !p.live {
		if line != p.last {
			fmt.Fprintln(p.w, line)
			p.last = line
		}
		return
	}
	columns, rows := p.size()
	block = block[:min(len(block), max(rows-1, 1))]
	var b strings.Builder
	b.WriteString(hideCursor)
	if up := min(p.height(columns), rows-1); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	p.drawn = p.drawn[:0]
	for _, row := range block {
		row = clip(row, columns-1)
		p.drawn = append(p.drawn, width(row))
		b.WriteString("\r\x1b[2K" + row + "\n")
	}
	b.WriteString("\r\x1b[J" + showCursor)
	fmt.Fprint(p.w, b.String())
}

// height is how many rows the block takes by now: a terminal that was made narrower has wrapped it.
func (p *progress) height(columns int) (rows int) {
	for _, w := range p.drawn {
		rows += max(1, (w+columns-1)/columns)
	}
	return rows
}

// clip shortens a row to a width; the last column of what is too long says so. Colour sequences take no room.
func clip(row string, room int) string {
	if width(row) <= room {
		return row
	}
	var b strings.Builder
	sequence := false
	for _, r := range row {
		switch {
		case r == '\x1b':
			sequence = true
		case sequence:
			sequence = r != 'm'
		case room <= 0:
			continue // what colours still follow are kept, so that the last one resets
		case room <= cells(r):
			r, room = '…', 0
		default:
			room -= cells(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// wrap breaks a text between words. A word that is wider than the room stands alone.
func wrap(text string, room int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case width(line)+1+width(word) <= room:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

// width is how many columns a row takes.
func width(row string) (columns int) {
	sequence := false
	for _, r := range row {
		switch {
		case r == '\x1b':
			sequence = true
		case sequence:
			sequence = r != 'm'
		default:
			columns += cells(r)
		}
	}
	return columns
}

// cells is how many columns a character takes: two for those of East Asia and for most pictures.
func cells(r rune) int {
	switch {
	case unicode.Is(unicode.Mn, r):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// oneLine makes a text safe to show in a row: a line feed or an escape sequence in it would break the block.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// Colours by their meaning.
const (
	good  = "32"
	busy  = "36"
	bad   = "31"
	faint = "2"
	bold  = "1"
)

func (p *progress) paint(colour, s string) string {
	if !p.color || colour == "" || s == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

func painted(p *progress, colour string, lines []string) []string {
	for i, line := range lines {
		lines[i] = p.paint(colour, line)
	}
	return lines
}

const barWidth = 28

// bar draws a share of a whole. An unknown whole is drawn empty.
func (p *progress) bar(part, whole int64) string {
	full := 0
	if whole > 0 {
		full = int(min(part, whole) * barWidth / whole)
	}
	return p.paint(good, strings.Repeat("█", full)) + strings.Repeat("░", barWidth-full)
}

// percent is a share in whole percents, rounded down, at most 100.
func percent(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return min(part*100/whole, 100)
}
