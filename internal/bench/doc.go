// Package bench measures a split beside the programs that people would otherwise use, in one run on one machine, with a
// real daemon and servers that wait for their disks: for `make bench-split`. docs/FIGURES.md says how each figure is
// measured, and what came out.
//
// The figures, each by itself by go test -bench:
//
//   - backfill_test.go: how fast rows are copied, beside psql's COPY piped into COPY and others, peers_test.go.
//   - sqlite_test.go: the same between SQLite files, beside the sqlite3 shell.
//   - mariadb_test.go: the same between MariaDB servers, beside mariadb-dump.
//   - share_test.go: what a split of a part of a table costs who writes the rest of it.
//   - memory_test.go: the daemon's peak memory, and the time, as the rows grow.
//   - load_test.go: what a copy and a stream cost those who use the database, as pgbench tells, pgbench_test.go.
//   - backlog_test.go: how fast a daemon that was away catches up.
//   - proxy_test.go: what a proxied request costs, beside nginx and HAProxy; by itself, for `make bench-proxy`.
//   - cutover_test.go: for how long a cutover holds a write, under those of writes_test.go.
//
// Below them: sizes_test.go reads the sizes from the environment, rig_test.go makes the servers and the table,
// daemon_test.go runs the daemon. What they find is collected in figure_test.go and, at the end of the run, main_test.go,
// printed and written down by table_test.go, with the machine, machine_test.go, and the plot, plot_test.go.
// tools_test.go tests these tools.
package bench
