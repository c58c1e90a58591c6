package model

import (
	"maps"
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

	capture strangler.Capture
}

// newStand makes the stands of an engine.
type newStand func(t *testing.T) *stand

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
