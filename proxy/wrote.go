package proxy

import (
	"sync/atomic"
	"time"
)

// wroteSlots bounds the memory of one capability's marks: 512 KiB. Users whose hashes share a slot
// share a mark, which only sends more reads to the owner; with very many writers that is everyone.
const wroteSlots = 1 << 16

// wrote remembers when each user last wrote, so that he reads his own writes: from the owner, until
// the following side has passed that instant. All methods may be called by many goroutines.
type wrote struct {
	start     int64        // everyone counts as having written when the process began: it forgot who did
	anonymous atomic.Int64 // one mark for all requests that carry no identity
	slots     []atomic.Int64
}

func newWrote(start time.Time) *wrote {
	return &wrote{start: start.UnixNano(), slots: make([]atomic.Int64, wroteSlots)}
}

// slot takes the low bits: the canary's bucket takes the high ones.
func (w *wrote) slot(hash uint64) *atomic.Int64 { return &w.slots[hash%wroteSlots] }

// mark records a write that was answered, or may have happened, at an instant. Somebody whose
// identity is made with this answer may come back without it, so he is marked both ways.
func (w *wrote) mark(hash uint64, id identity, at time.Time) {
	if id.known() {
		raise(w.slot(hash), at.UnixNano())
	}
	if !id.returning() {
		raise(&w.anonymous, at.UnixNano())
	}
}

// raise never takes a mark back: of two writes that are answered at once the later one counts.
func raise(mark *atomic.Int64, to int64) {
	for {
		old := mark.Load()
		if old >= to || mark.CompareAndSwap(old, to) {
			return
		}
	}
}

// recent reports whether a user may have written something that the following side does not hold
// yet. An unknown (zero) passed holds nothing.
func (w *wrote) recent(hash uint64, id identity, passed time.Time) bool {
	if passed.IsZero() {
		return true
	}
	last := w.anonymous.Load()
	if id.returning() {
		last = w.slot(hash).Load()
	}
	return max(last, w.start) >= passed.UnixNano()
}
