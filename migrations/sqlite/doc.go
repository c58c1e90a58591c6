// Package sqlite is the engine for SQLite: trigger capture, fences by a flag that a trigger reads, and
// apply by delete and insert anew, all by the rules of docs/CUTOVER.md.
//
// Read it as a row travels:
//
//  1. sqlite.go: the handle, its one writer and its readers
//  2. schema.go: what stands in the database; inspect.go: what of it forbids a split; linked.go: capabilities that are out; catalog.go: all tables, for
//     who proposes what may leave
//  3. ddl.go: a CREATE TABLE without its foreign keys to some tables
//  4. triggers.go: the fence's and the capture's triggers, as text
//  5. scripts.go: the golang-migrate pairs made of them; runner.go: each runs with its version in one transaction
//  6. reader.go: chunks and single rows; copier.go: what a follower reads from the owner's file itself
//  7. capture.go: what changed, from one read transaction; repair.go: keys logged again
//  8. applier.go: the transaction at the follower
//  9. fence.go: open, closed, terms
//  10. holder_linux.go, holder_other.go: who has the write lock, when it is not to be had
//  11. kinds.go: values in the form that all kinds of database share; common.go: tables from one of another kind, and for it
//  12. share.go: tables of which only some rows and columns move
//  13. ondelete.go: what is done for the foreign keys that are cut
//  14. ask.go: a query of somebody's that only reads
//  15. examine.go: for people, what of the file and its triggers would get in the way
//
// SQLite has one writer at a time. Every write transaction here begins IMMEDIATE, waits at most
// BusyTimeout for the lock, and commits with synchronous=FULL. The journal mode of the database is
// left as it is.
package sqlite
