package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/invariant"
)

const (
	caughtUpTime = 30 * time.Second
	caughtUpPoll = 100 * time.Millisecond
)

// verify waits until the follower has all that was written, and holds both databases against the log.
func (s *system) verify(ctx context.Context, log *invariant.Log, before invariant.Baseline, result *Result) error {
	owner, err := s.caughtUp(ctx)
	if err != nil {
		return err
	}
	report, err := invariant.Check(ctx, invariant.Config{Log: log, Legacy: s.shop, Service: s.service, Owner: owner, Dialect: s.data.dialect, Before: &before})
	if err != nil {
		return err
	}
	result.found(report)
	return nil
}

// caughtUp waits until nothing is left to apply; no client writes any more.
func (s *system) caughtUp(ctx context.Context) (owner strangler.Side, err error) {
	limited, cancel := context.WithTimeout(ctx, caughtUpTime)
	defer cancel()
	poll := time.NewTicker(caughtUpPoll)
	defer poll.Stop()
	for {
		status, err := s.admin.SplitStatus(ctx, capability)
		if err != nil {
			return "", err
		}
		if status.Phase == strangler.PhaseReversed && status.Lag.Changes == 0 && status.Lag.Unknown == "" {
			return status.Owner, nil
		}
		select {
		case <-poll.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			return "", fmt.Errorf("the legacy database has not caught up within %v: the split is %s, %d changes behind; %s", caughtUpTime, status.Phase, status.Lag.Changes, status.Error)
		}
	}
}
