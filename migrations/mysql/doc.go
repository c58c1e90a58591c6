// Package mysql is the engine for MariaDB 10.6 and later, and for MySQL 8.0.29 and later, on which it is untested: capture by
// triggers or from MariaDB's binary log, fences by row triggers that lock and read one row, and apply by delete and insert anew, all by the rules of
// docs/CUTOVER.md.
//
// Read it as a row travels:
//
//  1. mysql.go: the handle, its sessions, its transactions; errors.go: what the server refuses, told apart
//  2. value.go: canonical values, and the text that the server reads and writes
//  3. schema.go: what stands in the database; inspect.go: what of it forbids a split; linked.go: capabilities that are out; catalog.go:
//     all tables, for who proposes what may leave
//  4. ddl.go: a CREATE TABLE without some of its foreign keys, under other names
//  5. triggers.go: the fence's and the capture's triggers, as text
//  6. scripts.go: the golang-migrate pairs made of them; runner.go: each runs, and then its version is written
//  7. reader.go: chunks and single rows; copier.go: into how many parts a table is cut
//  8. capture.go: what changed, from one snapshot. It is recorded by triggers, or comes from the binary log: choice.go says which,
//     binlog.go reads it, place.go has the places in it, decode.go takes the keys out, serverlog keeps them, and told.go is the
//     batch made of them; repair.go: keys logged again
//  9. applier.go: the transaction at the follower; buffer.go: what it sends in bulk
//  10. fence.go: open, closed, terms
//  11. kinds.go: what a column holds in words of all kinds of database; common.go: tables from one of another kind, and for it
//  12. share.go: tables of which only some rows and columns move
//  13. ondelete.go: what is done for the foreign keys that are cut
//  14. ask.go: a query of somebody's that only reads
//
// Beside it: load.go measures what a throttle has limits for; for people, examine.go says what of a server, its settings and the user's rights would get in the way, writers.go who
// writes, beside.go who else might, and what the database writes by itself; pooler.go what stands in between.
//
// Strangler connects as a user of its own. Its sessions set everything that changes how a value is written, and whatever
// timeouts the server has for idle sessions and long statements are off in them.
package mysql
