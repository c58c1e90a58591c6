package migrations

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
)

// Decisions is the control store's part of a cutover. Decide is the commit point: one compare-and-swap,
// conditional on the row being preparing and on nothing else. A row that was decided before comes back
// with ErrConflict. Prepare names the latest cutover that this worker has seen behind its raised terms
// (0: none), and fails with ErrConflict where another has been since.
type Decisions interface {
	Prepare(ctx context.Context, capability string, to strangler.Side, after int64, who, why string) (strangler.Cutover, error)
	Decide(ctx context.Context, id int64, state strangler.CutoverState, position, why string) (strangler.Cutover, error)
	CutoverByID(ctx context.Context, id int64) (strangler.Cutover, error)
	LatestCutover(ctx context.Context, capability string) (strangler.Cutover, error) // ErrNotFound
	Release(ctx context.Context, id int64) error
}

// Records is what else the control store knows of a split.
type Records interface {
	Toggle(ctx context.Context, capability string) (strangler.Toggle, error)
	NextEpoch(ctx context.Context, capability, who, why string) (int64, error)
	NextTerm(ctx context.Context) (int64, error)
	Split(ctx context.Context, capability string) (strangler.Split, error)
	SaveSplit(ctx context.Context, worker string, s strangler.Split) error // ErrSuperseded where worker has lost the lease
}

// Leases keep two workers from getting in each other's way. They are for liveness only: terms and
// epochs keep a worker harmless that has lost its lease and does not know it.
type Leases interface {
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	Unlease(ctx context.Context, name, holder string) error
}

// Adopter lets a person's word stand where the databases' evidence contradicts the control store.
type Adopter interface {
	Adopt(ctx context.Context, capability string, owner strangler.Side, floor int64, who, why string) (strangler.Toggle, error)
}

// Gates reaches the proxies of every live instance.
type Gates interface {
	// Current fails unless every live instance serves the capability's present epoch.
	Current(ctx context.Context, capability string) error
	// Closed returns when every live instance holds new writes at this epoch and has drained those in
	// flight, and fails when one does not in time.
	Closed(ctx context.Context, capability string, epoch int64) error
	// Released tells the instances to read the decided state. Those it does not reach find it by themselves.
	Released(ctx context.Context, capability string) error
	// Pause is the longest hold of a write since ResetPause.
	Pause(capability string) time.Duration
	ResetPause(capability string)
}

// Bounds limit what a split may take. Zero values are replaced by the defaults.
type Bounds struct {
	Chunk    int           // rows in a range of the copy and of a verification; default 2,000, and where rows go unread as many as take a second; a quarter of one where everybody who writes waits for it
	Part     int64         // bytes from which on a table is copied in several parts at once; default 16 MiB
	Lag      int64         // changes not yet applied at which a cutover may begin; default 1,000
	Dirty    int           // keys not verified again at which it may begin; default 1,000
	Fresh    time.Duration // age of a verification that still counts; default 24 h
	Attempt  time.Duration // from the gate to the decision; default 5 s
	Attempts int           // cutovers tried before giving up; default 5
	Lease    time.Duration // how long a silent worker keeps its split; default 3 s
}

func (b *Bounds) setDefaults() {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	span := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	set(&b.Dirty, 1000)
	set(&b.Attempts, 5)
	if b.Lag == 0 {
		b.Lag = 1000
	}
	if b.Part == 0 {
		b.Part = 16 << 20
	}
	span(&b.Fresh, 24*time.Hour)
	span(&b.Attempt, 5*time.Second)
	span(&b.Lease, 3*time.Second)
}

const defaultChunk = 2000

func (b Bounds) chunk() int {
	if b.Chunk == 0 {
		return defaultChunk
	}
	return b.Chunk
}

// Config is what Splits needs.
type Config struct {
	Capabilities []strangler.Capability
	Open         Open
	Dir          string // holds a folder of scripts per capability
	ControlID    string
	Decisions    Decisions
	Records      Records
	Leases       Leases
	Adopter      Adopter
	Gates        Gates
	// Healthy probes the upstream of a side before it becomes the owner. Nil: not probed.
	Healthy func(ctx context.Context, c strangler.Capability, side strangler.Side) error
	Worker  string // names this process in leases and audit
	Bounds  Bounds
	// Fault is called before and after every durable statement, as "fence.before", "fence.after" and so
	// on: fence, term, position, forget, relog, mark, script. An error from it is treated as the statement's own:
	// before, nothing was done; after, it was done and is reported failed. Nil outside of tests.
	Fault func(point string) error
	Log   *slog.Logger
}

// Validate names what is missing.
func (c Config) Validate() error {
	for name, missing := range map[string]bool{
		"Open": c.Open == nil, "Dir": c.Dir == "", "ControlID": c.ControlID == "", "Decisions": c.Decisions == nil,
		"Records": c.Records == nil, "Leases": c.Leases == nil, "Gates": c.Gates == nil, "Worker": c.Worker == "", "Adopter": c.Adopter == nil,
	} {
		if missing {
			return fmt.Errorf("%w: migrations: %s is missing", strangler.ErrConfig, name)
		}
	}
	return nil
}

// Splits runs the splits of every capability that owns tables: one goroutine each, which holds that
// capability's lease while it works. Its methods may be called by several goroutines.
type Splits struct {
	cfg    Config
	splits map[string]*split
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New makes the splits; Start sets them going.
func New(cfg Config) (*Splits, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Bounds.setDefaults()
	if cfg.Log == nil {
		cfg.Log = strangler.Discard()
	}
	if cfg.Fault == nil {
		cfg.Fault = func(string) error { return nil }
	}
	s := &Splits{cfg: cfg, splits: map[string]*split{}}
	for _, c := range cfg.Capabilities {
		if !c.Stateless() {
			s.splits[c.Name] = newSplit(&s.cfg, c)
		}
	}
	return s, nil
}

// Start begins to work until Close. A split that a killed process left is taken over as soon as its
// lease has ended.
func (s *Splits) Start(ctx context.Context) {
	ctx, s.cancel = context.WithCancel(ctx)
	for _, x := range s.splits {
		s.wg.Go(func() { x.run(ctx) })
	}
}

// Close ends the work; a cutover in flight is decided first. Twice is safe.
func (s *Splits) Close() error {
	if s.cancel != nil {
		s.cancel()
	}
	s.wg.Wait()
	var errs []error
	for _, x := range s.splits {
		errs = append(errs, x.close())
	}
	return errors.Join(errs...)
}

func (s *Splits) split(capability string) (*split, error) {
	if x, ok := s.splits[capability]; ok {
		return x, nil
	}
	for _, c := range s.cfg.Capabilities {
		if c.Name == capability {
			return nil, strangler.Refuse("tables", fmt.Sprintf("%s owns no tables, so there is nothing to split", capability), "strangler toggle set "+capability)
		}
	}
	return nil, fmt.Errorf("%w: there is no capability %q in strangler.yaml", strangler.ErrNotFound, capability)
}

// Holds reports whether this process works on a capability's split: it has the lease, and takes commands.
func (s *Splits) Holds(capability string) bool {
	x, ok := s.splits[capability]
	return ok && x.holding.Load()
}

// Settle waits until nothing is under way here that was asked of a capability's split before: a call whose context has ended goes on to
// its end. Copies and verifications are not meant.
func (s *Splits) Settle(ctx context.Context, capability string) error {
	for s.Holds(capability) {
		err := doing(ctx, s, capability, func(*split, context.Context) error { return nil })
		if !errors.Is(err, strangler.ErrConflict) { // it was too busy to say so
			return err
		}
	}
	return nil
}

// do runs f for a capability on its own goroutine, holding its lease. It goes on when ctx ends; only
// the waiting stops.
func do[T any](ctx context.Context, s *Splits, capability string, f func(x *split, ctx context.Context) (T, error)) (out T, err error) {
	x, err := s.split(capability)
	if err != nil {
		return out, err
	}
	result := make(chan T, 1)
	err = x.do(ctx, func(ctx context.Context) error {
		v, err := f(x, ctx)
		result <- v
		return err
	})
	select {
	case out = <-result:
	default: // nobody waits any more for what f will return
	}
	return out, err
}

func doing(ctx context.Context, s *Splits, capability string, f func(x *split, ctx context.Context) error) error {
	_, err := do(ctx, s, capability, func(x *split, ctx context.Context) (struct{}, error) { return struct{}{}, f(x, ctx) })
	return err
}

// Expand plans the scripts where there are none, and runs those that come before the copy. Done
// already, it does nothing.
func (s *Splits) Expand(ctx context.Context, capability string) error {
	return doing(ctx, s, capability, (*split).expand)
}

// Copy begins the copy, or lets a stopped one go on, and returns when it is under way.
func (s *Splits) Copy(ctx context.Context, capability string) error {
	return doing(ctx, s, capability, (*split).start)
}

// Verify compares both sides while writes go on.
func (s *Splits) Verify(ctx context.Context, capability string) (strangler.Verification, error) {
	x, err := s.split(capability)
	if err != nil {
		return strangler.Verification{}, err
	}
	return x.verify(ctx, false)
}

// Repair compares both sides as Verify does, and has the owner's rows brought again where they differ.
func (s *Splits) Repair(ctx context.Context, capability string) (strangler.Verification, error) {
	x, err := s.split(capability)
	if err != nil {
		return strangler.Verification{}, err
	}
	return x.verify(ctx, true)
}

// Cutover hands the writes to the service. It returns a committed cutover, or the aborted one and why.
func (s *Splits) Cutover(ctx context.Context, capability, who, why string) (strangler.Cutover, error) {
	return do(ctx, s, capability, func(x *split, ctx context.Context) (strangler.Cutover, error) {
		return x.cutover(ctx, strangler.Service, who, why)
	})
}

// Rollback hands the writes back to the monolith; it is the same cutover with the roles swapped.
func (s *Splits) Rollback(ctx context.Context, capability, who, why string) (strangler.Cutover, error) {
	return do(ctx, s, capability, func(x *split, ctx context.Context) (strangler.Cutover, error) {
		return x.cutover(ctx, strangler.Legacy, who, why)
	})
}

// Complete drops the monolith's tables and everything of Strangler. There is no way back.
func (s *Splits) Complete(ctx context.Context, capability, who string) error {
	return doing(ctx, s, capability, (*split).complete)
}

// Cancel takes the split back before the service owns: nothing of it is left.
func (s *Splits) Cancel(ctx context.Context, capability string) error {
	return doing(ctx, s, capability, (*split).cancelled)
}
