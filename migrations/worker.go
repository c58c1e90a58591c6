package migrations

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strangler-fig/strangler"
)

// split is one capability's. Its fields below the line belong to the goroutine of run.
type split struct {
	cfg       *Config
	c         strangler.Capability
	commands  chan command
	wake      chan struct{}           // a command waits; ends a wait for changes
	holding   atomic.Bool             // this process has the lease
	passed    atomic.Pointer[instant] // what the follower holds
	suspects  chan suspects           // what a verification wants compared at one position
	verifying chan struct{}           // one verification at a time
	paces     []pace                  // of each table, as this worker copies it
	throttle  *throttle
	dbMu      sync.Mutex
	dbs       map[strangler.Side]Database
	recordMu  sync.Mutex // one change of the record at a time: a verification ends beside the worker
	full      fullness
	trouble   atomic.Pointer[trouble]
	handing   sync.Mutex // held during a cutover, and while the owner's log is let go

	term  int64
	owner strangler.Side
	known int64  // the latest cutover, as read behind the raised terms; 0: none
	halt  func() // ends the copy beside the stream and waits for it
	at    work   // what follow did last
}

// instant is a moment before which every commit at the owner has been applied, and a signal for the next.
type instant struct {
	owner strangler.Side
	at    time.Time
	next  chan struct{}
}

// trouble is what went wrong and is tried again.
type trouble struct {
	at  time.Time
	why string
}

type command struct {
	f    func(context.Context) error
	done chan error
}

func newSplit(cfg *Config, c strangler.Capability) *split {
	s := &split{cfg: cfg, c: c, commands: make(chan command), wake: make(chan struct{}, 1), suspects: make(chan suspects, 1), verifying: make(chan struct{}, 1), paces: make([]pace, len(c.Tables)), throttle: newThrottle(c, cfg.Log), dbs: map[strangler.Side]Database{}, halt: func() {}}
	s.passed.Store(&instant{next: make(chan struct{})})
	return s
}

// mine fails where another worker has the lease by now.
func (s *split) mine(ctx context.Context) error {
	held, err := s.cfg.Leases.Lease(ctx, strangler.SplitLease(s.c.Name), s.cfg.Worker, s.cfg.Bounds.Lease)
	if err == nil && !held {
		err = fmt.Errorf("%w: another worker has the split of %s", strangler.ErrSuperseded, s.c.Name)
	}
	return err
}

// do hands f to the goroutine of run and waits for its end.
func (s *split) do(ctx context.Context, f func(context.Context) error) error {
	cmd := command{f, make(chan error, 1)}
	patience := time.NewTimer(3 * s.cfg.Bounds.Lease)
	defer patience.Stop()
	for {
		s.rouse()
		select {
		case s.commands <- cmd:
			select {
			case err := <-cmd.done:
				return err
			case <-ctx.Done():
				return fmt.Errorf("%w: it goes on; look with: strangler split status %s", ctx.Err(), s.c.Name)
			}
		case <-time.After(50 * time.Millisecond): // another round of waking a wait that began meanwhile
		case <-patience.C:
			if s.holding.Load() {
				return fmt.Errorf("%w: the worker of %s is busy with something else; nothing was begun; look with: strangler split status %s", strangler.ErrConflict, s.c.Name, s.c.Name)
			}
			return fmt.Errorf("%w: another worker holds the split of %s; nothing was begun; ask that daemon, or wait until its lease ends", strangler.ErrConflict, s.c.Name)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rouse ends a wait for changes.
func (s *split) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run holds the lease whenever it can be had, and works while it holds it.
func (s *split) run(ctx context.Context) {
	for ctx.Err() == nil {
		held, err := s.cfg.Leases.Lease(ctx, strangler.SplitLease(s.c.Name), s.cfg.Worker, s.cfg.Bounds.Lease)
		if err == nil && held {
			err = s.hold(ctx)
		}
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("split", strangler.LogCapability, s.c.Name, strangler.LogError, err)
		}
		pause(ctx, s.cfg.Bounds.Lease/4)
	}
}

// hold works while a second goroutine renews the lease; its loss ends the work.
func (s *split) hold(parent context.Context) error {
	ctx, cancel := context.WithCancel(parent)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		for pause(ctx, s.cfg.Bounds.Lease/4) {
			if held, err := s.cfg.Leases.Lease(ctx, strangler.SplitLease(s.c.Name), s.cfg.Worker, s.cfg.Bounds.Lease); err != nil || !held {
				s.cfg.Log.Warn("the lease of the split is lost", strangler.LogCapability, s.c.Name, strangler.LogError, err)
				return
			}
		}
	})
	wg.Go(func() { s.guardLog(ctx) })
	s.holding.Store(true)
	err := s.work(ctx)
	s.holding.Store(false)
	cancel()
	wg.Wait()
	bounded, done := context.WithTimeout(context.WithoutCancel(parent), time.Second)
	defer done()
	return errors.Join(err, s.cfg.Leases.Unlease(bounded, strangler.SplitLease(s.c.Name), s.cfg.Worker))
}

// work follows the owner while there is something to follow, and takes commands all the time.
func (s *split) work(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := time.Second
		rec, err := s.cfg.Records.Split(ctx, s.c.Name)
		if err == nil {
			switch rec.Phase {
			case strangler.PhaseCopying, strangler.PhaseSyncing, strangler.PhaseReversed:
				err = s.follow(ctx)
			default:
				err = s.rest(ctx)
			}
		}
		var refusal *strangler.Refusal
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, strangler.ErrSuperseded):
			return err
		case errors.As(err, &refusal) && refusal.Check == CheckReach:
			// It will be there again, and is what it was.
		case errors.Is(err, ErrFull):
			wait = s.awaitsRoom(ctx, s.at, err)
		case errors.Is(err, strangler.ErrStopped), errors.Is(err, strangler.ErrRefused):
			s.cfg.Log.Error("the split has stopped; the owner goes on serving", strangler.LogCapability, s.c.Name, strangler.LogError, err)
			why := err.Error()
			err = s.update(ctx, func(r *strangler.Split) {
				if following(r.Phase) { // nobody has taken it back meanwhile
					r.Phase, r.Error = strangler.PhaseStopped, why
				}
			})
		}
		if err != nil {
			s.cfg.Log.Warn("the split tries again", strangler.LogCapability, s.c.Name, strangler.LogError, err)
			if !errors.Is(err, ErrFull) { // the record has that
				s.trouble.Store(&trouble{time.Now(), err.Error()})
			}
			if !s.waitCommand(ctx, wait) {
				return nil
			}
		}
	}
	return nil
}

// rest waits for a command where there is nothing to follow.
func (s *split) rest(ctx context.Context) error {
	s.waitCommand(ctx, time.Hour)
	return nil
}

// waitCommand runs one command if one comes in time; false when ctx has ended.
func (s *split) waitCommand(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case cmd := <-s.commands:
		cmd.done <- cmd.f(ctx)
	case <-t.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// update changes the control store's record of the split.
func (s *split) update(ctx context.Context, f func(*strangler.Split)) error {
	s.recordMu.Lock()
	defer s.recordMu.Unlock()
	r, err := s.cfg.Records.Split(ctx, s.c.Name)
	if err != nil {
		return err
	}
	r.Capability = s.c.Name
	f(&r)
	r.Updated = time.Now().UTC()
	return s.cfg.Records.SaveSplit(ctx, s.cfg.Worker, r)
}

// db is one side, opened when it is first needed.
func (s *split) db(ctx context.Context, side strangler.Side) (Database, error) {
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	if d, ok := s.dbs[side]; ok {
		return d, nil
	}
	d, err := openSide(ctx, s.cfg.Open, s.c, side, s.cfg.ControlID)
	if err != nil {
		return nil, err
	}
	s.dbs[side] = faulty{d, s.cfg.Fault}
	return s.dbs[side], nil
}

func binding(c strangler.Capability, side strangler.Side, controlID string) Binding {
	b := Binding{Capability: c.Name, Side: side, DSN: c.Legacy.Database, ControlID: controlID, Capture: c.Capture, Throttle: c.Throttle}
	b.Other = scheme(c.Service.Database)
	if side == strangler.Service {
		b.DSN, b.Other = c.Service.Database, scheme(c.Legacy.Database)
	}
	if b.Other == scheme(b.DSN) {
		b.Other = ""
	}
	b.Common = b.Other != "" || hasMapping(c) || hasShare(c) || hasOneWay(c) || hasPieces(c)
	if side == strangler.Legacy && hasShare(c) {
		for _, t := range c.Tables {
			b.Shares = append(b.Shares, Share{Stays: t.Drop, Where: t.Where})
		}
	}
	if side == strangler.Legacy {
		b.OnDelete = c.OnDelete
	}
	if side == strangler.Service {
		c = c.AtService()
	}
	for _, t := range c.Tables {
		if side == strangler.Service && t.To != "" {
			b.Tables = append(b.Tables, t.To)
		} else {
			b.Tables = append(b.Tables, t.From)
		}
	}
	return b
}

// scheme tells kinds of database apart.
func scheme(dsn string) string {
	s, _, _ := strings.Cut(dsn, ":")
	if s == "postgresql" {
		s = "postgres"
	}
	return s
}

// both are the owner's database and the follower's.
func (s *split) both(ctx context.Context, owner strangler.Side) (from, to Database, err error) {
	if from, err = s.db(ctx, owner); err != nil {
		return nil, nil, err
	}
	to, err = s.db(ctx, owner.Other())
	return from, to, err
}

func (s *split) close() error {
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	var errs []error
	for side, d := range s.dbs {
		errs = append(errs, d.Close())
		delete(s.dbs, side)
	}
	return errors.Join(errs...)
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
