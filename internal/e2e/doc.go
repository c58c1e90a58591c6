// Package e2e holds the end-to-end tests: real processes, real databases, real kills, and the one
// checker of internal/invariant. Each of them runs on every kind of database.
//
//   - main_test.go ends what the tests share: the programs, and the private PostgreSQL server.
//   - kind_test.go is what a test has to know about a kind of database; sqlite_test.go and postgres_test.go are
//     the kinds.
//   - helpers_test.go asks and waits.
//   - chinook_test.go moves tables out of a database that nobody here made; invoices_test.go writes to it.
//   - lifecycle_test.go takes several capabilities out of one database; reverse_torture_test.go takes one back after many writes.
//   - system_test.go runs the three programs; traffic_test.go is their clients.
//   - kill_test.go, fault_test.go and outage_test.go break them, torture_test.go for longer; rows_test.go writes beside
//     the faults.
//   - webhooks_test.go hears of a run's steps.
//   - throttle_test.go loads the server of a copy beyond its limits.
//   - verify_test.go and verify_inline_test.go have the two sides compared while they change.
//   - oneway_test.go gives up the way back of a table.
//   - own_test.go has steps of the team's own between the playbook's, by the command line.
//   - days_test.go has days that another kind of database has not.
//   - view_test.go watches a run on a terminal.
//   - bench_test.go measures how long a cutover holds a write.
//
// What runs against the three programs is left out of the race detector, which does not see into other
// processes, and so is the breaking of every statement in turn; the Chinook moves are for it.
package e2e
