package strangler

import "time"

// EventKind is what an Event is about.
type EventKind string

const (
	EventStep    EventKind = "step"    // a step has ended: it is done, skipped or undone
	EventWait    EventKind = "wait"    // a run waits for something that it did not wait for before
	EventTrip    EventKind = "trip"    // a guard has sent a capability back to legacy
	EventFailure EventKind = "failure" // a run has failed
	EventEnd     EventKind = "end"     // a run is done, rolled back, paused or aborted
)

// Event is something in the life of a capability that people may want to hear of.
type Event struct {
	Kind       EventKind `json:"kind"`
	Capability string    `json:"capability"`
	Run        int64     `json:"run,omitempty"`
	Step       string    `json:"step,omitempty"`
	State      string    `json:"state,omitempty"` // of the step, or of the run where no step is named
	Text       string    `json:"text"`
	At         time.Time `json:"at"`
}
