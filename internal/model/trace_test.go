package model

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// trace is what happened in a run, a line each. The one of the first run that fails is shown even where the
// failure does not come again: workers have goroutines, and their order is not drawn.
type trace struct {
	lines []string
	first []string // of the first run that failed
	began time.Time
}

func newTrace(t *testing.T) *trace {
	tr := &trace{}
	t.Cleanup(func() {
		if t.Failed() && len(tr.first) > 0 {
			t.Logf("the first run that failed (when nobody shrinks it, this is the one to read):\n%s", strings.Join(tr.first, "\n"))
		}
	})
	return tr
}

// begin forgets the run before.
func (tr *trace) begin(t *rapid.T) *trace {
	tr.lines, tr.began = nil, time.Now()
	t.Cleanup(func() {
		if t.Failed() && tr.first == nil {
			tr.first = tr.lines
		}
	})
	return tr
}

func (tr *trace) add(line string) {
	tr.lines = append(tr.lines, fmt.Sprintf("%6d ms  %s", time.Since(tr.began).Milliseconds(), line))
}

// say adds a line to the trace.
func (m *machine) say(format string, args ...any) {
	m.t.Logf(format, args...)
	m.trace.add(fmt.Sprintf(format, args...))
}
