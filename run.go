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
	RunPaused     RunState = "paused"  // by a person; `playbook continue` goes on
	RunAborted    RunState = "aborted" // by a person, where it stood; nothing was taken back
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
	Paused     string    `json:"paused_by,omitempty"` // who wants nothing more begun; empty: nobody
	Settings   string    `json:"settings,omitempty"`  // the capability's, a line each, that the run goes by
	Who        string    `json:"who"`
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended"`
	Steps      []StepRun `json:"steps"`
	Acts       []Act     `json:"acts"` // what people asked of it, the oldest first
}

// Act is what a person asked of a run.
type Act struct {
	At   time.Time `json:"at"`
	Who  string    `json:"who"`
	What string    `json:"what"`           // run, pause, continue, abort, skip, retry, approve, accept, rollback
	Step string    `json:"step,omitempty"` // of skip, retry and approve; of run and rollback: how far
	Why  string    `json:"why,omitempty"`
}

// Planned is something that a run would do.
type Planned struct {
	Step  string `json:"step"`
	Where string `json:"where"` // "legacy database", "service's database", "toggle", "proxies", "control store", "person", "clock", or an address
	Do    string `json:"do"`    // SQL for a database, words otherwise
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
	StepSkipped StepState = "skipped" // a person has decided to go on without it
)

// StepRun is the ledger's record of one step in one run.
type StepRun struct {
	Name     string    `json:"name"`
	State    StepState `json:"state"`
	Detail   string    `json:"detail,omitempty"`
	Approved string    `json:"approved_by,omitempty"`
	Begun    bool      `json:"begun,omitempty"` // something of it was done, or may have been, and has not been taken back
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
