package rehearse

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

const (
	who = "rehearsal"
	// looks is how often the split is looked at.
	looks = 50 * time.Millisecond
	// enough and patience bound how long changes are made at a side before the next step.
	enough   = 100
	patience = 30 * time.Second
	// settling is how long a hand-over may be refused because the stream is behind.
	settling = 2 * time.Minute
)

// walk takes the copies forward, back and forward, while changes are made.
func (r *run) walk(ctx context.Context) (err error) {
	c := r.rehearsed()
	store, err := control.Open(ctx, control.Config{DSN: "sqlite:" + filepath.Join(r.dir, "control.db"), Log: r.log()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.Ensure(ctx, []strangler.Capability{c}); err != nil {
		return err
	}
	r.gate = newGate(func(ctx context.Context) (strangler.Side, error) {
		t, err := store.Toggle(ctx, c.Name)
		return t.Owner, err
	})
	splits, err := migrations.New(migrations.Config{
		Capabilities: []strangler.Capability{c}, Open: engines.Open, Dir: filepath.Join(r.dir, "migrations"), ControlID: store.ID(),
		Decisions: store, Records: store, Leases: store, Adopter: store, Gates: r.gate, Worker: who, Log: r.log(),
	})
	if err != nil {
		return err
	}
	if err := r.captured(ctx, c); err != nil {
		return err
	}
	splits.Start(context.WithoutCancel(ctx))
	defer func() { err = errors.Join(err, splits.Close()) }()
	return r.steps(ctx, splits, c)
}

// captured tells how changes will be recorded: where the capability does not say, the engine chooses by what the server of the
// copy lets it, which may be another one than production's.
func (r *run) captured(ctx context.Context, c strangler.Capability) (err error) {
	b := binding(c.Legacy.Database, strangler.Legacy, names(c.Tables, strangler.Legacy))
	b.Capture = c.Capture
	if slices.ContainsFunc(c.Tables, func(t strangler.Table) bool { return len(t.Drop) > 0 || t.Where != "" }) {
		for _, name := range b.Tables {
			t := c.Tables[slices.IndexFunc(c.Tables, func(t strangler.Table) bool { return t.From == name })]
			b.Shares = append(b.Shares, migrations.Share{Stays: t.Drop, Where: t.Where})
		}
	}
	d, err := engines.Open(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	s, err := d.Inspect(ctx)
	r.report.Capture = s.Capture
	return err
}

// rehearsed is the capability with the copies for its databases.
func (r *run) rehearsed() strangler.Capability {
	c := r.Capability
	c.Legacy.Database, c.Service.Database = r.legacy.scratch, r.service.scratch
	c.Legacy.URLs, c.Service.URLs, c.Touches = nil, nil, nil
	return c
}

func (r *run) steps(ctx context.Context, splits *migrations.Splits, c strangler.Capability) (err error) {
	if err := r.timed("expand", nil, func() error { return splits.Expand(ctx, c.Name) }); err != nil {
		return err
	}
	if r.Changes > 0 {
		w, err := r.writer(ctx, r.legacy, c.Tables)
		if err != nil {
			return err
		}
		r.changes = startChanges(ctx, r.gate, r.Changes, w, r.notes)
		defer func() { err = errors.Join(err, r.endChanges()) }()
	}
	if err := r.copied(ctx, splits, c); err != nil {
		return err
	}
	if r.changes != nil {
		w, err := r.writer(ctx, r.service, c.AtService().Tables)
		if err != nil {
			return err
		}
		r.changes.join(w)
	}
	for _, step := range []func() error{
		func() error { return r.verify(ctx, splits, c, "verify", false) },
		func() error { return r.handOver(ctx, splits, c, "cutover", strangler.Service) },
		func() error { return r.wait(ctx, strangler.Service) },
		func() error { return r.verify(ctx, splits, c, "verify behind the cutover", false) },
		func() error { return r.handOver(ctx, splits, c, "rollback", strangler.Legacy) },
		func() error { return r.lost(ctx, splits, c) },
		func() error { return r.orphans(ctx, c) },
		func() error { return r.wait(ctx, strangler.Legacy) },
		func() error { return r.verify(ctx, splits, c, "verify behind the rollback", false) },
		func() error { return r.handOver(ctx, splits, c, "second cutover", strangler.Service) },
		func() error { return r.wait(ctx, strangler.Service) },
		func() error { return r.verify(ctx, splits, c, "verify at the end", false) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if r.report.Mismatches > 0 {
		return fmt.Errorf("%w: %d rows differ between the two sides", ErrFound, r.report.Mismatches)
	}
	r.report.Passed = true
	return nil
}

// timed is a phase that does one thing.
func (r *run) timed(name string, rows func() int64, f func() error) error {
	end := r.phase(name, rows)
	err := f()
	end()
	return r.found(name, err)
}

// found is what went wrong with a step: a refusal is what production's step would answer.
func (r *run) found(name string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	var refused *strangler.Refusal
	if errors.As(err, &refused) {
		r.settles = refused.Next
		return fmt.Errorf("%w: %s was refused by the check %q: %s", ErrFound, name, refused.Check, refused.Why)
	}
	return fmt.Errorf("%w: %s: %v", ErrFound, name, err)
}

func names(tables []strangler.Table, side strangler.Side) (out []string) {
	for _, t := range tables {
		name := t.From
		if side == strangler.Service && t.To != "" {
			name = t.To
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func oneWay(c strangler.Capability) bool {
	return slices.ContainsFunc(c.Tables, func(t strangler.Table) bool { return t.OneWay })
}
