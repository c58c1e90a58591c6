//go:build !race

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strangler-fig/strangler/internal/invariant"
)

// traffic is clients that write through a proxy and repeat, under the same Idempotency-Key, whatever
// had no answer that tells.
type traffic struct {
	s      *system
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wrote  atomic.Int64
}

var keys atomic.Int64

// traffic starts n clients at a daemon's proxy.
func (s *system) traffic(p *program, n int) *traffic {
	ctx, cancel := context.WithCancel(s.t.Context())
	w := &traffic{s: s, cancel: cancel}
	for range n {
		w.wg.Go(func() { w.client(ctx, s.url(p.node.proxyPort)) })
	}
	return w
}

// stop lets every client end the write it is at.
func (w *traffic) stop() {
	w.cancel()
	w.wg.Wait()
}

// awaitWrites returns when n more writes were acknowledged.
func (w *traffic) awaitWrites(n int64) {
	w.s.t.Helper()
	goal := w.wrote.Load() + n
	await(w.s.t, "writes", func() bool { return w.wrote.Load() >= goal })
}

func (w *traffic) client(ctx context.Context, base string) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.s.t.Error(err)
		return
	}
	c := &http.Client{Jar: jar, Timeout: 5 * time.Second}
	address := map[string]any{"street": "Quay", "city": "Bruges", "zip": "8000"}
	pace := time.NewTicker(25 * time.Millisecond) // leaves the machine to the programs
	defer pace.Stop()
	for ; ctx.Err() == nil; <-pace.C {
		n := keys.Add(1)
		courier := invariant.Courier{FirstName: fmt.Sprintf("E%d", n), LastName: "Test", Street: "Quay", City: "Bruges", Zip: "8000"}
		id := w.write(ctx, c, base+"/couriers", invariant.Write{Kind: invariant.CreateCourier, Courier: courier},
			map[string]any{"first_name": courier.FirstName, "last_name": courier.LastName, "address": address}, "id")
		if id == 0 {
			continue
		}
		if status := get(fmt.Sprintf("%s/couriers/%d", base, id)); status == http.StatusNotFound && ctx.Err() == nil {
			w.readBack(ctx, c, base, id)
		}
		available := n%2 == 0
		w.write(ctx, c, fmt.Sprintf("%s/couriers/%d/availability", base, id), invariant.Write{Kind: invariant.SetAvailability, Courier: invariant.Courier{ID: id, Available: &available}},
			map[string]any{"available": available}, "id")
		order := invariant.Order{Consumer: 1, Restaurant: 1, Street: fmt.Sprintf("Order %d", n), City: "Ghent", Zip: "9000"}
		id = w.write(ctx, c, base+"/orders", invariant.Write{Kind: invariant.PlaceOrder, Order: order},
			map[string]any{"consumer_id": 1, "restaurant_id": 1, "line_items": []any{map[string]any{"menu_item_id": 1, "quantity": 2}},
				"delivery_address": map[string]any{"street": order.Street, "city": order.City, "zip": order.Zip}}, "id")
		if id != 0 {
			w.write(ctx, c, fmt.Sprintf("%s/orders/%d/accept", base, id), invariant.Write{Kind: invariant.AcceptOrder, Order: invariant.Order{ID: id}},
				map[string]any{"ready_by": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}, "courier_id")
		}
		if id != 0 && n%2 == 0 {
			for _, move := range []string{"preparing PREPARING", "ready READY_FOR_PICKUP", "pickedup PICKED_UP"} {
				route, state, _ := strings.Cut(move, " ")
				if w.write(ctx, c, fmt.Sprintf("%s/orders/%d/%s", base, id, route), invariant.Write{Kind: invariant.MoveOrder, Order: invariant.Order{ID: id, State: state}}, struct{}{}, "id") == 0 {
					break
				}
			}
		}
	}
}

// readBack asks as the user who wrote: he has to see what he was told of.
func (w *traffic) readBack(ctx context.Context, c *http.Client, base string, id int64) {
	resp, err := c.Get(fmt.Sprintf("%s/couriers/%d", base, id))
	if err != nil {
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound && ctx.Err() == nil {
		w.s.t.Errorf("the user who created courier %d does not see it", id)
	}
}

// write sends one write until it is answered for good, or until the traffic stops and 3 more seconds
// have gone by: then it stays ambiguous. It returns the id that was acknowledged, or 0.
func (w *traffic) write(ctx context.Context, c *http.Client, url string, wr invariant.Write, body any, idField string) int64 {
	wr.Key = fmt.Sprintf("key-%d", keys.Add(1))
	entry := w.s.log.Begin(wr)
	text, err := json.Marshal(body)
	if err != nil {
		w.s.t.Error(err)
		return 0
	}
	var stopped time.Time
	for {
		status, answer := send(c, url, wr.Key, text)
		switch {
		case status/100 == 2:
			id, _ := answer[idField].(float64)
			entry.Acknowledge(int64(id))
			w.wrote.Add(1)
			return int64(id)
		case status/100 == 4 && status != http.StatusTooManyRequests:
			entry.Refuse()
			return 0
		}
		if ctx.Err() != nil && stopped.IsZero() {
			stopped = time.Now()
		}
		if !stopped.IsZero() && time.Since(stopped) > 3*time.Second {
			return 0
		}
		again := time.NewTimer(20 * time.Millisecond)
		<-again.C
	}
}

func send(c *http.Client, url, key string, body []byte) (int, map[string]any) {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := c.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	var answer map[string]any
	if json.Unmarshal(b, &answer) != nil {
		return 0, nil
	}
	return resp.StatusCode, answer
}
