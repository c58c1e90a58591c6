package playbook

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// lease is that of one capability's runs, as far as this daemon has it.
type lease struct {
	turn  chan struct{} // holds one token while the store is told, so that it hears of a taking and a giving back in their order
	users atomic.Int32  // who here works under it: a command, a worker
}

// hold takes the lease of a capability's runs for one user, or refuses and names who has it. letGo ends that.
func (e *Engine) hold(ctx context.Context, capability string) error {
	if e.cfg.Leases == nil {
		return nil
	}
	l := e.leases[capability]
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return fmt.Errorf("taking the lease of the runs of %s, nothing was changed: %w", capability, ctx.Err())
	}
	name := strangler.RunLease(capability)
	held, err := e.cfg.Leases.Lease(ctx, name, e.cfg.Worker, e.cfg.Lease)
	if err == nil && held {
		l.users.Add(1)
		return nil
	}
	holder := ""
	if err == nil {
		holder, err = e.cfg.Leases.LeaseHolder(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("taking the lease of the runs of %s, nothing was changed: %w", capability, err)
	}
	if holder == "" || holder == e.cfg.Worker {
		return strangler.Refuse("run", fmt.Sprintf("this daemon has not got the runs of %s yet, and nobody else has", capability), "ask again in a moment")
	}
	return elsewhere(capability, holder)
}

// elsewhere is the refusal of what another daemon would have to be asked.
func elsewhere(capability, holder string) error {
	return strangler.Refuse("run", fmt.Sprintf("another daemon, %s, works on the runs of %s", holder, capability),
		"ask that daemon, at its admin address", "stop it, or wait where it was killed: what it does goes on here a few seconds later")
}

// letGo ends what hold began, or launch, which has a worker go on under what its caller holds: the last one gives the lease back.
func (e *Engine) letGo(ctx context.Context, capability string) {
	if e.cfg.Leases == nil {
		return
	}
	l := e.leases[capability]
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.users.Add(-1) > 0 {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := e.cfg.Leases.Unlease(bounded, strangler.RunLease(capability), e.cfg.Worker); err != nil {
		e.cfg.Log.Warn("the lease of the runs could not be given back; it ends by itself", strangler.LogCapability, capability, strangler.LogError, err)
	}
}

// keep renews the lease while do works, and ends that when another has got it. It lets go of what launch took.
func (e *Engine) keep(ctx context.Context, capability string, do func(context.Context)) {
	if e.cfg.Leases == nil {
		do(ctx)
		return
	}
	held, lose := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(e.cfg.Lease / 4)
		defer tick.Stop()
		for {
			// A store that does not answer gives the lease to nobody else either.
			if still, err := e.cfg.Leases.Lease(held, strangler.RunLease(capability), e.cfg.Worker, e.cfg.Lease); err == nil && !still {
				lose(fmt.Errorf("another daemon has the runs of %s: %w", capability, strangler.ErrSuperseded))
				return
			}
			select {
			case <-tick.C:
			case <-held.Done():
				return
			}
		}
	})
	do(held)
	lose(nil)
	renewing.Wait()
	e.letGo(ctx, capability)
}

// attend takes runs over whose daemon is gone, until Close.
func (e *Engine) attend(ctx context.Context) {
	tick := time.NewTicker(e.cfg.Lease / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := e.resume(ctx); err != nil && ctx.Err() == nil {
			e.cfg.Log.Warn("runs that nobody works on cannot be looked for", strangler.LogError, err)
		}
	}
}

// adopt starts a worker for a run that the ledger has as active, if nobody has one.
func (e *Engine) adopt(ctx context.Context, c strangler.Capability, run strangler.Run) error {
	lane := e.lanes[c.Name]
	if !lane.TryLock() {
		return nil // a person asks for something; next time
	}
	defer lane.Unlock()
	if w := e.worker(c.Name); w != nil && !w.leaves(run.ID) {
		return nil
	}
	var told *strangler.Refusal
	if err := e.hold(ctx, c.Name); errors.As(err, &told) {
		return nil // somebody works on it
	} else if err != nil {
		return err
	}
	defer e.letGo(ctx, c.Name)
	latest, err := e.cfg.Ledger.LatestRun(ctx, c.Name) // as it is now that nobody else changes it
	if err != nil || latest.ID != run.ID || !active(latest) {
		return err
	}
	e.cfg.Log.Info("resuming a run", strangler.LogCapability, c.Name, strangler.LogRun, run.ID)
	return e.launch(c, latest, true)
}

// leaves reports whether a worker is over and leaves the run, should the ledger have it as active, to whoever goes on with it. One whose
// failure the ledger could not be told does not: the run would fail again.
func (w *worker) leaves(runID int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over && (w.run.ID != runID || !w.untold)
}
