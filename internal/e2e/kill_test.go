//go:build !race

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strangler-fig/strangler"
)

// killed are the statements that a kill is tried at, with how many of their occurrences in one run
// forward and back: every fence, term, decision and entry of the ledger; of positions and forgettings,
// which come with every batch, the first.
var killed = map[string]int{
	"fence": 20, "term": 20, "prepare": 4, "decide": 4, "release": 4, "start-run": 2, "save-run": 20, "save-step": 60,
	"next-term": 2, "script": 8, "set": 3, "save-split": 3, "position": 4, "forget": 3,
}

// TestKills kills the daemon by SIGKILL before and after durable statements of a run forward and back,
// in turn, restarts it, lets it finish, and holds the databases against the clients' log. Here it is
// every statement's first time; TestTortureKills takes them all.
func TestKills(t *testing.T) { eachKind(t, killFirst) }

func killFirst(t *testing.T, k *kind) {
	s := newSystem(t, k, 1000)
	seen := s.record()
	var at []string
	for _, place := range seen {
		point, first := strings.CutSuffix(place, ":1")
		name, _, _ := strings.Cut(point, ".")
		if first && (name == "fence" || name == "decide" || point == "position.after" || point == "release.before" || point == "term.after") {
			at = append(at, place)
		}
	}
	s.killAt(at)
}

// record runs forward and back once, and lists every statement as "point:n".
func (s *system) record() []string {
	s.t.Helper()
	file := filepath.Join(s.dir, "faults")
	s.start(s.daemon, "STRANGLER_FAULT=record:"+file)
	w := s.traffic(s.daemon, 2)
	s.forward(s.daemon)
	w.awaitWrites(10)
	s.back(s.daemon, "expand")
	w.stop()
	s.check(strangler.Legacy, true)
	s.kill(s.daemon)
	b, err := os.ReadFile(file)
	must(s.t, err)
	count := map[string]int{}
	var out []string
	for _, line := range strings.Fields(string(b)) {
		name, _, _ := strings.Cut(line, ".")
		if count[line]++; count[line] <= killed[name] {
			out = append(out, fmt.Sprintf("%s:%d", line, count[line]))
		}
	}
	if len(out) < 50 {
		s.t.Fatalf("only %d statements were recorded: %v", len(out), out)
	}
	return out
}

// killAt runs forward and back once for each place.
func (s *system) killAt(places []string) {
	s.t.Helper()
	fired := 0
	for i, place := range places {
		s.t.Logf("%d of %d: killed at %s", i+1, len(places), place)
		s.start(s.daemon, "STRANGLER_FAULT="+place)
		w := s.traffic(s.daemon, 2)
		died := s.forward(s.daemon)
		s.marked(true)
		w.awaitWrites(5)
		died = s.back(s.daemon, "expand") || died
		s.marked(false)
		w.stop()
		s.check(strangler.Legacy, true)
		s.kill(s.daemon)
		if died {
			fired++
		}
		if s.t.Failed() {
			s.t.FailNow()
		}
	}
	s.t.Logf("%d of %d kills happened", fired, len(places))
	if fired*10 < len(places)*8 {
		s.t.Errorf("only %d of %d kills happened", fired, len(places))
	}
}

// marked checks what the step with a mark has done, or its undo.
func (s *system) marked(want bool) {
	s.t.Helper()
	if s.mark == "" {
		return
	}
	if _, err := os.Stat(s.mark); (err == nil) != want {
		s.t.Errorf("the mark that is to be there: %t; it is: %v", want, err)
	}
}
