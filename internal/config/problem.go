package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/strangler-fig/strangler"
)

// Problem is one thing that is wrong in the file.
type Problem struct {
	Line    int    // 1 for the first line; 0 where the problem is the file itself
	Key     string // "capabilities.delivery.routes[1]"; empty where the problem is the file itself
	Message string // what was found and what would be right
}

func (p Problem) String() string {
	switch {
	case p.Line == 0:
		return p.Message
	case p.Key == "":
		return fmt.Sprintf("line %d: %s", p.Line, p.Message)
	}
	return fmt.Sprintf("line %d, %s: %s", p.Line, p.Key, p.Message)
}

// Error is everything that is wrong with one file. errors.Is(err, strangler.ErrConfig) is true of it.
type Error struct {
	File     string
	Problems []Problem // ordered by line
}

// Error has one line for the file and one for each problem.
func (e *Error) Error() string {
	if len(e.Problems) == 1 && e.Problems[0].Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Problems[0])
	}
	word := "problems"
	if len(e.Problems) == 1 {
		word = "problem"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s has %d %s; nothing was started or changed:", e.File, len(e.Problems), word)
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// Unwrap makes the exit code 2.
func (e *Error) Unwrap() error { return strangler.ErrConfig }

// broken is the error of a file that could not be read as a document at all.
func broken(file, format string, args ...any) error {
	return &Error{File: file, Problems: []Problem{{Message: fmt.Sprintf(format, args...)}}}
}

func sorted(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return problems
}
