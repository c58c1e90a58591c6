package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/migrations"
)

// longest is how many actions a run has; what is drawn beyond it does nothing.
const longest = 40

// machine is one run: a model, two databases with applications at both, and workers that move the tables
// from one to the other and back.
type machine struct {
	t     *rapid.T
	trace *trace
	c     strangler.Capability
	sides map[strangler.Side]*application
	model rows           // what is committed
	made  map[int64]bool // keys that a database has made and given away

	open  []*session
	last  time.Time // of the last commit
	steps int

	store   *control.Store // looks on
	dir     string
	dsn     string
	bounds  migrations.Bounds
	clock   atomic.Int64
	workers int
	worker  *process // the one that holds the lease, or will
	sleeper *process // one whose lease has ended and that does not know it, or nil
	order   *order   // what the worker was told to do and has not yet done
	ending  string   // a cancel or complete was begun, and is tried until it is done
}

// order is something that a person or the playbook asks of a worker.
type order struct {
	name string
	done chan struct{}
	err  error
}

func newMachine(t *rapid.T, s *stand, tr *trace) *machine {
	ctx := t.Context()
	m := &machine{t: t, trace: tr.begin(t), sides: map[strangler.Side]*application{}, made: map[int64]bool{}, last: time.Now()}
	var err error
	m.dir, err = os.MkdirTemp(s.dir, "run")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(m.dir)) })
	m.sides[strangler.Legacy], m.sides[strangler.Service] = s.fresh(t)
	capture := rapid.SampledFrom(s.captures).Draw(t, "capture")
	m.c = strangler.Capability{Name: "billing", Capture: capture, Legacy: strangler.Upstream{Database: s.dsns[strangler.Legacy]}, Service: strangler.Upstream{Database: s.dsns[strangler.Service]},
		Tables: []strangler.Table{{From: "invoice", To: "invoice"}, {From: "line", To: m.sides[strangler.Service].line}}}
	m.dsn = "sqlite:" + filepath.Join(m.dir, "control.db")
	m.bounds = migrations.Bounds{Chunk: rapid.IntRange(1, 4).Draw(t, "rows in a chunk"), Part: rapid.SampledFrom([]int64{1, 1 << 40}).Draw(t, "bytes to be cut"), Attempts: 2}
	m.fill(rapid.IntRange(0, invoices).Draw(t, "invoices"))
	m.store, err = control.Open(ctx, control.Config{DSN: m.dsn, Clock: m.now})
	must(t, err)
	t.Cleanup(func() { must(t, m.store.Close()) })
	must(t, m.store.Ensure(ctx, []strangler.Capability{m.c}))
	t.Cleanup(func() { must(t, m.stop()) })
	m.startWorker()
	m.advance(rapid.SampledFrom([]strangler.Phase{strangler.PhaseNone, strangler.PhaseCopying, strangler.PhaseSyncing, strangler.PhaseReversed}).Draw(t, "begins when it is"))
	return m
}

// advance brings the split so far, undisturbed.
func (m *machine) advance(to strangler.Phase) {
	t := m.t
	switch to {
	case strangler.PhaseCopying:
		m.start(t)
	case strangler.PhaseSyncing, strangler.PhaseReversed:
		m.start(t)
		m.settle(t)
		m.verify(t)
		m.settle(t)
	}
	if to == strangler.PhaseReversed {
		m.cutover(t)
		m.settle(t)
	}
}

// fill makes the monolith's first rows.
func (m *machine) fill(n int) {
	a := m.sides[strangler.Legacy]
	for c := 1; c <= 2; c++ {
		run(m.t, a.db, fmt.Sprintf("INSERT INTO customer (id, name) VALUES (%d, 'c')", c))
	}
	for i := 1; i <= n; i++ {
		run(m.t, a.db, fmt.Sprintf("INSERT INTO invoice (id, customer, total, code) VALUES (%d, %d, %d, '%d')", i, i%2+1, i, i))
		run(m.t, a.db, fmt.Sprintf("INSERT INTO line (invoice, n, text) VALUES (%d, 1, 'first')", i))
	}
	var err error
	m.model, err = a.view(m.t.Context(), a.look)
	must(m.t, err)
}

func (m *machine) now() time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(m.clock.Load()))
}

// startWorker starts a process that takes the split over, since every lease has ended by then.
func (m *machine) startWorker() {
	m.workers++
	leasesEnd := func() { m.clock.Add(int64(time.Hour)) }
	leasesEnd()
	var err error
	m.worker, err = startProcess(m.t.Context(), fmt.Sprint("worker-", m.workers), m.c, m.dsn, filepath.Join(m.dir, "migrations"), m.now, m.bounds)
	must(m.t, err)
	must(m.t, m.worker.awaitLease(leasesEnd))
}

// stop ends every process, whatever state the run is in.
func (m *machine) stop() error {
	var errs []error
	for _, s := range m.open {
		errs = append(errs, s.rollback(context.Background()))
	}
	m.open = nil
	for _, p := range []*process{m.worker, m.sleeper} {
		if p != nil {
			errs = append(errs, p.kill())
		}
	}
	m.worker, m.sleeper, m.order = nil, nil, nil
	return errors.Join(errs...)
}

// actions are what may happen, by the names of a trace.
func (m *machine) actions(s *speech) map[string]func(*rapid.T) {
	all := map[string]func(*rapid.T){"": m.check}
	for name := range s.operations(strangler.Legacy) {
		all["write: "+name] = m.writes(name)
	}
	maps.Copy(all, map[string]func(*rapid.T){
		"write: swap two codes by a third value": m.swap,
		"write: several statements":              m.transaction,
		"session: begin":                         m.beginSession,
		"session: statement":                     m.inSession,
		"session: end":                           m.endSession,
		"worker: work":                           m.work,
		"worker: work more":                      m.work,
		"worker: go on until all is still":       m.settle,
		"worker: set a trap":                     m.setTrap,
		"worker: kill":                           m.kill,
		"worker: sleep through the lease":        m.sleep,
		"worker: the sleeper wakes":              m.wake,
		"worker: the sleeper works":              m.wake,
		"worker: the sleeper is killed":          m.killSleeper,
		"split: start":                           m.start,
		"split: start again":                     m.start,
		"split: verify":                          m.verify,
		"split: cutover":                         m.cutover,
		"split: hand over":                       m.handOver,
		"split: rollback":                        m.rollback,
		"split: cancel":                          m.cancel,
	})
	for name, f := range all {
		if name != "" {
			all[name] = func(t *rapid.T) {
				if m.steps++; m.steps <= longest {
					m.t = t
					f(t)
				}
			}
		}
	}
	return all
}

// toggle is what the control store says.
func (m *machine) toggle() strangler.Toggle {
	toggle, err := m.store.Toggle(m.t.Context(), m.c.Name)
	must(m.t, err)
	return toggle
}

func (m *machine) phase() strangler.Phase {
	rec, err := m.store.Split(m.t.Context(), m.c.Name)
	must(m.t, err)
	if rec.Phase == strangler.PhaseStopped && m.ending == "" {
		m.say("the split has stopped: %s", rec.Error)
		m.t.Fatalf("the split has stopped")
	}
	return rec.Phase
}

// moving reports whether there are two fenced sides.
func (m *machine) moving() bool {
	switch m.phase() {
	case strangler.PhaseCopying, strangler.PhaseSyncing, strangler.PhaseReversed:
		return m.ending == ""
	}
	return false
}

// check is asked between all actions: the owner has what the model has, and no other side takes a write.
func (m *machine) check(t *rapid.T) {
	m.t = t
	ctx := t.Context()
	for {
		before := m.toggle()
		has, errView := m.has(ctx, before.Owner)
		takes, says := m.takers(ctx)
		if m.toggle().Epoch != before.Epoch {
			continue // a worker that was waiting for a lock has gone on
		}
		must(t, errView)
		if diff := cmp.Diff(m.model, has); diff != "" {
			m.say("- model, + %s:\n%s", before.Owner, diff)
			t.Fatalf("the owner does not have what was committed")
		}
		for _, side := range takes {
			if side != before.Owner {
				m.say("owner %s, writes are taken by %v", before.Owner, takes)
				t.Fatalf("a side takes writes that does not own")
			}
		}
		if says[strangler.Legacy] == fenced && m.phase() == strangler.PhaseNone {
			t.Fatalf("the monolith takes no writes, though nothing has begun")
		}
		return
	}
}

// has is what the owner holds of the tables that move, and the monolith of those that stay.
func (m *machine) has(ctx context.Context, owner strangler.Side) (rows, error) {
	out, err := m.sides[strangler.Legacy].view(ctx, m.sides[strangler.Legacy].look)
	if err == nil && owner == strangler.Service {
		var there rows
		there, err = m.sides[owner].view(ctx, m.sides[owner].look)
		out.Invoices, out.Lines = there.Invoices, there.Lines
	}
	return out, err
}

// takers are the sides that take writes, and what each side says. The service's is not asked before it has
// a fence.
func (m *machine) takers(ctx context.Context) (takes []strangler.Side, says map[strangler.Side]verdict) {
	sides, says := []strangler.Side{strangler.Legacy}, map[strangler.Side]verdict{}
	if m.moving() {
		sides = append(sides, strangler.Service)
	}
	for _, side := range sides {
		v, err := m.sides[side].takes(ctx)
		says[side] = v
		switch v {
		case accepted:
			takes = append(takes, side)
		case constraint, gone, broken:
			m.say("a probe at the %s side: %v", side, err)
			m.t.Fatalf("a probe failed")
		}
	}
	return takes, says
}
