package protocol

// statement is one durable statement or one message to the proxy, with all that it was sent with: it may be
// done long after its sender has forgotten it.
type statement struct {
	kind     kind
	side     uint8
	epoch    uint8
	term     uint8
	value    uint8
	entries  uint8
	expected bool
}

type kind uint8

const (
	none kind = iota
	prepareRow
	commitRow
	abortRow
	markReleased
	gateProxy
	releaseProxy
	closeFence
	openFence
	raiseTerm
	applyBatch
	forgetEntries
	writeSequence
	setPosition
)

var kindNames = [...]string{
	"none", "prepare", "commit", "abort", "mark released", "gate the proxy", "release the proxy",
	"close fence", "open fence", "raise term", "apply batch", "forget entries", "set sequence", "set position",
}

func (k kind) String() string { return kindNames[k] }

func (k kind) hasSide() bool { return k >= releaseProxy }

type outcome uint8

const (
	done        outcome = iota
	already             // nothing changed, and all is as was wanted
	overtaken           // nothing changed: someone newer decided
	moved               // the serial is not the expected one
	unknown             // no answer: done, not done, or done later
	unreachable         // cannot be sent at all
)

// exec does a statement as the store, the database or the proxy that receives it does: in one atomic step.
func (m *model) exec(s *state, st statement) outcome {
	switch st.kind {
	case prepareRow, commitRow, abortRow, markReleased:
		return m.execControl(&s.control, st)
	case gateProxy, releaseProxy:
		return m.execProxy(&s.proxy, st)
	}
	d := &s.db[st.side]
	if !d.alive {
		return unreachable
	}
	switch st.kind {
	case closeFence, openFence:
		return m.execFence(d, st)
	case raiseTerm:
		switch {
		case d.term < st.term:
			d.term = st.term
			return done
		case d.term == st.term:
			return already
		}
		return overtaken
	case forgetEntries:
		d.log &^= st.entries
		return done
	}
	if m.checksTerm(st.kind) && d.term != st.term || !m.noClosedCheck && d.open {
		return overtaken
	}
	switch st.kind {
	case writeSequence:
		d.next = st.value
		return done
	case setPosition:
		if d.since >= st.epoch && !m.beginAgain {
			return already
		}
		d.position, d.since = st.value, st.epoch
		s.serialAdvanced(st.side)
		return done
	}
	if !m.noSerialCheck && !st.expected {
		return moved
	}
	d.value = st.value
	if m.decoding {
		d.position = st.value
	}
	s.serialAdvanced(st.side)
	return done
}

func (m *model) checksTerm(k kind) bool {
	switch k {
	case applyBatch:
		return !m.noBatchTerm
	case writeSequence:
		return !m.noSequenceTerm
	}
	return true
}

func (m *model) execControl(c *control, st statement) outcome {
	switch st.kind {
	case prepareRow:
		if c.preparing || !c.released || c.rowEpoch != st.epoch && !m.prepareAnyRow {
			return overtaken
		}
		c.preparing, c.released = true, false
	case commitRow, abortRow:
		if !c.preparing || c.rowEpoch != st.epoch && !m.decideAnyCutover {
			return overtaken
		}
		if m.decideByEpoch && c.epoch != st.epoch {
			return overtaken
		}
		c.preparing = false
		if st.kind == commitRow {
			c.owner ^= 1
		}
		if m.decoding && st.kind == commitRow {
			c.mark, c.markEpoch = st.value, c.epoch+1
		}
	case markReleased:
		if c.preparing || c.rowEpoch != st.epoch {
			return overtaken
		}
		c.released = true
		return done
	}
	c.epoch++
	c.rowEpoch = c.epoch
	return done
}

func (m *model) execFence(d *database, st statement) outcome {
	want := st.kind == openFence
	switch {
	case m.noEpochGuard || d.epoch < st.epoch:
		d.epoch, d.open = st.epoch, want
		return done
	case d.epoch == st.epoch && d.open == want && !m.doneIsOvertaken:
		return already
	}
	return overtaken
}

func (m *model) execProxy(p *proxy, st statement) outcome {
	if p.phase != serving {
		if st.kind == gateProxy && p.phase == starting {
			return unreachable
		}
		return done
	}
	if st.kind == gateProxy {
		switch {
		case p.epoch < st.epoch:
			p.epoch, p.gated = st.epoch, true
			return done
		case p.epoch == st.epoch && p.gated:
			return already
		}
		return overtaken
	}
	if p.epoch < st.epoch || p.epoch == st.epoch && p.gated {
		p.epoch, p.gated, p.side = st.epoch, false, st.side
	}
	return done
}

// serialAdvanced lets every batch that expected the old serial of a target fail.
func (s *state) serialAdvanced(target uint8) {
	for i := range s.worker {
		if w := &s.worker[i]; w.at == apply && w.owner != target {
			w.expected = false
		}
	}
	if s.late.kind == applyBatch && s.late.side == target {
		s.late.expected = false
	}
}

// spent reports that the late statement will be refused, or change nothing, whenever it is done: what refuses
// it only ever rises.
func (m *model) spent(s *state) bool {
	st, c, p := &s.late, &s.control, &s.proxy
	d := &s.db[st.side]
	switch st.kind {
	case prepareRow:
		return c.rowEpoch != st.epoch && !m.prepareAnyRow
	case commitRow, abortRow:
		return !m.decideAnyCutover && (!c.preparing || c.rowEpoch != st.epoch)
	case markReleased:
		return c.preparing || c.rowEpoch != st.epoch || c.released
	case gateProxy:
		return p.phase == absent || p.phase == serving && p.epoch >= st.epoch
	case releaseProxy:
		return p.phase == absent || p.phase == serving && (p.epoch > st.epoch || p.epoch == st.epoch && !p.gated)
	case closeFence, openFence:
		return !m.noEpochGuard && d.epoch >= st.epoch
	case raiseTerm:
		return d.term >= st.term
	case forgetEntries:
		return d.log&st.entries == 0
	case applyBatch:
		return m.checksTerm(st.kind) && d.term > st.term || !m.noSerialCheck && !st.expected
	case writeSequence, setPosition:
		return m.checksTerm(st.kind) && d.term > st.term
	}
	return false
}
