package bench

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// peer copies the table into a fresh target as people do otherwise, and returns how long that took.
type peer struct {
	name string
	copy func(*rig) time.Duration
	// program is looked for in the search path; where it is not there, the table says so.
	program string
}

var peers = []peer{
	{"COPY | COPY", (*rig).pipe, "psql"},
	{"pg_dump | psql", (*rig).dump, "pg_dump"},
	{"pgcopydb", (*rig).pgcopydb, "pgcopydb"},
	{"subscription", (*rig).subscription, ""},
}

func (p peer) installed() bool {
	_, err := exec.LookPath(p.program)
	return p.program == "" || err == nil
}

// pipe is psql COPY into psql COPY, binary, the key in place.
func (r *rig) pipe() time.Duration {
	r.t.Helper()
	r.fresh()
	r.app(r.target, accounts, schema)
	return r.piped(exec.Command("psql", "-X", r.source.As("app", shop), "-c", "COPY pgbench_accounts TO STDOUT (FORMAT binary)"),
		exec.Command("psql", "-X", r.target.As("app", accounts), "-c", "COPY pgbench_accounts FROM STDIN (FORMAT binary)"))
}

// dump is pg_dump into psql; the key is made behind the rows.
func (r *rig) dump() time.Duration {
	r.t.Helper()
	r.fresh()
	return r.piped(exec.Command("pg_dump", "-t", table, r.source.As("app", shop)), exec.Command("psql", "-X", "-q", "-o", os.DevNull, r.target.As("app", accounts)))
}

func (r *rig) piped(out, in *exec.Cmd) time.Duration {
	r.t.Helper()
	began := time.Now()
	var err error
	in.Stdin, err = out.StdoutPipe()
	must(r.t, err)
	out.Stderr, in.Stderr = os.Stderr, os.Stderr
	must(r.t, in.Start())
	must(r.t, out.Run())
	must(r.t, in.Wait())
	return time.Since(began)
}

// pgcopydb copies the database with as many jobs as it takes by itself.
func (r *rig) pgcopydb() time.Duration {
	r.t.Helper()
	r.fresh()
	began := time.Now()
	cmd := exec.Command("pgcopydb", "clone", "--source", r.source.DSN(shop), "--target", r.target.DSN(accounts), "--dir", r.t.TempDir(), "--skip-extensions", "--no-owner")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("pgcopydb: %v\n%s", err, out)
	}
	return time.Since(began)
}

// subscription is PostgreSQL's own logical replication, until its first copy is done.
func (r *rig) subscription() time.Duration {
	r.t.Helper()
	r.fresh()
	r.app(r.target, accounts, schema)
	r.app(r.source, shop, "CREATE PUBLICATION bench FOR TABLE pgbench_accounts")
	defer r.app(r.source, shop, "DROP PUBLICATION bench")
	host, port, err := net.SplitHostPort(r.source.Addr())
	must(r.t, err)
	_, password, _ := strings.Cut(strings.TrimPrefix(r.source.DSN(shop), "postgres://"), ":")
	password, _, _ = strings.Cut(password, "@")
	began := time.Now()
	r.exec(r.target, accounts, fmt.Sprintf("CREATE SUBSCRIPTION bench CONNECTION 'host=%s port=%s dbname=shop user=postgres password=%s' PUBLICATION bench", host, port, password))
	await(r.t, "the subscription", 25*time.Millisecond, func() bool {
		return r.number(r.target, accounts, "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate = 'r'") == 1
	})
	took := time.Since(began)
	r.exec(r.target, accounts, "DROP SUBSCRIPTION bench")
	return took
}
