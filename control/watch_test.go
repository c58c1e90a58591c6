package control

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/strangler-fig/strangler"
)

// watching watches a store until the test ends; every call of it can be received.
func watching(t *testing.T, s *Store) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	calls := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		s.Watch(ctx, func() {
			select {
			case calls <- struct{}{}:
			case <-ctx.Done():
			}
		})
	})
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	return calls
}

// Every change is told to another process, those that raise an epoch and the release of a gate alike;
// what was rolled back is not.
func TestWatchIsToldOfEveryChange(t *testing.T) {
	ctx := t.Context()
	dsn := postgresPlace.dsn(t)
	here, there := openStore(t, Config{DSN: dsn}), openStore(t, Config{DSN: dsn})
	ensure(t, here)
	calls := watching(t, there)
	<-calls
	broken := openStore(t, Config{DSN: dsn, Fault: func(at string) error {
		if at == "set.before" {
			return errInjected
		}
		return nil
	}})
	var cutover strangler.Cutover
	for name, change := range map[string]func() error{
		"set": func() error {
			_, rolledBack := set(ctx, broken, "delivery", strangler.ModeLegacy, 0)
			_, err := set(ctx, here, "search", strangler.ModeShadow, 0)
			if !errors.Is(rolledBack, errInjected) {
				return errors.Join(err, rolledBack)
			}
			return err
		},
		"next epoch": func() error { _, err := here.NextEpoch(ctx, "search", "worker", "w"); return err },
	} {
		noError(t, change())
		<-calls
		nothingElse(t, name, calls)
	}
	for _, change := range []func() error{
		func() (err error) {
			cutover, err = here.Prepare(ctx, "delivery", strangler.Service, 0, "ann", "it is time")
			return err
		},
		func() error { _, err := here.Decide(ctx, cutover.ID, strangler.Committed, "serial 17", ""); return err },
		func() error { return here.Release(ctx, cutover.ID) },
		func() error { _, err := here.Adopt(ctx, "delivery", strangler.Legacy, 40, "ann", "w"); return err },
	} {
		noError(t, change())
		<-calls
		nothingElse(t, "cutover", calls)
	}
}

func nothingElse(t *testing.T, after string, calls <-chan struct{}) {
	t.Helper()
	select {
	case <-calls:
		t.Errorf("%s was told twice", after)
	default:
	}
}

// A connection that ends is replaced, and what happened meanwhile is told then.
func TestWatchGetsOverALostConnection(t *testing.T) {
	dsn := postgresPlace.dsn(t)
	s := openStore(t, Config{DSN: dsn})
	ensure(t, s)
	calls := watching(t, s)
	<-calls
	noError(t, onPostgres.terminate(onPostgres.administrator(t, dsn)))
	must(set(t.Context(), s, "delivery", strangler.ModeShadow, 0))(t)
	<-calls
	must(set(t.Context(), s, "delivery", strangler.ModeLegacy, 0))(t)
	<-calls
}

// A file tells nobody; Watch only ends with its context.
func TestWatchOnSQLite(t *testing.T) {
	s := newStore(t, sqlitePlace)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Watch(ctx, func() { t.Error("somebody told") })
}
