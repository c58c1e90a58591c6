package daemon

import (
	"context"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
)

// soon is how long a daemon that may come to hold a split is waited for.
const soon = 2 * time.Second

// runLeases have a capability's runs worked on where its split is: what a run does with the rows, that daemon alone can do. They are
// the playbook's Leases.
type runLeases struct{ d *Daemon }

func (l runLeases) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	if capability, splits := l.splits(name); splits && !l.d.splits.Holds(capability) {
		if held, err := l.await(ctx, capability); !held || err != nil {
			return false, err
		}
	}
	return l.d.store.Lease(ctx, name, holder, ttl)
}

// await waits until this daemon holds a split that nobody else does: it has just started, or the one that did is gone.
func (l runLeases) await(ctx context.Context, capability string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	for !l.d.splits.Holds(capability) {
		at, err := l.d.store.LeaseHolder(ctx, strangler.SplitLease(capability))
		if err != nil || at != "" && at != l.d.id {
			return false, err
		}
		if !pause(ctx, 20*time.Millisecond) {
			return false, nil
		}
	}
	return true, nil
}

func (l runLeases) Unlease(ctx context.Context, name, holder string) error {
	return l.d.store.Unlease(ctx, name, holder)
}

// LeaseHolder is who works on the runs, or would: who holds the split. Another daemon comes with its admin address, where the control
// store has that.
func (l runLeases) LeaseHolder(ctx context.Context, name string) (string, error) {
	if capability, splits := l.splits(name); splits {
		if at, err := l.d.store.LeaseHolder(ctx, strangler.SplitLease(capability)); err != nil || at != "" && at != l.d.id {
			return l.addressed(ctx, at), err
		}
	}
	at, err := l.d.store.LeaseHolder(ctx, name)
	return l.addressed(ctx, at), err
}

func (l runLeases) addressed(ctx context.Context, daemon string) string {
	if daemon == "" || daemon == l.d.id {
		return daemon
	}
	all, err := l.d.store.Instances(ctx)
	if err != nil { // its name says enough
		return daemon
	}
	for _, instance := range all {
		if instance.ID == daemon && instance.Admin != "" {
			return daemon + " at " + instance.Admin
		}
	}
	return daemon
}

// splits reports the capability of a run's lease, and whether it has tables.
func (l runLeases) splits(name string) (string, bool) {
	for _, c := range l.d.cfg.Capabilities {
		if strangler.RunLease(c.Name) == name {
			return c.Name, !c.Stateless()
		}
	}
	return strings.TrimPrefix(name, "run/"), false
}
