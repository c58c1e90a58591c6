package demo

import (
	"context"
	crand "crypto/rand"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strangler-fig/strangler/internal/invariant"
)

const (
	requestTime = 30 * time.Second // longer than the proxy holds a write
	failureWord = 10               // failures that are told in words
)

// town is what the shop had when the crowd came: ids from 1 on.
type town struct{ couriers, consumers, restaurants, orders int64 }

func readTown(ctx context.Context, shop *sql.DB) (town, error) {
	var t town
	const query = "SELECT (SELECT max(id) FROM couriers), (SELECT max(id) FROM consumers), (SELECT max(id) FROM restaurants), (SELECT max(id) FROM orders)"
	if err := shop.QueryRowContext(ctx, query).Scan(&t.couriers, &t.consumers, &t.restaurants, &t.orders); err != nil {
		return town{}, fmt.Errorf("looking around in the shop: %w", err)
	}
	return t, nil
}

// crowd is the clients. Each of them is one visitor after another.
type crowd struct {
	base    string // of the proxy
	town    town
	log     *invariant.Log
	run     string // makes keys and names this demo's own
	clients int
	pace    time.Duration // between two requests of one client
	wires   *http.Transport

	closing  chan struct{}
	once     sync.Once
	workers  sync.WaitGroup
	number   atomic.Int64
	sent     atomic.Int64
	failed   atomic.Int64
	slowest  atomic.Int64 // of the writes, in nanoseconds
	mu       sync.Mutex   // guards failures
	failures []string
}

func newCrowd(base string, t town, o Options) *crowd {
	return &crowd{
		base: base, town: t, log: &invariant.Log{}, run: crand.Text()[:8], clients: o.Clients,
		pace:    time.Second * time.Duration(o.Clients) / time.Duration(o.Rate),
		wires:   &http.Transport{MaxIdleConnsPerHost: o.Clients, DisableCompression: true},
		closing: make(chan struct{}),
	}
}

// Open lets the clients begin.
func (c *crowd) Open() {
	for i := range c.clients {
		c.workers.Go(func() { c.client(i) })
	}
}

// Close lets each client finish its request and returns when all have. It may be called again.
func (c *crowd) Close() {
	c.once.Do(func() { close(c.closing) })
	c.workers.Wait()
	c.wires.CloseIdleConnections()
}

// client is one visitor after another at a steady pace. The first client keeps no cookies.
func (c *crowd) client(i int) {
	pace := time.NewTicker(c.pace)
	defer pace.Stop()
	random := rand.New(rand.NewPCG(uint64(i), 1))
	for {
		v := newVisitor(c, random, pace, i > 0)
		v.visit()
		if v.gone {
			return
		}
	}
}

// next numbers what has to be unique.
func (c *crowd) next() int64 { return c.number.Add(1) }

func (c *crowd) fail(format string, args ...any) {
	c.failed.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) < failureWord {
		c.failures = append(c.failures, time.Now().UTC().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// Requests counts what was sent so far, and what a user would call failed: no answer, 5xx, an
// unexpected 4xx, or an answer without what its user had just written.
func (c *crowd) Requests() Requests {
	return Requests{Sent: c.sent.Load(), Failed: c.failed.Load()}
}

// Failures are the first ones, in words.
func (c *crowd) Failures() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.failures...)
}
