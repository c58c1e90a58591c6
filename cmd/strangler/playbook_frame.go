package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
)

// drawRun is a run on a terminal: its head, a row for each step, what surrounds it, and what to do next. A note stands out on
// top. Where the terminal has too few rows, the steps that are over share one, then those that are to come, then facts are left
// out, the least pressing first.
func drawRun(p *progress, s admin.RunStatus, next []string, note string) []string {
	columns, rows := p.size()
	var head []string
	if note != "" {
		head = append(head, painted(p, bad, wrap(note, columns-1))...)
	}
	head = append(head, p.head(s))
	steps, all := drawSteps(p, s), append(facts(s), nextFacts(s, next)...)
	for spare := 0; ; spare++ {
		tail := drawFacts(p, all, columns)
		if len(head)+len(steps)+len(tail) < rows || spare > len(spared)+1 {
			return slices.Concat(head, steps, tail)
		}
		switch {
		case spare < 2:
			steps = folded(p, s, spare == 1)
		case spare-2 < len(spared):
			all = slices.DeleteFunc(all, func(f fact) bool { return f.label == spared[spare-2] })
		}
	}
}

// spared are the facts that a low terminal does without, in this order.
var spared = []string{labelAsked, labelLook, labelSplit, labelLag, labelLegacy, labelToggle, labelService, labelSoFar}

// drawFacts wraps each fact behind its label.
func drawFacts(p *progress, all []fact, columns int) (rows []string) {
	for _, f := range all {
		label := f.label
		for _, line := range wrap(oneLine(f.text), max(columns-1-labelWidth, 20)) {
			rows = append(rows, p.paint(faint, fmt.Sprintf("%-*s", labelWidth, label))+p.paint(f.colour, line))
			label = ""
		}
	}
	return rows
}

const labelWidth = 10

// Labels of facts that a low terminal does without.
const (
	labelAsked   = "asked"
	labelLook    = "look"
	labelSplit   = "split"
	labelLag     = "lag"
	labelLegacy  = "legacy"
	labelToggle  = "toggle"
	labelService = "service"
	labelSoFar   = "so far"
)

// head says which run it is, and where it stands.
func (p *progress) head(s admin.RunStatus) string {
	state := string(s.State)
	switch {
	case s.Until != "" && goesOn(s.Run):
		state += " until " + s.Until
	case s.BackTo != "" && s.State == strangler.RunUndoing:
		state += " back to " + s.BackTo
	}
	words := []string{p.paint(bold, s.Capability), fmt.Sprintf("run %d", s.ID), p.paint(stateColour(s.State), state)}
	if !s.Started.IsZero() {
		end := s.At
		if !s.Ended.IsZero() {
			end = s.Ended
		}
		words = append(words, lasting(end.Sub(s.Started))+" since "+moment(s.Started, s.At))
	}
	return strings.Join(append(words, oneLine(s.Who)), " · ")
}

func stateColour(state strangler.RunState) string {
	switch state {
	case strangler.RunDone:
		return good
	case strangler.RunFailed, strangler.RunAborted:
		return bad
	}
	return busy
}

// drawSteps is a row for each step: mark, name, how long, and what there is to say.
func drawSteps(p *progress, s admin.RunStatus) []string {
	wide := 0
	for _, step := range s.Steps {
		wide = max(wide, width(step.Name))
	}
	rows := make([]string, len(s.Steps))
	for i, step := range s.Steps {
		mark, text := p.mark(step), step.Detail
		switch step.State {
		case strangler.StepWaiting:
			if s.Waits != nil {
				text = "waiting" // for what stands below
			}
		case strangler.StepSkipped, strangler.StepUndone, strangler.StepUndoing:
			if text = string(step.State); step.Detail != "" && step.Detail != text {
				text += ": " + step.Detail
			}
		}
		if step.Approved != "" && len(s.Steps) > 1 {
			text = strings.TrimPrefix(text+"; approved by "+step.Approved, "; ")
		}
		if step.State == strangler.StepPending {
			rows[i] = p.paint(faint, "· "+step.Name)
			continue
		}
		rows[i] = strings.TrimRight(fmt.Sprintf("%s %-*s %7s  %s", mark, wide, step.Name, took(step, s.At), oneLine(text)), " ")
	}
	return rows
}

// mark is a step's state in one character.
func (p *progress) mark(s strangler.StepRun) string {
	switch s.State {
	case strangler.StepDone:
		return p.paint(good, "✔")
	case strangler.StepDoing, strangler.StepUndoing, strangler.StepWaiting:
		return p.paint(busy, "…")
	case strangler.StepFailed:
		return p.paint(bad, "✘")
	case strangler.StepUndone:
		return "↩"
	case strangler.StepSkipped:
		return "⏭"
	}
	return "·"
}

// took is how long a step took, or takes by now.
func took(s strangler.StepRun, now time.Time) string {
	switch {
	case s.Started.IsZero() || s.State == strangler.StepPending:
		return ""
	case !s.Ended.IsZero():
		return lasting(s.Ended.Sub(s.Started))
	}
	return lasting(now.Sub(s.Started))
}

// folded has one row in place of those of the steps that are over, and of those to come if they are folded, too.
func folded(p *progress, s admin.RunStatus, pending bool) []string {
	steps, over, end := drawSteps(p, s), 0, len(s.Steps)
	for over < end && (s.Steps[over].State == strangler.StepDone || s.Steps[over].State == strangler.StepSkipped) {
		over++
	}
	for pending && end > over && s.Steps[end-1].State == strangler.StepPending {
		end--
	}
	rows := steps[over:end]
	if over > 1 {
		rows = append([]string{fmt.Sprintf("%s %d steps are over", p.paint(good, "✔"), over)}, rows...)
	} else {
		rows = steps[:end]
	}
	if end < len(s.Steps) {
		var names []string
		for _, step := range s.Steps[end:] {
			names = append(names, step.Name)
		}
		rows = append(slices.Clone(rows), p.paint(faint, "· "+strings.Join(names, ", ")))
	}
	return rows
}

// fact is something that is so beside the steps.
type fact struct{ label, text, colour string }

// facts are what surrounds a run, the most pressing first.
func facts(s admin.RunStatus) (all []fact) {
	add := func(label, colour, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			all = append(all, fact{label, text, colour})
		}
	}
	if s.Error != "" {
		add("error", bad, "%s", s.Error)
	}
	if w := s.Waits; w != nil {
		add("waits for", busy, "%s", w.For)
		add(labelSoFar, "", "%s", w.HowFar)
		add(labelLook, "", "%s", w.Command)
	}
	if s.Toggle.Mode != "" {
		gated := ""
		if s.Toggle.Gated {
			gated = "; writes are held: a cutover is under way"
		}
		add(labelToggle, "", "%s, epoch %d%s%s", s.Toggle.Describe(), s.Toggle.Epoch, since(s.Toggle.Since, s.At), gated)
	}
	if s.Split != nil {
		splitFacts(s, add)
	}
	if t := s.Traffic; t != nil {
		through := "through this daemon"
		if t.Instances > 1 {
			through += fmt.Sprintf(", one of %d", t.Instances)
		}
		add(labelLegacy, "", "%s", requests(t.Legacy, through))
		add(labelService, colourOf(t.Service), "%s", requests(t.Service, through))
	}
	if s.Outlook != nil {
		add("ends", "", "%s", ending(*s.Outlook, s.At))
	}
	for _, act := range s.Acts[max(0, len(s.Acts)-shownActs):] {
		add(labelAsked, "", "%s", strings.TrimSpace(strings.Join([]string{moment(act.At, s.At), act.Who + ":", act.What, act.Step}, " "))+why(act.Why))
	}
	return all
}

// shownActs is how many of what people asked of a run are shown, the latest; -o json has all.
const shownActs = 3

func why(why string) string {
	if why == "" {
		return ""
	}
	return ", because: " + why
}

func splitFacts(s admin.RunStatus, add func(label, colour, format string, args ...any)) {
	split := s.Split
	words := []string{string(split.Phase)}
	if split.Phase == strangler.PhaseNone {
		words[0] = "not planned"
	}
	var copied, total int64
	var rate float64
	for _, t := range split.Tables {
		copied, total, rate = copied+t.RowsCopied, total+max(t.RowsTotal, t.RowsCopied), rate+t.Rate
	}
	if split.Phase == strangler.PhaseCopying {
		words = append(words, fmt.Sprintf("%s of %s rows (%d%%)", grouped(copied), grouped(total), percent(copied, total)))
		if rate > 0 {
			words = append(words, grouped(int64(rate))+" a second")
		}
		if split.Doing != "" {
			words = append(words, split.Doing)
		}
		if split.Throttled != "" {
			words = append(words, "throttled: "+split.Throttled)
		}
	}
	if v := split.Verifying; v != nil {
		words = append(words, fmt.Sprintf("comparing: %s rows, %d mismatches", grouped(v.Rows), v.Mismatches))
	} else if v := split.LastVerify; !v.At.IsZero() {
		words = append(words, fmt.Sprintf("verified at %s: %s rows, %d mismatches", moment(v.At, s.At), grouped(v.Rows), v.Mismatches))
	}
	if split.Phase != "" || split.Error == "" {
		add(labelSplit, "", "%s", strings.Join(words, ", "))
	}
	switch split.Phase {
	case strangler.PhaseCopying, strangler.PhaseSyncing, strangler.PhaseReversed:
		add(labelLag, "", "%s changes, %.1f seconds", grouped(split.Lag.Changes), split.Lag.Seconds)
	}
	if split.Error != "" {
		add("trouble", bad, "%s", split.Error)
	}
}

func requests(t admin.SideTraffic, through string) string {
	share := 0.0
	if t.Requests > 0 {
		share = 100 * float64(t.Errors) / float64(t.Requests)
	}
	return fmt.Sprintf("%s requests %s, %s errors (%.2f%%)", grouped(t.Requests), through, grouped(t.Errors), share)
}

func colourOf(t admin.SideTraffic) string {
	if t.Errors > 0 {
		return bad
	}
	return ""
}

// ending is when a run may end, and what that counts on.
func ending(o strangler.Outlook, now time.Time) string {
	words := "not known"
	if !o.ETA.IsZero() {
		words = fmt.Sprintf("at %s at the earliest, in %s", moment(o.ETA, now), lasting(o.ETA.Sub(now)))
	}
	return strings.Join(append([]string{words}, o.CountsOn...), "; ")
}

// nextFacts are what to do next but to look at what is being looked at.
func nextFacts(s admin.RunStatus, next []string) (all []fact) {
	label := "next"
	for _, step := range next {
		if step == "strangler playbook status "+s.Capability || s.Waits != nil && step == s.Waits.Command && s.State != strangler.RunPaused {
			continue
		}
		all, label = append(all, fact{label, step, ""}), ""
	}
	return all
}

func since(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return ", since " + moment(t, now)
}

// moment is a time of day of the day of now, or with the date.
func moment(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return t.Format("15:04:05 UTC")
	}
	return t.Format("2006-01-02 15:04 UTC")
}

// lasting is a duration in its two largest units, as in 0.4s, 12s, 3m2s, 1h, 13d2h.
func lasting(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(unit time.Duration, name string, smaller time.Duration, smallerName string) string {
		s := fmt.Sprintf("%d%s", d/unit, name)
		if rest := d % unit / smaller; rest > 0 {
			s += fmt.Sprintf("%d%s", rest, smallerName)
		}
		return s
	}
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", max(0, d).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return two(time.Minute, "m", time.Second, "s")
	case d < day:
		return two(time.Hour, "h", time.Minute, "m")
	}
	return two(day, "d", time.Hour, "h")
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
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

func painted(p *progress, colour string, lines []string) []string {
	for i, line := range lines {
		lines[i] = p.paint(colour, line)
	}
	return lines
}
