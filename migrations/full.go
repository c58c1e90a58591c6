package migrations

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/strangler-fig/strangler"
)

// ErrFull: a database, or the disk below it, had no room for what was to be written. Nothing of the transaction
// was. The same may be done again once there is room.
var ErrFull = errors.New("no room")

// Full is an engine's ErrFull, with the database that has no room; err is its own error.
func Full(b Binding, err error) error { return &full{b, err} }

type full struct {
	b   Binding
	err error
}

func (e *full) Error() string {
	return fmt.Sprintf("the %s database of %s is full: %v", e.b.Side, e.b.Capability, e.err)
}

func (e *full) Unwrap() []error { return []error{ErrFull, e.err} }

// A worker that has met a full database tries again after firstRoomWait, then after twice as long each time, up to
// mostRoomWait. A fence that waits to be opened is tried at each firstRoomWait.
const (
	firstRoomWait = time.Second
	mostRoomWait  = 15 * time.Second
)

// work is a part of what a worker does. Which of them has met a full database decides what has to succeed until it is
// no longer said to be full: on a disk without room a small batch may still find some where a chunk does not.
type work int

const (
	workNone work = iota
	workTakeover
	workCopy
	workStream
)

// fullness is what of a worker's work waits for room.
type fullness struct {
	mu   sync.Mutex
	work work
	wait time.Duration // until the latest try
	err  error
}

// roomAdvice ends what the record says of a split that waits for room.
const roomAdvice = " Make room there; then the split goes on by itself."

// awaitsRoom records that work has met a full database, the phase being what it was, and says how long to wait.
func (s *split) awaitsRoom(ctx context.Context, w work, err error) time.Duration {
	s.full.mu.Lock()
	s.full.wait = min(max(2*s.full.wait, firstRoomWait), mostRoomWait)
	if w == workTakeover {
		s.full.wait = firstRoomWait
	}
	if f := (*full)(nil); errors.As(err, &f) {
		err = f // what was being done is of no use to people
	}
	s.full.work, s.full.err = w, err
	wait := s.full.wait
	s.full.mu.Unlock()
	owner := s.owner
	if owner == "" {
		owner = strangler.Legacy
	}
	text := fmt.Sprintf("%v. Nothing was lost: the %s side serves, and its database keeps what changes until it is applied.", err, owner) + roomAdvice
	s.record(ctx, func(r *strangler.Split) {
		if following(r.Phase) {
			r.Error = text
		}
	})
	return wait
}

// hasRoom takes back what awaitsRoom has recorded, once that work has committed.
func (s *split) hasRoom(ctx context.Context, w work) {
	s.full.mu.Lock()
	same := s.full.work == w
	if same {
		s.full.work, s.full.wait, s.full.err = workNone, 0, nil
	}
	s.full.mu.Unlock()
	if same {
		s.record(ctx, func(r *strangler.Split) {
			if strings.HasSuffix(r.Error, roomAdvice) {
				r.Error = ""
			}
		})
	}
}

// inheritsFullness makes what the worker before this one has recorded this one's to take back.
func (s *split) inheritsFullness(ctx context.Context, copying bool) {
	s.full.mu.Lock()
	defer s.full.mu.Unlock()
	if s.full.work != workNone {
		return
	}
	if r, err := s.cfg.Records.Split(ctx, s.c.Name); err != nil || !strings.HasSuffix(r.Error, roomAdvice) {
		return // not read, it stays until the phase changes
	}
	s.full.work = workStream
	if copying {
		s.full.work = workCopy
	}
}

// record changes the record where that is not what the work depends on.
func (s *split) record(ctx context.Context, f func(*strangler.Split)) {
	if err := s.update(ctx, f); err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("the record of the split was not changed", strangler.LogCapability, s.c.Name, strangler.LogError, err)
	}
}

// waitsForRoom refuses what needs a follower that follows, while this worker waits for room.
func (s *split) waitsForRoom() error {
	s.full.mu.Lock()
	defer s.full.mu.Unlock()
	return s.refuseFull(s.full.err)
}

// refuseFull is the answer to a command that has met a full database, and has changed nothing.
func (s *split) refuseFull(err error) error {
	if !errors.Is(err, ErrFull) {
		return err
	}
	return strangler.Refuse("room", err.Error(), "make room there, then the same again", "strangler split status "+s.c.Name)
}
