package strangler

import "time"

// RunState is where an execution of a playbook stands.
type RunState string

const (
	RunRunning    RunState = "running"
	RunWaiting    RunState = "waiting" // for an approval or a gate; it resumes by itself
	RunUndoing    RunState = "undoing"
	RunDone       RunState = "done"
	RunFailed     RunState = "failed" // resumable: `playbook run` goes on where it stopped
	RunRolledBack RunState = "rolled back"
)

// Run is one execution of a playbook, forward or back.
type Run struct {
	ID         int64     `json:"id"`
	Capability string    `json:"capability"`
	State      RunState  `json:"state"`
	Until      string    `json:"until,omitempty"`   // the last step to do; empty: all of them
	BackTo     string    `json:"back_to,omitempty"` // in RunUndoing: the first step to undo
	Waiting    string    `json:"waiting,omitempty"` // for what
	Error      string    `json:"error,omitempty"`
	Who        string    `json:"who"`
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended"`
	Steps      []StepRun `json:"steps"`
}

// StepState is where one step of a run stands.
type StepState string

const (
	StepPending StepState = "pending"
	StepDoing   StepState = "doing"   // journalled before the effect begins
	StepWaiting StepState = "waiting" // for an approval or for its check to pass
	StepDone    StepState = "done"
	StepUndoing StepState = "undoing"
	StepUndone  StepState = "undone"
	StepFailed  StepState = "failed"
)

// StepRun is the ledger's record of one step in one run.
type StepRun struct {
	Name     string    `json:"name"`
	State    StepState `json:"state"`
	Detail   string    `json:"detail,omitempty"`
	Approved string    `json:"approved_by,omitempty"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
}

// Seconds is how long the step took; 0 while it has not ended.
func (s StepRun) Seconds() float64 {
	if s.Ended.IsZero() || s.Started.IsZero() {
		return 0
	}
	return s.Ended.Sub(s.Started).Seconds()
}
