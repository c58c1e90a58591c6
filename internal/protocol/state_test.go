package protocol

import "math/bits"

// state is everything durable, everything a worker or a proxy remembers, and what is still under way.
// It is comparable and holds no pointer: two equal states have the same future.
type state struct {
	control control
	db      [2]database
	worker  [2]worker
	proxy   proxy
	late    statement // sent, not answered, not done yet
	left    budget
	acked   uint8 // writes acknowledged so far; the next one is acked+1
}

// control is the control store. The cutover row is the latest cutover's; committed and aborted differ in the
// owner they leave behind, which is all that anyone asks a decided row for.
type control struct {
	epoch     uint8
	rowEpoch  uint8 // preparing: the cutover's E; decided: the epoch that the decision took
	term      uint8 // the last term given out
	owner     uint8
	mark      uint8 // decoding: R of the latest commit
	markEpoch uint8 // decoding: the epoch that commit took
	preparing bool
	released  bool
}

type database struct {
	epoch uint8
	term  uint8
	open  bool
	alive bool
	value uint8 // the last acknowledged write that the tables hold: each write builds on the one before
	next  uint8 // the sequence: the last write that it knows to be used up
	log   uint8 // change log: bit n stands for the entry of write n

	position uint8 // decoding: the entry of the other side up to which this one has applied
	since    uint8 // decoding: epoch of the commit that the position belongs to
}

type worker struct {
	at       point
	cutover  bool // catching up for a cutover of its own, not streaming for good
	lease    bool
	epoch    uint8 // of the row that the worker acts on
	owner    uint8 // the side that row names; while preparing, the present owner
	term     uint8
	value    uint8 // what was read at the owner to be written into the other side
	entries  uint8 // log entries read together with value
	mark     uint8 // decoding: where the stream begins, as the latest commit known to the worker has it
	marked   uint8 // decoding: the epoch of that commit
	expected bool  // the target's batch serial is still the one read before value was
}

// proxy is one instance that keeps the rules of the gate. Those that do not are covered by the clients: they
// may send a write to either side at any instant.
type proxy struct {
	phase phase
	epoch uint8
	gated bool
	side  uint8
}

type phase uint8

const (
	absent phase = iota
	serving
	starting    // registered, the state not read yet
	unlisted    // rules.startReadsFirst: neither
	registering // rules.startReadsFirst: the state read, not registered yet
)

func (p proxy) knowsSide() bool { return p.phase == serving || p.phase == registering }

// budget bounds a search. Faults are crashes, takeovers, late answers, outages and restarts of the proxy.
type budget struct {
	cutovers uint8
	toggles  uint8
	faults   uint8
}

func initial(b bounds) state {
	return state{
		control: control{epoch: 1, rowEpoch: 1, term: 1, released: true},
		db: [2]database{
			{epoch: 1, term: 1, alive: true, open: true},
			{epoch: 1, term: 1, alive: true},
		},
		worker: [2]worker{{at: stream, lease: true, epoch: 1, term: 1}},
		proxy:  b.initialProxy(),
		left:   b.budget,
	}
}

func (b bounds) initialProxy() proxy {
	if !b.proxy {
		return proxy{}
	}
	return proxy{phase: serving, epoch: 1}
}

// canonical returns the representative of all states with the same future up to names.
//
// Epochs and terms are only compared, copied and drawn as one more than the highest, so their ranks say as
// much as their values; a remembered number below all durable ones is refused everywhere, whichever it is.
// A late statement that will be refused for good might as well be lost. The two workers run the same program,
// and the two databases play the same roles, so workers may be exchanged and the owner always be called 0.
func (m *model) canonical(s state) state {
	if s.late.kind != none && m.spent(&s) {
		s.late = statement{}
	}
	rankEpochs(&s, m.noEpochGuard)
	rankTerms(&s)
	if s.control.owner == 1 {
		s.swapSides()
	}
	if s.worker[0].order() < s.worker[1].order() {
		s.worker[0], s.worker[1] = s.worker[1], s.worker[0]
	}
	return s
}

func (s *state) swapSides() {
	s.control.owner ^= 1
	s.db[0], s.db[1] = s.db[1], s.db[0]
	if s.proxy.knowsSide() {
		s.proxy.side ^= 1
	}
	for i := range s.worker {
		if s.worker[i].at.remembersRow() {
			s.worker[i].owner ^= 1
		}
	}
	if s.late.kind.hasSide() {
		s.late.side ^= 1
	}
}

func rankEpochs(s *state, exact bool) {
	lowest := min(s.control.rowEpoch, s.db[0].epoch, s.db[1].epoch)
	if s.proxy.knowsSide() {
		lowest = min(lowest, s.proxy.epoch)
	}
	if exact {
		lowest = 1
	}
	if s.control.markEpoch != 0 {
		lowest = min(lowest, s.control.markEpoch, s.db[0].since, s.db[1].since)
	}
	rank(lowest, &s.control.epoch, &s.control.rowEpoch, &s.db[0].epoch, &s.db[1].epoch,
		&s.db[0].since, &s.db[1].since, &s.control.markEpoch, &s.worker[0].marked, &s.worker[1].marked,
		&s.worker[0].epoch, &s.worker[1].epoch, &s.proxy.epoch, &s.late.epoch)
}

func rankTerms(s *state) {
	rank(min(s.db[0].term, s.db[1].term), &s.control.term, &s.db[0].term, &s.db[1].term,
		&s.worker[0].term, &s.worker[1].term, &s.late.term)
}

// rank replaces each number by its place among the others. 0 stands for none and stays; all below lowest
// become 1.
func rank(lowest uint8, numbers ...*uint8) {
	var seen uint32
	for _, n := range numbers {
		if *n != 0 && *n >= lowest {
			seen |= 1 << *n
		}
	}
	for _, n := range numbers {
		switch {
		case *n == 0:
		case *n < lowest:
			*n = 1
		default:
			*n = 1 + uint8(bits.OnesCount32(seen&(2<<*n-1)))
		}
	}
}

// order is a total order over workers.
func (w worker) order() uint64 {
	n := uint64(w.at)
	for _, field := range [...]uint8{w.epoch, w.owner, w.term, w.value, w.entries, w.mark, w.marked} {
		n = n<<8 | uint64(field)
	}
	return n<<3 | bit(w.cutover)<<2 | bit(w.lease)<<1 | bit(w.expected)
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
