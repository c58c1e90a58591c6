//go:build torture

package model

import (
	"os"
	"strconv"
	"testing"
)

// In a round each engine has so many runs.
const (
	sqliteRuns   = 150
	postgresRuns = 30
	mysqlRuns    = 60
	pairRuns     = 20
)

func TestTortureModelSQLite(t *testing.T) { check(t, across(atSQLite, atSQLite), sqliteRuns*rounds()) }

func TestTortureModelPostgres(t *testing.T) {
	check(t, across(atPostgres, atPostgres), postgresRuns*rounds())
}

func TestTortureModelMySQL(t *testing.T) { check(t, across(atMySQL, atMySQL), mysqlRuns*rounds()) }

// rounds is what `make torture ROUNDS=n` asks for.
func rounds() int {
	n, err := strconv.Atoi(os.Getenv("STRANGLER_ROUNDS"))
	if err != nil || n < 1 {
		return 1
	}
	return n
}

func TestTortureModelPairs(t *testing.T) {
	for _, name := range names(pairs) {
		t.Run(name, func(t *testing.T) { check(t, pairs[name], pairRuns*rounds()) })
	}
}
