package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/engines"
	"github.com/strangler-fig/strangler/migrations"
	"github.com/strangler-fig/strangler/migrations/enginetest"
)

// parted is a table of which a part goes back and forth while both sides write, and what it has to hold.
type parted struct {
	t          *testing.T
	p          *pair
	to         *kind
	c          strangler.Capability
	splits     *migrations.Splits
	old, fresh *sql.DB
	owner      strangler.Side
	remarks    bool // the service has the notes in a table of their own

	mu     sync.Mutex
	chance *rand.Rand // of a statement of the worker's to fail; nil: none does

	share map[int64]string // what the owner has of each delivery, in the monolith's words
	stays map[int64]int64  // each order's total, which the monolith alone writes
}

const partedOrders = 20 // those that may get a courier; orders of the monolith's alone have higher numbers

// TestPartOfATableBackAndForth has both sides write at random, hands the part over and back, and ends the worker in between, whose
// statements fail now and then: not done, or done and reported failed.
func TestPartOfATableBackAndForth(t *testing.T) {
	eachSplit(t, func(t *testing.T, p *pair, to *kind) { goBackAndForth(t, p, to, deliveries, 3, 60) })
}

// remarked are deliveries whose notes are in a table of their own.
var remarked = strangler.Table{From: "orders", To: "deliveries", Drop: []string{"customer", "total"}, Where: deliveries.Where, Pieces: []strangler.Table{
	{From: "orders", To: "deliveries", Columns: map[string]string{"id": "order_no", "state": "status"}, Values: deliveries.Values, Drop: []string{"customer", "total", "note"}, Where: deliveries.Where},
	{From: "orders", To: "remarks", Columns: map[string]string{"id": "order_no", "note": "instructions"}, Drop: []string{"customer", "total", "courier", "state"}, Where: deliveries.Where},
}}

// TestTwoTablesOfOneBackAndForth is the same where the part goes to two tables.
func TestTwoTablesOfOneBackAndForth(t *testing.T) {
	eachSplit(t, func(t *testing.T, p *pair, to *kind) { goBackAndForth(t, p, to, remarked, 3, 40) })
}

func goBackAndForth(t *testing.T, p *pair, to *kind, orders strangler.Table, turns, writes int) {
	x := &parted{t: t, p: p, to: to, c: p.capability("delivery", couriersOf, orders), remarks: orders.Pieces != nil, old: p.open(t, p.shopDSN), fresh: to.open(t, p.deliveryDSN), owner: strangler.Legacy,
		share: map[int64]string{}, stays: map[int64]int64{}}
	run(t, x.old, "DELETE FROM order_items")
	run(t, x.old, "DELETE FROM orders")
	for id := int64(1); id <= partedOrders; id++ {
		run(t, x.old, fmt.Sprintf("INSERT INTO orders (id, customer, total) VALUES (%d, 'c', 0)", id))
		x.stays[id] = 0
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	x.splits = startSplitsOver(t, p, x.c, engines.Open, x.fault)
	must(t, x.splits.Copy(t.Context(), x.c.Name))
	x.mayFail(rand.New(rand.NewPCG(seed, 1<<20)))
	for turn := range turns {
		var sides sync.WaitGroup
		sides.Go(func() { x.writeShare(rand.New(rand.NewPCG(seed, uint64(2*turn))), writes) })
		sides.Go(func() { x.writeStays(rand.New(rand.NewPCG(seed, uint64(2*turn+1))), writes) })
		if turn%2 == 1 { // the worker ends in the midst of it, and another one goes on
			must(t, x.splits.Close())
			x.splits = startSplitsOver(t, p, x.c, engines.Open, x.fault)
		}
		sides.Wait()
		x.settled()
		x.handOver()
	}
	x.mayFail(nil)
	x.settled()
}

func (x *parted) mayFail(chance *rand.Rand) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.chance = chance
}

// fault is Config.Fault.
func (x *parted) fault(string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.chance != nil && x.chance.IntN(40) == 0 {
		return errors.New("broken by the test")
	}
	return nil
}

// again tries until it is done.
func (x *parted) again(what string, f func() error) {
	x.t.Helper()
	await(x.t, what, func() bool { return f() == nil })
}

// writeShare has the owner give orders to couriers, take them back, and change what belongs to the delivery.
func (x *parted) writeShare(r *rand.Rand, n int) {
	for range n {
		id, courier, state, note := 1+r.Int64N(partedOrders), 7+r.Int64N(2), []string{"new", "sent", "done"}[r.IntN(3)], fmt.Sprintf("'n%d'", r.IntN(1000))
		if r.IntN(4) == 0 {
			note = "NULL"
		}
		row := fmt.Sprintf("courier %d | id %d | note %s | state %q", courier, id, map[bool]string{true: "∅", false: `"` + note[1:max(1, len(note)-1)] + `"`}[note == "NULL"], state)
		there := state
		if state == "sent" {
			there = "shipped"
		}
		_, has := x.share[id]
		gone := has && r.IntN(3) == 0
		switch {
		case x.owner == strangler.Legacy && gone:
			x.write(x.old, fmt.Sprintf("UPDATE orders SET courier = NULL, state = NULL, note = NULL WHERE id = %d", id))
		case x.owner == strangler.Legacy:
			x.write(x.old, fmt.Sprintf("UPDATE orders SET courier = %d, state = '%s', note = %s WHERE id = %d", courier, state, note, id))
		case x.remarks && gone:
			x.write(x.fresh, fmt.Sprintf("DELETE FROM remarks WHERE order_no = %d", id))
			x.write(x.fresh, fmt.Sprintf("DELETE FROM deliveries WHERE order_no = %d", id))
		case x.remarks:
			if has {
				x.write(x.fresh, fmt.Sprintf("UPDATE deliveries SET courier = %d, status = '%s' WHERE order_no = %d", courier, there, id))
			} else {
				x.write(x.fresh, fmt.Sprintf("INSERT INTO deliveries (order_no, courier, status) VALUES (%d, %d, '%s')", id, courier, there))
			}
			x.remark(r, id, note)
		case gone:
			x.write(x.fresh, fmt.Sprintf("DELETE FROM deliveries WHERE order_no = %d", id))
		case has:
			x.write(x.fresh, fmt.Sprintf("UPDATE deliveries SET courier = %d, status = '%s', instructions = %s WHERE order_no = %d", courier, there, note, id))
		default:
			x.write(x.fresh, fmt.Sprintf("INSERT INTO deliveries (order_no, courier, status, instructions) VALUES (%d, %d, '%s', %s)", id, courier, there, note))
		}
		if delete(x.share, id); !gone {
			x.share[id] = row
		}
	}
}

// remark gives a delivery a note, or takes it: the row, or what is in it.
func (x *parted) remark(r *rand.Rand, id int64, note string) {
	changed := fmt.Sprintf("UPDATE remarks SET instructions = %s WHERE order_no = %d", note, id)
	if note == "NULL" && r.IntN(2) == 0 {
		x.write(x.fresh, changed)
		return
	}
	if r.IntN(2) == 0 {
		var there int
		if err := x.fresh.QueryRowContext(x.t.Context(), fmt.Sprintf("SELECT COUNT(*) FROM remarks WHERE order_no = %d", id)).Scan(&there); err != nil {
			x.t.Error(err)
		}
		if there == 1 && note != "NULL" {
			x.write(x.fresh, changed)
			return
		}
	}
	x.write(x.fresh, fmt.Sprintf("DELETE FROM remarks WHERE order_no = %d", id))
	if note != "NULL" {
		x.write(x.fresh, fmt.Sprintf("INSERT INTO remarks (order_no, instructions) VALUES (%d, %s)", id, note))
	}
}

// writeStays has the monolith write what is its own: totals, orders without a courier.
func (x *parted) writeStays(r *rand.Rand, n int) {
	for i := range n {
		switch id := 1 + r.Int64N(partedOrders); {
		case r.IntN(3) > 0:
			x.write(x.old, fmt.Sprintf("UPDATE orders SET total = total + 1 WHERE id = %d", id))
			x.stays[id]++
		case i%2 == 0:
			id = slices.Max(slices.Collect(maps.Keys(x.stays))) + 1
			x.write(x.old, fmt.Sprintf("INSERT INTO orders (id, customer, total, note) VALUES (%d, 'alone', 5, 'mine')", id))
			x.stays[id] = 5
		default:
			if id = slices.Max(slices.Collect(maps.Keys(x.stays))); id > partedOrders {
				x.write(x.old, fmt.Sprintf("DELETE FROM orders WHERE id = %d", id))
				delete(x.stays, id)
			}
		}
	}
}

func (x *parted) write(db *sql.DB, query string) {
	x.t.Helper()
	if err := persist(db, query); err != nil {
		x.t.Errorf("%s: %v", query, err)
	}
}

// settled waits until one side follows the other, and holds both against what was written.
func (x *parted) settled() {
	x.t.Helper()
	want := strangler.PhaseSyncing
	if x.owner == strangler.Service {
		want = strangler.PhaseReversed
	}
	awaitPhase(x.t, x.splits, x.c.Name, want)
	awaitCaughtUp(x.t, x.splits, x.c.Name)
	rows := slices.Sorted(maps.Values(x.share))
	status := "CASE status WHEN 'shipped' THEN 'sent' ELSE status END AS state"
	if diff := cmp.Diff(rows, enginetest.Plain(x.t, x.old, "(SELECT id, courier, state, note FROM orders WHERE courier IS NOT NULL) AS x")); diff != "" {
		x.t.Fatalf("%s owns; - what was written, + what the monolith has of what goes:\n%s", x.owner, diff)
	}
	there := "(SELECT order_no AS id, courier, " + status + ", instructions AS note FROM deliveries) AS x"
	if x.remarks {
		there = "(SELECT d.order_no AS id, courier, " + status + ", instructions AS note FROM deliveries AS d LEFT JOIN remarks AS r ON r.order_no = d.order_no) AS x"
	}
	if diff := cmp.Diff(rows, enginetest.Plain(x.t, x.fresh, there)); diff != "" {
		x.t.Fatalf("%s owns; - what was written, + what the service has:\n%s", x.owner, diff)
	}
	var totals []string
	for id, total := range x.stays {
		totals = append(totals, fmt.Sprintf("id %d | total %d", id, total))
	}
	slices.Sort(totals)
	if diff := cmp.Diff(totals, enginetest.Plain(x.t, x.old, "(SELECT id, total FROM orders) AS x")); diff != "" {
		x.t.Fatalf("%s owns; - what was written, + what the monolith has of what stays:\n%s", x.owner, diff)
	}
}

// handOver lets the other side own.
func (x *parted) handOver() {
	x.t.Helper()
	ctx := x.t.Context()
	if x.owner == strangler.Legacy {
		x.again("the verification", func() error { _, err := x.splits.Verify(ctx, x.c.Name); return err })
		x.again("the cutover", func() error { _, err := x.splits.Cutover(ctx, x.c.Name, "test", "back and forth"); return err })
	} else {
		x.again("the rollback", func() error { _, err := x.splits.Rollback(ctx, x.c.Name, "test", "back and forth"); return err })
	}
	x.owner = x.owner.Other()
	other, q := x.old, "UPDATE orders SET state = 'stolen' WHERE courier IS NOT NULL"
	if x.owner == strangler.Legacy {
		other, q = x.fresh, "UPDATE deliveries SET status = 'stolen'"
	}
	if _, err := other.ExecContext(ctx, q); err == nil && len(x.share) > 0 {
		x.t.Fatalf("%s owns, and the other side took a write", x.owner)
	}
}
