package admin

import (
	"time"

	"github.com/strangler-fig/strangler"
)

// Order is the body of every POST. Who is required; each operation reads the others that it knows. A text has 1 KiB at most, in one line.
type Order struct {
	Who    string         `json:"who"`              // user@host
	Why    string         `json:"why,omitempty"`    // cutover, rollback, adopt; what people ask of a run
	Owner  strangler.Side `json:"owner,omitempty"`  // adopt; empty: show only
	Lost   bool           `json:"lost,omitempty"`   // adopt: the other side's database is gone for good
	Repair bool           `json:"repair,omitempty"` // verify: bring the owner's rows again where the sides differ
	Until  string         `json:"until,omitempty"`  // run: the last step
	To     string         `json:"to,omitempty"`     // rollback of a run: the last step to undo
	Step   string         `json:"step,omitempty"`   // approve, skip, retry

	Confirm string `json:"confirm,omitempty"` // complete, and approve of the point of no return: the capability's name
}

// Asked is the answer to what a person asked of a run.
type Asked struct {
	strangler.Run
	Changes []string `json:"changes,omitempty"` // accept: the lines of the settings that are other ones, as a diff shows them
}

// RunStatus is the answer of GET /v1/runs/:cap: the run's own fields, and what surrounds it.
type RunStatus struct {
	strangler.Run
	At      time.Time          `json:"at"` // by the daemon's clock, when it was asked
	Toggle  strangler.Toggle   `json:"toggle"`
	Split   *RunSplit          `json:"split,omitempty"`   // absent for a stateless capability
	Traffic *Traffic           `json:"traffic,omitempty"` // absent where the daemon that answers has no proxy
	Outlook *strangler.Outlook `json:"outlook,omitempty"` // absent where the run does not go forward by itself
	Waits   *strangler.Wait    `json:"waits,omitempty"`   // absent where it does not wait
}

// RunSplit is a split as far as its run is concerned.
type RunSplit struct {
	Phase      strangler.Phase           `json:"phase"`
	Doing      string                    `json:"doing,omitempty"` // what a copy does once its rows are there
	Error      string                    `json:"error,omitempty"` // of the split, or why its status could not be read
	Throttled  string                    `json:"throttled,omitempty"`
	Lag        strangler.Lag             `json:"lag"`
	Tables     []strangler.TableProgress `json:"tables"`
	LastVerify strangler.Verify          `json:"last_verify"`
	Verifying  *strangler.Verifying      `json:"verifying,omitempty"`
}

// Traffic is what the proxy of the daemon that answers has had answered since it started. Of several instances each
// counts its own.
type Traffic struct {
	Legacy    SideTraffic `json:"legacy"`
	Service   SideTraffic `json:"service"`   // requests that a shadow sent included
	Instances int         `json:"instances"` // that proxy at this moment, this one among them
}

// SideTraffic counts one side's requests.
type SideTraffic struct {
	Requests int64 `json:"requests"`
	Errors   int64 `json:"errors"` // answers of 500 and above, no answer, and answers that broke off
}

// Noticed is the answer of GET /v1/toggles/:cap: the toggle, and what this instance's proxy has noticed of the capability that a person
// should know, in words.
type Noticed struct {
	strangler.Toggle
	Notices []string `json:"notices,omitempty"`
}

// Evidence is what the control store and both databases say of who owns a capability, in words, and
// the toggle that stands (after Adopt with an owner: the new one).
type Evidence struct {
	Lines  []string         `json:"lines"`
	Toggle strangler.Toggle `json:"toggle"`
}

// Preview is the answer to ?dry_run=true: what would be done. Nothing has been changed.
type Preview struct {
	DryRun     bool                `json:"dry_run"`
	Lines      []string            `json:"lines"`                // what would happen, in order
	Statements []string            `json:"statements,omitempty"` // of a cutover or a rollback: the one that closes the owner's fence, then the one that opens the other side's
	Steps      []strangler.StepRun `json:"steps,omitempty"`      // of a playbook, as a run would find them
	Planned    []strangler.Planned `json:"planned,omitempty"`    // every statement, flip and call of a run, in order
	NextSteps  []string            `json:"next_steps"`
}

// History is the answer of GET /v1/toggles/:cap/history, newest first as the store has it.
type History struct {
	History []strangler.AuditEntry `json:"history"`
}

// Instances is the answer of GET /v1/instances.
type Instances struct {
	Instances []strangler.Instance `json:"instances"`
}

// Writers is the answer of GET /v1/splits/:cap/writers.
type Writers struct {
	Writers []strangler.Writer `json:"writers"`
}

// Code is what kind of failure an answer is. The eight are part of the API and do not change.
type Code string

const (
	CodeRefused       Code = "refused"       // a check says no, nothing was changed
	CodeConflict      Code = "conflict"      // someone else changed the same thing
	CodeUnknown       Code = "unknown"       // it may or may not have happened: read back
	CodeSuperseded    Code = "superseded"    // a newer worker, term or epoch holds
	CodeStopped       Code = "stopped"       // stopped half-way, and resumable
	CodeConfiguration Code = "configuration" // the question or the configuration cannot be used
	CodeNotFound      Code = "not_found"     // no such capability, run, step or endpoint
	CodeFailed        Code = "failed"        // anything else
)

// Failure is the body of every answer that is no success.
type Failure struct {
	Error FailureDetail `json:"error"`
}

// FailureDetail says what went wrong and what to do next.
type FailureDetail struct {
	Code    Code     `json:"code"`
	Message string   `json:"message"`
	Check   string   `json:"check"` // of a refusal: the check that refused
	Next    []string `json:"next"`  // of a refusal: what would satisfy it
}
