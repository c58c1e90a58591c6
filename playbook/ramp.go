package playbook

import (
	"fmt"
	"slices"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// Stage is a stretch of a run in which the service answers one share of the users.
type Stage struct {
	Name     string            `json:"name"`
	Reads    strangler.Percent `json:"reads"`   // at the service, in this stage
	Writes   strangler.Percent `json:"writes"`  // with tables they move at the cutover, all at once; without, as the reads
	Seconds  float64           `json:"seconds"` // how long it lasts; 0 where Open, or for a moment
	Open     bool              `json:"open"`    // nobody knows how long
	Approval bool              `json:"approval"`
	Words    string            `json:"words"` // how long, and for what

	lasts time.Duration
	step  string
}

// ramp is how the users go to the service, stage by stage.
func ramp(c strangler.Capability) (all []Stage) {
	d, s := Config{}.withDefaults(), c.Playbook
	var reads, writes strangler.Percent
	add := func(step, name, words string, lasts time.Duration, open, approval bool) {
		all = append(all, Stage{Name: name, Reads: reads, Writes: writes, Seconds: lasts.Seconds(), Open: open, Approval: approval, Words: words,
			lasts: lasts, step: step})
	}
	asked := func(step string) {
		if slices.Contains(s.Approve, step) {
			add(step, "approval of "+step, "until a person approves", 0, true, true)
		}
	}
	for _, e := range listOf(c) {
		if e.Name != Soak && !(e.NeedsTables && c.Stateless()) {
			asked(e.Name)
		}
		switch e.Name {
		case Copy:
			if !c.Stateless() {
				add(Copy, "copy, verify", "as long as the rows take", 0, true, false)
			}
		case Shadow:
			lasts := pick(s.Shadow, d.ShadowHold)
			sample := "users get the monolith's answers"
			if c.Shadow.Sample > 0 {
				sample = fmt.Sprintf("%s of the requests that may be sent twice go to the service as well; %s", c.Shadow.Sample, sample)
			}
			add(Shadow, "shadow", "at least "+span(lasts)+andRequests(c, Shadow)+"; "+sample, lasts, false, false)
		case Canary:
			for _, p := range s.Canary {
				if reads = p; c.Stateless() {
					writes = p
				}
				lasts := pick(s.Hold, d.CanaryHold)
				add(Canary, "canary "+p.String(), "at least "+span(lasts)+andRequests(c, Canary), lasts, false, false)
			}
		case Cutover:
			reads, writes = strangler.Hundred, strangler.Hundred
			words := "a moment, in which writes are held"
			if c.Stateless() {
				words = "a moment"
			}
			add(Cutover, "cutover", words, 0, false, false)
		case Soak:
			add(Soak, "soak", span(s.Soak), s.Soak, false, false)
			asked(Soak)
		case Complete:
			add(Complete, "complete", "no way back from here", 0, false, false)
		}
		for _, o := range s.Own {
			switch {
			case o.Name != e.Name:
			case o.Wait != nil:
				add(o.Name, o.Name, span(o.Wait.For), o.Wait.For, false, false)
			case o.Approve != nil:
				add(o.Name, o.Name, "until a person approves", 0, true, true)
			}
		}
	}
	return all
}
