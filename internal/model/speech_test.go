package model

import (
	"maps"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/strangler-fig/strangler"
)

// speech is what the engines say differently.
type speech struct {
	legacy []string // makes the monolith's tables
	// levels are those of a transaction that ends in the action that began it; the first is the usual one.
	// open are those of one that stays open while other things happen, sessions of them at a time.
	levels, open []level
	sessions     int
	oneWriter    bool // whoever writes keeps everybody else in the database from writing
	extra        map[string]func(t *rapid.T) operation
	judge        func(error) verdict
}

type level struct {
	name  string
	begin []string
}

// stand is a pair of databases that is used again and again.
type stand struct {
	speech *speech
	// fresh leaves both databases empty but for the monolith's tables, and opens them.
	fresh func(t *rapid.T) (legacy, service *application)
	dsns  map[strangler.Side]string // as Strangler connects
	dir   string

	captures []strangler.Capture // of which each run has one
}

// newStand makes the stands of a pair of engines.
type newStand func(t *testing.T) *stand

// lodging is an engine's place for either side.
type lodging struct {
	speech   *speech
	captures []strangler.Capture
	// open makes a new database for a side, empty, and opens it for an application; n is no other's.
	open func(t *rapid.T, side strangler.Side, n int) (a *application, dsn string)
}

// owners are the roles of the sides' applications, and lines what their tables of lines are called.
var (
	owners = map[strangler.Side]string{strangler.Legacy: "shop", strangler.Service: "billing"}
	lines  = map[strangler.Side]string{strangler.Legacy: "line", strangler.Service: "invoice_line"}
)

// bothCaptures are those of a server that lets its log be read, or the one that STRANGLER_CAPTURE names.
func bothCaptures() []strangler.Capture {
	if only := os.Getenv("STRANGLER_CAPTURE"); only != "" {
		return []strangler.Capture{strangler.Capture(only)}
	}
	return []strangler.Capture{strangler.CaptureTriggers, strangler.CaptureLogical}
}

// across makes stands whose sides are with one engine, or with two.
func across(legacy, service func(t *testing.T) lodging) newStand {
	return func(t *testing.T) *stand {
		here, there := legacy(t), service(t)
		s := &stand{speech: here.speech, captures: here.captures, dir: t.TempDir(), dsns: map[strangler.Side]string{}}
		n := 0
		s.fresh = func(t *rapid.T) (monolith, other *application) {
			n++
			monolith, s.dsns[strangler.Legacy] = here.open(t, strangler.Legacy, n)
			other, s.dsns[strangler.Service] = there.open(t, strangler.Service, n)
			for _, q := range here.speech.legacy {
				run(t, monolith.db, q)
			}
			return monolith, other
		}
		return s
	}
}

// operations are all statements that an application at a side may run.
func (s *speech) operations(side strangler.Side) map[string]func(*rapid.T) operation {
	all := maps.Clone(common)
	maps.Copy(all, s.extra)
	if side == strangler.Legacy {
		maps.Copy(all, staying)
	}
	return all
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
