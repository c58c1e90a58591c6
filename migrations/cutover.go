package migrations

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/strangler-fig/strangler"
)

// sequenceHeadroom is how far generated keys are put ahead at the new owner.
const sequenceHeadroom = 100

// Before the gate closes the stream catches up until a batch has fewer than littleLeft changes, or no fewer
// than the one before it: then writes come as quickly as they are applied. At most approachRounds times.
const (
	approachRounds = 10
	littleLeft     = 20
)

// ErrSlow: an attempt passed one of its bounds. The next may be quicker.
var ErrSlow = errors.New("took too long")

// holdPatience is how long a cutover waits, before any write is held, for transactions that stand in the way.
const holdPatience = 5 * time.Second

// cutover hands the writes to a side. Each attempt is a whole cutover: past a bound it aborts, opens,
// releases, and prepares anew.
func (s *split) cutover(ctx context.Context, to strangler.Side, who, why string) (strangler.Cutover, error) {
	s.handing.Lock()
	defer s.handing.Unlock()
	t, err := s.cfg.Records.Toggle(ctx, s.c.Name)
	if err != nil {
		return strangler.Cutover{}, err
	}
	if t.Owner == to {
		return s.already(ctx, to)
	}
	if err := s.check(ctx, to); err != nil {
		return strangler.Cutover{}, err
	}
	if err := s.arm(ctx, to); err != nil {
		return strangler.Cutover{}, errors.Join(s.refuseFull(err), s.restoreKeys(context.WithoutCancel(ctx)))
	}
	s.cfg.Gates.ResetPause(s.c.Name)
	var row strangler.Cutover
	for range s.cfg.Bounds.Attempts {
		row, err = s.attempt(ctx, to, who, why)
		if !errors.Is(err, ErrSlow) {
			break
		}
		s.cfg.Log.Warn("cutover aborted; trying again", strangler.LogCapability, s.c.Name, strangler.LogEpoch, row.Epoch, strangler.LogError, err)
	}
	return row, errors.Join(err, s.restoreKeys(ctx))
}

// already answers a cutover to the side that owns.
func (s *split) already(ctx context.Context, to strangler.Side) (strangler.Cutover, error) {
	row, err := s.latest(ctx)
	if err == nil && row.State == strangler.Committed && row.To == to {
		return row, nil
	}
	return row, errors.Join(err, strangler.Refuse("owner", fmt.Sprintf("%s is owned by %s already", s.c.Name, to)))
}

// check is step 0: everything that can be known before a write is held.
func (s *split) check(ctx context.Context, to strangler.Side) error {
	status := "strangler split status " + s.c.Name
	want := strangler.PhaseSyncing
	if to == strangler.Legacy {
		want = strangler.PhaseReversed
	}
	rec, err := s.cfg.Records.Split(ctx, s.c.Name)
	if err != nil {
		return err
	}
	if rec.Phase != want {
		return strangler.Refuse("phase", fmt.Sprintf("the split of %s is %q and has to be %q", s.c.Name, rec.Phase, want), status)
	}
	for _, t := range s.c.Touches {
		if to == strangler.Service && !t.Seam && !t.Fails {
			return strangler.Refuse("touches", fmt.Sprintf("%s writes tables of %s from the monolith and has no seam, so it would fail for good", t.Route, s.c.Name),
				"give it a seam and declare `seam: true`", "declare `seam: false` to accept that it fails")
		}
	}
	if s.owner == "" { // this worker has not taken over yet, or a person has named another owner
		if err := s.takeover(ctx); err != nil {
			return err
		}
	}
	from, follower, err := s.both(ctx, s.owner)
	if err != nil {
		return err
	}
	if pending, err := from.Pending(ctx); err != nil {
		return err
	} else if pending > s.cfg.Bounds.Lag {
		return strangler.Refuse("lag", fmt.Sprintf("%d changes of %s are not yet applied, at most %d may be", pending, s.c.Name, s.cfg.Bounds.Lag), "wait, and look at: "+status)
	}
	if to == strangler.Service {
		if err := fresh(rec.Verified, s.cfg.Bounds.Fresh, s.c.Name); err != nil {
			return err
		}
		if err := s.freshBehindRollback(ctx, rec.Verified); err != nil {
			return err
		}
	}
	if n, err := s.kept(ctx, follower, Differing, s.cfg.Bounds.Dirty); err != nil {
		return err
	} else if n > 0 {
		return strangler.Refuse("differing", fmt.Sprintf("%d rows of %s differ between the two sides", n, s.c.Name), "strangler split verify "+s.c.Name+" --repair")
	}
	dirty := 0
	for t := range s.c.Tables {
		keys, err := follower.Kept(ctx, Unverified, t, s.cfg.Bounds.Dirty+1)
		if err != nil {
			return err
		}
		dirty += len(keys)
	}
	if dirty > s.cfg.Bounds.Dirty {
		return strangler.Refuse("dirty", fmt.Sprintf("more than %d keys of %s wait to be verified again", s.cfg.Bounds.Dirty, s.c.Name), "wait, and look at: "+status)
	}
	if s.cfg.Healthy != nil {
		if err := s.cfg.Healthy(ctx, s.c, to); err != nil {
			return strangler.Refuse("health", fmt.Sprintf("the side that is to own %s is not well: %v", s.c.Name, err), "start or mend it")
		}
	}
	if err := s.cfg.Gates.Current(ctx, s.c.Name); err != nil {
		return strangler.Refuse("instances", err.Error(), "strangler toggle get "+s.c.Name)
	}
	return nil
}

// freshBehindRollback refuses a verification from before a rollback that has left the sides apart.
func (s *split) freshBehindRollback(ctx context.Context, v strangler.Verify) error {
	if !hasOneWay(s.c) {
		return nil
	}
	row, err := s.latest(ctx)
	if err != nil || row.To != strangler.Legacy || row.State != strangler.Committed || v.At.After(row.Ended) {
		return err
	}
	return strangler.Refuse("verify", "there are tables of which nothing comes back, and since the rollback nobody has compared them", "strangler split verify "+s.c.Name+" --repair")
}

func fresh(v strangler.Verify, age time.Duration, capability string) error {
	verify := "strangler split verify " + capability
	switch {
	case v.At.IsZero():
		return strangler.Refuse("verify", capability+" was never verified", verify)
	case v.Mismatches > 0:
		return strangler.Refuse("verify", fmt.Sprintf("the last verification of %s found %d mismatches", capability, v.Mismatches), verify)
	case time.Since(v.At) > age:
		return strangler.Refuse("verify", fmt.Sprintf("the last verification of %s is older than %s", capability, age), verify)
	}
	return nil
}

// attempt is one cutover, from its row to the stream the other way.
func (s *split) attempt(ctx context.Context, to strangler.Side, who, why string) (strangler.Cutover, error) {
	watch := newStopwatch()
	release, err := s.holdFences(ctx)
	if err != nil {
		return strangler.Cutover{}, err
	}
	defer release()
	watch.lap("hold")
	if err := s.approach(ctx); err != nil {
		return strangler.Cutover{}, s.refuseFull(fmt.Errorf("catch up before any write is held: %w", err))
	}
	watch.lap("approach")
	row, err := s.cfg.Decisions.Prepare(ctx, s.c.Name, to, s.known, who, why)
	if err != nil {
		if errors.Is(err, strangler.ErrUnknown) {
			err = errors.Join(err, s.takeover(ctx)) // whatever stands there is settled before anything else
		}
		return row, err
	}
	// From here on the process's own context counts: what was prepared is decided.
	ctx = context.WithoutCancel(ctx)
	defer func() {
		s.cfg.Log.Info("cutover", append([]any{strangler.LogCapability, s.c.Name, strangler.LogEpoch, row.Epoch, "to", to, "state", row.State}, watch.laps...)...)
	}()
	watch.lap("prepare")
	bounded, cancel := context.WithTimeout(ctx, s.cfg.Bounds.Attempt)
	position, cause := s.handOver(bounded, row, watch)
	if cause != nil && bounded.Err() != nil {
		cause = fmt.Errorf("the cutover of %s %w (more than %s): %w", s.c.Name, ErrSlow, s.cfg.Bounds.Attempt, cause)
	}
	cancel()
	final, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if cause == nil {
		row, err = s.decide(final, row.ID, strangler.Committed, string(position), "")
	} else {
		row, err = s.decide(final, row.ID, strangler.Aborted, "", cause.Error())
	}
	watch.lap("decide")
	if err != nil {
		return row, err
	}
	err = s.finish(final)
	watch.lap("open")
	if err != nil {
		return row, err
	}
	if cause == nil && row.State == strangler.Aborted {
		cause = errors.New("another worker decided it: " + row.Why)
	}
	if cause != nil {
		return row, fmt.Errorf("cutover of %s aborted, the %s side owns as before and nothing was lost: %w", s.c.Name, row.From, cause)
	}
	return row, nil
}

// holdFences readies the fences of both sides.
func (s *split) holdFences(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, holdPatience)
	defer cancel()
	var releases []func()
	release = func() {
		for _, r := range releases {
			r()
		}
	}
	for _, side := range []strangler.Side{s.owner, s.owner.Other()} {
		d, err := s.db(ctx, side)
		if err != nil {
			release()
			return nil, err
		}
		r, err := d.Hold(ctx)
		if err != nil {
			release()
			return nil, err
		}
		releases = append(releases, r)
	}
	return release, nil
}

// finish repeats establish until it is done: once decided, there is only this way.
func (s *split) finish(ctx context.Context) error {
	for {
		err := s.takeover(ctx)
		if err == nil {
			return s.settlePhase(ctx)
		}
		if errors.Is(err, strangler.ErrRefused) || errors.Is(err, strangler.ErrStopped) {
			return err
		}
		s.cfg.Log.Warn("opening the owner; trying again", strangler.LogCapability, s.c.Name, strangler.LogError, err)
		if !pause(ctx, 100*time.Millisecond) {
			return err
		}
	}
}

// handOver is steps 2 to 5: gate, fence, catch up, freeze, verify. It returns the new owner's own
// position, from which the other direction will stream.
func (s *split) handOver(ctx context.Context, row strangler.Cutover, watch *stopwatch) (Position, error) {
	from, to, err := s.both(ctx, row.From)
	if err != nil {
		return "", err
	}
	term, err := s.cfg.Records.NextTerm(ctx)
	if err != nil {
		return "", err
	}
	watch.lap("term")
	if err := s.cfg.Gates.Closed(ctx, s.c.Name, row.Epoch); err != nil {
		return "", fmt.Errorf("the gate %w: %w", ErrSlow, err)
	}
	watch.lap("gate")
	if err := from.SetFence(ctx, row.Epoch, FenceClosed); err != nil {
		return "", fmt.Errorf("close the fence of the %s database: %w", row.From, err)
	}
	watch.lap("fence")
	if _, err := from.End(ctx); err != nil { // behind the drain, never before
		return "", err
	}
	for {
		n, err := s.applyBatch(ctx, from, to, nil)
		if err != nil {
			return "", fmt.Errorf("catch up: %w", err)
		}
		if n == 0 {
			break
		}
	}
	watch.lap("catch_up")
	if err := s.freeze(ctx, to, row, term); err != nil {
		return "", err
	}
	watch.lap("freeze")
	if err := s.frozenEqual(ctx, from, to); err != nil {
		return "", err
	}
	watch.lap("verify")
	next, err := from.Sequences(ctx)
	if err != nil {
		return "", err
	}
	for i := range next {
		if next[i] > 0 {
			next[i] += sequenceHeadroom
		}
	}
	if err := s.transact(ctx, to, func(a Apply) error { return a.SetSequences(ctx, next) }); err != nil {
		return "", fmt.Errorf("set sequences: %w", err)
	}
	if stray, err := to.Pending(ctx); err != nil || stray > 0 {
		return "", errors.Join(err, fmt.Errorf("the %s database, closed until now, has recorded %d changes of its own; look at: strangler split writers %s", row.To, stray, s.c.Name))
	}
	watch.lap("sequences")
	return to.End(ctx)
}

// stopwatch says in the log what a cutover spent its time on.
type stopwatch struct {
	last time.Time
	laps []any
}

func newStopwatch() *stopwatch { return &stopwatch{last: time.Now()} }

func (w *stopwatch) lap(name string) {
	now := time.Now()
	w.laps = append(w.laps, name+"_ms", float64(now.Sub(w.last).Microseconds())/1000)
	w.last = now
}

// approach applies and verifies what has come, until little is left for the time behind the gate.
func (s *split) approach(ctx context.Context) error {
	from, to, err := s.both(ctx, s.owner)
	if err != nil {
		return err
	}
	last := int64(math.MaxInt64)
	for range approachRounds {
		n, _, err := s.verified(ctx, from, to, s.cfg.Bounds.Dirty)
		if err != nil {
			return err
		}
		if n < littleLeft || n >= last {
			return nil
		}
		last = n
	}
	return nil
}

// freeze shuts out every other worker's stream into the follower, by a term that was drawn after the
// row was prepared. The row is read again behind the raised term: a worker that slept through a takeover
// would otherwise write, under a term of its own making, into a side that has owned meanwhile and is fenced
// once more. What carries no serial of its own (sequences, repairs) is read only after this.
func (s *split) freeze(ctx context.Context, to Database, row strangler.Cutover, term int64) error {
	if err := to.RaiseTerm(ctx, term); err != nil {
		return err
	}
	now, err := s.cfg.Decisions.LatestCutover(ctx, s.c.Name)
	if err != nil {
		return err
	}
	if now.ID != row.ID || now.State != strangler.Preparing {
		return fmt.Errorf("%w: cutover %d was decided by another worker", strangler.ErrSuperseded, row.ID)
	}
	s.term = term
	return nil
}
