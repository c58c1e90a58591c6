package migrations

import (
	"context"
	"errors"
	"testing"

	"github.com/strangler-fig/strangler"
)

// TestAnOrderOutlivesWhoeverGaveIt: the waiting ends with its context, and what the order returns later reaches
// nobody. The race detector sees it where it does.
func TestAnOrderOutlivesWhoeverGaveIt(t *testing.T) {
	cfg := Config{Log: strangler.Discard()}
	cfg.Bounds.setDefaults()
	x := newSplit(&cfg, strangler.Capability{Name: "billing"})
	s := &Splits{cfg: cfg, splits: map[string]*split{"billing": x}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		cmd := <-x.commands
		err := cmd.f(t.Context())
		cmd.done <- err
		ended <- err
	}()
	_, err := do(ctx, s, "billing", func(*split, context.Context) (strangler.Cutover, error) {
		cancel()
		return strangler.Cutover{ID: 7}, nil
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the waiting ended with: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the order ended with: %v", err)
	}
	v, err := do(t.Context(), &Splits{splits: map[string]*split{"billing": answering(t, &cfg)}}, "billing", func(*split, context.Context) (int, error) { return 7, nil })
	if v != 7 || err != nil {
		t.Errorf("an order that is waited for returns %d, %v", v, err)
	}
}

// answering is a split that carries out one order.
func answering(t *testing.T, cfg *Config) *split {
	x := newSplit(cfg, strangler.Capability{Name: "billing"})
	go x.waitCommand(t.Context(), cfg.Bounds.Attempt)
	return x
}
