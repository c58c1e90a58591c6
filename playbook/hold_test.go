package playbook

import (
	"testing"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// TestClocksThatJump by a year, forward or back, while something is held: every hold is as long as it should be, and ends; what was
// verified before is not relied on.
func TestClocksThatJump(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, jump := range []time.Duration{year, -year} {
		for _, at := range []string{Copy, Shadow, Canary, Cutover, Soak, Complete} {
			inBed(t, delivery(), func(w *world, cfg *Config) { cfg.Now = w.now }, func(b *bed) {
				b.run()
				reached := map[string]time.Time{} // on a clock that is right
				for _, step := range []string{Copy, Shadow, Canary, Cutover, Soak, Complete} {
					b.atGate(step)
					reached[step] = time.Now()
					if step == at {
						time.Sleep(time.Second)
						b.w.jump.Store(int64(jump))
					}
					if step == Cutover || step == Complete {
						b.approve(step)
					}
				}
				b.wait(strangler.RunDone)
				for step, want := range map[string]time.Duration{Shadow: 3 * time.Second, Canary: 9 * time.Second, Soak: 20 * time.Second} {
					next := map[string]string{Shadow: Canary, Canary: Cutover, Soak: Complete}[step]
					if held := reached[next].Sub(reached[step]); held < want-time.Second || held > want+30*time.Second {
						b.Errorf("a jump by %v at %s: %s was held for %v, and %v is right", jump, at, step, held, want)
					}
				}
			})
		}
	}
}
