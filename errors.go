package strangler

import (
	"errors"
	"fmt"
	"strings"
)

// What can go wrong, by what the caller may do next. Every error that leaves a package wraps at most
// one of them; the command line turns them into its exit codes.
var (
	// ErrRefused: a check says no, and nothing was changed. Exit code 3.
	ErrRefused = errors.New("refused")
	// ErrConflict: someone else changed the same thing at the same moment. Read again, then decide.
	ErrConflict = errors.New("changed meanwhile")
	// ErrUnknown: the effect may or may not have happened. Never retried blindly: read back first.
	ErrUnknown = errors.New("outcome unknown")
	// ErrSuperseded: a newer term, epoch or lease holds. This worker must stop; nothing was written.
	ErrSuperseded = errors.New("superseded")
	// ErrStopped: stopped half-way, and resumable. Exit code 4.
	ErrStopped = errors.New("stopped")
	// ErrConfig: unusable arguments or configuration. Exit code 2.
	ErrConfig = errors.New("configuration")
	// ErrNotFound: there is no such capability, run or step.
	ErrNotFound = errors.New("not found")
)

// Refusal is an ErrRefused that says which check refused, why, and what would satisfy it.
type Refusal struct {
	Check string   // the check's name: "toggle", "lag", "keys"
	Why   string   // what it found
	Next  []string // commands or changes that satisfy it
}

// Refuse makes a Refusal.
func Refuse(check, why string, next ...string) error {
	return &Refusal{Check: check, Why: why, Next: next}
}

func (r *Refusal) Error() string {
	s := fmt.Sprintf("refused by the check %q: %s; nothing was changed", r.Check, r.Why)
	if len(r.Next) > 0 {
		s += "; next: " + strings.Join(r.Next, ", or ")
	}
	return s
}

// Is makes errors.Is(err, ErrRefused) true.
func (r *Refusal) Is(target error) bool { return target == ErrRefused }
