package main

import (
	"fmt"
	"slices"
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
