package protocol

// broken names the promise that a state breaks, or is empty.
func (m *model) broken(s *state) string {
	owner, follower := &s.db[s.control.owner], &s.db[1-s.control.owner]
	switch {
	case owner.open && follower.open:
		return "two open sides"
	case follower.open:
		return "fork: the side that does not own is open"
	case owner.value != s.acked:
		return "lost: the owner's tables lack an acknowledged write"
	case owner.open && owner.next != s.acked:
		return "fork: the open side would give out an identity twice"
	case !m.decoding && follower.value != owner.value && owner.log>>s.acked&1 == 0:
		return "lost on the way: the follower lacks a write whose log entry is gone"
	}
	if p := &s.proxy; p.phase == serving && !p.gated && s.db[p.side].alive && !s.db[p.side].open {
		return "refused: a gate lets writes through to a closed side"
	}
	return ""
}

// serves: one side open, the gate released, the row decided and marked.
func (m *model) serves(s *state) bool {
	c, p := &s.control, &s.proxy
	return !c.preparing && c.released && s.db[c.owner].alive && s.db[c.owner].open && !s.db[1-c.owner].open &&
		(p.phase == absent || p.phase == serving && !p.gated && p.side == c.owner)
}

// follows: besides, a stream runs from the owner with the follower's term, and the follower has caught up.
func (m *model) follows(s *state) bool {
	c := &s.control
	owner, follower := &s.db[c.owner], &s.db[1-c.owner]
	waiting, _ := m.waiting(s, c.owner)
	if !m.serves(s) || !follower.alive || waiting != 0 || follower.value != owner.value {
		return false
	}
	for _, w := range s.worker {
		if w.at == stream && !w.cutover && w.epoch == c.rowEpoch && w.owner == c.owner && w.term == follower.term {
			return true
		}
	}
	return false
}

// onlyFollowerDown: the owner must be able to serve without waiting for the other side.
func onlyFollowerDown(s *state) bool {
	return s.db[s.control.owner].alive && !s.db[1-s.control.owner].alive
}
