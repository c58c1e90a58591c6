package playbook

import (
	"fmt"
	"slices"
	"strings"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// waits is what a run waits for, how far that has come, and what shows more of it.
func waits(s strangler.Scene) *strangler.Wait {
	name, run := s.Capability.Name, s.Run
	if run.State == strangler.RunPaused {
		w := &strangler.Wait{For: "a person to continue it", Command: "strangler playbook continue " + name}
		if run.Paused != "" {
			w.HowFar = "paused by " + run.Paused
		}
		return w
	}
	at := slices.IndexFunc(run.Steps, func(r strangler.StepRun) bool {
		return r.State == strangler.StepWaiting || r.State == strangler.StepDoing || r.State == strangler.StepUndoing
	})
	if run.Waiting == "" || at < 0 || !active(run) {
		return nil
	}
	record := run.Steps[at]
	w := &strangler.Wait{For: strings.TrimPrefix(run.Waiting, waitingFor), Command: LookAt(s.Capability, record.Name)}
	numbers, found := strings.CutPrefix(record.Detail, run.Waiting)
	if !found {
		numbers = ""
	}
	numbers = strings.TrimLeft(numbers, ":; ")
	if record.Approved == "" && strings.HasPrefix(w.For, approval) {
		w.For = "a person's approval of " + record.Name
		w.HowFar = numbers
		return w
	}
	var far []string
	if h := stayOf(s, record); h.whole > 0 && !h.since.IsZero() {
		if left := h.left(s.Now); left > 0 {
			far = append(far, fmt.Sprintf("%s of %s, %s left", span(coarse(h.whole-left)), span(h.whole), span(coarse(left))))
		}
	}
	if numbers != "" {
		far = append(far, numbers)
	}
	w.HowFar = strings.Join(far, "; ")
	return w
}

// coarse leaves out what nobody reads of a long duration.
func coarse(d time.Duration) time.Duration {
	switch {
	case d > 24*time.Hour:
		return d.Truncate(time.Hour)
	case d > time.Hour:
		return d.Truncate(time.Minute)
	case d > time.Second:
		return d.Truncate(time.Second)
	}
	return d.Truncate(100 * time.Millisecond)
}

const (
	waitingFor = "waiting for "
	approval   = "approval"
)

// LookAt is the command that shows more of a step while it is under way, or of why it failed.
func LookAt(c strangler.Capability, step string) string {
	look := ""
	if steps := listOf(c); step != "" {
		if place, ok := steps.find(step); ok {
			look = steps[place].Look
		}
	}
	switch {
	case look == "":
		look = "strangler playbook show CAP"
	case c.Stateless() && strings.HasPrefix(look, "strangler split "):
		look = "strangler toggle get CAP"
	}
	return strings.ReplaceAll(look, "CAP", c.Name)
}
