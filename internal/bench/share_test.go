package bench

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/strangler-fig/strangler"
)

// part is what of the table moves: all of its rows, and two of its columns.
const part = `{from: pgbench_accounts, to: pgbench_accounts, drop: [bid, filler], where: "abalance >= 0"}`

// BenchmarkPart has the monolith write a column that stays of a table whose other columns move, with nothing of Strangler's
// there and beside the split, a hundred rows to a commit: what the split's triggers cost it.
func BenchmarkPart(b *testing.B) {
	n := min(rows(b), 100_000)
	for _, kind := range []struct {
		name string
		make func() (db func() *sql.DB, m move)
	}{
		{"SQLite", func() (func() *sql.DB, move) {
			f := newFiles(b, n)
			f.fresh()
			return func() *sql.DB { return f.open(f.legacy, "") }, f.move()
		}},
		{"PostgreSQL", func() (func() *sql.DB, move) {
			r := newRig(b)
			r.fill(0, n)
			r.fresh()
			return func() *sql.DB {
				db, err := r.source.Pool("app", shop)
				must(b, err)
				return db
			}, r.move(strangler.CaptureTriggers)
		}},
		{"MariaDB", func() (func() *sql.DB, move) {
			c := newCouple(b, n)
			return func() *sql.DB { return c.open(c.source) }, c.move()
		}},
	} {
		before := load()
		open, m := kind.make()
		m.table = part
		var alone, beside []float64
		for range rounds(b) {
			alone = append(alone, writes(b, open, n))
			d := newDaemon(b, m)
			d.copy()
			beside = append(beside, writes(b, open, n))
			d.cancel()
		}
		g := figure{Name: "writes of what stays, " + kind.name, Sizes: fmt.Sprintf("%s rows, 100 to a commit, %d rounds", short(float64(n)), rounds(b)), Load: before,
			Measured: measured("", "rows/s", beside...), Peer: measured("alone", "rows/s", alone...)}
		g.Value = g.Measured.Median / g.Peer.Median
		report(b, g)
	}
	b.ReportMetric(0, "ns/op")
}

// writes is how many rows a second one session changes, by a statement that it has prepared once.
func writes(t testing.TB, open func() *sql.DB, n int) float64 {
	t.Helper()
	const changed, atOnce = 20_000, 100
	db := open()
	defer db.Close()
	db.SetMaxOpenConns(1)
	question := "?"
	if _, postgres := db.Driver().(*stdlib.Driver); postgres {
		question = "$1"
	}
	stmt, err := db.Prepare("UPDATE pgbench_accounts SET bid = bid + 1 WHERE aid = " + question)
	must(t, err)
	defer stmt.Close()
	began := time.Now()
	for range changed / atOnce {
		tx, err := db.Begin()
		must(t, err)
		one := tx.Stmt(stmt)
		for range atOnce {
			_, err := one.Exec(1 + rand.IntN(n))
			must(t, err)
		}
		must(t, tx.Commit())
	}
	return speed(changed, time.Since(began))
}
