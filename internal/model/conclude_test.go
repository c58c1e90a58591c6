package model

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/strangler-fig/strangler"
)

// lastCalls is how many calls a sleeper makes at most when a run ends.
const lastCalls = 200

// conclude ends a run: nobody disturbs any more, everything comes to rest, both sides have what the model
// has, exactly one takes writes, and the writes can be handed over once more.
func (m *machine) conclude(t *rapid.T) {
	m.t = t
	m.endSessions(t)
	m.worker.change(func() { m.worker.trap = nil })
	if m.sleeper != nil { // it does what it can, ends anywhere, and somebody takes over: two that both believe in their lease never rest
		m.exclude(m.sleeper, m.worker)
		m.sleeper.work(lastCalls, func() bool { return false })
		must(t, m.sleeper.kill())
		m.sleeper = nil
		m.kill(t)
	}
	m.settle(t)
	m.check(t)
	m.one(t)
	if !m.moving() {
		return
	}
	m.complete(t)
	m.settle(t)
	m.check(t)
	m.one(t)
}

// one fails unless the owner takes writes, and nobody else. A session that was killed may keep its locks for a moment.
func (m *machine) one(t *rapid.T) {
	takes, says := m.takers(t.Context())
	for until := time.Now().Add(patience); says[m.toggle().Owner] == busy && time.Now().Before(until); {
		takes, says = m.takers(t.Context())
	}
	if !slices.Equal(takes, []strangler.Side{m.toggle().Owner}) {
		m.say("owner %s, writes are taken by %v", m.toggle().Owner, takes)
		t.Fatalf("not exactly the owner takes writes")
	}
}

// complete hands the writes over to the other side. Undisturbed, it has to succeed.
func (m *machine) complete(t *rapid.T) {
	from := m.toggle().Owner
	if from == strangler.Service {
		m.rollback(t)
	} else {
		m.verify(t)
		m.settle(t)
		m.cutover(t)
	}
	m.settle(t)
	if m.toggle().Owner == from {
		t.Fatalf("the writes could not be handed over, though nobody disturbed")
	}
	m.writes("insert an invoice with a generated key")(t)
}
