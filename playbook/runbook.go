package playbook

import (
	"fmt"
	"slices"
	"strings"

	strangler "github.com/strangler-fig/strangler"
)

// The texts here are prose in which commands stand in backticks, without the program's name.

// Trouble is what may happen, and what to do then.
type Trouble struct{ If, Then string }

// Before is what has to be so before a run is begun.
func (p Plan) Before() []string {
	list := []string{
		"`check` finds nothing missing.",
		"The users' requests come through the proxy, and `serve` is started again by something when it ends.",
		"The service runs, and you know where its log, its errors and its latency are to be seen.",
	}
	if !p.Stateless {
		list = append(list,
			"There is a backup of both databases, and somebody has restored one.",
			"It is known who writes the tables beside the proxy: jobs, consoles, other programs. Once the service owns, the fence refuses them.")
	}
	if slices.ContainsFunc(p.Touches, func(t PlanTouch) bool { return !t.Seam && !t.Fails }) {
		list = append(list, "Each touch has a seam, or is declared to fail. At least one is not: the cutover will be refused.")
	}
	if p.OneWay() {
		list = append(list, "Everybody knows which tables go one way: a rollback loses what the service has written there.")
	}
	if asks := p.approvals(); len(asks) > 0 {
		list = append(list, "It is agreed who approves "+listed(asks)+", and who may take it back at night without asking.")
	}
	return list
}

// approvals are the names of the steps that wait for a person, as code.
func (p Plan) approvals() (names []string) {
	for _, s := range p.Steps {
		if s.Approval {
			names = append(names, quote(s.Name))
		}
	}
	return names
}

// OnTheDay is what to do on the day of the cutover, in this order.
func (p Plan) OnTheDay() []string {
	list := []string{put(p, "`playbook status CAP`: the cutover is next, and it waits for nothing but a person.")}
	if !p.Stateless {
		list = append(list, "No migration, backup or report holds a transaction open on either database: a cutover waits for it and then names it.")
	}
	list = append(list,
		"Nobody deploys. Whoever answers the telephone knows the hour, and what users would see: a pause in writing at the most.",
		"Say beforehand by which sign, and until when, you would go back.",
		put(p, "`playbook approve CAP cutover`, where it waits for that, and watch: `playbook status CAP`."),
		"Try it by hand, as step cutover says. Then tell everybody, or go back.")
	return list
}

// Refusals are what a cutover is refused on, before any write is held; none without tables.
func (p Plan) Refusals() []string {
	if p.Stateless {
		return nil
	}
	return []string{
		"more than 1,000 changes are not applied yet, or more than 1,000 keys wait to be compared",
		"the verification is missing, older than a day, or has found a mismatch (the playbook repeats one that is older than an hour)",
		"rows are known to differ",
		"a touch has no seam and is not declared to fail",
		"the service is not well by its `health` path",
		"an instance of the proxy is not on the current epoch",
		"`on_delete` says something else than the scripts were made for",
	}
}

// Guard says on what evidence a canary is taken back; empty where its settings say nothing.
func (p Plan) Guard() string {
	g := p.guard
	if g == (strangler.Guard{}) {
		return ""
	}
	s := ""
	if g.MaxErrorDelta > 0 {
		s = fmt.Sprintf("While a run is under way, the guard takes the canary back to legacy when the service's share of errors is more than %s above the monolith's, "+
			"counted from %d requests on: at each percentage, and over the last minutes while somebody makes up their mind. Where the monolith answers too few to compare with, as of a canary of 100%%, it counts as it did before. The run then fails, with the evidence. ", g.MaxErrorDelta, max(g.MinRequests, 1))
	}
	if g.MaxP99Ratio > 0 {
		s += fmt.Sprintf("Latency stops nothing by itself: at more than %g times the monolith's p99, go back by hand.", g.MaxP99Ratio)
	}
	return strings.TrimSpace(s)
}

// Troubles are what may happen on the way, with what to do.
func (p Plan) Troubles() []Trouble {
	list := []Trouble{
		{"You want it to stop for now", "`playbook pause CAP` begins nothing more, `playbook continue CAP` goes on. `playbook abort CAP` ends the run where it stands and takes nothing back."},
		{"The run failed", "Nothing after the step was begun. `playbook status CAP` says which and why. Put it right, then `playbook run CAP`, or `playbook retry CAP STEP`; " +
			"`playbook skip CAP STEP --why \"…\"` where you know better."},
		{"The daemon was killed", "Start it again: it goes on from what it finds. Of several, another takes the run over within seconds. A cutover that was not decided is taken back, one that was is finished."},
		{"The service is down, before the cutover", "The share of the canary gets errors until the guard takes it back, or you do: `toggle set CAP legacy --why \"…\"`. The run fails and says so; `playbook run CAP` begins with the shadow anew."},
		{"The service is down, after the cutover", "Its routes fail until it is back. If that takes too long, `playbook rollback CAP`: it needs the databases, not the service."},
		{"Errors rise at a canary", "The guard takes it back where its bounds say so. Before that, `toggle set CAP legacy --why \"…\"`, at once and on every instance. Then look for the reason."},
		{"Errors rise after the cutover", "`playbook rollback CAP`. No write is lost by it, so it may be done on suspicion."},
	}
	if p.Stateless {
		list[4].Then = "Its routes fail until it is back. If that takes too long, `playbook rollback CAP` sets the toggle to legacy."
		list[6].Then = "`playbook rollback CAP` sets the toggle to legacy."
	} else {
		list = append(list,
			Trouble{"A database is down", "If it is the owner's, writes fail, as they would without Strangler. If it is the other one, only the lag grows. Bring it back; nothing has to be told."},
			Trouble{"The split stopped", "`split status CAP` says why, and what to do next. Nothing is lost, the owner still owns. Then `playbook run CAP`."},
			Trouble{"Rows differ", "`split writers CAP` for whoever made them so, then `split verify CAP --repair`, which brings the owner's rows again."},
			Trouble{"The cutover is refused, or aborts", "The side that owned owns, and nothing was lost; the message names the check. Whatever may pass by itself is tried up to five times."},
			Trouble{"A database was put back from a backup", "Nothing opens until a person has said which side owns: `split adopt CAP` shows the evidence."})
	}
	if p.OneWay() {
		list[6].Then = "`playbook rollback CAP`. No write is lost by it but what the service has written in tables that go one way."
	}
	list = append(list, Trouble{"The control store is down", "Requests go where they went; no toggle changes, and no cutover is decided. When it is back: `playbook status CAP`, and `playbook run CAP` if the run has failed."})
	for i := range list {
		list[i].Then = put(p, list[i].Then)
	}
	return list
}

// Reaches is how far each rollback goes, the shortest first. There is none behind the point of no return.
func (p Plan) Reaches() []Reach {
	all := []Reach{
		{Cutover, "playbook rollback " + p.Capability, "the monolith owns again, the toggle is legacy; rows go on being copied; before the cutover the same as --to shadow"},
		{Shadow, "playbook rollback " + p.Capability + " --to shadow", "nobody is at the service, before the cutover too; rows go on being copied"},
		{Expand, "playbook rollback " + p.Capability + " --to expand", "also the split is cancelled: both databases are as they were"},
	}
	if p.Stateless {
		all = []Reach{{Cutover, "playbook rollback " + p.Capability, "the toggle is legacy, at any step before complete"}}
	}
	return all
}

// Reach is a rollback: the first step that it takes back, its command, and how things are behind it.
type Reach struct{ Step, Command, Then string }

func put(p Plan, text string) string { return inProse(text, p.Capability) }

// listed joins names as a sentence does.
func listed(names []string) string {
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " and " + names[last]
	}
	return strings.Join(names, "")
}

// quote makes code of what a configuration says.
func quote(s string) string { return "`" + strings.ReplaceAll(s, "`", "'") + "`" }
