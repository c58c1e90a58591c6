package migrations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strangler-fig/strangler"
)

// retainedCheck is how often the worker looks at what the monolith's server keeps of its log, and how long it waits for
// the answer.
const retainedCheck = 2 * time.Second

// Retained is what a server keeps of its log for a capture.
type Retained struct {
	Bytes int64
	Why   string // what keeps it from being less, for people
}

// Retainer is an engine whose capture can have the server keep its log.
type Retainer interface {
	// Retained is what the server keeps for the capability; zero where its capture has it keep nothing.
	Retained(ctx context.Context) (Retained, error)
	// LetGo has the server keep nothing more, whoever reads it. What was not applied can no longer be read: the next
	// Read is an ErrStopped. Nothing kept, or let go already: nothing happens.
	LetGo(ctx context.Context) error
}

// retained asks the legacy side, the one whose log may be kept; zero where the engine has none.
func (s *split) retained(ctx context.Context) (Retained, Retainer, error) {
	d, err := s.db(ctx, strangler.Legacy)
	if err != nil {
		return Retained{}, nil, err
	}
	r, ok := engine(d).(Retainer)
	if !ok {
		return Retained{}, nil, nil
	}
	kept, err := r.Retained(ctx)
	return kept, r, err
}

// guardLog keeps the log that the monolith's server keeps for the split below its cap, for as long as ctx lasts: whatever
// the split does meanwhile, copying, waiting for the other side or stopped, the customers' server does not run full.
func (s *split) guardLog(ctx context.Context) {
	if s.c.RetainedWAL <= 0 {
		return
	}
	warned := false
	for pause(ctx, retainedCheck) {
		bounded, cancel := context.WithTimeout(ctx, retainedCheck)
		kept, r, err := s.retained(bounded)
		cancel()
		if err != nil || r == nil {
			continue // a server that does not answer is met by the split itself
		}
		half := kept.Bytes > s.c.RetainedWAL/2
		if half && !warned {
			s.cfg.Log.Warn("the monolith's server keeps more than half of what retained_wal allows of its log", strangler.LogCapability, s.c.Name, "bytes", kept.Bytes, "retained_wal", s.c.RetainedWAL, "why", kept.Why)
		}
		warned = half
		if kept.Bytes > s.c.RetainedWAL {
			if err := s.letGo(ctx, kept, r); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("what the monolith's server keeps of its log could not be let go", strangler.LogCapability, s.c.Name, strangler.LogError, err)
			}
		}
	}
}

// letGo stops the split, and then has the server keep nothing more for it. A process that ends in between finds the log
// kept as before, and lets it go. A cutover is let end first.
func (s *split) letGo(ctx context.Context, kept Retained, r Retainer) error {
	if !s.handing.TryLock() {
		return nil
	}
	defer s.handing.Unlock()
	if err := s.mine(ctx); err != nil {
		return err
	}
	t, err := s.cfg.Records.Toggle(ctx, s.c.Name)
	if err != nil {
		return err
	}
	why := s.overfull(kept, t.Owner)
	s.cfg.Log.Error("the split has stopped; the owner goes on serving", strangler.LogCapability, s.c.Name, strangler.LogError, why)
	err = s.update(ctx, func(r *strangler.Split) {
		if following(r.Phase) || r.Phase == strangler.PhaseStopped {
			r.Phase, r.Error = strangler.PhaseStopped, why.Error()
		}
	})
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, 10*retainedCheck)
	defer cancel()
	return errors.Join(r.LetGo(bounded), ctx.Err())
}

// overfull says why the slot was dropped, and how to go on.
func (s *split) overfull(kept Retained, owner strangler.Side) error {
	next := fmt.Sprintf("To copy again: strangler split cancel %s, then run the playbook", s.c.Name)
	if owner == strangler.Service {
		next = fmt.Sprintf("strangler split start %s goes on with what the service writes; after a rollback the split would stop, since what the monolith writes is no longer read", s.c.Name)
	}
	return fmt.Errorf("%w: the monolith's server kept %s of its log for %s, and retained_wal is %s, so the replication slot was dropped before the disk could fill. What filled it: %s. Nothing was lost, and the %s side goes on serving. %s",
		strangler.ErrStopped, Size(kept.Bytes), s.c.Name, Size(s.c.RetainedWAL), kept.Why, owner, next)
}

// Size writes bytes for people: 512 B, 1.5 GiB.
func Size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, units := float64(n)/(1<<10), []string{"KiB", "MiB", "GiB", "TiB"}
	for f >= 1<<10 && len(units) > 1 {
		f, units = f/(1<<10), units[1:]
	}
	return fmt.Sprintf("%.4g %s", f, units[0])
}
