package playbook

import (
	"context"
	"fmt"
	"strings"
	"testing"

	strangler "github.com/strangler-fig/strangler"
)

// scripts are what the world's split would run.
type scripts struct{}

func (scripts) PendingScripts(context.Context, string) (all []strangler.Script, err error) {
	for _, stage := range []string{"first", "capture", "indexed", "armed", "complete"} {
		for _, side := range []strangler.Side{strangler.Legacy, strangler.Service} {
			all = append(all, strangler.Script{Side: side, Stage: stage, Path: stage + ".up.sql", SQL: "CREATE " + stage + ";\n"})
		}
	}
	return all, nil
}

func (scripts) AppliedScripts(context.Context, string) (all []strangler.Script, err error) {
	for _, side := range []strangler.Side{strangler.Service, strangler.Legacy} {
		for _, stage := range []string{"armed", "capture", "first"} {
			all = append(all, strangler.Script{Side: side, Stage: stage, Path: stage + ".down.sql", SQL: "DROP " + stage + ";\n"})
		}
	}
	return all, nil
}

func (scripts) FenceStatement(_ context.Context, _ string, side strangler.Side, epoch int64, open bool) (string, error) {
	return fmt.Sprintf("UPDATE strangler_fence SET epoch = %d, open = %t -- %s", epoch, open, side), nil
}

// TestForetell: what is told in advance is what the run then does, in that order.
func TestForetell(t *testing.T) {
	inBed(t, delivery(), func(_ *world, cfg *Config) { cfg.Scripts = scripts{} }, func(b *bed) {
		told, err := b.e.Foretell(b.Context(), "delivery", "")
		if err != nil || b.w.writes > 0 {
			b.Fatalf("%v, %d writes", err, b.w.writes)
		}
		var lines []string
		for _, p := range told {
			lines = append(lines, p.Step+" | "+p.Where+" | "+p.Do)
		}
		all := strings.Join(lines, "\n")
		at := 0
		for _, want := range []string{
			"expand | legacy database | -- first.up.sql\nCREATE first;", "expand | service's database | -- capture.up.sql",
			"copy | service's database | copies the rows of couriers to couriers", "copy | service's database | -- indexed.up.sql",
			"verify | both databases", "shadow | toggle | legacy → shadow, epoch 2", "canary | toggle | shadow → canary 1%, epoch 3", "canary | clock | waits 3s",
			"canary | toggle | canary 50% → canary 100%, epoch 5", "cutover | person | waits for approval", "cutover | legacy database | -- armed.up.sql",
			"cutover | proxies | every instance holds", "cutover | legacy database | -- closes the fence\nUPDATE strangler_fence SET epoch = 6, open = false -- legacy",
			"cutover | control store | one compare-and-swap", "cutover | service's database | -- opens the fence\nUPDATE strangler_fence SET epoch = 7, open = true -- service", "cutover | proxies | every instance releases", "soak | clock | waits 20s",
			"complete | person | waits for approval", "complete | both databases | ends the stream back; this is the point of no return", "complete | legacy database | -- complete.up.sql",
		} {
			i := strings.Index(all[at:], want)
			if i < 0 {
				b.Fatalf("%q is not told, or not in its place, in\n%s", want, all)
			}
			at += i
		}
		b.run()
		b.atGate(Canary)
		told, err = b.e.Foretell(b.Context(), "delivery", Cutover)
		if err != nil || told[0].Step != Canary || told[len(told)-1].Step != Cutover || told[0].Do != "waits 3s" && !strings.HasPrefix(told[0].Do, "canary") {
			b.Errorf("half-way it tells %+v, %v", told, err)
		}
	})
	inBed(t, stateless(), nil, func(b *bed) {
		told, err := b.e.Foretell(b.Context(), "delivery", "")
		for _, p := range told {
			if strings.Contains(p.Where, "database") {
				b.Errorf("without tables it tells %+v", p)
			}
		}
		if err != nil || len(told) < 6 {
			b.Errorf("%+v, %v", told, err)
		}
	})
}
