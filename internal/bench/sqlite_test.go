package bench

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/strangler-fig/strangler"
)

// files are two SQLite databases in write-ahead mode, as an application that reads and writes at once has them.
type files struct {
	t              testing.TB
	legacy, target string
}

const (
	schemaSQLite = "CREATE TABLE pgbench_accounts (aid INTEGER NOT NULL PRIMARY KEY, bid INTEGER, abalance INTEGER, filler TEXT)"
	fillSQLite   = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO pgbench_accounts SELECT i, (i - 1) / 100000 + 1, 0, printf('%%84s', '') FROM n"
)

func newFiles(t testing.TB, rows int) *files {
	t.Helper()
	f := &files{t: t, legacy: filepath.Join(t.TempDir(), "legacy.db")}
	f.exec(f.legacy, "PRAGMA journal_mode = WAL", schemaSQLite, fmt.Sprintf(fillSQLite, rows), "PRAGMA wal_checkpoint(TRUNCATE)")
	return f
}

// fresh makes an empty target.
func (f *files) fresh(statements ...string) {
	f.t.Helper()
	f.target = filepath.Join(f.t.TempDir(), "service.db")
	f.exec(f.target, append([]string{"PRAGMA journal_mode = WAL"}, statements...)...)
}

func (f *files) open(path string, pragmas string) *sql.DB {
	f.t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)"+pragmas)
	must(f.t, err)
	return db
}

func (f *files) exec(path string, statements ...string) {
	f.t.Helper()
	db := f.open(path, "")
	db.SetMaxOpenConns(1)
	defer db.Close()
	for _, s := range statements {
		_, err := db.Exec(s)
		must(f.t, err)
	}
}

// move is the split between the two.
func (f *files) move() move {
	return move{capture: strangler.CaptureTriggers, legacy: "sqlite:" + f.legacy, service: "sqlite:" + f.target}
}

// shell is what people do by hand: one INSERT … SELECT over an attached file, the key in place.
func (f *files) shell() time.Duration {
	f.t.Helper()
	f.fresh(schemaSQLite)
	began := time.Now()
	out, err := exec.Command("sqlite3", "-bail", f.target, "ATTACH '"+f.legacy+"' AS legacy; INSERT INTO pgbench_accounts SELECT * FROM legacy.pgbench_accounts").CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		f.t.Fatalf("sqlite3: %v\n%s", err, out)
	}
	return time.Since(began)
}

// same fails where the target does not hold what legacy holds.
func (f *files) same() {
	f.t.Helper()
	var sums [2]int64
	for i, path := range []string{f.legacy, f.target} {
		db := f.open(path, "")
		must(f.t, db.QueryRow("SELECT count(*) * 1000003 + coalesce(sum(abalance * aid), 0) FROM pgbench_accounts").Scan(&sums[i]))
		must(f.t, db.Close())
	}
	if sums[0] != sums[1] {
		f.t.Fatalf("the two sides differ: %d and %d", sums[0], sums[1])
	}
}

// BenchmarkSQLite copies the table between SQLite files in turn by a split with live capture and by the sqlite3 shell.
func BenchmarkSQLite(b *testing.B) {
	n, before := rows(b), load()
	f := newFiles(b, n)
	_, missing := exec.LookPath("sqlite3")
	var shell, split []float64
	for range rounds(b) {
		if missing == nil {
			shell = append(shell, speed(n, f.shell()))
			f.same()
			must(b, os.RemoveAll(filepath.Dir(f.target)))
		}
		f.fresh()
		d := newDaemon(b, f.move())
		split = append(split, speed(n, d.copy()))
		f.same()
		d.cancel()
		must(b, os.RemoveAll(filepath.Dir(f.target)))
	}
	b.ReportMetric(0, "ns/op")
	g := figure{Name: "backfill, SQLite", Sizes: fmt.Sprintf("%s rows, %d rounds", short(float64(n)), rounds(b)), Load: before, Measured: measured("", "rows/s", split...), Note: "sqlite3 is not installed"}
	if missing == nil {
		g.Peer, g.Note, g.Bar = measured("INSERT … SELECT in sqlite3", "rows/s", shell...), "", atLeast(0.8)
		g.Value = g.Measured.Median / g.Peer.Median
	}
	report(b, g)
}
