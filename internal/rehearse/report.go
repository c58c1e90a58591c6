package rehearse

import (
	"errors"
	"slices"

	"github.com/strangler-fig/strangler"
)

// Report is what came of a rehearsal. Its texts hold no values of rows but keys.
type Report struct {
	Capability string     `json:"capability"`
	DryRun     bool       `json:"dry_run,omitempty"` // nothing was made: Copied has what would be
	Passed     bool       `json:"passed"`
	Seconds    float64    `json:"seconds"`
	Rows       int        `json:"rows"`              // asked for, of each table
	Copied     []Copied   `json:"copied"`            // by side and table
	Capture    string     `json:"capture,omitempty"` // how the monolith's changes were recorded, and why, where the server of the copy gave the choice
	Phases     []Phase    `json:"phases"`            // in their order
	HandOvers  []HandOver `json:"hand_overs"`
	Changes    Changes    `json:"changes"`
	// Compared and Mismatches are of all verifications, Differences the first mismatches.
	Compared     int64                  `json:"compared"`
	Mismatches   int64                  `json:"mismatches"`
	Differences  []strangler.Difference `json:"differences"`
	Surprises    []string               `json:"surprises"`
	NotRehearsed []string               `json:"not_rehearsed"`
	Left         []string               `json:"left"` // of the copies, and how to take it away
	NextSteps    []string               `json:"next_steps"`
}

// Copied is one table of a copy.
type Copied struct {
	Side       strangler.Side `json:"side"`
	Table      string         `json:"table"`
	Moves      bool           `json:"moves"`
	Rows       int64          `json:"rows"`       // copied
	Production int64          `json:"production"` // rows in production; an estimate where the table is large
}

// Phase is how long something took. Whole is how long it would take with all of production's rows at the same pace: an
// estimate, from a sample, on whatever machine the copies are.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Rows    int64   `json:"rows,omitempty"`
	Rate    float64 `json:"rows_per_second,omitempty"`
	Whole   float64 `json:"whole_seconds_estimate,omitempty"`
}

func (p *Phase) of(rows, whole int64) {
	if p.Rows = rows; rows > 0 && p.Seconds > 0 {
		p.Rate = float64(rows) / p.Seconds
		p.Whole = float64(whole) / p.Rate
	}
}

// HandOver is one cutover or rollback. Held is how long it kept writes from both sides, the longest of its attempts, under the
// rehearsal's own changes at Rate a second: so many came through until then, which may be fewer than were asked for.
type HandOver struct {
	To       strangler.Side `json:"to"`
	Held     float64        `json:"held_ms"`
	Rate     float64        `json:"changes_per_second"`
	Attempts int            `json:"attempts"` // with writes held
	Seconds  float64        `json:"seconds"`  // all of it
	Aborted  string         `json:"aborted,omitempty"`
}

// Changes counts row changes: made at each side, and tried but refused by the tables' own rules, which is no fault. Their values are
// production's, their number and order are not.
type Changes struct {
	Asked     int      `json:"asked_per_second"`
	Legacy    int64    `json:"legacy"`
	Service   int64    `json:"service"`
	Refused   int64    `json:"refused"`
	RefusedBy []string `json:"refused_by"` // what was tried, and the constraint or the error's number
}

// whole is how many rows of production move.
func (r *Report) whole() (n int64) {
	for _, c := range r.Copied {
		if c.Moves && c.Side == strangler.Legacy {
			n += c.Production
		}
	}
	return n
}

// next is what to do behind it.
func (r *run) next(err error) []string {
	var refused *strangler.Refusal
	switch {
	case errors.As(err, &refused):
		return slices.Clone(refused.Next)
	case err != nil:
		return append(slices.Clone(r.settles), "settle what it found, then: strangler playbook rehearse "+r.Capability.Name)
	}
	return []string{"strangler check", "strangler playbook run " + r.Capability.Name}
}
