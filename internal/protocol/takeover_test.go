package protocol

// readRow begins a takeover, and ends every doubt: a preparing row is aborted before anything opens.
func (m *model) readRow(s *state, i int) {
	c := &s.control
	w := &s.worker[i]
	switch {
	case !c.preparing:
		m.local(s, i, "reads a decided row", func(_ *state, w *worker) {
			w.adopt(m.steps(false)[0], c.rowEpoch, c.owner)
			w.mark, w.marked = c.mark, c.markEpoch
			if m.keepFoundOpen && w.at == open && s.db[c.owner].open {
				w.at = m.next(open, false)
			}
		})
	case m.takeoverOpens && w.at == settle, m.openOnPreparing && w.at == readBack:
		m.local(s, i, "reads preparing, and takes a fresh epoch to open with", func(t *state, w *worker) {
			t.control.epoch++
			w.adopt(open, t.control.epoch, c.owner)
		})
	default:
		m.local(s, i, "reads preparing", func(_ *state, w *worker) {
			w.epoch = c.rowEpoch
			w.goTo(swap)
		})
	}
}

// conclude is CUTOVER.md section 4, steps 7 and 8: open, release, raise both terms, read again, stream.
func (m *model) conclude(s *state, i int) {
	w := &s.worker[i]
	next := func(w *worker, out outcome) { m.advance(w, out) }
	if w.at == open || w.at == raiseOwner || w.at == raiseFollower || w.at == begin {
		m.look(s, i)
	}
	switch w.at {
	case open:
		m.send(s, i, statement{kind: openFence, side: w.owner, epoch: w.epoch}, next)
	case release:
		m.send(s, i, statement{kind: markReleased, epoch: w.epoch}, next)
	case announce:
		m.send(s, i, statement{kind: releaseProxy, side: w.owner, epoch: w.epoch}, func(w *worker, _ outcome) {
			w.at = m.next(announce, false) // a lost push is made good by the proxy's poll
		})
	case draw:
		m.drawTerm(s, i)
	case raiseOwner:
		m.send(s, i, statement{kind: raiseTerm, side: w.owner, term: w.term}, next)
	case raiseFollower:
		m.send(s, i, statement{kind: raiseTerm, side: 1 - w.owner, term: w.term}, next)
	case reread:
		c := &s.control
		m.local(s, i, "reads the row again", func(_ *state, w *worker) {
			if c.preparing || c.rowEpoch != w.epoch {
				w.goTo(settle)
				return
			}
			w.at = m.next(reread, false)
		})
	case begin:
		st := statement{kind: setPosition, side: 1 - w.owner, term: w.term, epoch: w.marked, value: w.mark}
		m.send(s, i, st, func(w *worker, out outcome) {
			m.advance(w, out)
			if w.at != begin {
				w.mark, w.marked = 0, 0
			}
		})
	}
}

func (m *model) drawTerm(s *state, i int) {
	m.local(s, i, "draws a term", func(t *state, w *worker) {
		t.control.term++
		w.term = t.control.term
		w.at = m.next(w.at, w.cutover)
	})
}
