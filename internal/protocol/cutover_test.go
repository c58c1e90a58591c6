package protocol

// prepare begins a cutover of the row that the worker streams by.
func (m *model) prepare(s *state, i int) {
	if s.left.cutovers == 0 {
		return
	}
	before := len(m.found)
	epoch := s.control.epoch + 1
	m.send(s, i, statement{kind: prepareRow, epoch: s.worker[i].epoch}, func(w *worker, out outcome) {
		switch out {
		case done:
			w.at, w.cutover, w.epoch = m.steps(true)[0], true, epoch
		case unknown:
			w.goTo(settle)
		default:
			w.goTo(idle)
		}
	})
	for n := range m.found[before:] {
		step := &m.found[before+n]
		step.state.left.cutovers--
		step.class = max(step.class, environment)
	}
}

// cutOver is CUTOVER.md section 4, steps 2 to 6, but for catching up, which is move.
func (m *model) cutOver(s *state, i int) {
	w := &s.worker[i]
	next := func(w *worker, out outcome) { m.advance(w, out) }
	orGiveUp := func(w *worker, out outcome) {
		if out == overtaken {
			w.goTo(swap)
			return
		}
		m.advance(w, out)
	}
	target := 1 - w.owner
	switch w.at {
	case gate:
		m.send(s, i, statement{kind: gateProxy, epoch: w.epoch}, next)
	case fence:
		m.send(s, i, statement{kind: closeFence, side: w.owner, epoch: w.epoch}, next)
	case drawFreeze:
		m.drawTerm(s, i)
	case freeze:
		m.send(s, i, statement{kind: raiseTerm, side: target, term: w.term}, orGiveUp)
	case confirm:
		c := &s.control
		m.local(s, i, "reads the row again", func(_ *state, w *worker) {
			if !c.preparing || c.rowEpoch != w.epoch {
				w.goTo(idle)
				return
			}
			w.at = m.next(confirm, true)
		})
	case readSequence:
		if owner := &s.db[w.owner]; owner.alive {
			m.local(s, i, "reads the owner's sequence", func(_ *state, w *worker) {
				w.value, w.at = owner.next, m.next(readSequence, true)
			})
		}
	case readMark:
		if t := &s.db[target]; t.alive {
			m.local(s, i, "reads the new owner's position", func(_ *state, w *worker) {
				w.mark, w.at = t.value, m.next(readMark, true)
			})
		}
	case decide:
		after := s.control.epoch + 1
		mark := w.mark
		m.send(s, i, statement{kind: commitRow, epoch: w.epoch, value: mark}, func(w *worker, out outcome) {
			switch out {
			case done:
				w.adopt(m.steps(false)[0], after, 1-w.owner)
				if m.decoding {
					w.mark, w.marked = mark, after
				}
			default:
				w.goTo(readBack)
			}
		})
	}
}
