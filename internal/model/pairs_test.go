package model

import "testing"

// pairs are the engines two by two: the monolith is with one, and its service with another.
var pairs = map[string]newStand{
	"sqlite to postgres": across(atSQLite, atPostgres),
	"sqlite to mysql":    across(atSQLite, atMySQL),
	"postgres to sqlite": across(atPostgres, atSQLite),
	"postgres to mysql":  across(atPostgres, atMySQL),
	"mysql to sqlite":    across(atMySQL, atSQLite),
	"mysql to postgres":  across(atMySQL, atPostgres),
}

// runsPerPair is how many runs the ordinary tests make of each.
const runsPerPair = 2

func TestModelPairs(t *testing.T) {
	for _, name := range names(pairs) {
		t.Run(name, func(t *testing.T) { check(t, pairs[name], runsPerPair) })
	}
}
