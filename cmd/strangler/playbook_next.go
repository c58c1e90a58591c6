package main

import (
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/playbook"
)

// next is what to do next, by where a run stands.
func (a *app) next(run strangler.Run) []string {
	var look []string
	if at := present(run); at != "" {
		if _, capability, err := a.capability(run.Capability); err == nil { // the daemon's file may have others
			look = []string{playbook.LookAt(capability, at)}
		}
	}
	return afterRun(run, look)
}

// afterRun is next; look is the command that shows more of the step that the run is at, if there is one.
func afterRun(run strangler.Run, look []string) []string {
	verb := func(words ...string) string {
		return strings.Join(append([]string{"strangler playbook"}, words...), " ")
	}
	name, at := run.Capability, present(run)
	again, back, status := verb("run", name), verb("rollback", name), verb("status", name)
	switch run.State {
	case strangler.RunPaused:
		return []string{verb("continue", name), back, verb("abort", name)}
	case strangler.RunAborted:
		return []string{again, back}
	case strangler.RunFailed:
		if run.BackTo != "" {
			return append([]string{back}, look...)
		}
		next := []string{again}
		if at != "" {
			next = append(next, verb("retry", name, at))
		}
		if at != "" && playbook.Skippable(at) {
			next = append(next, verb("skip", name, at, `--why "…"`))
		}
		return append(append(next, back), look...)
	case strangler.RunRolledBack:
		return []string{again}
	case strangler.RunDone:
		if run.Until != "" {
			return []string{again}
		}
		return []string{}
	case strangler.RunWaiting:
		if changedSettings(run) {
			return []string{verb("accept", name), back}
		}
		if step, waits := awaitsPerson(run); waits {
			return append([]string{verb("approve", name, step), back}, look...)
		}
		return append(look, status)
	}
	return []string{status}
}

// present is the step that a run is at; empty where it is at none.
func present(run strangler.Run) string {
	for _, s := range run.Steps {
		switch s.State {
		case strangler.StepDoing, strangler.StepWaiting, strangler.StepUndoing, strangler.StepFailed:
			return s.Name
		}
	}
	return ""
}
