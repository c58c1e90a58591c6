package rehearse

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/strangler-fig/strangler"
)

// mostSurprises bounds a report.
const mostSurprises = 50

// notes are what was noticed on the way. It is also a log handler: what the split warns of is a surprise. Several goroutines
// may use it.
type notes struct {
	mu        sync.Mutex
	surprises []string
	omitted   []string
	more      int // surprises that found no place
}

func (n *notes) surprise(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	switch {
	case slices.Contains(n.surprises, text):
	case len(n.surprises) == mostSurprises:
		n.more++
	default:
		n.surprises = append(n.surprises, text)
	}
}

// leaves notes what was not rehearsed.
func (n *notes) leaves(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if text := fmt.Sprintf(format, args...); !slices.Contains(n.omitted, text) {
		n.omitted = append(n.omitted, text)
	}
}

func (n *notes) tell(r *Report) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r.Surprises, r.NotRehearsed = append(r.Surprises, n.surprises...), append(r.NotRehearsed, n.omitted...)
	if n.more > 0 {
		r.Surprises = append(r.Surprises, fmt.Sprintf("and %d more", n.more))
	}
}

// Enabled is a slog.Handler's.
func (n *notes) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle takes down the message with its error. Orphans are looked for by the rehearsal itself.
func (n *notes) Handle(_ context.Context, r slog.Record) error {
	text, known := r.Message, false
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == strangler.LogError {
			text += ": " + a.Value.String()
		}
		known = known || a.Key == "orphans"
		return true
	})
	if !known {
		n.surprise("%s", text)
	}
	return nil
}

// WithAttrs is a slog.Handler's.
func (n *notes) WithAttrs([]slog.Attr) slog.Handler { return n }

// WithGroup is a slog.Handler's.
func (n *notes) WithGroup(string) slog.Handler { return n }
