package strangler

import "time"

// OwnStep is a step that strangler.yaml puts between the playbook's own. Exactly one of its kinds is set.
type OwnStep struct {
	Name    string        // its own among the steps of the capability
	Before  string        // the playbook's step that it comes right before; empty: After says where it stands
	After   string        // the playbook's step that it comes right after
	Timeout time.Duration // of one try, forward or back
	Retries int           // how often a try that failed is repeated

	Run        *RunStep
	HTTP       *HTTPStep
	SQL        *SQLStep
	Prometheus *PrometheusStep
	Approve    *ApproveStep
	Wait       *WaitStep
	Notify     *NotifyStep
}

// Kind names what the step is, as strangler.yaml does.
func (o OwnStep) Kind() string {
	switch {
	case o.Run != nil:
		return "run"
	case o.HTTP != nil:
		return "http"
	case o.SQL != nil:
		return "sql"
	case o.Prometheus != nil:
		return "prometheus"
	case o.Approve != nil:
		return "approve"
	case o.Wait != nil:
		return "wait"
	case o.Notify != nil:
		return "notify"
	}
	return ""
}

// RunStep runs a program, without a shell.
type RunStep struct {
	Command []string // the program and its arguments
	Check   []string // tells by exiting with 0 that the step is done; none: the ledger alone knows
	Undo    []string // takes the step back; none: there is nothing to take back
}

// HTTPStep is a gate: a GET that has to be answered as it says.
type HTTPStep struct {
	URL    string
	Status int               // that the answer has to have
	JSON   map[string]string // values that its body has to have, by their paths as in "$.status"
}

// SQLStep is a gate: a query that has to be answered as it says. It is asked in a transaction that only reads.
type SQLStep struct {
	Side   Side   // whose database
	Query  string // answers one value
	Answer string // what that has to be, as text
}

// PrometheusStep is a gate: a query whose value has to be within its bounds, all the while of a window.
type PrometheusStep struct {
	URL   string // of the server, without /api/v1
	Query string
	Above *float64 // nil: no such bound
	Below *float64
	For   time.Duration // 0: it is asked once
}

// ApproveStep is a gate: a person has to approve it.
type ApproveStep struct {
	By []string // who may; none: anybody who reaches the admin API
}

// WaitStep is a gate: time has to pass from when the step is reached.
type WaitStep struct{ For time.Duration }

// NotifyStep tells somebody that the run has come this far.
type NotifyStep struct {
	URL  string // takes a POST of JSON
	Text string
}
