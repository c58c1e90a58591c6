package serverlog

import (
	"context"
	"sync"
	"time"

	"github.com/strangler-fig/strangler/migrations"
)

// limit is how many changes wait at most before no more are taken from the server. A transaction that is larger comes
// whole; its keys are in a file.
const limit = 200_000

// Commit is what one transaction of the server has changed in the moved tables. Its Keys are its own until a Log has it.
type Commit struct {
	XID       uint32 // of PostgreSQL's transaction
	End       int64  // the position behind it
	Keys      []*Keys
	Truncated []bool // by table: it was emptied as a whole
	Changes   int64
}

// NewCommit is one that has changed nothing yet in any of n tables.
func NewCommit(n int) *Commit {
	c := &Commit{Keys: make([]*Keys, n), Truncated: make([]bool, n)}
	for i := range c.Keys {
		c.Keys[i] = &Keys{}
	}
	return c
}

// Truncate notes that a table was emptied.
func (c *Commit) Truncate(table int) {
	c.Truncated[table] = true
	c.Changes++
}

// Log holds the commits that have come and are not forgotten, in their order, and how far the server's log has been read.
// Positions rise along that log. One goroutine takes what comes; any may ask.
type Log struct {
	mu        sync.Mutex
	commits   []*Commit
	waiting   int64 // changes in commits
	reached   int64 // every commit before it has come
	forgotten int64
	last      time.Time // when something was forgotten
	err       error
	moved     chan struct{} // closed, and made anew, with every step
}

// New is the Log of one who begins to read at a position.
func New(from int64) *Log {
	return &Log{reached: from, forgotten: from, last: time.Now(), moved: make(chan struct{})}
}

// Fail keeps the first error, which ends the reading.
func (l *Log) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && err != nil {
		l.err = err
	}
	l.step()
}

// Err is why the reading has ended; nil while it goes on.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// step wakes whoever waits; with mu held.
func (l *Log) step() {
	close(l.moved)
	l.moved = make(chan struct{})
}

// Take adds a commit, which is the Log's from then on.
func (l *Log) Take(c *Commit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Changes > 0 { // otherwise it has no keys
		l.commits = append(l.commits, c)
		l.waiting += c.Changes
	}
	l.reached = max(l.reached, c.End)
	l.step()
}

// Reached notes that every commit before a position has come.
func (l *Log) Reached(at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at > l.reached {
		l.reached = at
		l.step()
	}
}

// Room waits until there is some in memory.
func (l *Log) Room(ctx context.Context) error {
	for {
		l.mu.Lock()
		full, moved := l.waiting >= limit, l.moved
		l.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Reach waits until every commit before a position has come. Whole is false where memory was full before. Ask is called every
// other millisecond, to hear from the server how far it is; nudge every 50.
func (l *Log) Reach(ctx context.Context, at int64, ask func(), nudge func() error) (whole bool, err error) {
	late, again := time.NewTicker(50*time.Millisecond), time.NewTicker(2*time.Millisecond)
	defer late.Stop()
	defer again.Stop()
	ask()
	for {
		l.mu.Lock()
		reached, full, err, moved := l.reached, l.waiting >= limit, l.err, l.moved
		l.mu.Unlock()
		switch {
		case err != nil:
			return false, err
		case reached >= at:
			return true, nil
		case full:
			return false, nil
		}
		select {
		case <-moved:
		case <-again.C:
			ask()
		case <-late.C:
			if err := nudge(); err != nil {
				return false, err
			}
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// Held are the commits that have come and are not forgotten. Their keys are closed once they are.
func (l *Log) Held() []*Commit {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Commit{}, l.commits...)
}

// Pending counts their changes.
func (l *Log) Pending() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

// Forgotten is how far the follower has applied what came.
func (l *Log) Forgotten() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.forgotten
}

// Forget drops the commits up to a position: the follower has them.
func (l *Log) Forget(at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.commits) && l.commits[n].End <= at {
		l.waiting -= l.commits[n].Changes
		_ = CloseAll(l.commits[n].Keys) // nothing of it is needed any more
		n++
	}
	l.commits = append([]*Commit{}, l.commits[n:]...)
	if at > l.forgotten {
		l.forgotten, l.last = at, time.Now()
	}
	l.step()
}

// Close drops all of them. Nobody reads or asks any more.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.commits {
		_ = CloseAll(c.Keys)
	}
	l.commits, l.waiting = nil, 0
}

// Idle says whether nothing was forgotten for a time.
func (l *Log) Idle(d time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.last) > d
}

// Some waits until there are changes that were not forgotten, looking every tick, or until idle has passed, or the reading has
// ended, which the next Reach says.
func (l *Log) Some(ctx context.Context, tick, idle time.Duration) {
	end := time.NewTimer(idle)
	defer end.Stop()
	look := time.NewTicker(tick)
	defer look.Stop()
	for {
		select {
		case <-look.C: // batches are apart from one another, so that the owner is not asked all the time
			if l.Pending() > 0 || l.Err() != nil {
				return
			}
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Again are keys of a table that come with every batch until one that had them is forgotten. The zero value has none. It is safe
// for concurrent use.
type Again struct {
	mu   sync.Mutex
	keys []again
}

type again struct {
	table int
	keys  []migrations.Key
}

// Tell adds keys.
func (a *Again) Tell(table int, keys []migrations.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys = append(a.keys, again{table, keys})
}

// Told are the keys as sets that the caller closes, by table, with how many there are, and what Forget takes.
func (a *Again) Told(tables int) (sets [][]*Keys, count int64, n int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sets = make([][]*Keys, tables)
	for _, r := range a.keys {
		told := &Keys{}
		sets[r.table] = append(sets[r.table], told)
		for _, k := range r.keys {
			if err := told.Add(k); err != nil {
				return sets, count, 0, err
			}
		}
		count += int64(len(r.keys))
	}
	return sets, count, len(a.keys), nil
}

// Forget drops the first n that were told.
func (a *Again) Forget(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys = a.keys[min(n, len(a.keys)):]
}
