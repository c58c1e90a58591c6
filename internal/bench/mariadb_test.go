package bench

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/strangler-fig/strangler"
	"github.com/strangler-fig/strangler/internal/localdb"
)

// couple are two MariaDB servers, of the monolith and of the service.
type couple struct {
	t              testing.TB
	source, target *localdb.Server
}

const (
	schemaMariaDB = "CREATE TABLE pgbench_accounts (aid INTEGER NOT NULL PRIMARY KEY, bid INTEGER, abalance INTEGER, filler CHAR(84))"
	fillMariaDB   = "INSERT INTO pgbench_accounts SELECT seq, (seq - 1) DIV 100000 + 1, 0, REPEAT(' ', 84) FROM seq_1_to_%d"
)

func newCouple(t testing.TB, rows int) *couple {
	t.Helper()
	c := &couple{t: t}
	for _, s := range []**localdb.Server{&c.source, &c.target} {
		server, err := localdb.MariaDB(t.Context(), localdb.Config{Durable: true, Settings: map[string]string{"innodb_buffer_pool_size": "512M", "innodb_log_file_size": "1G", "binlog_row_metadata": "FULL"}})
		must(t, err)
		t.Cleanup(func() { must(t, server.Close()) })
		*s = server
		must(t, server.Role(t.Context(), "strangler", "GRANT PROCESS, REPLICATION SLAVE ON *.* TO strangler@'%'", "GRANT ALL ON shop.* TO strangler@'%'"))
		must(t, server.Role(t.Context(), "app", "GRANT ALL ON shop.* TO app@'%'"))
		must(t, server.Create(t.Context(), "shop", "app"))
	}
	c.exec(c.source, schemaMariaDB, fmt.Sprintf(fillMariaDB, rows))
	return c
}

func (c *couple) open(s *localdb.Server) *sql.DB {
	c.t.Helper()
	db, err := s.Pool("app", "shop")
	must(c.t, err)
	return db
}

func (c *couple) exec(s *localdb.Server, statements ...string) {
	c.t.Helper()
	db := c.open(s)
	defer db.Close()
	for _, q := range statements {
		_, err := db.Exec(q)
		must(c.t, err)
	}
}

func (c *couple) move() move {
	return move{capture: strangler.CaptureTriggers, legacy: c.source.As("strangler", "shop"), service: c.target.As("strangler", "shop")}
}

// dump is what people do by hand: one program's output into the other, the key in place.
func (c *couple) dump() time.Duration {
	c.t.Helper()
	way := func(program string, s *localdb.Server, more ...string) *exec.Cmd {
		host, port, _ := strings.Cut(s.Addr(), ":")
		cmd := exec.Command(program, append([]string{"--no-defaults", "-h" + host, "-P" + port, "-uapp", "shop"}, more...)...)
		_, rest, _ := strings.Cut(s.As("app", "shop"), "://app:")
		password, _, _ := strings.Cut(rest, "@")
		cmd.Env = append(os.Environ(), "MYSQL_PWD="+password)
		cmd.Stderr = os.Stderr
		return cmd
	}
	began := time.Now()
	out, in := way("mariadb-dump", c.source, "--single-transaction", "--quick", "pgbench_accounts"), way("mariadb", c.target)
	pipe, err := out.StdoutPipe()
	must(c.t, err)
	in.Stdin = pipe
	must(c.t, out.Start())
	must(c.t, in.Run())
	must(c.t, out.Wait())
	return time.Since(began)
}

// same fails where the target does not hold what the source holds.
func (c *couple) same() {
	c.t.Helper()
	var sums [2]string
	for i, s := range []*localdb.Server{c.source, c.target} {
		db := c.open(s)
		must(c.t, db.QueryRow("SELECT CONCAT(COUNT(*), ' ', SUM(aid), ' ', SUM(abalance * aid)) FROM pgbench_accounts").Scan(&sums[i]))
		must(c.t, db.Close())
	}
	if sums[0] != sums[1] {
		c.t.Fatalf("the two sides differ: %s and %s", sums[0], sums[1])
	}
}

// BenchmarkMariaDB copies the table between MariaDB servers in turn by a split with live capture and by mariadb-dump into
// mariadb.
func BenchmarkMariaDB(b *testing.B) {
	n, before := rows(b), load()
	c := newCouple(b, n)
	_, missing := exec.LookPath("mariadb-dump")
	var dump, split []float64
	for range rounds(b) {
		if missing == nil {
			dump = append(dump, speed(n, c.dump()))
			c.same()
			c.exec(c.target, "DROP TABLE pgbench_accounts")
		}
		d := newDaemon(b, c.move())
		split = append(split, speed(n, d.copy()))
		c.same()
		d.cancel()
	}
	b.ReportMetric(0, "ns/op")
	g := figure{Name: "backfill, MariaDB", Sizes: fmt.Sprintf("%s rows, %d rounds", short(float64(n)), rounds(b)), Load: before, Measured: measured("", "rows/s", split...), Note: "mariadb-dump is not installed"}
	if missing == nil {
		g.Peer, g.Note, g.Bar = measured("mariadb-dump | mariadb", "rows/s", dump...), "", atLeast(1)
		g.Value = g.Measured.Median / g.Peer.Median
	}
	report(b, g)
}
