package protocol

import "slices"

// rules is what a model keeps of CUTOVER.md. The zero value keeps all of it; each field takes one rule out.
type rules struct {
	tail    []point // steps after a decision; nil for afterDecision
	cutover []point // steps before it; nil for untilDecision

	noEpochGuard    bool // a fence takes any epoch
	doneIsOvertaken bool // a guarded fence update that changed no row always means: overtaken

	noBatchTerm    bool // a batch does not compare terms
	noSequenceTerm bool // what is copied without a serial does not compare terms
	noSerialCheck  bool // a batch does not compare the serial
	noClosedCheck  bool // target transactions do not look at the fence's state
	beginAgain     bool // decoding: a stream begins from R though the follower has applied more

	openOnPreparing      bool // a decision without an answer, read back as preparing, counts as not taken
	decideAnyCutover     bool // the decision does not name its cutover
	decideByEpoch        bool // the decision asks for its own epoch, not only for preparing
	toggleWhilePreparing bool // a toggle uses up an epoch while the row is preparing
	prepareAnyRow        bool // preparing asks for any decided row, not for the one known

	takeoverOpens bool // a takeover opens the owner without settling a preparing row
	keepFoundOpen bool // a takeover leaves an owner that it finds open as it is
	deaf          bool // a worker that waits or streams looks neither at the row nor at its term

	releaseOnTimer     bool // the proxy opens its gate by itself
	startReadsFirst    bool // an instance reads the state before it registers
	startTrustsDecided bool // an instance that starts under a decided row does not wait for the release
	oneEpochRegister   bool // a toggle's epoch counts as seen by the gate
}

// afterDecision is CUTOVER.md section 4, steps 7 and 8, and the end of every takeover.
var afterDecision = []point{open, release, announce, draw, raiseOwner, raiseFollower, reread, begin, stream}

// untilDecision is CUTOVER.md section 4, steps 2 to 6. In a cutover, stream stands for catching up.
var untilDecision = []point{
	gate, fence, stream, drawFreeze, freeze, confirm, readSequence, setSequence, readMark, decide,
}

// next is the step after this one, in a cutover or behind a decision.
func (m *model) next(at point, cutover bool) point {
	steps := m.steps(cutover)
	next := steps[slices.Index(steps, at)+1]
	switch {
	case next == begin && !m.decoding:
		return stream
	case next == readMark && !m.decoding:
		return decide
	}
	return next
}

func (m *model) steps(cutover bool) []point {
	switch {
	case cutover && m.cutover != nil:
		return m.cutover
	case cutover:
		return untilDecision
	case m.tail != nil:
		return m.tail
	}
	return afterDecision
}

// bounds says how far a search goes. Without a proxy a gate is closed as soon as it is asked for: the proxy
// can only delay a worker, which sleep does anyway, and the clients write with or without it.
type bounds struct {
	writes   uint8
	decoding bool // the change log is the database's own: entries carry rows, stay, and have positions
	proxy    bool
	budget
}
