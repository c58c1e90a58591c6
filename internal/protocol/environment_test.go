package protocol

// surround adds what clients, the proxy, operators and misfortune can do.
func (m *model) surround(s *state) {
	m.clients(s)
	m.proxySteps(s)
	m.toggles(s)
	m.lateStatement(s)
	m.outages(s)
	for i := range s.worker {
		if s.worker[i].at != idle && s.left.faults > 0 {
			t := *s
			t.left.faults--
			t.worker[i].goTo(idle)
			m.emit(fault, i, "crashes", t)
		}
	}
}

// clients write to any side that takes it: through the proxy, through one that was cut off, or past all of
// them. A closed fence refuses, which changes nothing.
func (m *model) clients(s *state) {
	for side := range s.db {
		d := &s.db[side]
		if !d.open || !d.alive || s.acked == m.writes {
			continue
		}
		t := *s
		t.acked++
		t.db[side].value, t.db[side].next = t.acked, t.acked
		t.db[side].log |= 1 << t.acked
		m.emitSide(environment, "a client's write is acknowledged at", side, t)
	}
}

func (m *model) proxySteps(s *state) {
	p, c := &s.proxy, &s.control
	switch p.phase {
	case serving:
		if c.preparing || c.released {
			polled := statement{kind: releaseProxy, side: c.owner, epoch: c.rowEpoch}
			if c.preparing {
				polled.kind = gateProxy
			}
			t := *s
			m.exec(&t, polled)
			m.emit(recovery, nobody, "the proxy polls the row", t)
		}
		if m.releaseOnTimer && p.gated {
			t := *s
			t.proxy.gated = false
			m.emit(recovery, nobody, "the proxy's own timer opens its gate", t)
		}
		if s.left.faults > 0 {
			t := *s
			t.left.faults--
			t.proxy = proxy{phase: starting}
			if m.startReadsFirst {
				t.proxy.phase = unlisted
			}
			m.emit(fault, nobody, "the proxy restarts", t)
		}
	case starting, unlisted:
		t := *s
		t.proxy = proxy{
			phase: serving,
			epoch: c.rowEpoch, side: c.owner,
			gated: c.preparing || !c.released && !m.startTrustsDecided,
		}
		if p.phase == unlisted {
			t.proxy.phase = registering
		}
		m.emit(recovery, nobody, "the starting proxy reads the row", t)
	case registering:
		t := *s
		t.proxy.phase = serving
		m.emit(recovery, nobody, "the starting proxy registers", t)
	}
}

// toggles use up an epoch; under a preparing row they are refused.
func (m *model) toggles(s *state) {
	if s.left.toggles == 0 || s.control.preparing && !m.toggleWhilePreparing {
		return
	}
	t := *s
	t.left.toggles--
	t.control.epoch++
	if m.oneEpochRegister {
		t.proxy.epoch = t.control.epoch
	}
	m.emit(environment, nobody, "a toggle changes", t)
}

func (m *model) lateStatement(s *state) {
	if s.late.kind == none {
		return
	}
	t := *s
	t.late = statement{}
	m.emitStatement(environment, nobody, s.late, unreachable, t)
	if out := m.exec(&t, s.late); out != unreachable {
		m.emitStatement(environment, nobody, s.late, out, t)
	}
}

func (m *model) outages(s *state) {
	for side := range s.db {
		t := *s
		d := &t.db[side]
		switch {
		case !d.alive:
			d.alive = true
			m.emitSide(revival, "back again:", side, t)
		case s.left.faults > 0:
			d.alive = false
			t.left.faults--
			m.emitSide(fault, "unreachable from now on:", side, t)
		}
	}
}
