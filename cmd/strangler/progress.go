package main

import (
	"fmt"
	"io"
	"strings"
)

// progress shows something that changes: on a terminal it redraws a block in place, elsewhere it
// writes a line each time that one differs from the last.
type progress struct {
	w     io.Writer
	live  bool // a terminal that takes cursor movements
	color bool
	drawn int    // lines of the block that stands on the terminal
	last  string // the line written last
}

// progress is on stderr: stdout is for the result.
func (a *app) progress() *progress {
	kind, _ := a.env("TERM")
	_, plain := a.env("NO_COLOR")
	live := a.terminal(a.stderr) && kind != "dumb"
	return &progress{w: a.stderr, live: live, color: live && !plain}
}

// show replaces the block on a terminal, or writes the line if it is new.
func (p *progress) show(block []string, line string) {
	if !p.live {
		if line != p.last {
			fmt.Fprintln(p.w, line)
			p.last = line
		}
		return
	}
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	for _, row := range block {
		b.WriteString("\r\x1b[2K" + clip(row) + "\n")
	}
	for range p.drawn - len(block) {
		b.WriteString("\r\x1b[2K\n")
	}
	fmt.Fprint(p.w, b.String())
	p.drawn = max(p.drawn, len(block))
}

// rowWidth is what fits on every terminal: a row that wraps would break the redrawing.
const rowWidth = 79

// clip shortens a row to rowWidth. Colour sequences take no room.
func clip(row string) string {
	var b strings.Builder
	room, sequence := rowWidth, false
	for _, r := range row {
		switch {
		case r == '\x1b':
			sequence = true
		case sequence:
			sequence = r != 'm'
		case room == 0:
			continue // what colours still follow are kept, so that the last one resets
		default:
			room--
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Colours by their meaning.
const (
	good = "32"
	busy = "36"
	bad  = "31"
)

func (p *progress) paint(colour, s string) string {
	if !p.color {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
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
