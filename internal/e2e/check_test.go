//go:build !race

package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
)

// TestCheckOnTheWay: at no place of a run does `check` find fault with what Strangler itself has made, be it the rows at the service or
// the keys that it has cut. Behind complete nothing is left to plan, so that the next capability can be checked for.
func TestCheckOnTheWay(t *testing.T) { eachKind(t, checkOnTheWay) }

func checkOnTheWay(t *testing.T, k *kind) {
	s := newSystem(t, k, 300)
	c := s.unhurried(patient + "\n    on_delete: {\"orders(assigned_courier_id)\": ignore}")
	type finding struct{ Level, Capability, Check, Message string }
	checked := func() (all []finding) {
		t.Helper()
		var said struct{ Findings []finding }
		must(t, json.Unmarshal([]byte(s.command(t, "ann", 0, "check", "-o", "json")), &said))
		return said.Findings
	}
	before := checked()
	_, err := c.Run(t.Context(), capability, order)
	must(t, err)
	for _, step := range []string{"shadow", "canary", "cutover", "soak"} {
		s.waits(c, step)
		for _, f := range checked() {
			if f.Level != "ok" && !slices.Contains(before, f) {
				t.Errorf("at %s, check finds fault with %+v", step, f)
			}
		}
		s.advance(c, step)
	}
	s.advance(c, "complete")
	s.awaitWith("the run to end", func() bool {
		run, err := c.RunStatus(t.Context(), capability)
		return err == nil && run.State == strangler.RunDone
	}, s.daemon)
	of := slices.DeleteFunc(checked(), func(f finding) bool { return f.Capability != capability || strings.Contains(f.Check, "upstream") })
	want := []finding{{"ok", capability, "split", "complete: the service owns its tables, nothing is left to move"}}
	if diff := cmp.Diff(want, of); diff != "" {
		t.Errorf("behind complete (-want +got):\n%s", diff)
	}
}
