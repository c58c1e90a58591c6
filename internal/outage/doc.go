// Package outage is what a PostgreSQL and its network do to a split on a bad day, and what people do to it:
// servers that crash, sessions that are ended, connections that are cut or go silent, transactions that stay
// open, writes beside the proxy, databases that are put back from older copies. It is tests only.
//
// Everything runs in one process, but for the servers:
//
//   - servers_test.go: two private servers, one for each side, and their roles.
//   - rig_test.go: a split between fresh databases: the real control store, engine and worker.
//   - steps_test.go: the steps of a cutover, and what is done when the worker comes by one.
//   - gate_test.go: a proxy's gate, and its count of what it held.
//   - writer_test.go: writes through the gate and beside it, and the log of what was acknowledged.
//   - check_test.go: both sides equal, nothing acknowledged lost, one fence open.
//
// The days:
//
//   - crash_test.go: a server is killed and started again.
//   - sessions_test.go: sessions are ended.
//   - network_test.go: connections are cut, reset, slowed, and go silent.
//   - locks_test.go: transactions, a COPY and vacuums are open across a cutover.
//   - truncate_test.go: TRUNCATE before, in and after a cutover, and in the copy.
//   - schema_test.go: a table that moves is changed, or another constraint stands at the other side.
//   - full_test.go: a database has no room for what is to be written.
//   - beside_test.go: applications write straight into both databases, in every step.
//   - restore_test.go: the control store or a database is put back, another one takes over.
//
// torture_test.go runs every combination of what the others take a part of.
package outage
