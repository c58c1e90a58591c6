package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/config"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/playbook"
	"github.com/strangler-fig/strangler/proxy"
)

// Finding is one thing that Check says.
type Finding struct {
	Capability string
	Check      string
	Missing    bool // has to be settled before the capability can move
	Warning    bool // works, but should be known
	Message    string
	Next       []string
}

// Check says what can be known before anything runs: upstreams, databases, tables, touches, who writes, who is who, webhooks. It
// changes nothing, except that the control store is made where it was not. What is missing or warned of comes with what to do. Of a
// capability that is on its way, or complete, it finds no fault with what Strangler itself has made.
func Check(ctx context.Context, cfg *config.Config) (out []Finding, err error) {
	store, err := control.Open(ctx, control.Config{DSN: cfg.Control})
	if err != nil {
		return append(out, Finding{Check: "control", Missing: true, Message: fmt.Sprintf("the control store %s cannot be opened: %v", config.Redact(cfg.Control), err), Next: []string{"correct `control` in strangler.yaml"}}), nil
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	out = append(out, Finding{Check: "control", Message: "the control store opens: " + store.ID()})
	out = append(out, reach(ctx, "", "legacy upstream", cfg.Legacy)...)
	for _, c := range cfg.Capabilities {
		out = append(out, reach(ctx, c.Name, "service upstream", c.Service)...)
		split, err := store.Split(ctx, c.Name)
		if err != nil {
			return out, err
		}
		if split.Phase == strangler.PhaseComplete {
			out = append(out, Finding{Capability: c.Name, Check: "split", Message: "complete: the service owns its tables, nothing is left to move"})
			continue
		}
		out = append(out, touches(c)...)
		out = append(out, programs(c)...)
		out = append(out, identity(ctx, c)...)
		if c.Stateless() {
			continue
		}
		toggle, err := store.Toggle(ctx, c.Name)
		if err != nil && !errors.Is(err, strangler.ErrNotFound) { // no daemon has seen the capability yet
			return out, err
		}
		out = append(out, approvals(c)...)
		out = append(out, tables(ctx, cfg, c, store.ID(), toggle.Owner == strangler.Service)...)
	}
	for i, w := range cfg.Webhooks {
		out = append(out, receiver(ctx, i, w))
	}
	return out, nil
}

// reach warns: the daemon starts though an upstream is down, but not where nobody could vouch for it.
func reach(ctx context.Context, capability, check string, up strangler.Upstream) (out []Finding) {
	if len(up.URLs) == 0 {
		return []Finding{{Capability: capability, Check: check, Warning: true, Message: "it has no url yet", Next: []string{"write in strangler.yaml where it listens, before a toggle sends anything there"}}}
	}
	if _, err := proxy.ReadCA(up.CA); err != nil {
		return []Finding{{Capability: capability, Check: check, Missing: true, Message: fmt.Sprintf("the ca of %s cannot be read: %v", up, err), Next: []string{"put the certificates of its CA there, in PEM, or correct `ca` in strangler.yaml"}}}
	}
	start := "start it before the cutover"
	if capability == "" {
		start = "start it, or correct legacy.url in strangler.yaml"
	}
	for _, url := range up.URLs {
		found := Finding{Capability: capability, Check: check, Message: url + " answers"}
		err := probe(ctx, url, cmp.Or(up.Health, "/"), up.CA)
		switch {
		case err == nil:
		case up.Health == "" && !unreachable(err):
			found.Message += ", and has no health path to ask"
		default:
			found.Warning, found.Message, found.Next = true, fmt.Sprintf("%s is not well: %v", url, err), []string{start}
		}
		out = append(out, found)
	}
	return out
}

func touches(c strangler.Capability) (out []Finding) {
	for _, t := range c.Touches {
		switch {
		case !t.Seam && !t.Fails:
			out = append(out, Finding{Capability: c.Name, Check: "touches", Missing: true, Message: fmt.Sprintf("%s writes tables of %s from the monolith without a seam; it would fail for good after the cutover", t.Route, c.Name),
				Next: []string{"give it a seam and declare `seam: true`", "declare `seam: false` to accept that it fails"}})
		case t.Fails:
			out = append(out, Finding{Capability: c.Name, Check: "touches", Warning: true, Message: fmt.Sprintf("%s is declared to fail after the cutover of %s", t.Route, c.Name),
				Next: []string{"nothing, if it may fail; otherwise give it a seam and declare `seam: true`"}})
		}
	}
	return out
}

// programs are those of the team's own steps, which have to be there when their step comes.
func programs(c strangler.Capability) (out []Finding) {
	for _, o := range c.Playbook.Own {
		if o.Run == nil {
			continue
		}
		for _, command := range [][]string{o.Run.Command, o.Run.Check, o.Run.Undo} {
			if len(command) == 0 {
				continue
			}
			if _, err := exec.LookPath(command[0]); err != nil {
				out = append(out, Finding{Capability: c.Name, Check: "steps", Missing: true, Message: fmt.Sprintf("the step %s cannot be run: %v", o.Name, err),
					Next: []string{"put the program there, with the right to be executed, or correct playbook.steps in strangler.yaml"}})
			}
		}
	}
	return out
}

// approvals warns where nobody is asked before the point of no return.
func approvals(c strangler.Capability) []Finding {
	asked := slices.Contains(c.Playbook.Approve, playbook.Complete) || slices.ContainsFunc(c.Playbook.Own, func(o strangler.OwnStep) bool {
		return o.Approve != nil && (o.Before == playbook.Complete || o.After == playbook.Soak)
	})
	if asked {
		return nil
	}
	var tables []string
	for _, t := range c.Tables {
		tables = append(tables, t.From)
	}
	return []Finding{{Capability: c.Name, Check: "approve", Warning: true,
		Message: fmt.Sprintf("`approve: []` has nobody asked: complete will drop what moves of %s from the legacy database as soon as the soak is over", strings.Join(tables, ", ")),
		Next:    []string{"leave playbook.approve out of strangler.yaml, or write [complete]", "nothing, where a playbook is to go to its end unattended"}}}
}

// tables plans the split without writing anything, and examines both databases. Where the service owns, the plan has been carried out:
// what it would look for, such as the keys that it cuts, is not there.
func tables(ctx context.Context, cfg *config.Config, c strangler.Capability, id string, moved bool) []Finding {
	p, closeAll, err := migrations.NewPlanning(ctx, engines.Open, cfg.Migrations(), id, c)
	if err != nil {
		return missing(c, "database", err)
	}
	var plan migrations.Plan
	if !moved {
		plan, err = p.Make(ctx)
	}
	examined, failed := p.Examine(ctx)
	var out []Finding
	switch err := errors.Join(err, failed, closeAll()); {
	case err != nil:
		out = append(out, missing(c, "split", err)...)
	case moved:
		out = append(out, Finding{Capability: c.Name, Check: "split", Message: "the service owns its tables, and the monolith's follow"})
	default:
		out = append(out, Finding{Capability: c.Name, Check: "split", Message: fmt.Sprintf("%d tables can be split", len(c.Tables))})
		for _, n := range plan.Notes {
			f := Finding{Capability: c.Name, Check: "split", Warning: true, Message: n.What, Next: []string{"nothing, but know it before the split starts"}}
			if n.Next != "" {
				f.Next = []string{n.Next}
			}
			out = append(out, f)
		}
	}
	return append(out, databases(c, examined)...)
}

// databases are what an engine says of a side's rights, roles and settings, in the order of the phases
// that it says them for.
func databases(c strangler.Capability, examined []migrations.Finding) (out []Finding) {
	for _, f := range examined {
		message := fmt.Sprintf("%s database: %s", f.Side, f.What)
		if f.Phase != "" {
			message = fmt.Sprintf("%s database, %s: %s", f.Side, f.Phase, f.What)
		}
		next := f.Next
		if f.Check == "grant" { // to be pasted, each into its own database
			next = nil
			for _, statement := range f.Next {
				next = append(next, fmt.Sprintf("%s; -- in the %s database", statement, f.Side))
			}
		}
		out = append(out, Finding{Capability: c.Name, Check: f.Check, Missing: f.Forbids, Warning: !f.Fine, Message: message, Next: next})
	}
	return out
}

// missing are findings of an error: one for each that was joined in it.
func missing(c strangler.Capability, check string, err error) (out []Finding) {
	if all, joined := err.(interface{ Unwrap() []error }); joined {
		var text []string
		for _, e := range all.Unwrap() {
			text = append(text, e.Error())
		}
		if strings.Join(text, "\n") == err.Error() { // by errors.Join, and not by a format that says more
			for _, e := range all.Unwrap() {
				out = append(out, missing(c, check, e)...)
			}
			return out
		}
	}
	f := Finding{Capability: c.Name, Check: check, Missing: true, Message: err.Error(), Next: []string{"settle what it says, and check again"}}
	var r *strangler.Refusal
	if errors.As(err, &r) {
		f.Check, f.Message, f.Next = r.Check, r.Why, r.Next
	}
	return append(out, f)
}
