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
)

func TestTortureModelSQLite(t *testing.T) { check(t, standSQLite, sqliteRuns*rounds()) }

func TestTortureModelPostgres(t *testing.T) { check(t, standPostgres, postgresRuns*rounds()) }

// rounds is what `make torture ROUNDS=n` asks for.
func rounds() int {
	n, err := strconv.Atoi(os.Getenv("STRANGLER_ROUNDS"))
	if err != nil || n < 1 {
		return 1
	}
	return n
}
