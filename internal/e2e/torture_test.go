//go:build torture && !race

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// killsPerRound is how many places one round of TestTortureKills takes, drawn by chance.
const killsPerRound = 20

// TestTortureKills takes the places of TestKills in turn, all of them with enough rounds. The first
// rounds draw without repeating one.
func TestTortureKills(t *testing.T) { eachKind(t, killMany) }

func killMany(t *testing.T, k *kind) {
	s := newSystem(t, k, 1000)
	s.mark = filepath.Join(s.dir, "mark")
	s.resettle(strings.TrimSuffix(quick, "}") + fmt.Sprintf(`, steps: [{name: marks, after: verify, run: {command: [touch, %[1]q], check: [test, -e, %[1]q], undo: [rm, -f, %[1]q]}},
      {name: tells, before: soak, retries: 3, run: {command: ["true"], undo: ["true"]}}]}`, s.mark))
	seen := s.record()
	rand.Shuffle(len(seen), func(i, j int) { seen[i], seen[j] = seen[j], seen[i] })
	t.Logf("%d places", len(seen))
	s.killAt(seen[:min(len(seen), rounds()*killsPerRound)])
}

// TestTortureControlStoreGone is TestControlStoreGoneForAWhile for a minute each time.
func TestTortureControlStoreGone(t *testing.T) { controlGone(t, time.Minute, "canary", "soak") }

// TestTortureFaults is TestFaults with more occurrences of each statement.
func TestTortureFaults(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind) { breakEach(t, k, 1+rounds()) })
}

// TestTorturePartOfATable goes back and forth more often, with more writes.
func TestTorturePartOfATable(t *testing.T) {
	betweenTwoOfAKind(t)
	eachSplit(t, func(t *testing.T, p *pair, to *kind) { goBackAndForth(t, p, to, deliveries, 6*rounds(), 150) })
}

// TestTortureTwoTablesOfOneBackAndForth is the same with a part that goes to two tables.
func TestTortureTwoTablesOfOneBackAndForth(t *testing.T) {
	betweenTwoOfAKind(t)
	eachSplit(t, func(t *testing.T, p *pair, to *kind) { goBackAndForth(t, p, to, remarked, 6*rounds(), 150) })
}

// TestTortureMappings is what is mapped and shared between two databases of one kind.
func TestTortureMappings(t *testing.T) {
	between := mappings
	betweenTwoOfAKind(t)
	mappings = mappings[len(between):]
	t.Run("mapping", func(t *testing.T) { eachMapping(t, moveMapped) })
	t.Run("part", func(t *testing.T) { eachSplit(t, moveDeliveries) })
	t.Run("left", func(t *testing.T) { eachSplit(t, leaveOrders) })
	t.Run("column", func(t *testing.T) { eachSplit(t, keepSecrets) })
}

// betweenTwoOfAKind adds those pairs for the time of a test.
func betweenTwoOfAKind(t *testing.T) {
	before := mappings
	mappings = append(before[:len(before):len(before)], [2]*kind{sqlite, sqlite}, [2]*kind{postgres, postgres}, [2]*kind{mysql, mysql})
	t.Cleanup(func() { mappings = before })
}

// rounds is what `make torture ROUNDS=n` asks for.
func rounds() int {
	n, err := strconv.Atoi(os.Getenv("STRANGLER_ROUNDS"))
	if err != nil || n < 1 {
		return 1
	}
	return n
}
