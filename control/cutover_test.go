package control

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

func TestACutoverAndItsRollback(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		clock := newClock()
		s := openStore(t, Config{DSN: at.dsn(t), Clock: clock.now})
		ensure(t, s)
		must(set(ctx, s, "delivery", strangler.ModeCanary, strangler.Hundred))(t) // epoch 2

		cutover := must(s.Prepare(ctx, "delivery", strangler.Service, latestID(s), "ann", "it is time"))(t)
		want := strangler.Cutover{ID: cutover.ID, Capability: "delivery", From: strangler.Legacy, To: strangler.Service, State: strangler.Preparing,
			Epoch: 3, Who: "ann", Why: "it is time", Started: clock.now()}
		if diff := cmp.Diff(want, cutover); diff != "" {
			t.Fatal(diff)
		}
		toggle := must(s.Toggle(ctx, "delivery"))(t)
		if toggle.Epoch != 3 || !toggle.Gated || toggle.Owner != strangler.Legacy || toggle.Mode != strangler.ModeCanary {
			t.Fatalf("prepared: %+v", toggle)
		}

		decided := must(s.Decide(ctx, cutover.ID, strangler.Committed, "serial 17", ""))(t)
		want.State, want.Decided, want.Position, want.Ended = strangler.Committed, 4, "serial 17", clock.now()
		if diff := cmp.Diff(want, decided); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(want, must(s.CutoverByID(ctx, cutover.ID))(t)); diff != "" {
			t.Fatalf("read back: %s", diff)
		}
		toggle = must(s.Toggle(ctx, "delivery"))(t)
		owned := strangler.Toggle{Capability: "delivery", Mode: strangler.ModeExtracted, Owner: strangler.Service, Epoch: 4, Gated: true, Since: clock.now()}
		if diff := cmp.Diff(owned, toggle); diff != "" {
			t.Fatalf("committed: %s", diff)
		}

		noError(t, s.Release(ctx, cutover.ID))
		noError(t, s.Release(ctx, cutover.ID))
		owned.Gated = false
		if diff := cmp.Diff(owned, must(s.Toggle(ctx, "delivery"))(t)); diff != "" {
			t.Fatalf("released: %s", diff)
		}
		_, err := set(ctx, s, "delivery", strangler.ModeLegacy, 0)
		wants(t, err, strangler.ErrRefused)

		back := must(s.Prepare(ctx, "delivery", strangler.Legacy, latestID(s), "bob", "it was too early"))(t)
		if latest := must(s.LatestCutover(ctx, "delivery"))(t); latest != back || back.From != strangler.Service {
			t.Fatalf("latest %+v; want %+v", latest, back)
		}
		noError(t, s.Release(ctx, cutover.ID)) // a worker that overslept
		if toggle := must(s.Toggle(ctx, "delivery"))(t); !toggle.Gated {
			t.Fatal("the release of an earlier cutover opened the gate of a later one")
		}
		must(s.Decide(ctx, back.ID, strangler.Committed, "serial 3", "back"))(t)
		noError(t, s.Release(ctx, back.ID))
		toggle = must(s.Toggle(ctx, "delivery"))(t)
		if toggle.Owner != strangler.Legacy || toggle.Mode != strangler.ModeLegacy || toggle.Epoch != 6 || toggle.Gated {
			t.Fatalf("rolled back: %+v", toggle)
		}
		checkAudit(t, s, "delivery")
	})
}

func TestAnAbortLeavesTheOwner(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		s := newStore(t, at)
		must(set(ctx, s, "delivery", strangler.ModeCanary, 250_000))(t)
		cutover := must(s.Prepare(ctx, "delivery", strangler.Service, latestID(s), "ann", "it is time"))(t)
		aborted := must(s.Decide(ctx, cutover.ID, strangler.Aborted, "", "the drain took too long"))(t)
		if aborted.State != strangler.Aborted || aborted.Decided != cutover.Epoch+1 || aborted.Owner() != strangler.Legacy || aborted.Why != "the drain took too long" {
			t.Fatalf("%+v", aborted)
		}
		toggle := must(s.Toggle(ctx, "delivery"))(t)
		if toggle.Epoch != aborted.Decided || toggle.Mode != strangler.ModeCanary || toggle.Percent != 250_000 || toggle.Owner != strangler.Legacy || !toggle.Gated {
			t.Fatalf("%+v", toggle)
		}
		if again, err := s.Decide(ctx, cutover.ID, strangler.Committed, "serial 17", ""); !errors.Is(err, strangler.ErrConflict) || again != aborted {
			t.Fatalf("decided again: %+v, %v; want the first decision and ErrConflict", again, err)
		}
		checkAudit(t, s, "delivery")
	})
}

func TestWhatIsRefusedUnderACutover(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		s := newStore(t, at)
		_, err := s.Prepare(ctx, "delivery", strangler.Legacy, latestID(s), "ann", "why not")
		wants(t, err, strangler.ErrRefused)
		_, err = s.Prepare(ctx, "delivery", strangler.Service, latestID(s), "ann", "")
		wants(t, err, strangler.ErrRefused)
		_, err = s.Prepare(ctx, "delivery", "both", latestID(s), "ann", "why not")
		wants(t, err, strangler.ErrConfig)
		_, err = s.Prepare(ctx, "nothing", strangler.Service, latestID(s), "ann", "why not")
		wants(t, err, strangler.ErrNotFound)
		_, err = s.LatestCutover(ctx, "delivery")
		wants(t, err, strangler.ErrNotFound)

		cutover := must(s.Prepare(ctx, "delivery", strangler.Service, latestID(s), "ann", "it is time"))(t)
		refused := func(why string, releaseToo bool) {
			t.Helper()
			before := dump(t, s)
			for _, mode := range []strangler.Mode{strangler.ModeLegacy, strangler.ModeShadow, strangler.ModeExtracted} {
				_, err := set(ctx, s, "delivery", mode, 0)
				wants(t, err, strangler.ErrRefused)
			}
			_, err := s.Prepare(ctx, "delivery", strangler.Service, latestID(s), "bob", "me too")
			wants(t, err, strangler.ErrRefused)
			if releaseToo {
				wants(t, s.Release(ctx, cutover.ID), strangler.ErrRefused)
				_, err := s.NextEpoch(ctx, "delivery", "bob", "a fence is missing")
				wants(t, err, strangler.ErrRefused)
			}
			if diff := cmp.Diff(before, dump(t, s)); diff != "" {
				t.Fatalf("%s: a refusal changed the store: %s", why, diff)
			}
		}
		refused("preparing", true)
		_, err = s.Decide(ctx, cutover.ID, strangler.Preparing, "", "")
		wants(t, err, strangler.ErrConfig)
		_, err = s.Decide(ctx, cutover.ID+1, strangler.Aborted, "", "")
		wants(t, err, strangler.ErrNotFound)
		wants(t, s.Release(ctx, cutover.ID+1), strangler.ErrNotFound)
		_, err = s.CutoverByID(ctx, cutover.ID+1)
		wants(t, err, strangler.ErrNotFound)
		must(set(ctx, s, "search", strangler.ModeExtracted, 0))(t) // another capability is free

		must(s.Decide(ctx, cutover.ID, strangler.Aborted, "", "no"))(t)
		refused("decided", false)
		must(s.NextEpoch(ctx, "delivery", "bob", "a fence is missing"))(t)
		noError(t, s.Release(ctx, cutover.ID))
		must(set(ctx, s, "delivery", strangler.ModeShadow, 0))(t)
		checkAudit(t, s, "delivery")
	})
}

func TestOnePrepareWins(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		dsn := at.dsn(t)
		stores := []*Store{openStore(t, Config{DSN: dsn}), openStore(t, Config{DSN: dsn})}
		ensure(t, stores[0])
		errs := make([]error, 16)
		var done sync.WaitGroup
		for i := range errs {
			done.Go(func() {
				_, errs[i] = stores[i%2].Prepare(t.Context(), "delivery", strangler.Service, latestID(stores[i%2]), "ann", "it is time")
			})
		}
		done.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				wants(t, err, strangler.ErrRefused)
			}
		}
		if won != 1 {
			t.Fatalf("%d of %d calls won", won, len(errs))
		}
		checkAudit(t, stores[0], "delivery")
	})
}

func TestOneDecisionWins(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		dsn := at.dsn(t)
		stores := []*Store{openStore(t, Config{DSN: dsn}), openStore(t, Config{DSN: dsn})}
		ensure(t, stores[0])
		states := []strangler.CutoverState{strangler.Committed, strangler.Aborted}
		for range 10 {
			owner := must(stores[0].Toggle(ctx, "delivery"))(t).Owner
			cutover := must(stores[0].Prepare(ctx, "delivery", owner.Other(), latestID(stores[0]), "ann", "it is time"))(t)
			rows, errs := make([]strangler.Cutover, 8), make([]error, 8)
			var done sync.WaitGroup
			for i := range rows {
				done.Go(func() { rows[i], errs[i] = stores[i%2].Decide(ctx, cutover.ID, states[i/2%2], "serial 17", "a race") })
			}
			done.Wait()
			won := 0
			stored := must(stores[1].CutoverByID(ctx, cutover.ID))(t)
			for i, err := range errs {
				if err == nil {
					won++
				} else {
					wants(t, err, strangler.ErrConflict)
				}
				if rows[i] != stored {
					t.Fatalf("call %d returned %+v; stored is %+v", i, rows[i], stored)
				}
			}
			toggle := must(stores[1].Toggle(ctx, "delivery"))(t)
			if won != 1 || toggle.Owner != stored.Owner() || toggle.Epoch != stored.Decided || stored.Decided != cutover.Epoch+1 {
				t.Fatalf("%d calls won; cutover %+v, toggle %+v", won, stored, toggle)
			}
			noError(t, stores[0].Release(ctx, cutover.ID))
		}
		checkAudit(t, stores[0], "delivery")
	})
}

// latestID is the latest cutover of delivery, as a worker knows it; 0 for none.
func latestID(s *Store) int64 {
	row, err := s.LatestCutover(context.Background(), "delivery")
	if err != nil {
		return 0
	}
	return row.ID
}

func TestPrepareKnowsTheLatest(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		s := newStore(t, at)
		ensure(t, s)
		ctx := t.Context()
		first := must(s.Prepare(ctx, "delivery", strangler.Service, 0, "ann", "it is time"))(t)
		must(s.Decide(ctx, first.ID, strangler.Aborted, "", "slow"))(t)
		if err := s.Release(ctx, first.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Prepare(ctx, "delivery", strangler.Service, 0, "bob", "it is time"); !errors.Is(err, strangler.ErrConflict) {
			t.Fatalf("a worker that missed a cutover prepared the next: %v", err)
		}
		must(s.Prepare(ctx, "delivery", strangler.Service, first.ID, "ann", "again"))(t)
	})
}
