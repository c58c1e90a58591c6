package protocol

import "hash/maphash"

// class says what a step may be used for. Recovery must come from recovery and revival steps alone: without
// another fault, without a client, and without a person who orders another cutover.
type class uint8

const (
	recovery class = iota
	revival        // a database comes back
	environment
	fault
)

type model struct {
	rules
	bounds
	found []step // what can follow the state that is being explored
}

type step struct {
	state  state
	class  class
	who    int8
	what   string
	kind   kind
	answer outcome
	side   int8
}

const nobody = -1

func (m *model) emit(c class, who int, what string, s state) {
	m.found = append(m.found, step{state: s, class: c, who: int8(who), what: what, side: -1})
}

func (m *model) emitSide(c class, what string, side int, s state) {
	m.found = append(m.found, step{state: s, class: c, who: nobody, what: what, side: int8(side)})
}

func (m *model) emitStatement(c class, who int, st statement, out outcome, s state) {
	side := int8(-1)
	if st.kind.hasSide() {
		side = int8(st.side)
	}
	m.found = append(m.found, step{state: s, class: c, who: int8(who), kind: st.kind, answer: out, side: side})
}

// after returns every step from s. The slice is valid until the next call.
func (m *model) after(s *state) []step {
	m.found = m.found[:0]
	m.work(s, 0)
	m.work(s, 1)
	m.surround(s)
	return m.found
}

// search explores breadth first, so the first state found wrong is one of the nearest.
type search struct {
	model  *model
	states []state
	parent []uint32
	index  []uint64 // hash table over states: half a hash, then position + 1
	seed   maphash.Seed

	edges []uint32 // recovery and revival steps of all states, one after the other
	first []uint32 // where a state's edges begin
}

const (
	revivalEdge = 1 << 31
	tagMask     = 0xffffffff << 32
)

// result is what a search found: how the nearest wrong state comes about, or nothing when all is well.
type result struct {
	states int
	wrong  string
	steps  int
	trace  string
}

// run searches all states within the bounds.
func run(r rules, b bounds) result {
	x := &search{
		model: &model{rules: r, bounds: b},
		index: make([]uint64, 1<<16),
		seed:  maphash.MakeSeed(),
	}
	x.add(x.model.canonical(initial(b)), 0)
	for at := 0; at < len(x.states); at++ {
		s := x.states[at]
		if wrong := x.model.broken(&s); wrong != "" {
			return x.found(wrong, uint32(at))
		}
		x.expand(&s, uint32(at))
	}
	x.first = append(x.first, uint32(len(x.edges)))
	if at, ok := x.stuck(true, x.model.follows, func(*state) bool { return true }); ok {
		return x.found("stuck: nothing leads to one open side with a running stream", at)
	}
	if at, ok := x.stuck(false, x.model.serves, onlyFollowerDown); ok {
		return x.found("stuck: the owner cannot open while the other side is down", at)
	}
	return result{states: len(x.states)}
}

func (x *search) expand(s *state, at uint32) {
	x.first = append(x.first, uint32(len(x.edges)))
	for _, step := range x.model.after(s) {
		to := x.add(x.model.canonical(step.state), at)
		switch step.class {
		case recovery:
			x.edges = append(x.edges, to)
		case revival:
			x.edges = append(x.edges, to|revivalEdge)
		}
	}
}

func (x *search) found(wrong string, at uint32) result {
	var path []uint32
	for to := at; to != 0; to = x.parent[to] {
		path = append(path, to)
	}
	return result{states: len(x.states), wrong: wrong, steps: len(path), trace: x.trace(path)}
}

func (x *search) add(s state, parent uint32) uint32 {
	if len(x.states)*2 >= len(x.index) {
		x.grow()
	}
	hash := maphash.Comparable(x.seed, s)
	slot := x.slot(hash, func(at uint32) bool { return x.states[at] == s })
	if entry := x.index[slot]; entry != 0 {
		return uint32(entry) - 1
	}
	x.states = append(x.states, s)
	x.parent = append(x.parent, parent)
	x.index[slot] = hash&tagMask | uint64(len(x.states))
	return uint32(len(x.states) - 1)
}

// slot returns where the state with this hash is, or the free slot where it belongs.
func (x *search) slot(hash uint64, same func(at uint32) bool) uint64 {
	mask := uint64(len(x.index) - 1)
	slot := hash & mask
	for {
		entry := x.index[slot]
		if entry == 0 || (entry^hash)&tagMask == 0 && same(uint32(entry)-1) {
			return slot
		}
		slot = (slot + 1) & mask
	}
}

func (x *search) grow() {
	x.index = make([]uint64, 2*len(x.index))
	never := func(uint32) bool { return false }
	for i := range x.states {
		hash := maphash.Comparable(x.seed, x.states[i])
		x.index[x.slot(hash, never)] = hash&tagMask | uint64(i+1)
	}
}

// stuck returns the nearest concerned state from which no recovery leads to the goal.
func (x *search) stuck(revive bool, goal, concerned func(*state) bool) (uint32, bool) {
	good := make([]bool, len(x.states))
	for i := range x.states {
		good[i] = goal(&x.states[i])
	}
	for changed := true; changed; {
		changed = false
		for i := len(good) - 1; i >= 0; i-- {
			if !good[i] && x.leadsTo(good, x.edges[x.first[i]:x.first[i+1]], revive) {
				good[i], changed = true, true
			}
		}
	}
	for i := range good {
		if !good[i] && concerned(&x.states[i]) {
			return uint32(i), true
		}
	}
	return 0, false
}

func (x *search) leadsTo(good []bool, edges []uint32, revive bool) bool {
	for _, to := range edges {
		if (to&revivalEdge == 0 || revive) && good[to&^revivalEdge] {
			return true
		}
	}
	return false
}
