package model

import (
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/strangler-fig/strangler"
)

// somewhere is the side that an application writes at: mostly the owner, sometimes the other one, as
// whoever has not yet heard of a cutover.
func (m *machine) somewhere(t *rapid.T, stays bool) *application {
	owner := m.toggle().Owner
	switch {
	case stays:
		return m.sides[strangler.Legacy]
	case m.moving() && rapid.IntRange(0, 5).Draw(t, "elsewhere") == 5:
		return m.sides[owner.Other()]
	}
	return m.sides[owner]
}

// writes is an action that runs one statement as a transaction: that of a name, or another one where the side's engine has
// none of that name.
func (m *machine) writes(name string) func(*rapid.T) {
	return func(t *rapid.T) {
		_, stays := staying[name]
		a := m.somewhere(t, stays)
		if draw, ok := a.speech.operations(a.side)[name]; ok {
			m.run(t, a, []operation{draw(t)}, true)
			return
		}
		m.run(t, a, []operation{m.anyOperation(t, a)}, true)
	}
}

func (m *machine) swap(t *rapid.T) {
	ops := swapByThirdValue(t, m.model)
	m.run(t, m.somewhere(t, false), ops, true)
}

// transaction runs some statements, and commits them or not.
func (m *machine) transaction(t *rapid.T) {
	a := m.somewhere(t, false)
	ops := make([]operation, rapid.IntRange(2, 4).Draw(t, "statements"))
	for i := range ops {
		ops[i] = m.anyOperation(t, a)
	}
	m.run(t, a, ops, rapid.IntRange(0, 3).Draw(t, "roll back") < 3)
}

func (m *machine) anyOperation(t *rapid.T, a *application) operation {
	all := a.speech.operations(a.side)
	return all[rapid.SampledFrom(names(all)).Draw(t, "statement")](t)
}

// run runs statements in one transaction. The database says whether they hold; the model gets what was
// committed.
func (m *machine) run(t *rapid.T, a *application, ops []operation, commit bool) {
	s, err := a.begin(t.Context(), rapid.SampledFrom(a.speech.levels).Draw(t, "level"))
	if err != nil {
		m.expect(t, a, a.speech.judge(err), err)
		m.say("at %s: %s: %v", a.side, a.speech.judge(err), err)
		return
	}
	for _, op := range ops {
		if !m.statement(t, s, op) {
			return
		}
	}
	m.finish(t, s, commit)
}

// statement reports whether the session goes on.
func (m *machine) statement(t *rapid.T, s *session, op operation) bool {
	v, err := s.do(t, op)
	m.say("at %s: %s: %s", s.a.side, s.a.spell(op.sql), describe(v, err))
	m.expect(t, s.a, v, err)
	if v == accepted && s.moves() && s.a.side != m.toggle().Owner {
		t.Fatalf("a write was taken by the side that does not own")
	}
	return v == accepted
}

func describe(v verdict, err error) string {
	if err == nil || v == fenced {
		return string(v)
	}
	return string(v) + " (" + strings.ReplaceAll(err.Error(), "\n", " ") + ")"
}

// expect fails where a database refuses a statement for a reason that there is not.
func (m *machine) expect(t *rapid.T, a *application, v verdict, err error) {
	switch {
	case v == gone && a.side == strangler.Service && !m.moving():
		// A session that is older than a `cancel` goes on: the service's tables are there from before a copy begins.
	case v == broken, v == gone:
		m.say("at %s: %v", a.side, err)
		t.Fatalf("a statement failed")
	case v == fenced && m.order == nil && m.fenceOpen(a): // an order that goes on may have opened it, or dropped it, behind the refusal
		m.say("at %s: %v", a.side, err)
		t.Fatalf("a statement was refused by a fence that is open")
	}
}

// fenceOpen asks again, with a row in each table.
func (m *machine) fenceOpen(a *application) bool {
	v, _ := a.takes(m.t.Context())
	return v == accepted
}

// finish ends a session. An uncertain commit is read back.
func (m *machine) finish(t *rapid.T, s *session, commit bool) {
	if !commit {
		m.say("at %s: ROLLBACK", s.a.side)
		must(t, s.rollback(t.Context()))
		return
	}
	owner := m.toggle().Owner
	err := s.commit(t.Context())
	m.say("at %s: COMMIT: %v", s.a.side, err)
	after := m.model.clone()
	for _, d := range s.deltas {
		d.applyTo(after)
	}
	if err != nil {
		has, errRead := m.has(t.Context(), owner)
		must(t, errRead)
		if !has.equal(after) {
			return
		}
	}
	if s.moves() && s.a.side != owner {
		t.Fatalf("a transaction was committed at the side that does not own")
	}
	m.model, m.last = after, time.Now()
	for _, id := range s.ids {
		if m.made[id] {
			t.Fatalf("a key was given out twice")
		}
		m.made[id] = true
	}
}

// beginSession opens a transaction that stays open while other things happen.
func (m *machine) beginSession(t *rapid.T) {
	if len(m.open) >= m.sides[strangler.Legacy].speech.sessions {
		t.Skip("enough sessions are open")
	}
	a := m.somewhere(t, false)
	level := rapid.SampledFrom(a.speech.open).Draw(t, "level")
	s, err := a.begin(t.Context(), level)
	if err != nil {
		m.expect(t, a, a.speech.judge(err), err)
		return
	}
	m.say("at %s: session %d, %s", a.side, len(m.open), level.name)
	m.open = append(m.open, s)
}

func (m *machine) inSession(t *rapid.T) {
	i := m.aSession(t)
	s := m.open[i]
	op := m.anyOperation(t, s.a)
	m.say("session %d", i)
	goesOn := m.statement(t, s, op)
	if goesOn && !s.a.speech.oneWriter && op.truncates == "" {
		return
	}
	m.open = append(m.open[:i], m.open[i+1:]...)
	if goesOn { // it would keep everybody out for as long as it is open
		m.finish(t, s, true)
	}
}

func (m *machine) endSession(t *rapid.T) {
	i := m.aSession(t)
	s := m.open[i]
	m.open = append(m.open[:i], m.open[i+1:]...)
	m.say("session %d", i)
	m.finish(t, s, rapid.IntRange(0, 3).Draw(t, "roll back") < 3)
}

// endSessions commits whatever is open.
func (m *machine) endSessions(t *rapid.T) {
	for len(m.open) > 0 {
		s := m.open[0]
		m.open = m.open[1:]
		m.finish(t, s, true)
	}
}

func (m *machine) aSession(t *rapid.T) int {
	if len(m.open) == 0 {
		t.Skip("no session is open")
	}
	return rapid.IntRange(0, len(m.open)-1).Draw(t, "session")
}
