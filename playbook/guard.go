package playbook

import (
	"context"
	"fmt"

	strangler "github.com/strangler-fig/strangler"
)

// guardName is who takes a canary back, in the audit.
const guardName = "guard"

// tripped is the verdict on a service that fails too often.
func (a *act) tripped(seen counts) verdict {
	return verdict{answer: isTripped, text: fmt.Sprintf("the service's errors are more than %s above the monolith's: %s", a.capability.Guard.MaxErrorDelta, seen)}
}

// guarded looks at the last minutes, whatever step the run is at: a canary may stand for days while somebody makes up their mind.
func (w *worker) guarded(ctx context.Context, i int) (v verdict, is bool) {
	a := w.act(i)
	seen := a.recent.look(a)
	if !a.tooMany(seen) {
		return verdict{}, false
	}
	if t, err := a.toggle(ctx); err != nil || t.Mode != strangler.ModeCanary { // asked again soon
		return verdict{}, false
	}
	return a.tripped(seen), true
}

// trip takes the canary back to legacy, and ends the run with the evidence. The intent is in the ledger before, the evidence in the
// audit; cut off in between, the run finds that its canary was taken back.
func (w *worker) trip(ctx context.Context, i int, v verdict) error {
	if err := w.begin(ctx, i, strangler.StepDoing, strangler.RunRunning, "taking the canary back: "+v.text); err != nil {
		return err
	}
	for tries := 0; ; {
		a := w.act(i)
		err := a.flipAs(ctx, guardName, fmt.Sprintf("playbook run %d: %s", a.run.ID, v.text), strangler.ModeLegacy, 0)
		if err == nil {
			break
		}
		if err := w.sort(ctx, i, err, &tries); err != nil {
			return err
		}
	}
	w.recent.forget()
	run, _, _, _ := w.view()
	w.log.Warn("the guard has taken the canary back", "evidence", v.text)
	w.cfg.tell(run, strangler.Event{Kind: strangler.EventTrip, Step: run.Steps[i].Name, State: string(strangler.ModeLegacy), Text: "the guard took the canary back to legacy: " + v.text})
	name := w.capability.Name
	return strangler.Refuse(guardName, v.text+"; the canary of "+name+" was taken back to legacy",
		"mend the service, then strangler playbook run "+name+" begins with the shadow anew", "strangler playbook rollback "+name+" --to "+Canary, "strangler toggle history "+name)
}
