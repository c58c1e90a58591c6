package protocol

import (
	"fmt"
	"strings"
)

// trace retells the way to a wrong state. The search knows states up to names only, so the steps are taken
// again from the initial state, each time the one whose outcome is the next state of the path.
func (x *search) trace(path []uint32) string {
	var out strings.Builder
	s := initial(x.model.bounds)
	fmt.Fprintf(&out, "    %-62s %s\n", "", s)
	for n := range path {
		want := x.states[path[len(path)-1-n]]
		for _, step := range x.model.after(&s) {
			if x.model.canonical(step.state) == want {
				s = step.state
				fmt.Fprintf(&out, "%3d %-62s %s\n", n+1, step, s)
				break
			}
		}
	}
	return out.String()
}

func (s step) String() string {
	what := s.what
	if s.kind != none {
		what = s.kind.String()
	}
	if s.side >= 0 {
		what += " " + string('A'+rune(s.side))
	}
	switch {
	case s.who >= 0:
		what = fmt.Sprintf("worker %d: %s", s.who+1, what)
	case s.kind != none && s.answer == unreachable:
		return "never done: " + what
	case s.kind != none:
		what = "done late: " + what
	}
	if s.kind != none {
		what += ", " + [...]string{"ok", "already", "overtaken", "serial moved", "no answer", ""}[s.answer]
	}
	return what
}

func (s state) String() string {
	row := fmt.Sprintf("decided %d", s.control.rowEpoch)
	if s.control.preparing {
		row = fmt.Sprintf("preparing %d", s.control.rowEpoch)
	}
	gate := fmt.Sprintf("to %c", 'A'+s.proxy.side)
	if s.proxy.gated || s.proxy.phase != serving {
		gate = "held"
	}
	text := fmt.Sprintf("owner %c, %s, epoch %d | %s | %s | acknowledged %d",
		'A'+s.control.owner, row, s.control.epoch, s.side(0), s.side(1), s.acked)
	if s.proxy.phase != absent {
		text += fmt.Sprintf(" | gate %s@%d", gate, s.proxy.epoch)
	}
	return text
}

func (s state) side(n int) string {
	d := s.db[n]
	fence := "closed"
	if d.open {
		fence = "OPEN"
	}
	if !d.alive {
		fence += "(down)"
	}
	return fmt.Sprintf("%c %s@%d term %d value %d next %d log %b", 'A'+n, fence, d.epoch, d.term, d.value, d.next, d.log>>1)
}
