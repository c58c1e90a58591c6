package migrations

import (
	"context"
	"fmt"

	"github.com/strangler-fig/strangler"
)

// faulty calls Config.Fault around every durable statement of a database.
type faulty struct {
	Database
	fault func(string) error
}

// engine is a database of this package as its engine made it, with what that can do beyond Database.
func engine(d Database) Database {
	for {
		w, ok := d.(interface{ inside() Database })
		if !ok {
			return d
		}
		d = w.inside()
	}
}

func (d faulty) inside() Database  { return d.Database }
func (d *mapped) inside() Database { return d.Database }
func (d *shared) inside() Database { return d.Database }
func (d *oneWay) inside() Database { return d.Database }
func (d *joined) inside() Database { return d.Database }

// around runs one durable statement between its two points.
func around(fault func(string) error, point string, f func() error) error {
	if err := fault(point + ".before"); err != nil {
		return fmt.Errorf("%s was not done: %w", point, err)
	}
	if err := f(); err != nil {
		return err
	}
	if err := fault(point + ".after"); err != nil {
		return fmt.Errorf("%s: %w: %w", point, strangler.ErrUnknown, err)
	}
	return nil
}

func (d faulty) SetFence(ctx context.Context, epoch int64, state FenceState) error {
	return around(d.fault, "fence", func() error { return d.Database.SetFence(ctx, epoch, state) })
}

func (d faulty) RaiseTerm(ctx context.Context, term int64) error {
	return around(d.fault, "term", func() error { return d.Database.RaiseTerm(ctx, term) })
}

func (d faulty) Claim(ctx context.Context, epoch int64, state FenceState, term int64) error {
	return around(d.fault, "claim", func() error { return d.Database.Claim(ctx, epoch, state, term) })
}

func (d faulty) Ready(ctx context.Context) error {
	return around(d.fault, "ready", func() error { return d.Database.Ready(ctx) })
}

func (d faulty) Forget(ctx context.Context, b Batch) error {
	return around(d.fault, "forget", func() error { return d.Database.Forget(ctx, b) })
}

func (d faulty) Relog(ctx context.Context, table int, keys []Key) error {
	return around(d.fault, "relog", func() error { return d.Database.Relog(ctx, table, keys) })
}

func (d faulty) Begin(ctx context.Context, term int64) (Apply, error) {
	a, err := d.Database.Begin(ctx, term)
	if err != nil {
		return nil, err
	}
	return faultyApply{a, d.fault}, nil
}

type faultyApply struct {
	Apply
	fault func(string) error
}

func (a faultyApply) Commit() error {
	return around(a.fault, "position", a.Apply.Commit)
}
