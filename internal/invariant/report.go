package invariant

import (
	"errors"
	"fmt"
	"strings"
)

// detailLimit is how many findings are told in words. All are counted.
const detailLimit = 50

// Report is what a check found.
type Report struct {
	Acknowledged int // writes answered 2xx
	Refused      int // writes answered that nothing was written
	Ambiguous    int // writes without an answer that tells

	Lost       int   // acknowledged and not there, or there with other values
	Duplicated int   // there more often than once
	Forked     int   // there though nobody was told so, half there, an id given twice, or two owners
	Rows       int64 // compared: rows of the tables that move, at the owner
	Mismatches int64 // rows that differ between the two sides, or are on one side only

	Details []string // the first findings, in words
}

// Clean reports whether nothing was found.
func (r Report) Clean() bool {
	return r.Lost == 0 && r.Duplicated == 0 && r.Forked == 0 && r.Mismatches == 0
}

// Err is nil for a clean report, or says all that was found.
func (r Report) Err() error {
	if r.Clean() {
		return nil
	}
	text := fmt.Sprintf("of %d acknowledged writes %d are lost and %d are there more than once; %d other findings; %d of %d rows differ between the two sides",
		r.Acknowledged, r.Lost, r.Duplicated, r.Forked, r.Mismatches, r.Rows)
	return errors.New(strings.Join(append([]string{text}, r.Details...), "\n  "))
}

func (r *Report) say(format string, args ...any) {
	if len(r.Details) < detailLimit {
		r.Details = append(r.Details, fmt.Sprintf(format, args...))
	}
}

func (r *Report) lost(n int, format string, args ...any) {
	r.Lost += n
	r.say("lost: "+format, args...)
}

func (r *Report) duplicated(n int, format string, args ...any) {
	r.Duplicated += n
	r.say("duplicated: "+format, args...)
}

func (r *Report) forked(format string, args ...any) {
	r.Forked++
	r.say("forked: "+format, args...)
}

func (r *Report) mismatch(format string, args ...any) {
	r.Mismatches++
	r.say("mismatch: "+format, args...)
}

// name is a write in a finding.
func (e *Entry) name() string {
	s := string(e.outcome) + " " + string(e.write.Kind)
	switch {
	case e.write.Kind == SetAvailability:
		s += fmt.Sprintf(" of courier %d", e.write.Courier.ID)
	case e.write.Kind == AcceptOrder:
		s += fmt.Sprintf(" %d", e.write.Order.ID)
	case e.answer != 0:
		s += fmt.Sprintf(" %d", e.answer)
	}
	if e.write.Key != "" {
		s += " (key " + e.write.Key + ")"
	}
	return s
}
