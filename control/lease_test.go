package control

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
)

func TestTermsAreUniqueAndRise(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		dsn := at.dsn(t)
		stores := []*Store{openStore(t, Config{DSN: dsn}), openStore(t, Config{DSN: dsn})}
		terms := make([][]int64, 8)
		var done sync.WaitGroup
		for i := range terms {
			done.Go(func() {
				for range 10 {
					term, err := stores[i%2].NextTerm(ctx)
					if err != nil {
						t.Error(err)
					}
					terms[i] = append(terms[i], term)
				}
			})
		}
		done.Wait()
		seen := map[int64]bool{}
		for _, own := range terms {
			last := int64(0)
			for _, term := range own {
				if seen[term] || term <= last {
					t.Fatalf("terms %v: given out twice, or not rising", terms)
				}
				seen[term], last = true, term
			}
		}
		if term := must(stores[0].NextTermAbove(ctx, 1000))(t); term != 1001 {
			t.Errorf("the term above 1000 is %d", term)
		}
		if term := must(stores[1].NextTermAbove(ctx, 5))(t); term != 1002 {
			t.Errorf("a low floor lowers the term to %d", term)
		}
	})
}

func TestALeaseIsExclusiveAndExpires(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		clock := newClock()
		dsn := at.dsn(t)
		a, b := openStore(t, Config{DSN: dsn, Clock: clock.now}), openStore(t, Config{DSN: dsn, Clock: clock.now})
		lease := func(s *Store, holder string, want bool) {
			t.Helper()
			if held := must(s.Lease(ctx, "split delivery", holder, 10*time.Second))(t); held != want {
				t.Fatalf("Lease for %s = %t; want %t", holder, held, want)
			}
		}
		holder := func(want string) {
			t.Helper()
			if got := must(b.LeaseHolder(ctx, "split delivery"))(t); got != want {
				t.Fatalf("the holder is %q; want %q", got, want)
			}
		}
		holder("")
		lease(a, "a", true)
		lease(b, "b", false)
		clock.advance(6 * time.Second)
		lease(a, "a", true) // renewed
		clock.advance(10*time.Second - time.Microsecond)
		lease(b, "b", false)
		holder("a")
		clock.advance(time.Microsecond)
		holder("")
		lease(b, "b", true)
		lease(a, "a", false)
		noError(t, a.Unlease(ctx, "split delivery", "a")) // not its own any more
		holder("b")
		noError(t, b.Unlease(ctx, "split delivery", "b"))
		holder("")
		lease(a, "a", true)
		for _, c := range []struct {
			name, holder string
			ttl          time.Duration
		}{{"", "a", time.Second}, {"n", "", time.Second}, {"n", "a", 0}} {
			_, err := a.Lease(ctx, c.name, c.holder, c.ttl)
			wants(t, err, strangler.ErrConfig)
		}
	})
}

func TestOneOfManyTakesALease(t *testing.T) {
	eachPlace(t, func(t *testing.T, at place) {
		ctx := t.Context()
		dsn := at.dsn(t)
		stores := []*Store{openStore(t, Config{DSN: dsn}), openStore(t, Config{DSN: dsn})}
		for round := range 5 {
			held := make([]bool, 16)
			name := fmt.Sprintf("lease %d", round)
			var done sync.WaitGroup
			for i := range held {
				done.Go(func() {
					var err error
					if held[i], err = stores[i%2].Lease(ctx, name, fmt.Sprint("worker ", i), time.Hour); err != nil {
						t.Error(err)
					}
				})
			}
			done.Wait()
			winner := must(stores[0].LeaseHolder(ctx, name))(t)
			for i, h := range held {
				if h != (winner == fmt.Sprint("worker ", i)) {
					t.Fatalf("worker %d was told %t; the holder is %s", i, h, winner)
				}
			}
			if winner == "" {
				t.Fatal("nobody has it")
			}
		}
	})
}
