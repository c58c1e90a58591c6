package playbook

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// act is what a step gets to work with: the Engine's Config, the capability, and copies of the run and
// of the step's own record as they are in the ledger.
type act struct {
	*Config
	capability strangler.Capability
	run        strangler.Run
	record     strangler.StepRun
	recent     *recent
}

func (a *act) name() string { return a.capability.Name }

// who answers for an effect: whoever approved the step, or else whoever asked for the run.
func (a *act) who() string {
	if a.record.Approved != "" {
		return a.record.Approved
	}
	return a.run.Who
}

// why is the reason that the audit keeps of an effect, with that of whoever asked for the run to go this way, if there is one.
func (a *act) why() string {
	verb, asked := "step", "run"
	if a.run.State == strangler.RunUndoing {
		verb, asked = "undoing step", "rollback"
	}
	why := fmt.Sprintf("playbook run %d, %s %s", a.run.ID, verb, a.record.Name)
	for _, act := range slices.Backward(a.run.Acts) {
		if act.What == asked {
			if act.Why != "" {
				why += ": " + act.Why
			}
			break
		}
	}
	return why
}

// under reports whether the ledger has the step begun and not ended.
func (a *act) under() bool {
	return a.record.State == strangler.StepDoing || a.record.State == strangler.StepWaiting
}

// aged is how old evidence is. What is from the future is as old as can be: a clock has jumped, and nobody knows.
func (a *act) aged(at time.Time) time.Duration {
	const skew = time.Minute // between clocks that are right
	age := a.Now().Sub(at)
	if age < -skew {
		return math.MaxInt64
	}
	return age
}

// retried is when a person last wanted the step done anew; zero: never.
func (a *act) retried() time.Time {
	for _, act := range slices.Backward(a.run.Acts) {
		if act.What == "retry" && act.Step == a.record.Name {
			return act.At
		}
	}
	return time.Time{}
}

// pace is the capability's own, or else the Engine's.
func (a *act) pace(own, usual time.Duration) time.Duration {
	if own > 0 {
		return own
	}
	return usual
}

func (a *act) recordedDone() bool { return a.record.State == strangler.StepDone }

func (a *act) status(ctx context.Context) (strangler.SplitStatus, error) {
	st, err := a.Splits.Status(ctx, a.name())
	if err != nil {
		return st, fmt.Errorf("reading the status of the split of %s: %w", a.name(), err)
	}
	return st, nil
}

func (a *act) toggle(ctx context.Context) (strangler.Toggle, error) {
	t, err := a.Toggles.Toggle(ctx, a.name())
	if err != nil {
		return t, fmt.Errorf("reading the toggle of %s: %w", a.name(), err)
	}
	return t, nil
}

// flip returns nil when every live instance has applied the change, and later while some have not, or while the control store does not
// say: asked for once more, a flip that was made only waits for them.
func (a *act) flip(ctx context.Context, mode strangler.Mode, percent strangler.Percent) error {
	return a.flipAs(ctx, a.who(), a.why(), mode, percent)
}

func (a *act) flipAs(ctx context.Context, who, why string, mode strangler.Mode, percent strangler.Percent) error {
	change := strangler.ToggleChange{Mode: mode, Percent: percent, Who: who, Why: why}
	flip, err := a.Toggles.Flip(ctx, a.name(), change)
	switch {
	case err == nil:
	case ctx.Err() == nil && (!decided(err) || errors.Is(err, strangler.ErrStopped) || errors.Is(err, strangler.ErrUnknown)) && !errors.Is(err, strangler.ErrConflict):
		return later{fmt.Sprintf("the control store to take the toggle %s: %v", describe(mode, percent), err)}
	default:
		return fmt.Errorf("setting the toggle of %s to %s: %w", a.name(), describe(mode, percent), err)
	}
	if len(flip.Pending) > 0 {
		return later{fmt.Sprintf("instances that have not applied %s yet: %s", describe(mode, percent), strings.Join(flip.Pending, ", "))}
	}
	return nil
}

// toLegacy is how shadow, canary and a stateless cutover are undone.
func (a *act) toLegacy(ctx context.Context) (string, error) {
	t, err := a.toggle(ctx)
	if err != nil {
		return "", err
	}
	if err := a.flip(ctx, strangler.ModeLegacy, 0); err != nil {
		return "", err
	}
	return fmt.Sprintf("the toggle is legacy (was %s)", describe(t.Mode, t.Percent)), nil
}

// takenBack is an error when the toggle went down again after the step had begun to raise it: a guard
// or a person has decided against the service, and the playbook does not decide otherwise.
func (a *act) takenBack(t strangler.Toggle) error {
	// A store may keep times to the millisecond only, rounded up.
	if !a.under() || a.record.Started.IsZero() || !t.Since.After(a.record.Started.Add(time.Millisecond)) {
		return nil
	}
	return strangler.Refuse("toggle", fmt.Sprintf("the toggle of %s was set to %s at %s, while step %s was raising it",
		a.name(), describe(t.Mode, t.Percent), t.Since.UTC().Format(time.RFC3339), a.record.Name),
		"strangler toggle history "+a.name()+" says who and why; then strangler playbook run "+a.name())
}

// moved reports whether the service owns the capability's rows, so that the steps up to there are done.
func moved(st strangler.SplitStatus) bool {
	return st.Owner == strangler.Service || st.Phase == strangler.PhaseReversed || st.Phase == strangler.PhaseComplete
}

// stopped is the error of a split that needs a person.
func stopped(st strangler.SplitStatus) error {
	return fmt.Errorf("the split of %s stopped: %s; nothing is lost, %s still owns; put it right, then: strangler playbook run %s: %w",
		st.Capability, st.Error, st.Owner, st.Capability, strangler.ErrStopped)
}

// behind says how far the follower is behind when that is more than Config.MaxLag, or that nobody knows.
func (a *act) behind(lag strangler.Lag) (verdict, bool) {
	if lag.Unknown != "" {
		v := missing("the lag to be known")
		v.detail = v.text + ": " + lag.Unknown
		return v, true
	}
	if lag.Changes <= a.MaxLag.Changes && lag.Seconds <= a.MaxLag.Seconds {
		return verdict{}, false
	}
	v := missing("the lag to fall to %d changes and %gs", a.MaxLag.Changes, a.MaxLag.Seconds)
	v.detail = fmt.Sprintf("%s; it is %d changes and %.1fs", v.text, lag.Changes, lag.Seconds)
	return v, true
}

// counts are both sides' requests and errors since a moment.
type counts struct{ legacy, legacyErrors, service, serviceErrors int64 }

func (a *act) counts(since counts) counts {
	if a.Traffic == nil {
		return counts{}
	}
	var c counts
	c.legacy, c.legacyErrors = a.Traffic.Requests(a.name(), strangler.Legacy)
	c.service, c.serviceErrors = a.Traffic.Requests(a.name(), strangler.Service)
	return counts{c.legacy - since.legacy, c.legacyErrors - since.legacyErrors,
		c.service - since.service, c.serviceErrors - since.serviceErrors}
}

func (c counts) String() string {
	return fmt.Sprintf("service %d requests, %.2f%% errors; legacy %d requests, %.2f%% errors",
		c.service, 100*share(c.serviceErrors, c.service), c.legacy, 100*share(c.legacyErrors, c.legacy))
}

func share(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func describe(mode strangler.Mode, percent strangler.Percent) string {
	if mode == strangler.ModeCanary {
		return string(mode) + " " + percent.String()
	}
	return string(mode)
}
