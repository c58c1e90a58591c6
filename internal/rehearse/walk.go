package rehearse

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
		w, err := r.writer(ctx, r.legacy, names(c.Tables, strangler.Legacy))
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
		w, err := r.writer(ctx, r.service, names(c.AtService().Tables, strangler.Service))
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

func (r *run) writer(ctx context.Context, p place, names []string) (w *writer, err error) {
	d, err := engines.Open(ctx, binding(p.scratch, strangler.Legacy, names))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return newWriter(ctx, p.scratch, d, names)
}

// endChanges waits for the last one, and takes down what came of them.
func (r *run) endChanges() error {
	err := r.changes.Close()
	c := &r.report.Changes
	c.Legacy, c.Service = r.changes.made[strangler.Legacy], r.changes.made[strangler.Service]
	for _, what := range slices.Sorted(maps.Keys(r.changes.refused)) {
		c.Refused += r.changes.refused[what]
		c.RefusedBy = append(c.RefusedBy, fmt.Sprintf("%d × %s", r.changes.refused[what], what))
	}
	return err
}

// copied runs the copy until the service follows.
func (r *run) copied(ctx context.Context, splits *migrations.Splits, c strangler.Capability) error {
	var status strangler.SplitStatus
	rows := func() (n int64) {
		for _, t := range status.Tables {
			n += t.RowsCopied
		}
		return n
	}
	return r.timed("copy", rows, func() error {
		if err := splits.Copy(ctx, c.Name); err != nil {
			return err
		}
		for {
			var err error
			if status, err = splits.Status(ctx, c.Name); err != nil {
				return err
			}
			r.Progress(Progress{Phase: "copy", Tables: status.Tables, Changes: r.told()})
			switch {
			case status.Phase == strangler.PhaseSyncing:
				return nil
			case status.Phase == strangler.PhaseStopped:
				return fmt.Errorf("the split stopped: %s", status.Error)
			case status.Retrying != "":
				r.notes.surprise("tried again: %s", status.Retrying)
			}
			if err := sleep(ctx, looks); err != nil {
				return err
			}
		}
	})
}

func (r *run) told() int64 {
	if r.changes == nil {
		return 0
	}
	return r.changes.told.Load()
}

// verify compares both sides. With repair, what differs is what never came back: the owner's rows are brought again.
func (r *run) verify(ctx context.Context, splits *migrations.Splits, c strangler.Capability, name string, repair bool) error {
	var v strangler.Verification
	return r.timed(name, func() int64 { return v.Rows }, func() (err error) {
		if repair {
			v, err = splits.Repair(ctx, c.Name)
		} else {
			v, err = splits.Verify(ctx, c.Name)
		}
		if err != nil {
			return r.stopped(ctx, splits, c, err)
		}
		lost := v.Mismatches
		if repair {
			if v.Repaired > 0 {
				r.notes.surprise("%d rows that the service had written did not come back to the monolith (reverse: false)", v.Repaired)
			}
			lost -= v.Repaired
		}
		r.report.Compared += v.Rows
		r.report.Mismatches += lost
		for _, d := range v.Differences {
			if !d.Repaired && len(r.report.Differences) < 20 {
				r.report.Differences = append(r.report.Differences, d)
			}
		}
		if lost > 0 {
			return fmt.Errorf("%d of %d rows differ between the two sides", lost, v.Rows)
		}
		return nil
	})
}

// lost counts what a rollback has left behind of tables that go one way, and has it brought into line.
func (r *run) lost(ctx context.Context, splits *migrations.Splits, c strangler.Capability) error {
	if !oneWay(c) {
		return nil
	}
	return r.verify(ctx, splits, c, "verify, and repair what did not come back", true)
}

// stopped says why a split has stopped, where it has.
func (r *run) stopped(ctx context.Context, splits *migrations.Splits, c strangler.Capability, err error) error {
	if status, errStatus := splits.Status(ctx, c.Name); errStatus == nil && status.Phase == strangler.PhaseStopped {
		return fmt.Errorf("the split stopped: %s", status.Error)
	}
	return err
}

// handOver is one cutover or rollback. While the stream is behind, it is refused and tried again.
func (r *run) handOver(ctx context.Context, splits *migrations.Splits, c strangler.Capability, name string, to strangler.Side) error {
	began, step := time.Now(), splits.Cutover
	if to == strangler.Legacy {
		step = splits.Rollback
	}
	end := r.phase(name, nil)
	defer end()
	for {
		row, err := step(ctx, c.Name, who, name)
		var refused *strangler.Refusal
		if errors.As(err, &refused) && slices.Contains([]string{"lag", "dirty"}, refused.Check) && time.Since(began) < settling {
			r.notes.surprise("%s had to wait: %s", name, refused.Why)
			if err := sleep(ctx, looks); err != nil {
				return err
			}
			continue
		}
		h := HandOver{To: to, Held: float64(r.gate.Pause(c.Name).Microseconds()) / 1000, Attempts: r.gate.closings(), Seconds: time.Since(began).Seconds()}
		if row.State == strangler.Aborted {
			h.Aborted = row.Why
		}
		if row.State != "" || h.Attempts > 0 {
			r.report.HandOvers = append(r.report.HandOvers, h)
		}
		if err != nil {
			err = r.stopped(ctx, splits, c, err)
		}
		return r.found(name, err)
	}
}

// orphans notes rows that crossing foreign keys would refuse, now that they are back.
func (r *run) orphans(ctx context.Context, c strangler.Capability) (err error) {
	p, closeAll, err := migrations.NewPlanning(ctx, engines.Open, filepath.Join(r.dir, "migrations"), "", c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	rows, err := p.Orphans(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		r.notes.surprise("a foreign key is back behind the rollback, and is violated: %s", row)
	}
	return nil
}

// wait lets changes be made at a side.
func (r *run) wait(ctx context.Context, side strangler.Side) error {
	if r.changes == nil {
		return nil
	}
	r.Progress(Progress{Phase: fmt.Sprintf("changes at the %s side", side), Changes: r.told()})
	until, began := r.changes.count(side)+enough, time.Now()
	for r.changes.count(side) < until && time.Since(began) < patience {
		if err := sleep(ctx, looks); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
