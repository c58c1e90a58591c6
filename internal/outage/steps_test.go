package outage

import (
	"errors"
	"fmt"
	"sync"
)

// step is a place in a cutover: the n-th time that the worker comes by a point since the cutover began.
type step struct {
	name  string
	point string
	n     int
}

// steps are those of one cutover, in their order.
var steps = []step{
	{"before the fences are made ready", "hold.before", 1},
	{"with the present owner's fence ready", "hold.after", 1},
	{"with both fences ready", "hold.after", 2},
	{"before the row", "prepare.before", 1},
	{"behind the row", "prepare.after", 1},
	{"before the gate", "gate.before", 1},
	{"behind the gate", "gate.after", 1},
	{"before the fence", "fence.before", 1},
	{"behind the fence", "fence.after", 1},
	{"at the position", "end.after", 1},
	{"before the freeze", "term.before", 1},
	{"behind the freeze", "term.after", 1},
	{"before the sequences", "sequences.before", 1},
	{"behind the sequences", "end.before", 2},
	{"before the decision", "decide.before", 1},
	{"behind the decision", "decide.after", 1},
	{"before the opening", "fence.before", 2},
	{"behind the opening", "fence.after", 2},
	{"before the release", "release.before", 1},
	{"behind the release", "release.after", 1},
	{"before the terms", "term.before", 2},
	{"between the terms", "term.after", 2},
	{"behind the terms", "term.after", 3},
}

func (s step) String() string { return s.name }

// watcher is called by the worker at every point, and does what a test wants to happen there.
type watcher struct {
	mu    sync.Mutex
	trace []string
	count map[string]int
	at    step
	do    func() error // nil: nothing
	hook  sync.RWMutex // held for reading while every runs
	every func(point string)
}

func newWatcher() *watcher { return &watcher{count: map[string]int{}} }

// when makes the worker do f the next time that it comes by the step, and counts from here. The answer tells
// whether it has.
func (w *watcher) when(s step, f func()) (came func() bool) {
	return w.once(s, func() error { f(); return nil })
}

// errBroken is how a point fails that was told to.
var errBroken = errors.New("broken by the test")

// breaks makes the step fail the next time that the worker comes by it.
func (w *watcher) breaks(s step) (came func() bool) {
	return w.once(s, func() error { return errBroken })
}

func (w *watcher) once(s step, f func() error) (came func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var mu sync.Mutex
	done := false
	clear(w.count)
	w.at, w.trace = s, nil
	w.do = func() error {
		err := f()
		mu.Lock()
		defer mu.Unlock()
		done = true
		return err
	}
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		return done
	}
}

// always makes the worker do f at every point; nil ends that. It waits for what was done before it.
func (w *watcher) always(f func(point string)) {
	w.hook.Lock()
	defer w.hook.Unlock()
	w.every = f
}

// pass is the worker coming by a point.
func (w *watcher) pass(point string) error {
	w.mu.Lock()
	w.count[point]++
	w.trace = append(w.trace, point)
	if len(w.trace) > 200 {
		w.trace = w.trace[100:]
	}
	do := func() error { return nil }
	if w.do != nil && point == w.at.point && w.count[point] == w.at.n {
		do, w.do = w.do, nil
	}
	w.mu.Unlock()
	err := do()
	w.hook.RLock()
	defer w.hook.RUnlock()
	if w.every != nil {
		w.every(point)
	}
	return err
}

// last is what the worker came by lately, for a test that fails.
func (w *watcher) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.trace)
}

// every is each n-th step, and the last.
func every(all []step, n int) (some []step) {
	for i, s := range all {
		if (len(all)-1-i)%n == 0 {
			some = append(some, s)
		}
	}
	return some
}

// handedThrough hands the writes to the side that does not own, and does something when the worker comes by
// the step.
func (r *rig) handedThrough(s step, do func()) {
	r.t.Helper()
	to := r.anOwner().Other()
	came := r.watch.when(s, do)
	r.handed(to)
	if !came() {
		r.t.Errorf("a cutover to %s never came by %q", to, s)
	}
}
