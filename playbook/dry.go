package playbook

import (
	"context"
	"fmt"

	strangler "github.com/strangler-fig/strangler"
)

// would changes a copy of the latest run as a person wants it. What refuses the change refuses this, and nothing is written.
func (e *Engine) would(ctx context.Context, capability string, change func(*strangler.Run) error) (strangler.Run, error) {
	if err := e.within(ctx, capability); err != nil {
		return strangler.Run{}, err
	}
	run, err := e.latestRun(ctx, capability)
	if err != nil {
		return run, err
	}
	if w := e.live(capability); w != nil { // it may be further than the ledger
		run, _, _, _ = w.view()
	}
	err = change(&run)
	return run, err
}

// wouldGoBack is the run as it would be once Rollback has turned it back.
func (e *Engine) wouldGoBack(ctx context.Context, c strangler.Capability, latest strangler.Run, to string, back func(*strangler.Run)) (strangler.Run, error) {
	if w := e.live(c.Name); w != nil {
		if run, _, _, _ := w.view(); !whole(run) && run.Steps[0].Name != to {
			return run, underWay(run)
		}
		back(&latest)
		return latest, nil
	}
	if err := e.within(ctx, c.Name); err != nil {
		return latest, err
	}
	if whole(latest) {
		back(&latest)
		return latest, nil
	}
	records, err := e.records(ctx, c)
	return strangler.Run{Capability: c.Name, State: strangler.RunUndoing, BackTo: to, Steps: records}, err
}

// within refuses what cannot be asked of this daemon now: it is not running, or another one works on the capability's runs. Unlike
// hold it takes no lease.
func (e *Engine) within(ctx context.Context, capability string) error {
	if err := e.running(); err != nil || e.cfg.Leases == nil || e.live(capability) != nil {
		return err
	}
	holder, err := e.cfg.Leases.LeaseHolder(ctx, strangler.RunLease(capability))
	switch {
	case err != nil:
		return fmt.Errorf("looking who has the runs of %s, nothing was changed: %w", capability, err)
	case holder != "" && holder != e.cfg.Worker:
		return elsewhere(capability, holder)
	}
	return nil
}
