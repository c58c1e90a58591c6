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
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
)

// writer readies the changes of a side's tables.
func (r *run) writer(ctx context.Context, p place, all []strangler.Table) (w *writer, err error) {
	var parts []string
	for _, t := range all {
		if t.Where != "" || len(t.Drop) > 0 {
			parts = append(parts, names([]strangler.Table{t}, p.side)...)
		}
	}
	names := names(all, p.side)
	d, err := engines.Open(ctx, binding(p.scratch, strangler.Legacy, names))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return newWriter(ctx, p.scratch, d, names, parts)
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
	began, step, rate := time.Now(), splits.Cutover, 0.0
	if to == strangler.Legacy {
		step = splits.Rollback
	}
	if r.changes != nil {
		release, err := r.changes.gather(ctx)
		defer release()
		if err != nil {
			return err
		}
		began, rate = time.Now(), r.changes.rate()
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
		h := HandOver{To: to, Held: float64(r.gate.Pause(c.Name).Microseconds()) / 1000, Rate: rate, Attempts: r.gate.closings(), Seconds: time.Since(began).Seconds()}
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
	if err != nil && ctx.Err() == nil { // it is said of the copies, and hinders nothing
		r.notes.surprise("rows that foreign keys would forbid could not be looked for: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	for _, row := range rows {
		r.notes.surprise("behind the rollback a foreign key is back, and is violated, since one side deleted what the other refers to (on_delete): %s", row)
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
