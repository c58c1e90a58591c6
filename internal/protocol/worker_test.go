package protocol

// point is what a worker does next.
type point uint8

const (
	idle     point = iota
	settle         // a takeover begins: read the row
	readBack       // a decision had no answer: read the row
	swap           // preparing: abort it

	open     // the side that the decided row names
	release  // mark the row released, then
	announce // tell the proxy
	draw     // a term from the control store's counter
	raiseOwner
	raiseFollower
	reread
	begin // decoding: put the position where the commit says

	stream // read a batch; in a cutover, until the log is empty
	apply
	forget

	gate
	fence
	drawFreeze
	freeze
	confirm // read the row again: still preparing, still this cutover
	readSequence
	setSequence
	readMark // decoding: R, where the stream the other way will begin
	decide
)

func (p point) remembersRow() bool { return p >= open }

// work adds every step that worker i can take from s. A worker that is not scheduled sleeps; when it wakes,
// what it remembers is as old as its sleep was long.
func (m *model) work(s *state, i int) {
	w := &s.worker[i]
	switch w.at {
	case idle:
		m.start(s, i)
	case settle, readBack:
		m.readRow(s, i)
	case swap:
		m.send(s, i, statement{kind: abortRow, epoch: w.epoch}, func(w *worker, _ outcome) { w.goTo(settle) })
	case open, release, announce, draw, raiseOwner, raiseFollower, reread, begin:
		m.conclude(s, i)
	case stream, apply, forget:
		m.move(s, i)
	case setSequence:
		m.copy(s, i)
	default:
		m.cutOver(s, i)
	}
	if w.cutover {
		// A bound has passed, a check has failed, or a person has cancelled.
		m.local(s, i, "gives the cutover up", func(_ *state, w *worker) { w.goTo(swap) })
	}
}

// start lets an idle worker take over when nobody else is at work or it holds the lease itself. Taking the
// lease from a worker that is merely asleep is a fault.
func (m *model) start(s *state, i int) {
	other := &s.worker[1-i]
	take := func(t *state) {
		t.worker[i] = worker{at: settle, lease: true}
		t.worker[1-i].lease = false
	}
	if other.at == idle || s.worker[i].lease {
		t := *s
		take(&t)
		m.emit(recovery, i, "takes over", t)
	} else if s.left.faults > 0 {
		t := *s
		t.left.faults--
		take(&t)
		m.emit(fault, i, "takes the lease over from a worker that sleeps", t)
	}
}

// send adds the outcomes of a statement: what its receiver answers, or no answer at all, in which case the
// statement is done later, or never.
func (m *model) send(s *state, i int, st statement, then func(*worker, outcome)) {
	t := *s
	out := m.exec(&t, st)
	if out == unreachable {
		return
	}
	then(&t.worker[i], out)
	m.emitStatement(recovery, i, st, out, t)
	if s.left.faults > 0 && s.late.kind == none {
		t := *s
		t.left.faults--
		t.late = st
		then(&t.worker[i], unknown)
		m.emitStatement(fault, i, st, unknown, t)
	}
}

// local adds a step that changes nothing durable, or only draws a number.
func (m *model) local(s *state, i int, what string, then func(*state, *worker)) {
	t := *s
	then(&t, &t.worker[i])
	m.emit(recovery, i, what, t)
}

// goTo moves a worker to a point before it knows a decided row: what it remembered is void.
func (w *worker) goTo(at point) {
	*w = worker{at: at, lease: w.lease, epoch: w.epoch}
	if at != swap {
		w.epoch = 0
	}
}

// adopt makes a decided row the worker's own.
func (w *worker) adopt(at point, epoch, owner uint8) {
	*w = worker{at: at, lease: w.lease, epoch: epoch, owner: owner}
}

// advance moves a worker to its next step, or makes it stop when it was overtaken.
func (m *model) advance(w *worker, out outcome) {
	switch out {
	case done, already:
		w.at = m.next(w.at, w.cutover)
	case unknown: // again: the guard knows whether it was done
	default:
		w.goTo(idle)
	}
}
