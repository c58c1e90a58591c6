package rehearse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
)

// Options say what is rehearsed. A zero Rows or Changes stands for the default.
type Options struct {
	Capability strangler.Capability // with the databases of production, and in Playbook.Rehearse those of the copies
	Rows       int                  // of each table, at most, but for those that foreign keys need beside; default 10,000
	Changes    int                  // row changes a second; default 200; below 0: none
	Keep       bool                 // the copies stay
	Dir        string               // where its files go, in a folder of their own; empty: where the system has temporary ones
	// Progress is told what goes on, by one goroutine; nil: nobody is. It must not wait.
	Progress func(Progress)
}

// The defaults of Options.
const (
	DefaultRows    = 10_000
	DefaultChanges = 200
)

// Progress is what goes on at a moment.
type Progress struct {
	Phase   string
	Tables  []strangler.TableProgress // while rows are copied
	Changes int64                     // made so far
}

// ErrFound is a rehearsal that found what would go wrong in production; the Report says what.
var ErrFound = errors.New("the rehearsal found what would go wrong")

// run is one rehearsal.
type run struct {
	Options
	legacy, service place
	report          *Report
	notes           *notes
	dir             string // of the control store, the scripts, and SQLite's copies
	changes         *changes
	gate            *gate
	settles         []string // what would satisfy the check that refused a step
}

// Run rehearses, and takes away what it has made, whatever came of it. The Report is there with every error but one for
// unusable Options: ErrRefused: nothing was made. ErrFound: it went wrong as it would in production. ErrStopped: ctx ended; what
// is left, if anything, is in Report.Left. Several may run at once on databases of their own.
func Run(ctx context.Context, o Options) (*Report, error) {
	r, err := newRun(o)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	err = r.all(ctx)
	r.report.Seconds = time.Since(began).Seconds()
	r.notes.tell(r.report)
	r.report.NextSteps = r.next(err)
	if ctx.Err() != nil {
		r.report.NextSteps = []string{"strangler playbook rehearse " + o.Capability.Name}
		err = fmt.Errorf("%w: the rehearsal of %s was interrupted; production was only read, and %s", strangler.ErrStopped, o.Capability.Name, r.left())
	} else if len(r.report.Left) > 0 && !r.Keep {
		err = errors.Join(err, fmt.Errorf("%w: %s", strangler.ErrStopped, r.left()))
	}
	return r.report, err
}

// Preview looks where the copies would go, and what would be read for them. It makes nothing but an empty file for a moment.
func Preview(ctx context.Context, o Options) (*Report, error) {
	r, err := newRun(o)
	if err != nil {
		return nil, err
	}
	r.report.DryRun, r.Keep = true, false
	err = r.take(ctx)
	for _, p := range r.places() {
		p.taken = false // nothing is made that would have to be taken away
	}
	if err == nil {
		err = r.foresee(ctx)
	}
	err = errors.Join(err, r.give())
	r.unrehearsed()
	r.notes.tell(r.report)
	r.report.NextSteps = r.next(err)
	if err == nil {
		r.report.NextSteps = []string{"strangler playbook rehearse " + o.Capability.Name}
	}
	return r.report, err
}

// foresee counts the rows of what would be copied.
func (r *run) foresee(ctx context.Context) error {
	here, err := r.legacyTables(ctx)
	if err != nil {
		return err
	}
	there, err := r.serviceTables(ctx)
	if err != nil {
		return err
	}
	for _, t := range []*tables{here, there} {
		counts, err := t.counts(ctx)
		if err != nil {
			return err
		}
		for i, n := range counts {
			c := Copied{Side: t.side, Table: t.names[i], Moves: t.moves[i], Production: n}
			if t.sample[i] {
				c.Rows = min(n, int64(r.Rows))
			}
			r.report.Copied = append(r.report.Copied, c)
		}
	}
	return nil
}

// left says whether anything of the copies is still there.
func (r *run) left() string {
	if len(r.report.Left) == 0 {
		return "nothing is left of the copies"
	}
	return "there is left: " + strings.Join(r.report.Left, "; ")
}

func newRun(o Options) (*run, error) {
	if o.Capability.Stateless() {
		return nil, fmt.Errorf("%w: capability %s has no tables, so there is nothing to rehearse; strangler toggle set moves it", strangler.ErrConfig, o.Capability.Name)
	}
	if o.Rows == 0 {
		o.Rows = DefaultRows
	}
	if o.Changes == 0 {
		o.Changes = DefaultChanges
	}
	if o.Rows < 1 {
		return nil, fmt.Errorf("%w: %d rows of each table: at least one is needed", strangler.ErrConfig, o.Rows)
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	r := &run{Options: o, report: &Report{Capability: o.Capability.Name, Rows: o.Rows, Changes: Changes{Asked: max(o.Changes, 0)}}, notes: &notes{}}
	r.legacy = place{side: strangler.Legacy, production: o.Capability.Legacy.Database, scratch: o.Capability.Playbook.Rehearse.Legacy}
	r.service = place{side: strangler.Service, production: o.Capability.Service.Database, scratch: o.Capability.Playbook.Rehearse.Service}
	return r, nil
}

// all is the rehearsal, from the first look to the last thing taken away.
func (r *run) all(ctx context.Context) (err error) {
	if err := r.take(ctx); err != nil {
		return errors.Join(err, r.give())
	}
	defer func() { err = errors.Join(err, r.give()) }()
	if err := r.copies(ctx); err != nil {
		return err
	}
	r.unrehearsed()
	return r.walk(ctx)
}

// copies makes both of them.
func (r *run) copies(ctx context.Context) error {
	defer r.phase("copies of both databases", nil)()
	here, err := r.legacyTables(ctx)
	if err != nil {
		return err
	}
	there, err := r.serviceTables(ctx)
	if err != nil {
		return err
	}
	for _, t := range []*tables{here, there} {
		if err := r.copy(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// phase begins one; what it returns ends it. rows tells how many rows it has gone through; nil: it is not about rows.
func (r *run) phase(name string, rows func() int64) (end func()) {
	began := time.Now()
	r.Progress(Progress{Phase: name})
	return func() {
		p := Phase{Name: name, Seconds: time.Since(began).Seconds()}
		if rows != nil {
			p.of(rows(), r.report.whole())
		}
		r.report.Phases = append(r.report.Phases, p)
	}
}

// unrehearsed names what a rehearsal leaves out.
func (r *run) unrehearsed() {
	r.notes.leaves("HTTP: requests, the gate of the proxies, shadow and canary; the gate here held row changes")
	r.notes.leaves("soak and complete, behind which there is no way back")
	for _, t := range r.Capability.Touches {
		if !t.Seam && !t.Fails {
			r.notes.surprise("%s writes tables of %s from the monolith and has no seam: the cutover will be refused until that is declared", t.Route, r.Capability.Name)
		}
	}
}

// log takes down what the split warns of.
func (r *run) log() *slog.Logger { return slog.New(r.notes) }
