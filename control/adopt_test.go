package control

import (
	"sync"
	"testing"

	"github.com/strangler-fig/strangler"
)

func TestNextEpochIsFresh(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		s := newStore(t, at)
		epochs := make([]int64, 8)
		var done sync.WaitGroup
		for i := range epochs {
			done.Go(func() {
				epoch, err := s.NextEpoch(ctx, "delivery", "worker", "the fence of the service was missing")
				if err != nil {
					t.Error(err)
				}
				epochs[i] = epoch
			})
		}
		done.Wait()
		seen := map[int64]bool{}
		for _, epoch := range epochs {
			if epoch < 2 || seen[epoch] {
				t.Errorf("epochs %v: not fresh", epochs)
			}
			seen[epoch] = true
		}
		checkAudit(t, s, "delivery")
		_, err := s.NextEpoch(ctx, "delivery", "worker", "")
		wants(t, err, strangler.ErrRefused)
		_, err = s.NextEpoch(ctx, "nothing", "worker", "w")
		wants(t, err, strangler.ErrNotFound)
	})
}

func TestAdoptNamesTheOwner(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		for _, c := range []struct {
			name    string
			arrange func(t *testing.T, s *Store)
			owner   strangler.Side
			floor   int64
			epoch   int64
		}{
			{"the store is behind", func(t *testing.T, s *Store) {}, strangler.Service, 40, 41},
			{"the store is ahead", func(t *testing.T, s *Store) {
				must(s.NextEpoch(t.Context(), "delivery", "worker", "w"))(t)
			}, strangler.Legacy, 1, 3},
			{"a cutover is preparing", func(t *testing.T, s *Store) { prepare(t, s) }, strangler.Service, 0, 4},
			{"a cutover is preparing and the store is behind", func(t *testing.T, s *Store) { prepare(t, s) }, strangler.Legacy, 40, 41},
			{"a cutover is committed, not released", func(t *testing.T, s *Store) {
				must(s.Decide(t.Context(), prepare(t, s), strangler.Committed, "serial 17", ""))(t)
			}, strangler.Legacy, 0, 4},
		} {
			t.Run(c.name, func(t *testing.T) {
				ctx := t.Context()
				s := newStore(t, at)
				c.arrange(t, s)
				toggle := must(s.Adopt(ctx, "delivery", c.owner, c.floor, "ann", "the machine is gone"))(t)
				want := strangler.Toggle{Capability: "delivery", Mode: modeOf(c.owner), Owner: c.owner, Epoch: c.epoch, Since: toggle.Since}
				if toggle != want {
					t.Errorf("adopted: %+v; want %+v", toggle, want)
				}
				if stored := must(s.Toggle(ctx, "delivery"))(t); stored != toggle {
					t.Errorf("stored: %+v; want %+v", stored, toggle)
				}
				if cutover, err := s.LatestCutover(ctx, "delivery"); err == nil {
					if cutover.State == strangler.Preparing || !cutover.Released || cutover.Decided >= toggle.Epoch {
						t.Errorf("the cutover is not settled below epoch %d: %+v", toggle.Epoch, cutover)
					}
				}
				history := must(s.History(ctx, "delivery"))(t)
				last := history[len(history)-1]
				if last.Epoch != toggle.Epoch || last.Who != "ann" || last.Why != "the machine is gone" {
					t.Errorf("the audit's last row: %+v", last)
				}
				must(s.Prepare(ctx, "delivery", c.owner.Other(), latestID(s), "ann", "on we go"))(t)
			})
		}
		s := newStore(t, at)
		_, err := s.Adopt(t.Context(), "delivery", strangler.Legacy, 0, "ann", "")
		wants(t, err, strangler.ErrRefused)
		_, err = s.Adopt(t.Context(), "delivery", "both", 0, "ann", "w")
		wants(t, err, strangler.ErrConfig)
		_, err = s.Adopt(t.Context(), "nothing", strangler.Legacy, 0, "ann", "w")
		wants(t, err, strangler.ErrNotFound)
	})
}

// prepare leaves delivery with an undecided cutover to the service, and returns its id.
func prepare(t *testing.T, s *Store) int64 {
	t.Helper()
	return must(s.Prepare(t.Context(), "delivery", strangler.Service, latestID(s), "ann", "it is time"))(t).ID
}
