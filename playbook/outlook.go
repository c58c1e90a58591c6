package playbook

import (
	"fmt"
	"slices"
	"strings"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// Ahead says when a run may end at the earliest, and what it waits for. The outlook is nil for a run that does not
// go forward by itself, the wait for one that does not wait.
func Ahead(s strangler.Scene) (*strangler.Outlook, *strangler.Wait) { return outlook(s), waits(s) }

// outlook adds up what is known of the steps that are left, and names the rest.
func outlook(s strangler.Scene) *strangler.Outlook {
	switch s.Run.State {
	case strangler.RunRunning, strangler.RunWaiting, strangler.RunPaused:
	default:
		return nil
	}
	var l left
	for _, record := range s.Run.Steps {
		if record.State != strangler.StepDone && record.State != strangler.StepSkipped {
			l.step(s, record)
		}
		if record.Name == s.Run.Until {
			break
		}
	}
	out := &strangler.Outlook{Seconds: l.time.Seconds(), CountsOn: []string{}}
	if l.time > 0 {
		out.ETA = s.Now.Add(l.time)
	}
	if s.Run.State == strangler.RunPaused {
		out.CountsOn = append(out.CountsOn, "being continued now")
	}
	if n := len(l.approvals); n > 0 {
		word := "approval"
		if n > 1 {
			word = "approvals"
		}
		out.CountsOn = append(out.CountsOn, fmt.Sprintf("without the %s of %s", word, and(l.approvals)))
	}
	if len(l.unknown) > 0 {
		out.CountsOn = append(out.CountsOn, "no estimate for "+and(l.unknown))
	}
	out.CountsOn = append(out.CountsOn, l.notes...)
	return out
}

// left is what is left of a run.
type left struct {
	time      time.Duration // as far as it is known
	approvals []string      // steps
	unknown   []string      // steps, with what they are where the name does not say it
	notes     []string
}

// step adds one that has not ended.
func (l *left) step(s strangler.Scene, record strangler.StepRun) {
	steps, settings := listOf(s.Capability), s.Capability.Playbook
	place, known := steps.find(record.Name)
	if known && steps[place].NeedsTables && s.Capability.Stateless() {
		return
	}
	if record.Approved == "" && slices.Contains(settings.Approve, record.Name) {
		l.approvals = append(l.approvals, record.Name)
	}
	switch record.Name {
	case Copy:
		l.copying(s.Split)
	case Shadow:
		if s.Toggle.Mode == strangler.ModeLegacy || s.Toggle.Mode == strangler.ModeShadow {
			l.time += stayOf(s, record).left(s.Now)
			if n := floor(s.Capability, Shadow); n > 1 {
				l.notes = append(l.notes, "with "+requests(n)+" shadowed by then")
			}
		}
	case Canary:
		l.canary(s, record)
	case Soak:
		l.time += stayOf(s, record).left(s.Now)
	case Expand, Verify, Cutover, Complete:
		if !s.Capability.Stateless() {
			l.unknown = append(l.unknown, record.Name)
		}
	default:
		l.own(s, record)
	}
}

// copying adds the rows that are left, at the pace of the last seconds.
func (l *left) copying(split *strangler.SplitStatus) {
	if split == nil || split.Phase != strangler.PhaseCopying {
		if split == nil || !moved(*split) && split.Phase != strangler.PhaseSyncing {
			l.unknown = append(l.unknown, Copy)
		}
		return
	}
	var rows int64
	var rate float64
	for _, t := range split.Tables {
		rows += max(0, t.RowsTotal-t.RowsCopied)
		rate += t.Rate
	}
	switch {
	case rows > 0 && rate > 0:
		l.time += time.Duration(float64(rows) / rate * float64(time.Second))
		l.notes = append(l.notes, fmt.Sprintf("with the copy at %.0f rows a second", rate))
	case rows > 0:
		l.unknown = append(l.unknown, Copy+" (its pace is not known yet)")
	default:
		l.unknown = append(l.unknown, "the end of "+Copy)
	}
}

// canary adds the rest of the present share's hold and those of the shares behind it.
func (l *left) canary(s strangler.Scene, record strangler.StepRun) {
	settings, at := s.Capability.Playbook, strangler.Percent(0)
	switch s.Toggle.Mode {
	case strangler.ModeExtracted:
		return
	case strangler.ModeCanary:
		at = s.Toggle.Percent
		l.time += stayOf(s, record).left(s.Now)
	}
	for _, p := range settings.Canary {
		if p > at {
			l.time += orUsual(settings.Hold)
		}
	}
	if n := floor(s.Capability, Canary); n > 1 && len(settings.Canary) > 0 {
		l.notes = append(l.notes, "with "+requests(n)+" answered by the service at each share of the canary by then")
	}
}

// own adds a step of the capability's own: only a wait has a length.
func (l *left) own(s strangler.Scene, record strangler.StepRun) {
	i := slices.IndexFunc(s.Capability.Playbook.Own, func(o strangler.OwnStep) bool { return o.Name == record.Name })
	if i < 0 {
		l.unknown = append(l.unknown, record.Name)
		return
	}
	switch o := s.Capability.Playbook.Own[i]; {
	case o.Wait != nil:
		l.time += stayOf(s, record).left(s.Now)
	case o.Approve != nil:
		if record.Approved == "" && !slices.Contains(l.approvals, o.Name) {
			l.approvals = append(l.approvals, o.Name)
		}
	case o.Notify != nil:
	default:
		l.unknown = append(l.unknown, fmt.Sprintf("%s (%s)", o.Name, o.Kind()))
	}
}

// stay is a time that has to pass in a step.
type stay struct {
	whole time.Duration
	since time.Time // zero: it has not begun
}

func (h stay) left(now time.Time) time.Duration {
	if h.since.IsZero() {
		return h.whole
	}
	return min(max(0, h.since.Add(h.whole).Sub(now)), h.whole)
}

// stayOf is the hold that a step is in, or comes to first; none for a step without one.
func stayOf(s strangler.Scene, record strangler.StepRun) stay {
	settings, t := s.Capability.Playbook, s.Toggle
	switch record.Name {
	case Shadow:
		h := stay{whole: orUsual(settings.Shadow)}
		if t.Mode == strangler.ModeShadow {
			h.since = t.Since
		}
		return h
	case Canary:
		h := stay{whole: orUsual(settings.Hold)}
		if t.Mode == strangler.ModeCanary {
			h.since = t.Since
		}
		return h
	case Soak:
		return stay{settings.Soak, ownedSince(s)}
	}
	for _, o := range settings.Own {
		if o.Name == record.Name && o.Wait != nil {
			return stay{o.Wait.For, record.Started}
		}
	}
	return stay{}
}

// ownedSince is since when the service has the capability; zero while it has not.
func ownedSince(s strangler.Scene) time.Time {
	if s.Capability.Stateless() {
		if s.Toggle.Mode != strangler.ModeExtracted {
			return time.Time{}
		}
		return s.Toggle.Since
	}
	if s.Toggle.Owner != strangler.Service {
		return time.Time{}
	}
	if s.Split != nil {
		if c := s.Split.Cutover; c != nil && c.State == strangler.Committed && c.To == strangler.Service && !c.Ended.IsZero() {
			return c.Ended
		}
	}
	return s.Toggle.Since
}

// usualHold is an Engine's, where neither the capability nor the Engine's Config says one.
const usualHold = 10 * time.Minute

func orUsual(d time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return usualHold
}

// and joins "a", "a and b", "a, b and c".
func and(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
