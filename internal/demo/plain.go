package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
)

// tick is how often there is something to look at.
const tick = 100 * time.Millisecond

// plainPause is between two lines about the traffic.
const plainPause = 5 * time.Second

// plain shows the demo as lines.
type plain struct {
	out  io.Writer
	last time.Time
	rate rate
}

func (p *plain) line(s scene, format string, args ...any) {
	// A stderr that is gone is no reason to stop.
	_, _ = fmt.Fprintf(p.out, "%5.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

func (p *plain) Act(s scene) { p.line(s, "%s", s.act) }

func (p *plain) Step(s scene, step strangler.StepRun) {
	state := string(step.State)
	if took := step.Seconds(); took > 0 && (step.State == strangler.StepDone || step.State == strangler.StepUndone) {
		state += fmt.Sprintf(" after %.1f s", took)
	}
	detail, _, _ := strings.Cut(step.Detail, "; ")
	switch {
	case detail == state: // the state says it
	case strings.HasPrefix(detail, state):
		state = detail
	case detail != "":
		state += ": " + detail
	}
	p.line(s, "  %-8s %s", step.Name, state)
}

func (p *plain) Look(s scene) {
	if s.crowd == nil {
		return
	}
	now, r := time.Now(), s.crowd.Requests()
	perSecond := p.rate.see(r.Sent, now)
	if p.last.IsZero() {
		p.last = now
	}
	if now.Sub(p.last) < plainPause {
		return
	}
	p.last = now
	p.line(s, "  %s requests, %.0f a second, %d failed; %s", thousands(r.Sent), perSecond, r.Failed, s.side())
}

func (p *plain) End(scene) {}
