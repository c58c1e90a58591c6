package protocol

import "math/bits"

// move is one batch: the target's serial, then log and rows of the owner in one snapshot; one transaction in
// the target; and the entries deleted at the owner. A streaming worker may begin a cutover between batches.
func (m *model) move(s *state, i int) {
	w := &s.worker[i]
	owner := &s.db[w.owner]
	drop := func(_ *state, w *worker) { w.dropBatch() }
	switch w.at {
	case stream:
		waiting, readable := m.waiting(s, w.owner)
		if readable && waiting != 0 {
			m.local(s, i, "reads a batch", func(_ *state, w *worker) {
				w.at, w.value, w.entries, w.expected = apply, owner.value, waiting, true
				if m.decoding {
					w.value, w.entries = uint8(bits.TrailingZeros8(waiting)), 0
				}
			})
		}
		if w.cutover {
			if readable && waiting == 0 {
				m.local(s, i, "finds the log empty", func(_ *state, w *worker) { w.at = m.next(stream, true) })
			}
			return
		}
		if owner.alive {
			m.local(s, i, "reads the owner's sequence, to keep it up", func(_ *state, w *worker) {
				w.at, w.value = setSequence, owner.next
			})
		}
		m.prepare(s, i)
		m.look(s, i)
	case apply:
		if !s.db[1-w.owner].alive {
			m.local(s, i, "cannot reach the follower, and lets the batch go", drop)
		}
		st := statement{kind: applyBatch, side: 1 - w.owner, term: w.term, value: w.value, expected: w.expected}
		m.send(s, i, st, func(w *worker, out outcome) {
			switch out {
			case done:
				w.at, w.value, w.expected = forget, 0, false
				if m.decoding {
					w.dropBatch()
				}
			case overtaken:
				w.stopMoving()
			default:
				w.dropBatch()
			}
		})
	case forget:
		if !owner.alive {
			m.local(s, i, "cannot reach the owner, and leaves the entries", drop)
		}
		st := statement{kind: forgetEntries, side: w.owner, entries: w.entries}
		m.send(s, i, st, func(w *worker, _ outcome) { w.dropBatch() })
	}
}

// copy writes what was read at the owner with no serial to guard it. Here it is the sequence, in a cutover and
// now and then while streaming; it stands for chunks and repairs as well.
func (m *model) copy(s *state, i int) {
	w := &s.worker[i]
	if !w.cutover && !s.db[1-w.owner].alive {
		m.local(s, i, "cannot reach the follower, and lets it go", func(_ *state, w *worker) { w.dropBatch() })
	}
	st := statement{kind: writeSequence, side: 1 - w.owner, term: w.term, value: w.value}
	m.send(s, i, st, func(w *worker, out outcome) {
		switch {
		case out == overtaken:
			w.stopMoving()
		case w.cutover:
			m.advance(w, out)
		default:
			w.dropBatch()
		}
	})
}

// waiting returns the entries not yet applied. A log that is the database's own needs the follower's position.
func (m *model) waiting(s *state, owner uint8) (entries uint8, readable bool) {
	log, follower := s.db[owner].log, &s.db[1-owner]
	if m.decoding {
		return log &^ (2<<follower.position - 1), s.db[owner].alive && follower.alive
	}
	return log, s.db[owner].alive
}

// look is what a worker does before and between batches, above all while it waits: for something to stream, or
// for a follower that is down. A row or a term that is another's ends the wait.
func (m *model) look(s *state, i int) {
	w := &s.worker[i]
	if m.deaf {
		return
	}
	stop := func(_ *state, w *worker) { w.goTo(idle) }
	if s.control.preparing || s.control.rowEpoch != w.epoch {
		m.local(s, i, "sees that the row is another, and stops", stop)
	}
	if follower := &s.db[1-w.owner]; w.at == stream && follower.alive && follower.term != w.term {
		m.local(s, i, "sees that its term is outranked, and stops", stop)
	}
}

func (w *worker) dropBatch() {
	w.at, w.value, w.entries, w.expected = stream, 0, 0, false
}

// stopMoving is what a refused target transaction leads to: the term is another's.
func (w *worker) stopMoving() {
	if w.cutover {
		w.goTo(swap)
		return
	}
	w.goTo(idle)
}
