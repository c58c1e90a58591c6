package bench

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
)

// crossing is a MariaDB server of the monolith's and a PostgreSQL server of the service's.
type crossing struct {
	t      testing.TB
	from   *couple
	target *localdb.Server
}

func newCrossing(t testing.TB, rows int) *crossing {
	t.Helper()
	r := newRig(t)
	must(t, r.target.Create(t.Context(), accounts, "app"))
	return &crossing{t: t, from: newCouple(t, rows), target: r.target}
}

func (c *crossing) move() move {
	return move{capture: strangler.CaptureTriggers, legacy: c.from.source.As("strangler", "shop"), service: c.target.As("strangler", accounts)}
}

// pgloader is what people use: it reads MySQL's catalog, makes the table and its key, and copies.
func (c *crossing) pgloader() time.Duration {
	c.t.Helper()
	cmd := exec.Command("pgloader", "--quiet", c.from.source.As("app", "shop"), strings.Replace(c.target.As("app", accounts), "postgres://", "postgresql://", 1))
	cmd.Dir, cmd.Stderr = c.t.TempDir(), os.Stderr
	began := time.Now()
	must(c.t, cmd.Run())
	return time.Since(began)
}

// same fails where the target does not hold what the source holds.
func (c *crossing) same(table string) {
	c.t.Helper()
	var here, there string
	db := c.from.open(c.from.source)
	defer db.Close()
	must(c.t, db.QueryRow("SELECT CONCAT(COUNT(*), ' ', SUM(aid), ' ', SUM(bid * aid)) FROM pgbench_accounts").Scan(&here))
	pg, err := c.target.Pool("app", accounts)
	must(c.t, err)
	defer pg.Close()
	must(c.t, pg.QueryRow("SELECT concat(count(*), ' ', sum(aid::bigint), ' ', sum(bid::bigint * aid)) FROM "+table).Scan(&there))
	if here != there {
		c.t.Fatalf("the two sides differ: %s and %s", here, there)
	}
}

// BenchmarkPairs copies the table from MariaDB to PostgreSQL in turn by a split with live capture and by pgloader.
func BenchmarkPairs(b *testing.B) {
	n, before := rows(b), load()
	c := newCrossing(b, n)
	_, missing := exec.LookPath("pgloader")
	var other, split []float64
	for range rounds(b) {
		if missing == nil {
			other = append(other, speed(n, c.pgloader()))
			c.same("shop.pgbench_accounts")
			pg, err := c.target.Pool("app", accounts)
			must(b, err)
			_, err = pg.Exec("DROP SCHEMA shop CASCADE")
			must(b, err)
			must(b, pg.Close())
		}
		d := newDaemon(b, c.move())
		split = append(split, speed(n, d.copy()))
		c.same("pgbench_accounts")
		d.cancel()
	}
	b.ReportMetric(0, "ns/op")
	g := figure{Name: "backfill, MariaDB to PostgreSQL", Sizes: fmt.Sprintf("%s rows, %d rounds", short(float64(n)), rounds(b)), Load: before, Measured: measured("", "rows/s", split...), Note: "pgloader is not installed"}
	if missing == nil {
		g.Peer, g.Note, g.Bar = measured("pgloader", "rows/s", other...), "", atLeast(3)
		g.Value = g.Measured.Median / g.Peer.Median
	}
	report(b, g)
}
