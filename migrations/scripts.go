package migrations

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"github.com/strangler-fig/strangler"
)

// ScriptStatus is how far a side's scripts have run.
type ScriptStatus struct {
	Side    strangler.Side `json:"side"`
	Version uint           `json:"version"`
	Dirty   bool           `json:"dirty"`
	Pending []string       `json:"pending"`
}

// run takes a side's scripts to a stage, one script at a time. A script that refuses has changed
// nothing, so the version it leaves is the one before it, clean. A dirty version that was there before
// is refused. With up, a side that has gone further stays there.
func (p *Planning) run(ctx context.Context, side strangler.Side, to Stage, up bool) (err error) {
	d, err := p.open(ctx, side)
	if err != nil {
		return err
	}
	at, dirty, err := d.Version(ctx)
	if err != nil {
		return err
	}
	if dirty {
		return p.halfway(side)
	}
	if to, err = p.reachable(side, to); err != nil || Stage(at) == to || up && Stage(at) > to {
		return err
	}
	m, err := p.migrator(ctx, d, side, &at)
	if errors.Is(err, ErrFull) { // for golang-migrate's table
		return p.explain(side, err)
	}
	if err != nil {
		return err
	}
	defer func() {
		errSource, errDatabase := m.Close()
		err = errors.Join(err, errSource, errDatabase)
	}()
	step := 1
	if Stage(at) > to {
		step = -1
	}
	for ; Stage(at) != to; at, _, err = d.Version(ctx) {
		if err != nil {
			return err
		}
		if (Stage(at) < to) != (step > 0) { // never back because another worker has gone further
			return fmt.Errorf("%w: another worker runs the scripts of %s", strangler.ErrSuperseded, p.c.Name)
		}
		if p.mine != nil {
			if err := p.mine(ctx); err != nil { // a worker that slept runs no script behind another's back
				return err
			}
		}
		if err := around(p.fault, "script", func() error { return m.Steps(step) }); err != nil {
			return errors.Join(p.explain(side, err), p.clean(ctx, d, m, at))
		}
	}
	return err
}

// halfway refuses to run scripts over what nobody knows.
func (p *Planning) halfway(side strangler.Side) error {
	return strangler.Refuse("dirty", fmt.Sprintf("a script of %s in the %s database ended half-way, outside of Strangler", p.c.Name, side),
		fmt.Sprintf("look at it, then: strangler migrate force %s VERSION", p.c.Name))
}

// reachable is a stage, or the one before it where a side has nothing to do behind the copy.
func (p *Planning) reachable(side strangler.Side, to Stage) (Stage, error) {
	all, err := p.scripts(side)
	for to == StageIndexed || to == StageWhole {
		if slices.ContainsFunc(all, func(f scriptFile) bool { return f.stage == to }) {
			break
		}
		to--
	}
	return to, err
}

type scriptFile struct {
	stage Stage
	name  string
}

// scripts are a side's, in their order.
func (p *Planning) scripts(side strangler.Side) (out []scriptFile, err error) {
	files, err := filepath.Glob(filepath.Join(p.dir, p.c.Name, string(side), "*.up.sql"))
	for _, f := range files {
		var v uint
		if _, err := fmt.Sscanf(filepath.Base(f), "%06d_", &v); err == nil {
			out = append(out, scriptFile{Stage(v), filepath.Base(f)})
		}
	}
	return out, err
}

func (p *Planning) explain(side strangler.Side, err error) error {
	if errors.Is(err, ErrFull) {
		return fmt.Errorf("a script of %s did not run, and changed nothing; make room, then the same again: %w", p.c.Name, err)
	}
	return fmt.Errorf("a script of %s in the %s database did not run, and changed nothing: %w", p.c.Name, side, err)
}

// clean gives the version before a failed script back.
func (p *Planning) clean(ctx context.Context, d Database, m *migrate.Migrate, before uint) error {
	_, dirty, err := d.Version(ctx)
	if err != nil || !dirty {
		return err
	}
	if before == 0 {
		return m.Force(-1)
	}
	return m.Force(int(before))
}

// migrator is golang-migrate over a side's scripts. With at, it runs one only from that version.
func (p *Planning) migrator(ctx context.Context, d Database, side strangler.Side, at *uint) (*migrate.Migrate, error) {
	folder := filepath.Join(p.dir, p.c.Name, string(side))
	if _, err := os.Stat(folder); err != nil {
		return nil, strangler.Refuse("scripts", fmt.Sprintf("%s has no scripts for the %s database", p.c.Name, side), "strangler migrate plan "+p.c.Name)
	}
	source, err := iofs.New(os.DirFS(folder), ".")
	if err != nil {
		return nil, fmt.Errorf("scripts in %s: %w", folder, err)
	}
	driver, err := d.Scripts(ctx)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	if at != nil {
		driver = &expecting{driver, at}
	}
	return migrate.NewWithInstance("iofs", source, string(side), driver)
}

// expecting is a driver that runs nothing where another worker has run something since at was read.
type expecting struct {
	database.Driver
	at *uint
}

func (e *expecting) Version() (int, bool, error) {
	v, dirty, err := e.Driver.Version()
	if err == nil && uint(max(v, 0)) != *e.at {
		err = fmt.Errorf("%w: the scripts are at version %d and were at %d when this worker looked", strangler.ErrSuperseded, max(v, 0), *e.at)
	}
	return v, dirty, err
}

// downwards is the order of the sides whose scripts run down: the follower's first.
var downwards = []strangler.Side{strangler.Service, strangler.Legacy}

// To takes both sides to a stage. Upwards the owner's side comes first, since the capture has to be
// there before the copy; downwards the follower's.
func (p *Planning) To(ctx context.Context, to Stage) error {
	order := []strangler.Side{strangler.Legacy, strangler.Service}
	if to < StageCapture {
		order = downwards
	}
	for _, side := range order {
		if err := p.run(ctx, side, to, false); err != nil {
			return err
		}
	}
	return nil
}

// Up takes both sides to a stage, or leaves them where they are further: a worker that slept may find that another one
// has gone on, with rows that a script on its way down would take along.
func (p *Planning) Up(ctx context.Context, to Stage) error {
	for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
		if err := p.run(ctx, side, to, true); err != nil {
			return err
		}
	}
	return nil
}

// Status reports both sides.
func (p *Planning) Status(ctx context.Context) ([]ScriptStatus, error) {
	var out []ScriptStatus
	for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
		d, err := p.open(ctx, side)
		if err != nil {
			return nil, err
		}
		s := ScriptStatus{Side: side, Pending: []string{}}
		if s.Version, s.Dirty, err = d.Version(ctx); err != nil {
			return nil, err
		}
		files, err := p.scripts(side)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if f.stage > Stage(s.Version) {
				s.Pending = append(s.Pending, f.name)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// Force sets a side's version without running anything, for a script that ended half-way.
func (p *Planning) Force(ctx context.Context, side strangler.Side, version int) (err error) {
	d, err := p.open(ctx, side)
	if err != nil {
		return err
	}
	m, err := p.migrator(ctx, d, side, nil)
	if err != nil {
		return err
	}
	defer func() {
		errSource, errDatabase := m.Close()
		err = errors.Join(err, errSource, errDatabase)
	}()
	if version == 0 {
		version = -1 // golang-migrate's word for "none has run"
	}
	return m.Force(version)
}

// expand runs what comes before the copy.
func (s *split) expand(ctx context.Context) error {
	p := s.planning()
	done := true
	status, err := p.Status(ctx)
	if err != nil {
		return err
	}
	for _, st := range status {
		done = done && Stage(st.Version) >= StageCapture && !st.Dirty
	}
	if done { // also by hand, or by a process that was killed behind the last of them
		return s.update(ctx, func(r *strangler.Split) {
			if r.Phase == strangler.PhaseNone || r.Phase == strangler.PhaseCancelled {
				r.Phase, r.Error = strangler.PhasePlanned, ""
			}
		})
	}
	if !p.Written() {
		plan, err := p.Make(ctx)
		if err != nil {
			return err
		}
		if err := p.Write(ctx, plan); err != nil {
			return err
		}
	}
	if err := p.Up(ctx, StageCapture); err != nil {
		return err
	}
	return s.update(ctx, func(r *strangler.Split) {
		if !following(r.Phase) { // another worker may have begun it meanwhile
			r.Phase, r.Error, r.Verified, r.Verifying = strangler.PhasePlanned, "", strangler.Verify{}, nil
		}
	})
}

// start begins the copy, or lets a stopped split go on.
func (s *split) start(ctx context.Context) error {
	rec, err := s.cfg.Records.Split(ctx, s.c.Name)
	if err != nil || following(rec.Phase) {
		return err
	}
	if rec.Phase == strangler.PhaseComplete {
		return strangler.Refuse("phase", s.c.Name+" is complete; there is nothing left to copy")
	}
	if err := s.expand(ctx); err != nil {
		return err
	}
	return s.update(ctx, func(r *strangler.Split) {
		if following(r.Phase) {
			return
		}
		if r.Phase == strangler.PhaseStopped {
			r.Verified, r.Verifying = strangler.Verify{}, nil // what stopped it may have left differences
		}
		r.Phase, r.Error = strangler.PhaseCopying, ""
	})
}

// arm runs the scripts that come last before a gate closes: crossing foreign keys are dropped, and the
// service's own capture is there before its fence is first opened.
func (s *split) arm(ctx context.Context, to strangler.Side) error {
	if to == strangler.Legacy {
		return nil // armed since the cutover
	}
	if err := s.planning().sameOnDelete(); err != nil {
		return err
	}
	if err := s.planning().Up(ctx, StageArmed); err != nil {
		return err
	}
	return s.recording(ctx)
}

// recording looks whether the service's capture stands, whatever the scripts were that have run: the service's first write is
// recorded, or there is no way back from it.
func (s *split) recording(ctx context.Context) error {
	legacy, service, err := s.both(ctx, strangler.Legacy)
	if err != nil {
		return err
	}
	applied, err := legacy.Applied(ctx)
	if err != nil {
		return err
	}
	b, err := service.Read(ctx, applied)
	if err != nil && ctx.Err() == nil {
		return strangler.Refuse("capture", fmt.Sprintf("the service's database is not ready to record what the service writes: %v", err),
			"put its scripts back as they were planned", "strangler split cancel "+s.c.Name+", then run the playbook")
	}
	if err != nil {
		return err
	}
	return b.Close()
}

// restoreKeys puts the crossing foreign keys back at legacy, where it owns and no cutover is under way.
// Rows that violate them are reported; they do not stop the split.
func (s *split) restoreKeys(ctx context.Context) error {
	if s.owner != strangler.Legacy {
		return nil
	}
	legacy, err := s.db(ctx, strangler.Legacy)
	if err != nil {
		return err
	}
	at, _, err := legacy.Version(ctx)
	if err != nil || Stage(at) != StageArmed {
		return err
	}
	if err := s.planning().run(ctx, strangler.Legacy, StageCapture, false); err != nil {
		return err
	}
	orphans, err := legacy.Orphans(ctx, nil)
	if err != nil || len(orphans) == 0 {
		return err
	}
	s.cfg.Log.Warn("restored foreign keys have orphans", strangler.LogCapability, s.c.Name, "orphans", orphans)
	return s.update(ctx, func(r *strangler.Split) { r.Error = fmt.Sprintf("restored foreign keys have orphans: %v", orphans) })
}
