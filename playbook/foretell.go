package playbook

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// Foretell says what a run would do from here until a step, or the end where that is empty: every statement, flip and call, in
// order. What waits is named where it waits. It reads, and changes nothing; the error is that of a check that refuses.
func (e *Engine) Foretell(ctx context.Context, capability, until string) ([]strangler.Planned, error) {
	c, ok := e.capabilities[capability]
	if !ok {
		return nil, unknown(capability)
	}
	f, err := e.foretelling(ctx, c)
	if err != nil {
		return nil, err
	}
	if !c.Stateless() && e.cfg.Scripts != nil {
		if f.scripts, err = e.cfg.Scripts.PendingScripts(ctx, capability); err != nil {
			return nil, fmt.Errorf("what scripts would run: %w", err)
		}
	}
	records, err := e.Preview(ctx, capability)
	if err != nil {
		return nil, err
	}
	for i, s := range listOf(c) {
		if records[i].State != strangler.StepDone && records[i].State != strangler.StepSkipped {
			if err := f.step(ctx, s); err != nil {
				return nil, err
			}
		}
		if s.Name == until {
			break
		}
	}
	return f.out, nil
}

// foretelling is a run told in advance: the toggle moves along in it.
type foretelling struct {
	e       *Engine
	c       strangler.Capability
	toggle  strangler.Toggle
	scripts []strangler.Script // forward those that have not run, back those that have
	at      string             // the step that is told of
	out     []strangler.Planned
}

func (e *Engine) foretelling(ctx context.Context, c strangler.Capability) (*foretelling, error) {
	t, err := e.cfg.Toggles.Toggle(ctx, c.Name)
	if err != nil {
		return nil, fmt.Errorf("reading the toggle of %s: %w", c.Name, err)
	}
	return &foretelling{e: e, c: c, toggle: t}, nil
}

func (f *foretelling) say(where, format string, args ...any) {
	f.out = append(f.out, strangler.Planned{Step: f.at, Where: where, Do: fmt.Sprintf(format, args...)})
}

const (
	atToggle  = "toggle"
	atProxies = "proxies"
	atPerson  = "person"
	atClock   = "clock"
	atMachine = "this machine"
	atBoth    = "both databases"
)

func (f *foretelling) step(ctx context.Context, s entry) error {
	f.at = s.Name
	if s.Kind == "" && s.asks(f.c) {
		f.say(atPerson, "waits for approval: strangler playbook approve %s %s", f.c.Name, s.Name)
	}
	switch s.Name {
	case Expand:
		f.run("first", "capture")
	case Copy:
		for _, t := range f.c.AtService().Tables {
			f.say("service's database", "copies the rows of %s to %s, range by range, and follows every change meanwhile", t.From, cmp.Or(t.To, t.From))
		}
		f.run("indexed", "whole")
	case Verify:
		f.say(atBoth, "compares every row")
	case Shadow:
		f.flip(strangler.ModeShadow, 0)
		f.hold(Shadow, cmp.Or(f.c.Playbook.Shadow, f.e.cfg.ShadowHold))
	case Canary:
		f.canary()
	case Cutover:
		return f.cutover(ctx)
	case Soak:
		f.say(atClock, "waits %s from the cutover on", span(f.c.Playbook.Soak))
	case Complete:
		if !f.c.Stateless() {
			f.say(atBoth, "ends the stream back; %s", pointOfNoReturn)
		}
		f.run("complete")
	default:
		f.own(s)
	}
	return nil
}

// run tells of the scripts of some stages, in the order in which they run.
func (f *foretelling) run(stages ...string) {
	for _, stage := range stages {
		for _, s := range f.scripts {
			if s.Stage == stage {
				f.script(s)
			}
		}
	}
}

func (f *foretelling) script(s strangler.Script) {
	f.say(databaseOf(s.Side), "-- %s\n%s", s.Path, strings.TrimSpace(s.SQL))
}

func databaseOf(side strangler.Side) string {
	if side == strangler.Service {
		return "service's database"
	}
	return "legacy database"
}

func (f *foretelling) flip(mode strangler.Mode, percent strangler.Percent) {
	f.say(atToggle, "%s → %s, epoch %d, acknowledged by every instance", describe(f.toggle.Mode, f.toggle.Percent), describe(mode, percent), f.toggle.Epoch+1)
	f.toggle.Mode, f.toggle.Percent = mode, percent
	f.toggle.Epoch++
}

func (f *foretelling) canary() {
	for _, p := range f.c.Playbook.Canary {
		if f.toggle.Mode == strangler.ModeCanary && p <= f.toggle.Percent {
			continue
		}
		f.flip(strangler.ModeCanary, p)
		f.hold(Canary, cmp.Or(f.c.Playbook.Hold, f.e.cfg.CanaryHold))
	}
}

// hold tells of a time in which the service is watched.
func (f *foretelling) hold(step string, lasts time.Duration) {
	wait := "waits " + span(lasts)
	if n := floor(f.c, step); n > 0 {
		wait += fmt.Sprintf(", and for %s that the service has answered", requests(n))
	}
	f.say(atClock, "%s", wait)
}

func (f *foretelling) cutover(ctx context.Context) error {
	if f.c.Stateless() {
		f.flip(strangler.ModeExtracted, 0)
		return nil
	}
	f.say(atBoth, "compares every row once more, if the last comparison is older than %s", span(f.e.cfg.VerifyFresh))
	f.run("armed")
	return f.handOver(ctx, strangler.Service)
}

// handOver tells of the writes going to a side, as CUTOVER.md has it in section 4.
func (f *foretelling) handOver(ctx context.Context, to strangler.Side) error {
	from, holder, mode := to.Other(), "the service", strangler.ModeExtracted
	if to == strangler.Legacy {
		holder, mode = "the monolith", strangler.ModeLegacy
	}
	f.say(atProxies, "every instance holds new writes of the capability's routes and touches, and lets those in flight end")
	if err := f.fence(ctx, from, false); err != nil {
		return err
	}
	f.say(atBoth, "reads the position of the %s, catches up to it, compares the keys that changed last, sets sequences ahead", databaseOf(from))
	f.toggle.Mode, f.toggle.Percent, f.toggle.Owner = mode, 0, to
	f.say("control store", "one compare-and-swap: the owner is %s, the toggle %s; this decides", to, mode)
	if err := f.fence(ctx, to, true); err != nil {
		return err
	}
	f.say(atProxies, "every instance releases the held writes to %s; the stream to the %s begins", holder, databaseOf(from))
	return nil
}

// fence tells of the one statement outside scripts. Each takes an epoch of its own.
func (f *foretelling) fence(ctx context.Context, side strangler.Side, open bool) error {
	f.toggle.Epoch++
	verb := "closes"
	if open {
		verb = "opens"
	}
	if f.e.cfg.Scripts == nil {
		f.say(databaseOf(side), "%s the fence", verb)
		return nil
	}
	statement, err := f.e.cfg.Scripts.FenceStatement(ctx, f.c.Name, side, f.toggle.Epoch, open)
	if err != nil {
		return fmt.Errorf("the statement that %s the fence: %w", verb, err)
	}
	f.say(databaseOf(side), "-- %s the fence\n%s", verb, strings.TrimSpace(statement))
	return nil
}

// own tells of a step of the capability's own.
func (f *foretelling) own(s entry) {
	for _, o := range f.c.Playbook.Own {
		if o.Name != s.Name {
			continue
		}
		switch {
		case o.Run != nil:
			f.say(atMachine, "%s", o.Words())
		case o.HTTP != nil:
			f.say(strangler.Shown(o.HTTP.URL), "GET, until it is answered as it should be")
		case o.SQL != nil:
			f.say(databaseOf(o.SQL.Side), "%s -- until it answers %s", o.SQL.Query, o.SQL.Answer)
		case o.Prometheus != nil:
			f.say(strangler.Shown(o.Prometheus.URL), "%s, until it is within its bounds", o.Prometheus.Query)
		case o.Approve != nil:
			f.say(atPerson, "waits for approval: strangler playbook approve %s %s", f.c.Name, o.Name)
		case o.Wait != nil:
			f.say(atClock, "waits %s", span(o.Wait.For))
		case o.Notify != nil:
			f.say("webhook", "%s", o.Words())
		}
	}
}
