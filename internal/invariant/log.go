package invariant

import "sync"

// Kind is what a write does.
type Kind string

// The writes that the checker understands.
const (
	CreateCourier   Kind = "create courier"
	SetAvailability Kind = "set availability"
	PlaceOrder      Kind = "place order"
	AcceptOrder     Kind = "accept order"
	MoveOrder       Kind = "move order" // an accepted one, on to a state
)

// Outcome is how a write ended, as its client saw it.
type Outcome string

const (
	// Ambiguous: no answer that tells. It may have happened, or may yet. A write is ambiguous until
	// its client says otherwise.
	Ambiguous Outcome = "ambiguous"
	// Acknowledged: answered 2xx. It has happened.
	Acknowledged Outcome = "acknowledged"
	// Refused: the answer says that nothing was written.
	Refused Outcome = "refused"
)

// Courier is a courier as a client sends it.
type Courier struct {
	ID                  int64
	FirstName, LastName string
	Street, City, Zip   string
	Available           *bool
}

// Order is an order as a client sends it.
type Order struct {
	ID                   int64
	Consumer, Restaurant int64
	Street, City, Zip    string // where to
	State                string // MoveOrder: the one it gets to
}

// Write is one request that changes something.
//
// Couriers that are created through one log differ in their names or addresses, and orders that are
// placed through one log in where they go to, also from everything that was there before: by these
// values a write is found again whose answer never came.
type Write struct {
	Key     string // its Idempotency-Key; empty: none was sent
	Kind    Kind
	Courier Courier // CreateCourier: what is sent; SetAvailability: ID and Available
	Order   Order   // PlaceOrder: what is sent; AcceptOrder: ID; MoveOrder: ID and State
}

// Log is every write of a test's or demo's clients. The zero Log is ready. All methods may be called
// by many goroutines.
type Log struct {
	mu      sync.Mutex
	clock   int64 // orders beginnings and ends of writes
	entries []*Entry
}

// Entry is one write in the log. Its methods may be called by one goroutine.
type Entry struct {
	log     *Log
	write   Write
	outcome Outcome
	answer  int64
	began   int64
	ended   int64 // 0: not yet
}

// Begin records a write that is about to be sent. A write that is sent again with the same key is
// still the same entry.
func (l *Log) Begin(w Write) *Entry {
	if w.Courier.Available != nil {
		sent := *w.Courier.Available // the caller may change its own
		w.Courier.Available = &sent
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	e := &Entry{log: l, write: w, outcome: Ambiguous, began: l.clock}
	l.entries = append(l.entries, e)
	return e
}

// Acknowledge records a 2xx and the id that it answered: of the new courier, of the new order, of the
// courier who was given an accepted order, of the courier whose availability was set, of the order that moved.
func (e *Entry) Acknowledge(id int64) { e.end(Acknowledged, id) }

// Refuse records an answer that says that nothing was written.
func (e *Entry) Refuse() { e.end(Refused, 0) }

func (e *Entry) end(o Outcome, answer int64) {
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	e.log.clock++
	e.outcome, e.answer, e.ended = o, answer, e.log.clock
}

// Count is how many writes have that outcome now.
func (l *Log) Count(o Outcome) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.entries {
		if e.outcome == o {
			n++
		}
	}
	return n
}

// entriesNow are copies of all entries, in the order in which they began.
func (l *Log) entriesNow() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Entry, len(l.entries))
	for i, e := range l.entries {
		all[i] = *e
		all[i].log = nil
	}
	return all
}

// before reports whether e had ended before other began. What is ambiguous may take effect at any time.
func (e *Entry) before(other *Entry) bool {
	return e.outcome == Acknowledged && e.ended < other.began
}
