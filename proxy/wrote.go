package proxy

import (
	"sync/atomic"
	"time"
)

// wroteSlots bounds the memory of one capability's marks: 512 KiB, from its first on. Users whose hashes share a
// slot share a mark, which only sends more reads to the owner; with very many writers that is everyone.
const wroteSlots = 1 << 16

// wrote remembers when each user last wrote, so that he reads his own writes: from the owner, until
// the following side has passed that instant. All methods may be called by many goroutines.
type wrote struct {
	start     int64                                    // everyone counts as having written when the process began: it forgot who did
	anonymous atomic.Int64                             // one mark for all requests that carry no identity
	slots     atomic.Pointer[[wroteSlots]atomic.Int64] // nil: no user with an identity wrote yet
}

// mark records a write that was answered, or may have happened, at an instant. Somebody whose
// identity is made with this answer may come back without it, so he is marked both ways.
func (w *wrote) mark(hash uint64, id identity, at time.Time) {
	if id.known() {
		if w.slots.Load() == nil {
			w.slots.CompareAndSwap(nil, new([wroteSlots]atomic.Int64))
		}
		raise(&w.slots.Load()[slot(hash)], at.UnixNano())
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
	last := w.start
	if !id.returning() {
		last = max(last, w.anonymous.Load())
	} else if slots := w.slots.Load(); slots != nil {
		last = max(last, slots[slot(hash)].Load())
	}
	return last >= passed.UnixNano()
}

// slot takes the low bits: the canary's bucket takes the high ones.
func slot(hash uint64) uint64 { return hash % wroteSlots }
