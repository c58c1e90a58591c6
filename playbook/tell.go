package playbook

import (
	"fmt"

	strangler "github.com/strangler-fig/strangler"
)

// tellRun says what has become of a run, once that is in the ledger.
func tellRun(cfg *Config, old, run strangler.Run) {
	e := strangler.Event{State: string(run.State)}
	switch {
	case run.State != old.State && run.State == strangler.RunFailed:
		e.Kind, e.Text = strangler.EventFailure, "failed: "+run.Error
	case run.State != old.State && !active(run):
		e.Kind, e.Text = strangler.EventEnd, "is "+string(run.State)
		if run.State == strangler.RunPaused {
			e.Text = "was paused by " + run.Paused
		}
	case run.Waiting != old.Waiting && run.Waiting != "":
		e.Kind, e.Text = strangler.EventWait, "is "+run.Waiting
	default:
		return
	}
	cfg.tell(run, e)
}

// tellStep says that a step has ended, once that is in the ledger.
func tellStep(cfg *Config, run strangler.Run, old, step strangler.StepRun) {
	if step.State == old.State {
		return
	}
	switch step.State {
	case strangler.StepDone, strangler.StepUndone, strangler.StepSkipped:
		text := fmt.Sprintf("step %s is %s: %s", step.Name, step.State, step.Detail)
		cfg.tell(run, strangler.Event{Kind: strangler.EventStep, Step: step.Name, State: string(step.State), Text: text})
	}
}

func (c *Config) tell(run strangler.Run, e strangler.Event) {
	if c.Tell == nil {
		return
	}
	e.Capability, e.Run, e.At = run.Capability, run.ID, c.Now()
	e.Text = fmt.Sprintf("%s, run %d: %s", run.Capability, run.ID, e.Text)
	c.Tell(e)
}
