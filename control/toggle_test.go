package control

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gorm.io/gorm"

	"github.com/strangler-fig/strangler"
)

func TestEnsureMakesOnlyWhatIsNew(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		s := newStore(t, at)
		first := must(s.Toggle(ctx, "delivery"))(t)
		want := strangler.Toggle{Capability: "delivery", Mode: strangler.ModeLegacy, Owner: strangler.Legacy, Epoch: 1, Since: first.Since}
		if diff := cmp.Diff(want, first); diff != "" || first.Since.IsZero() {
			t.Fatalf("a new capability (since %s): %s", first.Since, diff)
		}
		changed := must(set(ctx, s, "delivery", strangler.ModeCanary, 100_000))(t)
		noError(t, s.Ensure(ctx, []strangler.Capability{{Name: "billing"}, delivery}))
		if diff := cmp.Diff(changed, must(s.Toggle(ctx, "delivery"))(t)); diff != "" {
			t.Errorf("Ensure changed a toggle that was there: %s", diff)
		}
		snapshot := must(s.Snapshot(ctx))(t)
		var names []string
		for _, toggle := range snapshot.Toggles {
			names = append(names, toggle.Capability)
		}
		if diff := cmp.Diff([]string{"billing", "delivery", "search"}, names); diff != "" || snapshot.ControlID != s.ID() || snapshot.Stale {
			t.Errorf("snapshot of %s, stale %t: %s", snapshot.ControlID, snapshot.Stale, diff)
		}
		wants(t, s.Ensure(ctx, []strangler.Capability{{}}), strangler.ErrConfig)
	})
}

// A capability that gets tables needs a cutover from then on; one whose tables are moving does not
// lose that protection.
func TestStatelessFollowsTheConfiguration(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		var log bytes.Buffer
		s := openStore(t, Config{DSN: at.dsn(t), Log: slog.New(slog.NewTextHandler(&log, nil))})
		ensure(t, s)
		withTables := strangler.Capability{Name: "search", Tables: delivery.Tables}
		noError(t, s.Ensure(ctx, []strangler.Capability{withTables}))
		_, err := set(ctx, s, "search", strangler.ModeExtracted, 0)
		wants(t, err, strangler.ErrRefused)

		if held := must(s.Lease(ctx, strangler.SplitLease("search"), "a", time.Minute))(t); !held {
			t.Fatal("no lease")
		}
		noError(t, s.SaveSplit(ctx, "a", strangler.Split{Capability: "search", Phase: strangler.PhaseCopying}))
		noError(t, s.Ensure(ctx, []strangler.Capability{search}))
		_, err = set(ctx, s, "search", strangler.ModeExtracted, 0)
		wants(t, err, strangler.ErrRefused)
		if !strings.Contains(log.String(), "capability=search") {
			t.Errorf("nothing was logged about tables that are missing: %q", log.String())
		}

		noError(t, s.SaveSplit(ctx, "a", strangler.Split{Capability: "search", Phase: strangler.PhaseCancelled}))
		noError(t, s.Ensure(ctx, []strangler.Capability{search}))
		if toggle := must(set(ctx, s, "search", strangler.ModeExtracted, 0))(t); toggle.Owner != strangler.Service {
			t.Errorf("extracted and stateless again: %+v", toggle)
		}
	})
}

func TestSetChecksWhatItIsGiven(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		s := newStore(t, at)
		for _, c := range []struct {
			name       string
			capability string
			change     strangler.ToggleChange
			want       error
		}{
			{"no reason", "delivery", strangler.ToggleChange{Mode: strangler.ModeShadow}, strangler.ErrRefused},
			{"no such mode", "delivery", strangler.ToggleChange{Mode: "half", Why: "w"}, strangler.ErrConfig},
			{"canary without percent", "delivery", strangler.ToggleChange{Mode: strangler.ModeCanary, Why: "w"}, strangler.ErrRefused},
			{"canary below zero", "delivery", strangler.ToggleChange{Mode: strangler.ModeCanary, Percent: -1, Why: "w"}, strangler.ErrRefused},
			{"canary above all", "delivery", strangler.ToggleChange{Mode: strangler.ModeCanary, Percent: strangler.Hundred + 1, Why: "w"}, strangler.ErrRefused},
			{"percent without canary", "delivery", strangler.ToggleChange{Mode: strangler.ModeShadow, Percent: 1, Why: "w"}, strangler.ErrRefused},
			{"unknown capability", "nothing", strangler.ToggleChange{Mode: strangler.ModeShadow, Why: "w"}, strangler.ErrNotFound},
			{"against the owner", "delivery", strangler.ToggleChange{Mode: strangler.ModeExtracted, Why: "w"}, strangler.ErrRefused},
		} {
			t.Run(c.name, func(t *testing.T) {
				before := dump(t, s)
				_, err := s.Set(ctx, c.capability, c.change)
				wants(t, err, c.want)
				if diff := cmp.Diff(before, dump(t, s)); diff != "" {
					t.Errorf("the store was changed: %s", diff)
				}
			})
		}
		for _, percent := range []strangler.Percent{1, strangler.Hundred} {
			if toggle := must(set(ctx, s, "delivery", strangler.ModeCanary, percent))(t); toggle.Percent != percent {
				t.Errorf("canary %s gives %+v", percent, toggle)
			}
		}
		if toggle := must(set(ctx, s, "delivery", strangler.ModeLegacy, 0))(t); toggle.Percent != 0 {
			t.Errorf("the percentage outlives the canary: %+v", toggle)
		}
		_, err := s.Toggle(ctx, "nothing")
		wants(t, err, strangler.ErrNotFound)
		_, err = s.History(ctx, "nothing")
		wants(t, err, strangler.ErrNotFound)
	})
}

func TestSetWritesItsAudit(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		clock := newClock()
		s := openStore(t, Config{DSN: at.dsn(t), Clock: clock.now})
		ensure(t, s)
		returned := must(s.Set(ctx, "search", strangler.ToggleChange{Mode: strangler.ModeCanary, Percent: 100_000, Who: "ann", Why: "a tenth"}))(t)
		if diff := cmp.Diff(returned, must(s.Toggle(ctx, "search"))(t)); diff != "" {
			t.Errorf("what Set returned is not what is stored: %s", diff)
		}
		must(s.Set(ctx, "search", strangler.ToggleChange{Mode: strangler.ModeExtracted, Who: "bob", Why: "all"}))(t)
		must(s.Set(ctx, "search", strangler.ToggleChange{Mode: strangler.ModeLegacy, Who: "bob", Why: "back"}))(t)
		want := []strangler.AuditEntry{
			{Capability: "search", Epoch: 2, At: clock.now(), Who: "ann", Why: "a tenth", From: "legacy, owner legacy", To: "canary 10%, owner legacy"},
			{Capability: "search", Epoch: 3, At: clock.now(), Who: "bob", Why: "all", From: "canary 10%, owner legacy", To: "extracted, owner service"},
			{Capability: "search", Epoch: 4, At: clock.now(), Who: "bob", Why: "back", From: "extracted, owner service", To: "legacy, owner legacy"},
		}
		got := must(s.History(ctx, "search"))(t)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(strangler.AuditEntry{}, "ID")); diff != "" {
			t.Error(diff)
		}
	})
}

// Thirty-two calls, over two stores on one file, have all seen the same epoch when the first of them
// begins to write.
func TestOneSetWinsPerEpoch(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		dsn := at.dsn(t)
		stores := []*Store{openStore(t, Config{DSN: dsn}), openStore(t, Config{DSN: dsn})}
		ensure(t, stores[0])
		const calls, rounds = 32, 4
		for round := range rounds {
			var seen, done sync.WaitGroup
			seen.Add(calls)
			errs := make([]error, calls)
			ctx := context.WithValue(t.Context(), firstRead{}, &seen)
			for _, s := range stores {
				noError(t, s.db.Callback().Query().After("gorm:query").Register("meet", meet))
			}
			for i := range calls {
				done.Go(func() {
					_, errs[i] = set(context.WithValue(ctx, onceOnly{}, new(sync.Once)), stores[i%2], "delivery", strangler.ModeCanary, strangler.Percent(i+1))
				})
			}
			done.Wait()
			for _, s := range stores {
				noError(t, s.db.Callback().Query().Remove("meet"))
			}
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
				} else if !errors.Is(err, strangler.ErrConflict) {
					t.Errorf("a call that lost gives %v; want ErrConflict", err)
				}
			}
			epoch := must(stores[0].Toggle(t.Context(), "delivery"))(t).Epoch
			if won != 1 || epoch != int64(round)+2 {
				t.Fatalf("round %d: %d of %d calls won, the epoch is %d", round, won, calls, epoch)
			}
		}
		checkAudit(t, stores[1], "delivery")
	})
}

type (
	firstRead struct{} // *sync.WaitGroup: counts the calls that have not read the toggle
	onceOnly  struct{} // *sync.Once of one call
)

// meet holds each call at its first read until all have read.
func meet(db *gorm.DB) {
	ctx := db.Statement.Context
	seen, ok := ctx.Value(firstRead{}).(*sync.WaitGroup)
	if !ok {
		return
	}
	ctx.Value(onceOnly{}).(*sync.Once).Do(func() {
		seen.Done()
		seen.Wait()
	})
}
