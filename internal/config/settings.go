package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
)

const (
	defaultWait  = 10 * time.Second
	defaultDrain = 2 * time.Second
	defaultPace  = 10 * time.Minute
	defaultSoak  = 14 * day
	onePercent   = strangler.Hundred / 100
)

// StepNames are the playbook's steps in their order, as playbook.approve may name them beside the capability's own.
var StepNames = []string{"expand", "copy", "verify", "shadow", "canary", "cutover", "soak", "complete"}

// pointOfNoReturn is the step that drops a capability's tables at the monolith.
const pointOfNoReturn = "complete"

// shadowable are the methods that may be sent twice.
var shadowable = []string{"GET", "HEAD", "OPTIONS"}

func (r *reader) shadow(f field) strangler.Shadow {
	keys := r.object(f, "sample", "methods", "ignore")
	s := strangler.Shadow{Sample: r.percent(keys["sample"], 10*onePercent), Methods: []string{"GET", "HEAD"}}
	if keys["methods"].given() {
		s.Methods = []string{}
		for _, item := range r.list(keys["methods"]) {
			method, ok := r.text(item)
			switch {
			case !ok:
			case !slices.Contains(shadowable, method):
				r.problem(item, "%s: only %s are sent to both sides, since anything else could act twice", item.raw(), strings.Join(shadowable, ", "))
			default:
				s.Methods = append(s.Methods, method)
			}
		}
	}
	for _, item := range r.list(keys["ignore"]) {
		path, ok := r.text(item)
		switch {
		case !ok:
		case !strings.HasPrefix(path, "$.") && !strings.HasPrefix(path, "$["):
			r.problem(item, "%s is not a JSON path; write one, as in $.generated_at", item.raw())
		default:
			s.Ignore = append(s.Ignore, path)
		}
	}
	return s
}

func (r *reader) guard(f field) strangler.Guard {
	keys := r.object(f, "min_requests", "max_error_delta", "max_p99_ratio")
	g := strangler.Guard{
		MinRequests:   r.whole(keys["min_requests"], 200, 1),
		MaxErrorDelta: r.percent(keys["max_error_delta"], onePercent),
		MaxP99Ratio:   1.5,
	}
	if s, ok := r.text(keys["max_p99_ratio"]); ok {
		ratio, err := strconv.ParseFloat(s, 64)
		if err != nil || !(ratio >= 1) || ratio > 1e6 {
			r.problem(keys["max_p99_ratio"], "%s: write a number from 1, as in 1.5: the service's p99 may be that many times the monolith's", keys["max_p99_ratio"].raw())
		}
		g.MaxP99Ratio = ratio
	}
	return g
}

func (r *reader) playbook(k strangler.Capability, f field) strangler.PlaybookSettings {
	keys := r.object(f, "canary", "soak", "approve", "hold", "shadow", "requests", "rehearse", "steps")
	copies := r.object(keys["rehearse"], "legacy", "service")
	p := strangler.PlaybookSettings{
		Canary:   r.canary(keys["canary"]),
		Hold:     r.span(keys["hold"], defaultPace),
		Shadow:   r.span(keys["shadow"], defaultPace),
		Soak:     r.duration(keys["soak"], defaultSoak),
		Approve:  []string{"cutover", pointOfNoReturn},
		Requests: int64(r.whole(keys["requests"], 1, 0)),
		Own:      r.steps(k, keys["steps"]),
		Rehearse: strangler.Rehearse{Legacy: r.dsn(copies["legacy"], ""), Service: r.dsn(copies["service"], "")},
	}
	if keys["approve"].given() {
		p.Approve = []string{}
		names := slices.Clone(StepNames)
		for _, own := range p.Own {
			names = append(names, own.Name)
		}
		for _, item := range r.list(keys["approve"]) {
			step, ok := r.text(item)
			switch {
			case !ok:
			case !slices.Contains(names, step):
				r.problem(item, "%s is not a step; the steps are %s", item.raw(), strings.Join(names, ", "))
			case slices.ContainsFunc(p.Own, func(o strangler.OwnStep) bool { return o.Name == step && o.Approve != nil }):
				r.problem(item, "%s waits for a person anyway; leave it out", item.raw())
			default:
				p.Approve = append(p.Approve, step)
			}
		}
	}
	// Who has anybody asked is asked before the point of no return; only an empty list asks nobody.
	if len(k.Tables) > 0 && len(p.Approve) > 0 && !slices.Contains(p.Approve, pointOfNoReturn) {
		p.Approve = append(p.Approve, pointOfNoReturn)
	}
	return p
}

func (r *reader) canary(f field) []strangler.Percent {
	usual := []strangler.Percent{onePercent, 10 * onePercent, 50 * onePercent, strangler.Hundred}
	if !f.given() {
		return usual
	}
	var all []strangler.Percent
	for _, item := range r.list(f) {
		p := r.percent(item, 10*onePercent)
		switch {
		case p == 0:
			r.problem(item, "0%% moves nobody; begin above it, as in 1%%")
		case len(all) > 0 && p <= all[len(all)-1]:
			r.problem(item, "%s comes after %s; write the percentages in rising order", p, all[len(all)-1])
		}
		all = append(all, p)
	}
	if emptyList(f) {
		r.problem(f, "the list is empty; write at least one percentage, as in [100%%]")
	}
	return all
}
