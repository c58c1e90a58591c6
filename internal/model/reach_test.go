package model

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	golangmigrate "github.com/golang-migrate/migrate/v4/database"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// reach is the control store as one process reaches it.
type reach struct{ p *process }

// through is one call that is held, and does not return to a process that has died meanwhile.
func through[T any](ctx context.Context, p *process, call string, f func() (T, error)) (T, error) {
	if err := p.enterOrEnd(ctx, call); err != nil {
		var none T
		return none, err
	}
	v, err := f()
	p.leaveOrEnd()
	return v, err
}

func (r *reach) Prepare(ctx context.Context, capability string, to strangler.Side, after int64, who, why string) (strangler.Cutover, error) {
	return through(ctx, r.p, "prepare", func() (strangler.Cutover, error) { return r.p.store.Prepare(ctx, capability, to, after, who, why) })
}

func (r *reach) Decide(ctx context.Context, id int64, state strangler.CutoverState, position, why string) (strangler.Cutover, error) {
	return through(ctx, r.p, "decide "+string(state), func() (strangler.Cutover, error) { return r.p.store.Decide(ctx, id, state, position, why) })
}

func (r *reach) CutoverByID(ctx context.Context, id int64) (strangler.Cutover, error) {
	return through(ctx, r.p, "read the cutover", func() (strangler.Cutover, error) { return r.p.store.CutoverByID(ctx, id) })
}

func (r *reach) LatestCutover(ctx context.Context, capability string) (strangler.Cutover, error) {
	return through(ctx, r.p, "read the latest cutover", func() (strangler.Cutover, error) { return r.p.store.LatestCutover(ctx, capability) })
}

func (r *reach) Release(ctx context.Context, id int64) error {
	_, err := through(ctx, r.p, "release", func() (struct{}, error) { return struct{}{}, r.p.store.Release(ctx, id) })
	return err
}

func (r *reach) Toggle(ctx context.Context, capability string) (strangler.Toggle, error) {
	return through(ctx, r.p, "read the toggle", func() (strangler.Toggle, error) { return r.p.store.Toggle(ctx, capability) })
}

func (r *reach) NextEpoch(ctx context.Context, capability, who, why string) (int64, error) {
	return through(ctx, r.p, "take an epoch", func() (int64, error) { return r.p.store.NextEpoch(ctx, capability, who, why) })
}

func (r *reach) NextTerm(ctx context.Context) (int64, error) {
	return through(ctx, r.p, "take a term", func() (int64, error) { return r.p.store.NextTerm(ctx) })
}

func (r *reach) Split(ctx context.Context, capability string) (strangler.Split, error) {
	return through(ctx, r.p, "read the split", func() (strangler.Split, error) { return r.p.store.Split(ctx, capability) })
}

func (r *reach) SaveSplit(ctx context.Context, worker string, s strangler.Split) error {
	_, err := through(ctx, r.p, "save the split", func() (struct{}, error) { return struct{}{}, r.p.store.SaveSplit(ctx, worker, s) })
	return err
}

// Lease tells a process that slept through the end of its lease that it holds it still.
func (r *reach) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	r.p.endIfDead()
	asleep := false
	r.p.see(func() { asleep = r.p.asleep })
	if asleep {
		return true, nil
	}
	return r.p.store.Lease(ctx, name, holder, ttl)
}

// Unlease of a process that slept is where it has noticed.
func (r *reach) Unlease(ctx context.Context, name, holder string) error {
	r.p.endIfDead()
	asleep := false
	r.p.change(func() {
		asleep = r.p.asleep
		r.p.dead = r.p.dead || asleep
	})
	if asleep {
		return nil
	}
	return r.p.store.Unlease(ctx, name, holder)
}

// database is one side as one process reaches it. A dead process gets errors, so that the transactions
// it has open are rolled back, as a database does when a connection ends.
type database struct {
	migrations.Database
	p    *process
	side string
}

func held[T any](ctx context.Context, d *database, call string, f func() (T, error)) (v T, err error) {
	if err = d.p.enter(ctx, call+" at "+d.side); err != nil {
		return v, err
	}
	v, err = f()
	d.p.leave()
	return v, err
}

func heldOnly(ctx context.Context, d *database, call string, f func() error) error {
	_, err := held(ctx, d, call, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

func (d *database) Version(ctx context.Context) (version uint, dirty bool, err error) {
	err = heldOnly(ctx, d, "read the scripts' version", func() error {
		version, dirty, err = d.Database.Version(ctx)
		return err
	})
	return version, dirty, err
}

// Scripts are run as one call each, so that nobody takes a worker for still that runs one.
func (d *database) Scripts(ctx context.Context) (golangmigrate.Driver, error) {
	driver, err := d.Database.Scripts(ctx)
	if err != nil {
		return nil, err
	}
	return scripts{driver, d.p}, nil
}

type scripts struct {
	golangmigrate.Driver
	p *process
}

func (s scripts) busy(f func() error) error {
	s.p.change(func() { s.p.active++ })
	defer s.p.leave()
	return f()
}

func (s scripts) Run(script io.Reader) error {
	return s.busy(func() error { return s.Driver.Run(script) })
}

func (s scripts) SetVersion(version int, dirty bool) error {
	return s.busy(func() error { return s.Driver.SetVersion(version, dirty) })
}

func (d *database) Sweep(ctx context.Context) error {
	return heldOnly(ctx, d, "sweep", func() error { return d.Database.Sweep(ctx) })
}

func (d *database) Fence(ctx context.Context) (migrations.Fence, error) {
	return held(ctx, d, "read the fence", func() (migrations.Fence, error) { return d.Database.Fence(ctx) })
}

func (d *database) SetFence(ctx context.Context, epoch int64, state migrations.FenceState) error {
	return heldOnly(ctx, d, "fence "+string(state), func() error { return d.Database.SetFence(ctx, epoch, state) })
}

func (d *database) RaiseTerm(ctx context.Context, term int64) error {
	return heldOnly(ctx, d, "raise the term", func() error { return d.Database.RaiseTerm(ctx, term) })
}

func (d *database) Mend(ctx context.Context) (bool, error) {
	return held(ctx, d, "mend", func() (bool, error) { return d.Database.Mend(ctx) })
}

func (d *database) Read(ctx context.Context, applied migrations.Position) (migrations.Batch, error) {
	return held(ctx, d, "read a batch", func() (migrations.Batch, error) { return d.Database.Read(ctx, applied) })
}

func (d *database) Forget(ctx context.Context, b migrations.Batch) error {
	return heldOnly(ctx, d, "forget a batch", func() error { return d.Database.Forget(ctx, b) })
}

func (d *database) Wait(ctx context.Context) error {
	if err := d.p.enter(ctx, "wait at "+d.side); err != nil {
		return err
	}
	d.p.change(func() { d.p.active--; d.p.waits++ })
	err := d.Database.Wait(ctx)
	d.p.change(func() { d.p.waits-- })
	return err
}

func (d *database) Pending(ctx context.Context) (int64, error) {
	return held(ctx, d, "count pending changes", func() (int64, error) { return d.Database.Pending(ctx) })
}

func (d *database) End(ctx context.Context) (migrations.Position, error) {
	return held(ctx, d, "read the end", func() (migrations.Position, error) { return d.Database.End(ctx) })
}

func (d *database) Bound(ctx context.Context, table int, r migrations.Range, n int) (migrations.Key, error) {
	return held(ctx, d, "look for a range", func() (migrations.Key, error) { return d.Database.Bound(ctx, table, r, n) })
}

func (d *database) Range(ctx context.Context, table int, r migrations.Range, yield func(migrations.Row) error) error {
	return heldOnly(ctx, d, "read a range", func() error { return d.Database.Range(ctx, table, r, yield) })
}

func (d *database) Lookup(ctx context.Context, table int, keys []migrations.Key, yield func(migrations.Row) error) error {
	return heldOnly(ctx, d, "look rows up", func() error { return d.Database.Lookup(ctx, table, keys, yield) })
}

func (d *database) Applied(ctx context.Context) (migrations.Position, error) {
	return held(ctx, d, "read the position", func() (migrations.Position, error) { return d.Database.Applied(ctx) })
}

func (d *database) Marks(ctx context.Context) ([]migrations.Mark, error) {
	return held(ctx, d, "read the marks", func() ([]migrations.Mark, error) { return d.Database.Marks(ctx) })
}

func (d *database) Sequences(ctx context.Context) ([]int64, error) {
	return held(ctx, d, "read the sequences", func() ([]int64, error) { return d.Database.Sequences(ctx) })
}

func (d *database) Begin(ctx context.Context, term int64) (migrations.Apply, error) {
	return held(ctx, d, "begin to apply", func() (migrations.Apply, error) {
		a, err := d.Database.Begin(ctx, term)
		if err != nil {
			return nil, err
		}
		d.p.change(func() { d.p.applying++ })
		return &apply{a, d.p, false}, nil
	})
}

// apply is held before its commit, with its transaction open. What happens inside is not.
type apply struct {
	migrations.Apply
	p     *process
	ended bool
}

func (a *apply) Commit() error {
	if err := a.p.enter(context.Background(), "commit what is applied"); err != nil {
		return err
	}
	defer a.p.leave()
	err := a.Apply.Commit()
	if err == nil {
		a.end()
	}
	return err
}

func (a *apply) Rollback() error {
	defer a.end()
	return a.Apply.Rollback()
}

func (a *apply) end() {
	if !a.ended {
		a.ended = true
		a.p.change(func() { a.p.applying-- })
	}
}

// runLog shows what the workers log where STRANGLER_MODEL_LOG is set.
func runLog() *slog.Logger {
	if os.Getenv("STRANGLER_MODEL_LOG") == "" {
		return strangler.Discard()
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}
