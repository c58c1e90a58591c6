// Package bench measures a split beside the programs that people would otherwise use, in one run on one machine:
// benchmarks only, for `make bench-split`.
//
//   - rig_test.go: two private servers that wait for their disks, the table, and the split between them.
//   - backfill_test.go: how fast rows are copied, beside psql's COPY piped into COPY.
package bench
