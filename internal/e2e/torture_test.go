//go:build torture && !race

package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// killsPerRound is how many places one round of TestTortureKills takes, drawn by chance.
const killsPerRound = 20

// TestTortureKills takes the places of TestKills in turn, all of them with enough rounds. The first
// rounds draw without repeating one.
func TestTortureKills(t *testing.T) { eachKind(t, killMany) }

func killMany(t *testing.T, k *kind) {
	s := newSystem(t, k, 1000)
	seen := s.record()
	rand.Shuffle(len(seen), func(i, j int) { seen[i], seen[j] = seen[j], seen[i] })
	t.Logf("%d places", len(seen))
	s.killAt(seen[:min(len(seen), rounds()*killsPerRound)])
}

// TestTortureFaults is TestFaults with more occurrences of each statement.
func TestTortureFaults(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) { breakEach(t, k, 1+rounds()) })
}

// rounds is what `make torture ROUNDS=n` asks for.
func rounds() int {
	n, err := strconv.Atoi(os.Getenv("STRANGLER_ROUNDS"))
	if err != nil || n < 1 {
		return 1
	}
	return n
}
