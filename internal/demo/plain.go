package demo

import (
	"fmt"
	"io"
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
	text := fmt.Sprintf("  %-8s %s", step.Name, step.State)
	if took := step.Seconds(); took > 0 && (step.State == strangler.StepDone || step.State == strangler.StepUndone) {
		text += fmt.Sprintf(" after %.1f s", took)
	}
	if step.Detail != "" {
		text += ": " + step.Detail
	}
	p.line(s, "%s", text)
}

func (p *plain) Look(s scene) {
	now := time.Now()
	if p.last.IsZero() {
		p.last = now
	}
	if s.crowd == nil || now.Sub(p.last) < plainPause {
		return
	}
	p.last = now
	r := s.crowd.Requests()
	p.line(s, "  %s requests, %.0f a second, %d failed; %s", thousands(r.Sent), p.rate.see(r.Sent, now), r.Failed, s.side())
}

func (p *plain) End(scene) {}
