package strangler

import "time"

// CutoverState is where the one row of a cutover stands. It leaves preparing once, by one
// compare-and-swap, and that is the commit point of the whole protocol.
type CutoverState string

const (
	Preparing CutoverState = "preparing"
	Committed CutoverState = "committed"
	Aborted   CutoverState = "aborted"
)

// Cutover is one attempt to hand a capability's writes from one side to the other. A rollback is a
// cutover from the service to legacy.
type Cutover struct {
	ID         int64        `json:"id"`
	Capability string       `json:"capability"`
	From       Side         `json:"from"`
	To         Side         `json:"to"`
	State      CutoverState `json:"state"`
	Epoch      int64        `json:"epoch"`    // fences the present owner, taken when the row was made
	Decided    int64        `json:"decided"`  // opens the side that the decision names; 0 while preparing
	Position   string       `json:"position"` // where the other direction's stream begins (R)
	Released   bool         `json:"released"` // gates have been told to let held writes go
	Who        string       `json:"who"`
	Why        string       `json:"why"` // of an abort: the reason
	Started    time.Time    `json:"started"`
	Ended      time.Time    `json:"ended"`
}

// Owner is the side that a decided cutover names.
func (c Cutover) Owner() Side {
	if c.State == Committed {
		return c.To
	}
	return c.From
}
