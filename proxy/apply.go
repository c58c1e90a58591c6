package proxy

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/strangler-fig/strangler"
)

// Apply puts a toggle in force for its capability. It may be called by many goroutines and any
// number of times: toggles are ordered by epoch, and at one epoch a released one is newer than a
// gated one.
//
// A gated toggle closes the gate, then waits until the writes in flight have ended. Nil is the
// acknowledgement that none is in flight and none starts before a release. An error is none: the
// cutover has to be aborted, and the gate stays closed until a release. A released toggle opens the
// gate, and what was held goes where it says.
//
// An equal toggle changes nothing and returns once that state is in force. An older one changes
// nothing either: nil if it is released, because what is in force is newer; ErrSuperseded if it is
// gated, because its gate is not closed and must not be acknowledged.
//
// Further errors, all of which change nothing: ErrNotFound for an unknown capability, ErrRefused for
// a mode that contradicts the owner, ErrConflict for another toggle of the epoch in force, ErrConfig
// for a malformed toggle or a mode that needs a service where none is configured.
func (p *Proxy) Apply(ctx context.Context, t strangler.Toggle) error {
	c, ok := p.byName[t.Capability]
	if !ok {
		return fmt.Errorf("toggle of %q: this proxy has no such capability: %w", t.Capability, strangler.ErrNotFound)
	}
	if err := c.acceptable(t); err != nil {
		return err
	}
	if err := p.install(c, t); err != nil || !t.Gated {
		return err
	}
	return c.gate.drained(ctx, c.Name, t.Epoch, p.config.Hold.Drain)
}

// acceptable refuses what could only be served wrongly.
func (c *capability) acceptable(t strangler.Toggle) error {
	if _, err := strangler.ParseMode(string(t.Mode)); err != nil {
		return fmt.Errorf("toggle of %s at epoch %d: %w: %w; what was in force stays", c.Name, t.Epoch, strangler.ErrConfig, err)
	}
	if t.Percent < 0 || t.Percent > strangler.Hundred {
		return fmt.Errorf("toggle of %s at epoch %d: %w: %s is no percentage; what was in force stays", c.Name, t.Epoch, strangler.ErrConfig, t.Percent)
	}
	if t.Mode != strangler.ModeLegacy && c.service == nil {
		return fmt.Errorf("toggle of %s to %s: %w: the capability has no service url; what was in force stays: set it, and start again", c.Name, t.Mode, strangler.ErrConfig)
	}
	if c.stateless {
		return nil
	}
	if t.Owner != strangler.Legacy && t.Owner != strangler.Service {
		return fmt.Errorf("toggle of %s at epoch %d: %w: the owner is %q, neither legacy nor service; what was in force stays", c.Name, t.Epoch, strangler.ErrConfig, t.Owner)
	}
	return t.Contradiction(t.Mode)
}

// install replaces the snapshot and moves the gate. The order matters: a gate closes before the
// snapshot says so and opens after it, so that a write which passes finds the toggle that let it.
func (p *Proxy) install(c *capability, t strangler.Toggle) error {
	p.applying.Lock()
	defer p.applying.Unlock()
	old := p.snapshot.Load()
	if now := old.toggles[c.index]; now != nil {
		switch order := compare(t, *now); {
		case order < 0: // if it is gated, the gate itself says that it was superseded
			return nil
		case order == 0 && (t.Mode != now.Mode || t.Percent != now.Percent || t.Owner != now.Owner):
			return fmt.Errorf("toggle of %s: epoch %d is in force as %q, and another toggle of the same epoch says %q; what was in force stays: %w; do two control stores serve this proxy?",
				c.Name, t.Epoch, now.Describe(), t.Describe(), strangler.ErrConflict)
		case order == 0:
			return nil
		}
	}
	if t.Gated {
		c.gate.close(t.Epoch)
		c.metrics.gateClosed.Set(1)
	}
	p.snapshot.Store(old.with(c.index, t))
	if !t.Gated {
		c.gate.open()
		c.metrics.gateClosed.Set(0)
	}
	p.config.Log.Info("toggle in force", strangler.LogCapability, c.Name, strangler.LogEpoch, t.Epoch,
		strangler.LogOwner, t.Owner, "mode", t.Mode, "percent", t.Percent, "gated", t.Gated)
	return nil
}

// compare orders toggles of one capability: by epoch, then released after gated.
func compare(a, b strangler.Toggle) int {
	if order := cmp.Compare(a.Epoch, b.Epoch); order != 0 || a.Gated == b.Gated {
		return order
	}
	if a.Gated {
		return -1
	}
	return 1
}

// with is the snapshot with one toggle replaced.
func (s *snapshot) with(index int, t strangler.Toggle) *snapshot {
	next := &snapshot{toggles: append([]*strangler.Toggle(nil), s.toggles...), at: time.Now()}
	next.toggles[index] = &t
	next.owners, next.crowded = nameOwners(next.known())
	return next
}

func (s *snapshot) known() []strangler.Toggle {
	known := make([]strangler.Toggle, 0, len(s.toggles))
	for _, t := range s.toggles {
		if t != nil {
			known = append(known, *t)
		}
	}
	return known
}

// Toggle is what is in force for a capability. The zero Toggle: nothing was applied yet, or there is
// no such capability.
func (p *Proxy) Toggle(capability string) strangler.Toggle {
	if c, ok := p.byName[capability]; ok {
		if t := p.snapshot.Load().toggles[c.index]; t != nil {
			return *t
		}
	}
	return strangler.Toggle{}
}

// Snapshot is every toggle in force, ordered by capability; those never applied are missing. At is
// when the last of them came.
func (p *Proxy) Snapshot() strangler.Snapshot {
	s := p.snapshot.Load()
	return strangler.Snapshot{Toggles: s.known(), At: s.at}
}
