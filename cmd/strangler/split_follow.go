package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/client"
)

// follow looks again and again until look says that it is over. What is followed belongs to the
// daemon: ending ctx ends the watching only.
func (a *app) follow(ctx context.Context, what, status string, look func() (over bool, err error)) error {
	ticker := time.NewTicker(a.poll)
	defer ticker.Stop()
	for {
		over, err := look()
		if ctx.Err() != nil {
			return fmt.Errorf("nobody watches %s any more, and it goes on in the daemon; look with %s", what, status)
		}
		if err != nil {
			return fmt.Errorf("%s can no longer be watched: %w; it belongs to the daemon; look with %s", what, err, status)
		}
		if over {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// followSplit shows a copy until it is syncing, or further.
func (a *app) followSplit(ctx context.Context, c *client.Client, capability string) (strangler.SplitStatus, error) {
	var status strangler.SplitStatus
	p := a.progress()
	err := a.follow(ctx, "the split of "+capability, "strangler split status "+capability, func() (bool, error) {
		var err error
		if status, err = c.SplitStatus(ctx, capability); err != nil {
			return false, err
		}
		p.show(drawSplit(p, status))
		switch status.Phase {
		case strangler.PhaseSyncing, strangler.PhaseReversed, strangler.PhaseComplete, strangler.PhaseStopped, strangler.PhaseCancelled:
			return true, nil
		}
		return false, nil
	})
	switch {
	case err != nil:
		return status, err
	case status.Phase == strangler.PhaseStopped:
		return status, fmt.Errorf("the split of %s stopped: %s; nothing is lost, %s still owns; put it right, then strangler split start %s: %w",
			capability, status.Error, status.Owner, capability, strangler.ErrStopped)
	case status.Phase == strangler.PhaseCancelled:
		return status, fmt.Errorf("the split of %s was cancelled meanwhile; the legacy rows are as they were; strangler split start %s begins anew", capability, capability)
	}
	return status, nil
}

// drawSplit is a block with a bar for each table, and one line that changes every ten percent.
func drawSplit(p *progress, s strangler.SplitStatus) (block []string, line string) {
	width := 0
	for _, t := range s.Tables {
		width = max(width, len(t.Name))
	}
	words := []string{string(s.Phase)}
	for _, t := range s.Tables {
		share := percent(t.RowsCopied, t.RowsTotal)
		block = append(block, fmt.Sprintf("%-*s %s %3d%%  %d / %d rows%s", width, t.Name, p.bar(t.RowsCopied, t.RowsTotal), share, t.RowsCopied, t.RowsTotal, speed(t)))
		words = append(words, fmt.Sprintf("%s %d%%", t.Name, share/10*10))
	}
	last := fmt.Sprintf("%s, lag %d changes", p.paint(busy, string(s.Phase)), s.Lag.Changes)
	if s.Lag.Unknown != "" {
		last = p.paint(busy, string(s.Phase)) + ", lag not known: " + oneLine(s.Lag.Unknown)
	}
	if s.Doing != "" {
		last += ", " + s.Doing
		words = append(words, s.Doing)
	}
	if s.Throttled != "" {
		last += ", throttled: " + s.Throttled
		words = append(words, "throttled")
	}
	block = append(block, last)
	for _, text := range []string{s.Error, s.Retrying} {
		if text != "" {
			block, words = append(block, text), append(words, text)
		}
	}
	return block, strings.Join(words, ", ")
}
