//go:build torture && !race

package outage

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/strangler-fig/strangler"
)

// TestTortureCrashes kills each server, and both, in every step, forward and back.
func TestTortureCrashes(t *testing.T) {
	for range rounds() {
		crashes(t, shuffled(slices.Repeat(steps, 2)), [][]strangler.Side{{strangler.Legacy}, {strangler.Service}, sides})
	}
}

// TestTortureEndedSessions ends everybody's sessions in every step, forward and back.
func TestTortureEndedSessions(t *testing.T) {
	for range rounds() {
		endSessions(t, shuffled(slices.Repeat(steps, 2)), len(victims))
	}
}

// TestTortureNetwork makes every trouble in every step, at both sides.
func TestTortureNetwork(t *testing.T) {
	for range rounds() {
		makeTrouble(t, shuffled(slices.Repeat(steps, 2)), len(troubles))
	}
}

// TestTortureOpenTransactions leaves everything open in turn at the present owner and at the next, across cutovers and rollbacks.
func TestTortureOpenTransactions(t *testing.T) {
	for range rounds() {
		for _, h := range holders {
			t.Run(h.name, func(t *testing.T) {
				r := newRig(t)
				w := r.through("through")
				r.copied()
				for _, side := range []strangler.Side{strangler.Legacy, strangler.Legacy, strangler.Service, strangler.Service} {
					if h.writes {
						side = r.owner() // the other side's fence does not let it begin
					}
					r.acrossCutover([]holder{h}, side)
					w.await(1)
				}
				r.check(w)
			})
		}
	}
}

// TestTortureSilence lets the connections to one side go silent, in every step.
func TestTortureSilence(t *testing.T) {
	for range rounds() {
		for i, s := range append(steps, silences[0]) {
			for _, side := range sides[i%2 : i%2+1] {
				t.Run(s.name+", "+string(side), func(t *testing.T) { silence(t, s, side) })
			}
		}
	}
}

func shuffled(s []step) []step {
	rand.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
	return s
}

// rounds is what `make torture ROUNDS=n` asks for.
func rounds() int {
	n, err := strconv.Atoi(os.Getenv("STRANGLER_ROUNDS"))
	if err != nil || n < 1 {
		return 1
	}
	return n
}
