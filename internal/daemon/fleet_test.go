package daemon

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/control"
	"github.com/strangler-fig/strangler/proxy"
)

var search = strangler.Capability{
	Name: "search", Routes: []strangler.Route{{Pattern: "/search"}},
	Legacy: strangler.Upstream{URLs: []string{"http://127.0.0.1:1"}}, Service: strangler.Upstream{URLs: []string{"http://127.0.0.1:1"}},
}

// stored is a control store that knows search.
func stored(t *testing.T, fault func(string) error) *control.Store {
	t.Helper()
	store, err := control.Open(t.Context(), control.Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "control.db"), Fault: fault})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Ensure(t.Context(), []strangler.Capability{search}); err != nil {
		t.Fatal(err)
	}
	return store
}

var toTheService = strangler.ToggleChange{Mode: strangler.ModeExtracted, Who: "ann", Why: "test"}

// TestFlipWithoutAnAnswer: another instance has not applied a flip when the control store answers no more. What it has answered before
// names that instance; where it has answered nothing, the flip fails and says what is known. It never counts as applied everywhere.
func TestFlipWithoutAnAnswer(t *testing.T) {
	for name, answers := range map[string]int{"it has answered before": 1, "it has answered nothing": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, now := stored(t, nil), time.Now()
				if err := store.Register(t.Context(), strangler.Instance{ID: "other", Started: now, Seen: now}); err != nil {
					t.Fatal(err)
				}
				f := newFleet(store, nil, "this", "", "", strangler.Discard())
				asked := 0
				f.instances = func(ctx context.Context) ([]strangler.Instance, error) {
					if asked++; asked <= answers {
						return store.Instances(ctx)
					}
					<-ctx.Done()
					return nil, ctx.Err()
				}
				flip, err := f.Flip(t.Context(), search.Name, toTheService)
				switch {
				case answers > 0 && (err != nil || !slices.Equal(flip.Pending, []string{"other"}) || flip.Toggle.Mode != strangler.ModeExtracted):
					t.Errorf("%+v, %v", flip, err)
				case answers == 0 && (!errors.Is(err, strangler.ErrStopped) || !strings.Contains(err.Error(), "the toggle of search is extracted, owner service at epoch 2, but who has applied it is not known")):
					t.Errorf("%+v, %v", flip, err)
				}
				if toggle, err := store.Toggle(t.Context(), search.Name); err != nil || toggle.Mode != strangler.ModeExtracted {
					t.Errorf("the flip does not stand: %+v, %v", toggle, err)
				}
			})
		})
	}
}

// TestAnAcknowledgementIsRepeated: one that did not get through is made with the next reading, or a worker elsewhere would wait for this
// instance for ever.
func TestAnAcknowledgementIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		store := stored(t, func(point string) error {
			if point == "acknowledge.before" && broken.Load() {
				return errors.New("broken off")
			}
			return nil
		})
		p, err := proxy.New(proxy.Config{Listen: "127.0.0.1:0", Legacy: search.Legacy, Capabilities: []strangler.Capability{search}, Secret: make([]byte, 32)})
		if err != nil {
			t.Fatal(err)
		}
		f, worker := newFleet(store, p, "proxy", "", filepath.Join(t.TempDir(), "snapshot"), strangler.Discard()), newFleet(store, nil, "worker", "", "", strangler.Discard())
		read := func() {
			t.Helper()
			if err := f.read(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.wg.Wait()
		}
		if err := f.register(t.Context()); err != nil {
			t.Fatal(err)
		}
		read()
		broken.Store(true)
		flip, err := f.Flip(t.Context(), search.Name, toTheService)
		if err != nil || !slices.Equal(flip.Pending, []string{"proxy"}) {
			t.Fatalf("of an acknowledgement that is broken off: %+v, %v", flip, err)
		}
		broken.Store(false)
		read()
		if err := worker.Current(t.Context(), search.Name); err != nil {
			t.Errorf("for a worker elsewhere: %v", err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
