package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
)

// Control sequences of ECMA-48, and DEC's modes for the cursor and for wrapping lines.
const (
	hideCursor = "\x1b[?25l\x1b[?7l"
	showCursor = "\x1b[?25h\x1b[?7h"
	clearBelow = "\x1b[J"
	clearRight = "\x1b[K"
	barWidth   = 24
)

// paint colours text, or leaves it as it is.
type paint bool

func (p paint) in(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p paint) green(s string) string  { return p.in("32", s) }
func (p paint) red(s string) string    { return p.in("31", s) }
func (p paint) yellow(s string) string { return p.in("33", s) }
func (p paint) bold(s string) string   { return p.in("1", s) }
func (p paint) faint(s string) string  { return p.in("2", s) }

// live shows the demo on a terminal, redrawn in place.
type live struct {
	out   io.Writer
	paint paint
	rate  rate
	lines int // drawn last
}

// Act leaves what there is, with its last state, and begins below it.
func (l *live) Act(s scene) {
	if l.lines > 0 {
		l.draw(s)
	}
}

func (l *live) Step(s scene, _ strangler.StepRun) { l.draw(s) }
func (l *live) Look(s scene)                      { l.draw(s) }

func (l *live) End(s scene) {
	l.draw(s)
	l.put(showCursor)
}

// put writes to the terminal. One that is gone is no reason to stop.
func (l *live) put(text string) { _, _ = io.WriteString(l.out, text) }

// draw replaces what was drawn before, in one write so that nothing flickers.
func (l *live) draw(s scene) {
	lines := l.picture(s)
	var b strings.Builder
	b.WriteString(hideCursor)
	if l.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", l.lines)
	}
	b.WriteString("\r")
	for _, line := range lines {
		b.WriteString(line + clearRight + "\n")
	}
	b.WriteString(clearBelow)
	l.lines = len(lines)
	l.put(b.String())
}

func (l *live) picture(s scene) []string {
	lines := []string{
		"",
		fmt.Sprintf("  %s  %s", l.paint.bold(s.act), l.paint.faint(fmt.Sprintf("%.0f s", time.Since(s.began).Seconds()))),
		"",
	}
	for _, step := range s.steps {
		lines = append(lines, l.step(s, step))
	}
	if s.crowd == nil {
		return lines
	}
	r := s.crowd.Requests()
	errors := l.paint.green("0 failed")
	if r.Failed > 0 {
		errors = l.paint.red(thousands(r.Failed) + " failed")
	}
	return append(lines,
		"",
		fmt.Sprintf("  traffic   %s requests, %.0f a second, %s, slowest write %s", thousands(r.Sent), l.rate.see(r.Sent, time.Now()), errors, milliseconds(float64(s.crowd.slowest.Load())/1e6)),
		"  "+capability+"  "+s.side()+fmt.Sprintf("; %d changes behind", s.split.Lag.Changes),
	)
}

func (l *live) step(s scene, step strangler.StepRun) string {
	share, text := l.progress(s, step)
	full := int(share * barWidth)
	bar := strings.Repeat("█", full) + l.paint.faint(strings.Repeat("░", barWidth-full))
	state := string(step.State)
	switch step.State {
	case strangler.StepDone:
		state = l.paint.green(state)
	case strangler.StepFailed:
		state = l.paint.red(state)
	case strangler.StepPending:
		state = l.paint.faint(state)
	default:
		state = l.paint.yellow(state)
	}
	return fmt.Sprintf("  %-9s %s  %s  %s", step.Name, bar, state, l.paint.faint(text))
}

// progress is how much of a step is done, and what there is to say.
func (l *live) progress(s scene, step strangler.StepRun) (share float64, text string) {
	switch step.State {
	case strangler.StepDone:
		return 1, took(step)
	case strangler.StepPending, strangler.StepUndone:
		return 0, took(step)
	}
	switch step.Name {
	case "copy":
		var copied, total int64
		for _, t := range s.split.Tables {
			copied, total = copied+t.RowsCopied, total+t.RowsTotal
		}
		if total > 0 {
			return min(1, float64(copied)/float64(total)), fmt.Sprintf("%s of %s rows", thousands(copied), thousands(total))
		}
	case "canary":
		if s.toggle.Mode == strangler.ModeCanary {
			return float64(s.toggle.Percent) / float64(strangler.Hundred), s.toggle.Percent.String() + " of the users"
		}
	}
	return 0.5, step.Detail
}

func took(step strangler.StepRun) string {
	if step.Seconds() == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f s", step.Seconds())
}
