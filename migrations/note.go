package migrations

import (
	"fmt"
	"strings"
)

// Note is what a person should know before the scripts run, and what to do about it.
type Note struct {
	What string
	Next string // empty: nothing but to know it
}

// What to do about notes that several engines give.
const (
	NextLeftOut  = "where the service needs that, make it there"
	NextDays     = "where the service needs a day in them, put one there first"
	NextComplete = "before complete, drop it, or have it read elsewhere"
)

// Notes are those of a plan or of one side.
type Notes []Note

func note(next, format string, args ...any) Note {
	return Note{What: fmt.Sprintf(format, args...), Next: next}
}

// Texts has a line for each note, with what to do behind it.
func (all Notes) Texts() (out []string) {
	for _, n := range all {
		text := n.What
		if n.Next != "" {
			text += "; " + n.Next
		}
		out = append(out, text)
	}
	return out
}

func (all Notes) String() string { return strings.Join(all.Texts(), "\n") }
