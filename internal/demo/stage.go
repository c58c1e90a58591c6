package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
)

const lookPoll = 400 * time.Millisecond

// stage is all that there is to see: it is told what happens, looks at the daemon by itself, and shows it
// as lines or as a live view. All methods may be called by many goroutines.
type stage struct {
	show   audience
	cancel context.CancelFunc
	ctx    context.Context
	eyes   sync.WaitGroup
	once   sync.Once

	mu    sync.Mutex
	scene scene
}

// scene is what is to be seen at one moment.
type scene struct {
	began  time.Time
	act    string
	steps  []strangler.StepRun
	split  strangler.SplitStatus
	toggle strangler.Toggle
	crowd  *crowd
}

// audience shows scenes.
type audience interface {
	// Act is called when something new begins, and Step when a step changes.
	Act(s scene)
	Step(s scene, step strangler.StepRun)
	// Look is called now and then.
	Look(s scene)
	// End is called once, at last.
	End(s scene)
}

func newStage(o Options) *stage {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stage{ctx: ctx, cancel: cancel, scene: scene{began: time.Now()}}
	if o.Terminal {
		s.show = &live{out: o.Stdout, paint: paint(o.Color)}
	} else {
		s.show = &plain{out: o.Stderr}
	}
	s.watch(s.show.Look, tick)
	return s
}

// watch calls look at every tick until Close.
func (s *stage) watch(look func(scene), every time.Duration) {
	s.eyes.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.do(look)
			case <-s.ctx.Done():
				return
			}
		}
	})
}

// do shows something, one thing at a time.
func (s *stage) do(show func(scene)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	show(s.scene)
}

// Act says that something new begins.
func (s *stage) Act(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scene.act = fmt.Sprintf(format, args...)
	s.show.Act(s.scene)
}

// Count shows the crowd's numbers from now on.
func (s *stage) Count(c *crowd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scene.crowd = c
}

// Run shows how far a run is.
func (s *stage) Run(run strangler.Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := map[string]strangler.StepRun{}
	for _, step := range s.scene.steps {
		was[step.Name] = step
	}
	s.scene.steps = run.Steps
	steps := slices.Clone(run.Steps)
	if run.State == strangler.RunUndoing || run.State == strangler.RunRolledBack {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if step.State != was[step.Name].State && step.State != strangler.StepPending {
			s.show.Step(s.scene, step)
		}
	}
}

// Follow looks at the daemon from now on: who owns, and how far the rows are.
func (s *stage) Follow(sys *system) {
	s.eyes.Go(func() {
		ticker := time.NewTicker(lookPoll)
		defer ticker.Stop()
		for {
			// What cannot be learnt now stays as it was: the demo itself notices a daemon that is gone.
			split, err := sys.admin.SplitStatus(s.ctx, capability)
			toggle, err2 := sys.admin.Toggle(s.ctx, capability)
			s.mu.Lock()
			if err == nil {
				s.scene.split = split
			}
			if err2 == nil {
				s.scene.toggle = toggle
			}
			s.mu.Unlock()
			select {
			case <-ticker.C:
			case <-s.ctx.Done():
				return
			}
		}
	})
}

// Close ends the show. It may be called again.
func (s *stage) Close() {
	s.once.Do(func() {
		s.cancel()
		s.eyes.Wait()
		s.do(s.show.End)
	})
}

// rate measures requests per second between two looks.
type rate struct {
	at   time.Time
	sent int64
	per  float64
}

// see returns the rate since the last time, at least a second ago.
func (r *rate) see(sent int64, now time.Time) float64 {
	if since := now.Sub(r.at); r.at.IsZero() || since >= time.Second {
		if !r.at.IsZero() {
			r.per = float64(sent-r.sent) / since.Seconds()
		}
		r.at, r.sent = now, sent
	}
	return r.per
}

// side says in words where requests go.
func (s scene) side() string {
	t := s.toggle
	switch {
	case t.Owner == "":
		return "the monolith serves"
	case t.Gated:
		return "changing hands: writes are held"
	case t.Mode == strangler.ModeExtracted:
		return "the service serves and owns"
	case t.Mode == strangler.ModeCanary:
		return fmt.Sprintf("the monolith owns; %s of the users read from the service", t.Percent)
	case t.Mode == strangler.ModeShadow:
		return "the monolith serves and owns; reads are also sent to the service"
	}
	return "the monolith serves and owns"
}
