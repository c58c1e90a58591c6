package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/strangler-fig/strangler"
)

// cutoverRows are few: what a hold takes does not depend on them.
const cutoverRows = 10_000

// BenchmarkCutover hands the writes over and back under a steady rate of writes through the proxy. Each hand over's figure
// is its longest hold of a write, failed attempts included, as the proxy counts it.
func BenchmarkCutover(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		f := newFiles(b, cutoverRows)
		f.fresh()
		m := f.move()
		legacy, service := f.open(f.legacy, "&_pragma=synchronous(NORMAL)"), f.open(f.target, "&_pragma=synchronous(NORMAL)")
		legacy.SetMaxOpenConns(1) // SQLite has one writer, and so an application queues by itself
		service.SetMaxOpenConns(1)
		handsOver(b, "SQLite", m, legacy, service, "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = ?")
	})
	for _, capture := range captures {
		b.Run("mariadb/"+string(capture), func(b *testing.B) {
			c := newCouple(b, cutoverRows)
			legacy, service := c.open(c.source), c.open(c.target)
			connected(b, legacy, service)
			m := c.move()
			m.capture = capture
			handsOver(b, "MariaDB, capture: "+string(capture), m, legacy, service, "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = ?")
		})
	}
	for _, capture := range captures {
		b.Run(string(capture), func(b *testing.B) {
			r := newRig(b)
			r.fill(0, cutoverRows)
			r.fresh()
			legacy, err := sql.Open("pgx", r.source.As("app", shop))
			must(b, err)
			service, err := sql.Open("pgx", r.target.As("app", accounts))
			must(b, err)
			connected(b, legacy, service)
			handsOver(b, "PostgreSQL, capture: "+string(capture), r.move(capture), legacy, service, "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = $1")
		})
	}
}

// connected has an application's pools open all their connections, as after a while of work.
func connected(t testing.TB, pools ...*sql.DB) {
	t.Helper()
	const size = 16
	for _, db := range pools {
		db.SetMaxOpenConns(size)
		db.SetMaxIdleConns(size)
		var held []*sql.Conn
		for range size {
			c, err := db.Conn(t.Context())
			must(t, err)
			held = append(held, c)
		}
		for _, c := range held {
			must(t, c.Close())
		}
	}
}

func handsOver(b *testing.B, name string, m move, legacy, service *sql.DB, update string) {
	b.Cleanup(func() { must(b, errors.Join(legacy.Close(), service.Close())) })
	before := load()
	m.legacyURL, m.serviceURL = upstream(b, legacy, update), upstream(b, service, update)
	d := newDaemon(b, m)
	d.copy()
	ctx := context.Background()
	_, err := d.client.Verify(ctx, capability, order)
	must(b, err)
	w := write(b, d.proxy, writeRate(b), cutoverRows)
	w.await(b)
	var holds, seen, tries []float64
	for range handOvers(b) {
		for _, hand := range []func(context.Context) error{
			func(ctx context.Context) error { _, err := d.client.Cutover(ctx, capability, order); return err },
			func(ctx context.Context) error { _, err := d.client.Rollback(ctx, capability, order); return err },
		} {
			w.longest.Store(0)
			hold, n := d.handed(ctx, hand)
			w.await(b)
			b.Logf("hand over: hold %s ms, a client waited %s ms", short(hold), short(float64(w.longest.Load())/1e6))
			holds, tries, seen = append(holds, hold), append(tries, float64(n)), append(seen, float64(w.longest.Load())/1e6)
		}
	}
	rate := float64(w.done.Load()) / time.Since(w.began).Seconds()
	w.stop()
	b.ReportMetric(0, "ns/op")
	sum := func(db *sql.DB) (n int64) {
		must(b, db.QueryRow("SELECT sum(abalance) FROM pgbench_accounts").Scan(&n))
		return n
	}
	if n := sum(legacy); n != w.done.Load() {
		b.Errorf("%d writes were acknowledged, and the owner holds %d", w.done.Load(), n)
	}
	sizes := fmt.Sprintf("%d cutovers and %d rollbacks, %.0f writes/s", handOvers(b), handOvers(b), rate)
	figures := measured("longest hold", "ms", holds...)
	of := slices.Sorted(slices.Values(holds))
	report(b, figure{Name: "cutover, " + name, Sizes: sizes, Load: before, Measured: figures, Peer: measured("a client waited", "ms", seen...), Value: of[(len(of)*19+19)/20-1], Unit: "ms", Bar: atMost(100),
		Note: fmt.Sprintf("19 of 20; worst %s ms; at most %s calls until one was taken", short(figures.High), short(slices.Max(tries)))})
	refused := figure{Name: "writes refused, " + name, Sizes: sizes, Load: before, Measured: measured("", "writes", float64(w.refused.Load())), Value: float64(w.refused.Load()), Unit: "writes", Bar: atMost(0)}
	if why, ok := w.why.Load().(string); ok {
		refused.Note = why
	}
	report(b, refused)
}

// handed calls until the writes have changed hands. A call that a check refuses has held nothing, and leaves the hold of the
// hand over before.
func (d *daemon) handed(ctx context.Context, hand func(context.Context) error) (hold float64, calls int) {
	d.t.Helper()
	await(d.t, "the hand over", 10*time.Millisecond, func() bool {
		calls++
		err := hand(ctx)
		if err != nil {
			d.t.Logf("call %d: %v", calls, err)
			if errors.Is(err, strangler.ErrRefused) {
				return false
			}
		}
		s, errStatus := d.client.SplitStatus(ctx, capability)
		must(d.t, errStatus)
		hold = max(hold, s.Pause)
		return err == nil
	})
	return hold, calls
}

// await returns when a second's part of writes has been answered.
func (w *writers) await(t testing.TB) {
	t.Helper()
	goal := w.done.Load() + int64(writeRate(t))/5
	await(t, "writes", 5*time.Millisecond, func() bool { return w.done.Load()+w.refused.Load() >= goal })
}
