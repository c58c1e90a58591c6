package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/admin"
)

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
		if split.Lag.Unknown != "" {
			add(labelLag, bad, "not known: %s", split.Lag.Unknown)
			break
		}
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
