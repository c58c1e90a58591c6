//go:build !race

// Not for the race detector: toxiproxy 2.5.0 adds a toxic to a link that is copying without a lock.

package outage

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/migrations"
)

// trouble is what a network does to connections that are open, and to new ones while it lasts.
type trouble struct {
	name  string
	toxic map[string]any // as toxiproxy takes it; nil: every connection is cut, once
}

// troubleTime is how long it lasts.
const troubleTime = 400 * time.Millisecond

var troubles = []trouble{
	{"cut", nil},
	{"reset in mid-statement", toxic("reset_peer", "upstream", map[string]any{"timeout": 0})},
	{"cut before the answer", toxic("limit_data", "downstream", map[string]any{"bytes": 0})},
	{"cut in the middle of an answer", toxic("limit_data", "downstream", map[string]any{"bytes": 20})},
	{"slow", toxic("latency", "downstream", map[string]any{"latency": 60, "jitter": 40})},
	{"narrow", toxic("bandwidth", "downstream", map[string]any{"rate": 8})},
	{"silent towards the database", toxic("timeout", "upstream", map[string]any{"timeout": 0})},
	{"silent towards Strangler", toxic("timeout", "downstream", map[string]any{"timeout": 0})},
}

func toxic(kind, stream string, attributes map[string]any) map[string]any {
	return map[string]any{"name": "trouble", "type": kind, "stream": stream, "toxicity": 1.0, "attributes": attributes}
}

// network stands between Strangler and the two databases.
type network struct {
	t       testing.TB
	proxies map[strangler.Side]*toxiproxy.Proxy
	mu      sync.Mutex
	wg      sync.WaitGroup
}

// behind puts a network between Strangler and both databases.
func behind(n *network) option {
	return func(r *rig) {
		n.t, n.proxies = r.t, map[strangler.Side]*toxiproxy.Proxy{}
		zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics write to a log of their own
		api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
		for _, side := range sides {
			p := toxiproxy.NewProxy(api, string(side), "127.0.0.1:0", server(r.t, side).Addr())
			must(r.t, p.Start())
			r.t.Cleanup(p.Stop)
			n.proxies[side], r.addr[side] = p, p.Listen
		}
	}
}

// begin makes trouble at a side.
func (n *network) begin(side strangler.Side, what trouble) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.proxies[side]
	if what.toxic == nil {
		at := p.Listen
		p.Stop()
		p.Listen = at
		must(n.t, p.Start())
		return
	}
	text, err := json.Marshal(what.toxic)
	must(n.t, err)
	_, err = p.Toxics.AddToxicJson(strings.NewReader(string(text)))
	must(n.t, err)
}

// end makes a side's network well again.
func (n *network) end(side strangler.Side) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.proxies[side].Toxics.ResetToxics(context.Background())
}

// goSilent lets every connection that is open at a side go silent for good, both ways. New ones are well: as
// behind a firewall that has forgotten what it knew, or a pooler that hangs.
func (n *network) goSilent(side strangler.Side) {
	for _, stream := range []string{"upstream", "downstream"} {
		what := toxic("timeout", stream, map[string]any{"timeout": 0})
		what["name"] = stream
		n.begin(side, trouble{stream, what})
	}
	for _, stream := range []string{"upstream", "downstream"} {
		n.proxies[side].Toxics.GetToxic(stream).Toxicity = 0 // drawn anew by each new connection
	}
}

// silences are where connections go silent; the first is while the service follows.
var silences = []step{{"following", "", 0}, {"behind the gate", "gate.after", 1}, {"before the opening", "fence.before", 2}}

// TestSilentConnectionsAreGivenUp lets the open connections to a side go silent while the service follows and in
// steps of a cutover. The worker gives them up and goes on over new ones.
func TestSilentConnectionsAreGivenUp(t *testing.T) {
	t.Parallel()
	for i, s := range silences {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			silence(t, s, sides[i%len(sides)])
		})
	}
}

func silence(t *testing.T, s step, side strangler.Side) {
	var n network
	r := newRig(t, behind(&n))
	w := r.through("through")
	r.copied()
	if s.n == 0 {
		n.goSilent(side)
	} else {
		r.handedThrough(s, func() { n.goSilent(side) })
	}
	w.await(1)
	r.check(w)
}

// TestNetworkTroubleLosesNothing makes trouble between Strangler and a database, in the copy, while the service
// follows and in the steps of cutovers, forward and back; also between a COMMIT and its answer.
func TestNetworkTroubleLosesNothing(t *testing.T) {
	t.Parallel()
	makeTrouble(t, every(steps, 3), 1)
}

// makeTrouble takes the steps in turn, each with so many of the troubles.
func makeTrouble(t *testing.T, at []step, each int) {
	var n network
	r := newRig(t, behind(&n), func(r *rig) {
		r.bounds = migrations.Bounds{Chunk: 60, Part: 1}
	})
	w, beside := r.through("through"), r.beside("beside")
	turn := 0
	next := func(at string) (trouble func()) {
		what, side := troubles[turn%len(troubles)], sides[turn/2%len(sides)]
		turn++
		t.Logf("%s, %s of %s", at, what.name, side)
		return func() {
			n.begin(side, what)
			n.wg.Go(func() { <-time.After(troubleTime); n.end(side) })
		}
	}
	for range 2 * each {
		came := r.watch.when(step{point: "position.before", n: 2}, next("copying"))
		r.again("the copy", r.copyOnce)
		await(t, "the trouble", came)
		n.wg.Wait()
	}
	r.copied()
	for range 2 * each {
		next("following")()
		n.wg.Wait()
		w.await(1)
		r.caughtUp()
	}
	for _, s := range at {
		for range each {
			r.handedThrough(s, next(s.name))
			n.wg.Wait()
			w.await(1)
		}
	}
	r.check(w, beside)
}
