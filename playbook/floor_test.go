package playbook

import (
	"strings"
	"testing"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// sampled is delivery with everything shadowed that may be.
func sampled() strangler.Capability {
	c := delivery()
	c.Shadow.Sample = strangler.Hundred
	c.Guard = strangler.Guard{MinRequests: 10, MaxErrorDelta: 10_000}
	return c
}

// TestShadowWaitsForRequests: a time in which nothing was asked says nothing of the service.
func TestShadowWaitsForRequests(t *testing.T) {
	c := sampled()
	c.Playbook.Requests = 1
	traffic := &tally{}
	inBed(t, c, func(_ *world, cfg *Config) { cfg.Traffic = traffic }, func(b *bed) {
		b.run()
		run := b.until(func(r strangler.Run) bool { return strings.Contains(record(r, Shadow).Detail, "inconclusive") })
		if want := "waiting for 1 request answered by the service in the shadow"; run.Waiting != want || !strings.HasPrefix(record(run, Shadow).Detail, want+": 0 of 1 request; no traffic: inconclusive; strangler playbook skip delivery shadow goes on without") {
			b.Errorf("it is %s, %q", run.Waiting, record(run, Shadow).Detail)
		}
		time.Sleep(24 * time.Hour)
		if run, err := b.e.Status(b.Context(), "delivery"); err != nil || run.State != strangler.RunWaiting {
			b.Errorf("after a day without traffic: %s, %v", doing(run), err)
		}
		traffic.set(1, 0)
		b.until(func(r strangler.Run) bool { return record(r, Shadow).State == strangler.StepDone })
	})
}

// TestShadowOfAFailingService is no failure, for no user has seen it: the run waits until it is mended and counts anew.
func TestShadowOfAFailingService(t *testing.T) {
	traffic := &tally{}
	inBed(t, sampled(), func(_ *world, cfg *Config) { cfg.Traffic = traffic }, func(b *bed) {
		b.run()
		b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "the shadow to be held") })
		traffic.beside(1000, 0)
		traffic.set(100, 50)
		run := b.until(func(r strangler.Run) bool {
			return strings.HasPrefix(r.Waiting, "waiting for the service to answer what is shadowed")
		})
		if d := record(run, Shadow).Detail; !strings.Contains(d, "strangler playbook retry delivery shadow counts anew; service 100 requests, 50.00% errors") {
			b.Errorf("its detail is %q", d)
		}
		time.Sleep(time.Hour)
		if run, err := b.e.Status(b.Context(), "delivery"); err != nil || run.State != strangler.RunWaiting || b.w.toggle.Mode != strangler.ModeShadow {
			b.Errorf("an hour later: %s, %s, %v", doing(run), b.w.toggle.Describe(), err)
		}
		b.may(b.e.Retry(b.Context(), "delivery", RunOptions{Step: Shadow}))
		b.until(func(r strangler.Run) bool { return strings.Contains(r.Waiting, "canary 1%") })
		traffic.set(200, 50) // since the retry without an error
		b.approval(Cutover)
	})
}

// TestNothingToSee: where no request can come to the service, none is waited for.
func TestNothingToSee(t *testing.T) {
	c := sampled()
	c.Routes = c.Routes[:1] // POST
	c.Playbook.Requests = 30
	inBed(t, c, func(w *world, _ *Config) { w.silent = true }, func(b *bed) {
		b.run()
		run := b.approval(Cutover)
		for step, want := range map[string]string{Shadow: "held; none of the capability's requests is shadowed", Canary: "canary 100% held; none of the capability's requests goes to the service before the cutover"} {
			if got := record(run, step).Detail; got != want {
				b.Errorf("%s: %q, want %q", step, got, want)
			}
		}
	})
}
