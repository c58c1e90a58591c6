package migrations

import (
	"sync"
	"time"
)

// A pace is measured over paceWindow, and not said before the copy has gone on for paceLeast.
const (
	paceWindow = 10 * time.Second
	paceLeast  = 2 * time.Second
)

// pace is how fast this worker copies one table. It is safe for concurrent use.
type pace struct {
	mu   sync.Mutex
	rows int64 // copied since the worker began
	seen []sample
}

type sample struct {
	at   time.Time
	rows int64
}

// restart forgets what was before: a copy that goes on after a while has a pace of its own.
func (p *pace) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = nil
}

// add counts rows that were committed at an instant; the first call, with none, is the beginning.
func (p *pace) add(at time.Time, rows int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rows += rows
	p.seen = append(p.seen, sample{at, p.rows})
	for len(p.seen) > 2 && at.Sub(p.seen[1].at) >= paceWindow {
		p.seen = p.seen[1:]
	}
}

// rate is in rows a second; 0 where it is not known. It is taken between commits, and up to now only where the next one
// is long overdue: rows come in chunks.
func (p *pace) rate(now time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) < 2 {
		return 0
	}
	first, last := p.seen[0], p.seen[len(p.seen)-1]
	end := last.at
	if now.Sub(end) > paceWindow/2 {
		end = now
	}
	if took := end.Sub(first.at); took >= paceLeast {
		return float64(last.rows-first.rows) / took.Seconds()
	}
	return 0
}
