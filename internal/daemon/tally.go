package daemon

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/proxy"
)

// tally is the evidence of all proxies: each adds what it has counted to the control store with its heartbeat, and every worker reads the
// sum, about a second later. Only while a capability is shadowed or a canary is anything of it added: then it is evidence.
type tally struct {
	proxy *proxy.Proxy // nil: nothing is counted here

	told map[string]strangler.Traffic // what the store has of this process, as far as it is known; the heartbeat's own

	mu  sync.Mutex
	all map[string]strangler.Traffic // what the store has of all, as last read
}

func newTally(p *proxy.Proxy) *tally {
	return &tally{proxy: p, told: map[string]strangler.Traffic{}, all: map[string]strangler.Traffic{}}
}

// more is what has been counted here since it was last asked. What cannot be told to the store then is told to nobody: the sums are for
// shares, not for sums.
func (t *tally) more(toggles []strangler.Toggle) (out []strangler.Traffic) {
	for _, toggle := range toggles {
		now := strangler.Traffic{Capability: toggle.Capability, Legacy: answers(t.proxy, toggle.Capability, strangler.Legacy), Service: answers(t.proxy, toggle.Capability, strangler.Service)}
		more := now.Since(t.told[toggle.Capability])
		t.told[toggle.Capability] = now
		evidence := toggle.Mode == strangler.ModeShadow || toggle.Mode == strangler.ModeCanary
		if evidence && (more.Legacy != strangler.Answers{} || more.Service != strangler.Answers{}) {
			out = append(out, more)
		}
	}
	slices.SortFunc(out, func(a, b strangler.Traffic) int { return cmp.Compare(a.Capability, b.Capability) })
	return out
}

// answers counts one side's through a proxy since it began.
func answers(p *proxy.Proxy, capability string, side strangler.Side) strangler.Answers {
	s := p.Stats(capability)
	if side == strangler.Service {
		return strangler.Answers{Requests: int64(s.Service.Requests + s.Shadow.Sent), Errors: int64(s.Service.Errors + s.Shadow.Failed)}
	}
	return strangler.Answers{Requests: int64(s.Legacy.Requests), Errors: int64(s.Legacy.Errors)}
}

// read takes in what the store has.
func (t *tally) read(ctx context.Context, from func(context.Context) ([]strangler.Traffic, error)) error {
	all, err := from(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, sum := range all {
		t.all[sum.Capability] = sum
	}
	return nil
}

// Requests is the playbook's Traffic.
func (t *tally) Requests(capability string, side strangler.Side) (requests, failed int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.all[capability].Of(side)
	return sum.Requests, sum.Errors
}
