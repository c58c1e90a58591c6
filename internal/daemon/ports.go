package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/admin"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/playbook"
	"github.com/strangler-fig/strangler/proxy"
)

// splitsPort names Copy as the playbook and the admin API do.
type splitsPort struct{ *migrations.Splits }

func (p splitsPort) Start(ctx context.Context, capability string) error {
	return p.Copy(ctx, capability)
}

// scriptsPort tells the playbook what the databases would be asked to do.
type scriptsPort struct{ *migrations.Splits }

func (p scriptsPort) FenceStatement(ctx context.Context, capability string, side strangler.Side, epoch int64, open bool) (string, error) {
	state := migrations.FenceClosed
	if open {
		state = migrations.FenceOpen
	}
	return p.Splits.FenceStatement(ctx, capability, side, epoch, state)
}

// trafficPort counts what this process's proxy has answered.
type trafficPort struct{ p *proxy.Proxy }

func (t trafficPort) Requests(capability string, side strangler.Side) (requests, failed int64) {
	if t.p == nil {
		return 0, 0
	}
	a := answers(t.p, capability, side)
	return a.Requests, a.Errors
}

// counts are the proxy's; nil without one.
func (d *Daemon) counts() admin.Counts {
	if d.proxy == nil {
		return nil
	}
	return trafficPort{d.proxy}
}

// queriesPort asks the capabilities' databases.
type queriesPort []strangler.Capability

func (p queriesPort) Query(ctx context.Context, capability string, side strangler.Side, query string) (string, error) {
	for _, c := range p {
		if c.Name != capability {
			continue
		}
		b := migrations.Binding{Capability: capability, Side: side, DSN: c.Legacy.Database}
		if side == strangler.Service {
			b.DSN = c.Service.Database
		}
		return engines.Ask(ctx, b, query)
	}
	return "", fmt.Errorf("there is no capability %q: %w", capability, strangler.ErrConfig)
}

// notices are what this process's proxy has noticed of a capability.
func (d *Daemon) notices(capability string) []string {
	if d.proxy == nil {
		return nil
	}
	return d.proxy.Notices(capability)
}

// togglesPort is the control store's reading side with the fleet's flips.
type togglesPort struct {
	*control.Store
	fleet *fleet
}

func (p togglesPort) Flip(ctx context.Context, capability string, change strangler.ToggleChange) (strangler.Flip, error) {
	return p.fleet.Flip(ctx, capability, change)
}

// Snapshot says when this instance cannot read the store and serves what it knows.
func (p togglesPort) Snapshot(ctx context.Context) (strangler.Snapshot, error) {
	snap, err := p.Store.Snapshot(ctx)
	if err != nil && p.fleet.proxy != nil {
		snap, err = p.fleet.proxy.Snapshot(), nil
		snap.Stale = true
	}
	return snap, err
}

// ownersPort hands over by hand: a run of one step, with the same ledger.
type ownersPort struct{ d *Daemon }

// rollback is what the playbook calls its rollback to the cutover, where it is asked for one step.
const rollback = "rollback"

func (p ownersPort) Cutover(ctx context.Context, capability, who, why string) (strangler.Cutover, error) {
	err := p.byHand(ctx, capability, playbook.Cutover, playbook.RunOptions{Who: who, Why: why})
	return p.outcome(ctx, capability, err)
}

func (p ownersPort) Rollback(ctx context.Context, capability, who, why string) (strangler.Cutover, error) {
	err := p.byHand(ctx, capability, rollback, playbook.RunOptions{Who: who, Why: why})
	return p.outcome(ctx, capability, err)
}

func (p ownersPort) Complete(ctx context.Context, capability, who, confirm string) error {
	return p.byHand(ctx, capability, playbook.Complete, playbook.RunOptions{Who: who, Confirm: confirm})
}

// byHand does one step, and returns nil when it has been done.
func (p ownersPort) byHand(ctx context.Context, capability, step string, o playbook.RunOptions) error {
	if err := p.d.working(); err != nil {
		return err
	}
	if slices.ContainsFunc(p.d.cfg.Capabilities, func(c strangler.Capability) bool { return c.Name == capability && c.Stateless() }) {
		return nothingToHandOver(capability, step)
	}
	begun, err := p.d.playbook.Only(ctx, capability, step, o)
	if err != nil {
		return err
	}
	run, err := p.d.playbook.Wait(ctx, capability)
	if err != nil {
		return err
	}
	end := strangler.RunDone
	if step == rollback {
		end = strangler.RunRolledBack
	}
	if run.ID == begun.ID && run.State == end {
		return nil
	}
	return p.otherwise(ctx, begun.ID, run, step)
}

// nothingToHandOver refuses a step by hand of a capability without tables, and says by what it moves.
func nothingToHandOver(capability, step string) error {
	next := map[string][]string{
		playbook.Cutover:  {"strangler toggle set " + capability + " extracted --why TEXT", "strangler playbook run " + capability},
		rollback:          {"strangler toggle set " + capability + " legacy --why TEXT", "strangler playbook rollback " + capability},
		playbook.Complete: {"strangler playbook run " + capability},
	}
	return strangler.Refuse("tables", capability+" owns no tables, so there is nothing to hand over; its toggle alone moves it", next[step]...)
}

// otherwise is the error of a step by hand that somebody has stopped or turned back before it was done.
func (p ownersPort) otherwise(ctx context.Context, begun int64, run strangler.Run, step string) error {
	command := "strangler split " + step + " " + run.Capability
	what, next := string(run.State), command+" begins anew"
	switch {
	case run.ID != begun:
		what, next = fmt.Sprintf("over, and run %d has been begun since", run.ID), "strangler playbook status "+run.Capability+" says more"
	case run.State == strangler.RunPaused:
		next = "strangler playbook continue " + run.Capability + " goes on"
	}
	if run.ID == begun && len(run.Acts) > 0 {
		what += " by " + run.Acts[len(run.Acts)-1].Who
	}
	owner := "who owns, strangler split status " + run.Capability + " says"
	if t, err := p.d.store.Toggle(ctx, run.Capability); err == nil {
		owner = fmt.Sprintf("%s owns", t.Owner)
	}
	return fmt.Errorf("%s has not come to its end: run %d of %s is %s; %s, and nothing was lost; %s: %w", step, begun, run.Capability, what, owner, next, strangler.ErrStopped)
}

// outcome is the row of what was handed over last, beside the error of the attempt. Where there was never a cutover it names the
// owner alone.
func (p ownersPort) outcome(ctx context.Context, capability string, err error) (strangler.Cutover, error) {
	if err != nil {
		return strangler.Cutover{}, err
	}
	row, err := p.d.store.LatestCutover(ctx, capability)
	if errors.Is(err, strangler.ErrNotFound) {
		var t strangler.Toggle
		t, err = p.d.store.Toggle(ctx, capability)
		row = strangler.Cutover{Capability: capability, From: t.Owner, To: t.Owner.Other()}
	}
	return row, err
}

func (p ownersPort) Adopt(ctx context.Context, capability string, o admin.Order) (admin.Evidence, error) {
	lines, _, err := p.d.splits.Evidence(ctx, capability)
	if err != nil {
		return admin.Evidence{}, err
	}
	e := admin.Evidence{Lines: lines}
	if o.Owner == "" {
		e.Toggle, err = p.d.store.Toggle(ctx, capability)
		return e, err
	}
	if err := p.d.working(); err != nil {
		return e, err
	}
	e.Toggle, err = p.d.splits.Adopt(ctx, capability, migrations.AdoptOrder{Owner: o.Owner, Who: o.Who, Why: o.Why, Lost: o.Lost})
	return e, err
}

// runsPort is the playbook as the admin API asks for it.
type runsPort struct{ d *Daemon }

func (p runsPort) Run(ctx context.Context, capability, until, who string) (strangler.Run, error) {
	if err := p.d.working(); err != nil {
		return strangler.Run{}, err
	}
	return p.d.playbook.Run(ctx, capability, playbook.RunOptions{Until: until, Who: who})
}

func (p runsPort) Rollback(ctx context.Context, capability, to, who string) (strangler.Run, error) {
	if err := p.d.working(); err != nil {
		return strangler.Run{}, err
	}
	return p.d.playbook.Rollback(ctx, capability, playbook.RunOptions{To: to, Who: who})
}

func (p runsPort) Approve(ctx context.Context, capability string, o admin.Order) error {
	return p.approve(ctx, capability, o, false)
}

func (p runsPort) approve(ctx context.Context, capability string, o admin.Order, dry bool) error {
	return p.d.playbook.Approve(ctx, capability, playbook.RunOptions{Step: o.Step, Who: o.Who, Confirm: o.Confirm, Dry: dry})
}

func (p runsPort) Ask(ctx context.Context, action admin.Action, capability string, order admin.Order) (strangler.Run, []string, error) {
	return p.ask(ctx, action, capability, order, false)
}

// ask has something done with a run, or only says what would refuse that.
func (p runsPort) ask(ctx context.Context, action admin.Action, capability string, order admin.Order, dry bool) (run strangler.Run, changes []string, err error) {
	if err := p.d.working(); err != nil {
		return run, nil, err
	}
	o := playbook.RunOptions{Step: order.Step, Who: order.Who, Why: order.Why, Dry: dry}
	switch action {
	case admin.ActionPause:
		run, err = p.d.playbook.Pause(ctx, capability, o)
	case admin.ActionContinue:
		run, err = p.d.playbook.Continue(ctx, capability, o)
	case admin.ActionAbort:
		run, err = p.d.playbook.Abort(ctx, capability, o)
	case admin.ActionSkip:
		run, err = p.d.playbook.Skip(ctx, capability, o)
	case admin.ActionRetry:
		run, err = p.d.playbook.Retry(ctx, capability, o)
	case admin.ActionAccept:
		return p.d.playbook.Accept(ctx, capability, o)
	default:
		err = fmt.Errorf("%w: nothing of a run is called %q", strangler.ErrNotFound, action)
	}
	return run, nil, err
}

func (p runsPort) Status(ctx context.Context, capability string) (strangler.Run, error) {
	return p.d.playbook.Status(ctx, capability)
}

// working refuses what only a worker does.
func (d *Daemon) working() error {
	if d.opts.Worker {
		return nil
	}
	return strangler.Refuse("role", "this daemon runs without the worker role", "ask a daemon that runs with --roles worker")
}

// previewsPort says what would be done.
type previewsPort struct{ d *Daemon }

func (p previewsPort) Fences(ctx context.Context, capability string, from strangler.Side) ([]string, error) {
	t, err := p.d.store.Toggle(ctx, capability)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range []struct {
		side strangler.Side
		verb string
	}{{from, "closes"}, {from.Other(), "opens"}} {
		s, err := scriptsPort{p.d.splits}.FenceStatement(ctx, capability, f.side, t.Epoch+int64(len(out))+1, f.side != from)
		if err != nil {
			return nil, fmt.Errorf("show the fence: %w", err)
		}
		out = append(out, fmt.Sprintf("-- %s the fence of the %s database\n%s", f.verb, f.side, s))
	}
	return out, nil
}

func (p previewsPort) Ask(ctx context.Context, action admin.Action, capability string, o admin.Order) ([]string, error) {
	if action == admin.ActionApprove {
		return nil, runsPort(p).approve(ctx, capability, o, true)
	}
	_, changes, err := runsPort(p).ask(ctx, action, capability, o, true)
	return changes, err
}

func (p previewsPort) Foretell(ctx context.Context, capability, until string) ([]strangler.Planned, error) {
	return p.d.playbook.Foretell(ctx, capability, until)
}

func (p previewsPort) ForetellBack(ctx context.Context, capability, to string) (strangler.Run, []strangler.Planned, error) {
	if err := p.d.working(); err != nil {
		return strangler.Run{}, nil, err
	}
	return p.d.playbook.ForetellBack(ctx, capability, to)
}

func (p previewsPort) Steps(ctx context.Context, capability string) ([]strangler.StepRun, error) {
	return p.d.playbook.Preview(ctx, capability)
}
