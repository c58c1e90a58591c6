package strangler

import "time"

// Scene is what is known of a run at a moment, and what may be said of its future goes by.
type Scene struct {
	Capability Capability
	Run        Run
	Toggle     Toggle
	Split      *SplitStatus // nil: the capability is stateless, or its split could not be read
	Now        time.Time
}

// Outlook is when a run may end at the earliest, by what is known: holds, the soak, the copy at its pace.
type Outlook struct {
	ETA      time.Time `json:"eta,omitzero"` // zero: nothing of what is left has a known length
	Seconds  float64   `json:"seconds"`      // until then
	CountsOn []string  `json:"counts_on"`    // what is left out of it, and what it takes for granted, a phrase each
}

// Wait is what a run waits for at a moment.
type Wait struct {
	For     string `json:"for"`
	HowFar  string `json:"how_far,omitempty"`
	Command string `json:"command,omitempty"` // shows more of it
}
