package model

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/strangler-fig/strangler"
)

// points are the durable statements that a trap can be set at.
var points = []string{"fence", "term", "position", "forget", "script", "prepare", "decide", "release", "next-epoch", "next-term", "save-split"}

// patience bounds how long a run waits for what has to come.
const patience = time.Minute

// sessionsEnd is how long a worker that comes to no rest waits for sessions of applications.
const sessionsEnd = 2 * time.Second

// tell gives the worker an order, and lets it do some of it.
func (m *machine) tell(t *rapid.T, name string, f func(ctx context.Context, p *process) error) {
	if m.order != nil {
		t.Skip("the worker has something to do")
	}
	m.give(t, name, f)
	m.work(t)
}

// give gives the worker an order.
func (m *machine) give(t *rapid.T, name string, f func(ctx context.Context, p *process) error) {
	p, o := m.worker, &order{name: name, done: make(chan struct{})}
	m.order = o
	m.say("%s: %s", p.name, name)
	p.orders.Go(func() {
		defer close(o.done)
		o.err = errDead // where the process ends meanwhile
		for {
			err := f(p.ctx, p)
			if !errors.Is(err, strangler.ErrConflict) {
				o.err = err
				return
			}
			select { // it is busy, or the lease is not yet its own
			case <-time.After(poll):
			case <-p.ctx.Done():
				return
			}
		}
	})
}

// collect forgets an order that has been carried out, or whose worker is dead.
func (m *machine) collect() {
	if m.order == nil {
		return
	}
	select {
	case <-m.order.done:
	default:
		return
	}
	o := m.order
	m.order = nil
	m.say("%s: %v", o.name, o.err)
	if o.err != nil && (errors.Is(o.err, strangler.ErrStopped) || strings.Contains(o.err.Error(), "differs between the two sides") || strings.Contains(o.err.Error(), "changes of its own")) {
		m.t.Fatalf("%s found what must not be", o.name)
	}
	if o.name == m.ending && (o.err == nil || errors.Is(o.err, strangler.ErrRefused)) {
		m.ending = ""
	}
}

func (m *machine) start(t *rapid.T) {
	if m.ending != "" {
		t.Skip("it is being taken back")
	}
	m.tell(t, "start", func(ctx context.Context, p *process) error { return p.splits.Copy(ctx, m.c.Name) })
}

func (m *machine) verify(t *rapid.T) {
	if !m.moving() {
		t.Skip("nothing to compare")
	}
	m.tell(t, "verify", func(ctx context.Context, p *process) error {
		v, err := p.splits.Verify(ctx, m.c.Name)
		if err == nil && v.Mismatches > 0 {
			err = errors.New("a row differs between the two sides")
		}
		return err
	})
}

func (m *machine) cutover(t *rapid.T) {
	if !m.moving() {
		t.Skip("nothing to hand over")
	}
	m.tell(t, "cutover", func(ctx context.Context, p *process) error {
		_, err := p.splits.Cutover(ctx, m.c.Name, "test", "model")
		return err
	})
}

func (m *machine) rollback(t *rapid.T) {
	if m.phase() != strangler.PhaseReversed {
		t.Skip("nothing to roll back")
	}
	m.tell(t, "rollback", func(ctx context.Context, p *process) error {
		_, err := p.splits.Rollback(ctx, m.c.Name, "test", "model")
		return err
	})
}

// handOver makes it likely that the owner changes in a run: it does what comes before a cutover first, and
// leaves the worker somewhere on the way.
func (m *machine) handOver(t *rapid.T) {
	if m.ending != "" || m.order != nil {
		t.Skip("the worker has something to do")
	}
	if m.phase() == strangler.PhaseReversed {
		m.rollback(t)
		return
	}
	m.start(t)
	m.settle(t)
	if m.moving() {
		m.verify(t)
		m.settle(t)
		m.cutover(t)
	}
}

func (m *machine) cancel(t *rapid.T) {
	if m.toggle().Owner == strangler.Service || m.phase() == strangler.PhaseNone || m.order != nil {
		t.Skip("nothing to cancel")
	}
	if m.ending == "" && rapid.IntRange(0, 2).Draw(t, "really") < 2 {
		return // a run that is cancelled early sees little
	}
	m.giveCancel(t)
	m.work(t)
}

func (m *machine) giveCancel(t *rapid.T) {
	m.ending = "cancel"
	m.give(t, m.ending, func(ctx context.Context, p *process) error { return p.splits.Cancel(ctx, m.c.Name) })
}

// work lets the worker make some calls, and stops it there.
func (m *machine) work(t *rapid.T) {
	n := rapid.IntRange(0, 25).Draw(t, "calls")
	m.exclude(m.worker, m.sleeper)
	m.worker.work(n, m.idle)
	m.report(t, m.worker)
	m.collect()
	m.revive(t)
}

func (m *machine) report(t *rapid.T, p *process) {
	p.see(func() {
		m.say("%s: %d calls, the last: %s; dead %t, waits %d", p.name, p.passed, p.last, p.dead, p.waits)
	})
}

// idle reports whether the worker has seen every commit.
func (m *machine) idle() bool {
	return m.order == nil && m.worker.splits.Passed(m.c.Name).After(m.last)
}

// exclude lets a worker that would keep p from writing go on until it does not. A process that stops inside
// a transaction blocks everyone where the engine of either side has one writer.
func (m *machine) exclude(p, other *process) {
	if other != nil && (m.sides[strangler.Legacy].speech.oneWriter || m.sides[strangler.Service].speech.oneWriter) {
		other.finishApplying()
	}
}

// revive starts another worker where the present one is dead.
func (m *machine) revive(t *rapid.T) {
	dead := false
	m.worker.see(func() { dead = m.worker.dead })
	if dead {
		m.say("%s is dead", m.worker.name)
		must(t, m.worker.kill())
		m.order = nil
		m.startWorker()
	}
}

// kill ends the worker between two of its calls.
func (m *machine) kill(t *rapid.T) {
	m.worker.change(func() { m.worker.dead = true })
	m.revive(t)
}

// sleep leaves the worker where it is. Its lease ends, and another one takes over.
func (m *machine) sleep(t *rapid.T) {
	if m.sleeper != nil {
		t.Skip("one sleeps already")
	}
	m.sleeper, m.order = m.worker, nil
	m.sleeper.change(func() { m.sleeper.asleep = true })
	m.say("%s sleeps", m.sleeper.name)
	m.startWorker()
}

// wake lets the sleeper go on where it was, as if it had its lease still.
func (m *machine) wake(t *rapid.T) {
	if m.sleeper == nil {
		t.Skip("nobody sleeps")
	}
	m.exclude(m.sleeper, m.worker)
	m.sleeper.work(rapid.IntRange(1, 40).Draw(t, "calls"), func() bool { return false })
	m.report(t, m.sleeper)
	dead := false
	m.sleeper.see(func() { dead = m.sleeper.dead })
	if dead {
		m.say("%s has noticed", m.sleeper.name)
		must(t, m.sleeper.kill())
		m.sleeper = nil
	}
}

// killSleeper ends the sleeper before it notices.
func (m *machine) killSleeper(t *rapid.T) {
	if m.sleeper == nil {
		t.Skip("nobody sleeps")
	}
	m.say("%s is dead", m.sleeper.name)
	must(t, m.sleeper.kill())
	m.sleeper = nil
}

func (m *machine) setTrap(t *rapid.T) {
	trap := &trap{point: rapid.SampledFrom(points).Draw(t, "statement") + rapid.SampledFrom([]string{".before", ".after"}).Draw(t, "when"),
		left: rapid.IntRange(0, 2).Draw(t, "later"), kill: rapid.Bool().Draw(t, "kills")}
	m.say("%s: trap: %s", m.worker.name, trap)
	m.worker.change(func() { m.worker.trap = trap })
}

// settle lets the worker go on until it has nothing more to do, and compares both sides.
func (m *machine) settle(t *rapid.T) {
	m.exclude(m.worker, m.sleeper)
	began, asked := time.Now(), time.Time{}
	for ready := false; !ready; {
		m.worker.change(func() { m.worker.free = true })
		changed := m.worker.see(func() {})
		m.collect()
		m.revive(t)
		ready = m.order == nil && m.still(began)
		if m.order == nil && !ready && time.Since(asked) > 3*stillAfter {
			asked = time.Now()
			m.nudge(t)
		}
		if time.Since(began) > sessionsEnd {
			m.endSessions(t)
		}
		if time.Since(began) > patience {
			m.report(t, m.worker)
			m.say("phase %q, being taken back: %q, %+v, passed %s ago", m.phase(), m.ending, m.toggle(), time.Since(m.worker.splits.Passed(m.c.Name)))
			t.Fatalf("the worker does not come to rest")
		}
		select {
		case <-changed:
		case <-time.After(poll):
		}
	}
	m.worker.change(func() { m.worker.free = false })
	m.report(t, m.worker)
	m.alike(t)
}

// still reports whether nothing is left to do for what was committed before began.
func (m *machine) still(began time.Time) bool {
	switch m.phase() {
	case strangler.PhaseSyncing, strangler.PhaseReversed:
		return m.ending == "" && !m.toggle().Gated && m.worker.splits.Passed(m.c.Name).After(began)
	case strangler.PhaseCopying, strangler.PhaseStopped:
		return false
	}
	return m.ending == ""
}

// nudge does what people do with a worker that waits before it tries again: the same once more.
func (m *machine) nudge(t *rapid.T) {
	if m.ending != "" {
		m.giveCancel(t)
		return
	}
	p := m.worker
	p.orders.Go(func() { _ = p.splits.Copy(p.ctx, m.c.Name) })
}

// alike fails unless both sides have what the model has.
func (m *machine) alike(t *rapid.T) {
	if !m.moving() {
		return
	}
	for side, a := range m.sides {
		has, err := a.view(t.Context(), a.look)
		must(t, err)
		want := m.model
		if side == strangler.Service {
			want = m.model.moving()
		}
		if diff := cmp.Diff(want, has); diff != "" {
			m.say("- model, + %s:\n%s", side, diff)
			t.Fatalf("the two sides are not alike")
		}
	}
}
