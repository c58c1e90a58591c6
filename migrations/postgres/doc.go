// Package postgres is the engine for PostgreSQL 13 and later: capture by triggers or logical decoding, fences by statement
// triggers that fire always or never, and apply by delete and insert anew, all by the rules of
// docs/CUTOVER.md.
//
// Read it as a row travels:
//
//  1. postgres.go: the handle, its pool, its transactions; full.go: what a full disk refuses is marked;
//     silence.go: connections that go silent are given up
//  2. value.go: canonical values, and the text that the server reads and writes; kinds.go: what a column holds in words of
//     all kinds of database, and values in their common form
//  3. schema.go: what stands in the database; inspect.go: what of it forbids a split; pooler.go: what stands
//     in between; keys.go: foreign keys; linked.go: to capabilities that are out; notes.go: what a person should know;
//     catalog.go: all tables, for who proposes what may leave
//  4. ddl.go: the statements that make a table like another; types.go: those that make what its columns
//     need; place.go: in which schemas; fit.go: whether a table that is there takes the rows; loose.go: keys and indexes behind the rows; common.go: a table that goes to another kind of database, or comes from one
//  5. triggers.go: the fence's and the capture's triggers; survey.go: whether they stand as they were made
//  6. scripts.go: the golang-migrate pairs; locks.go: what they lock, together; runner.go: each in one transaction
//     with its version
//  7. reader.go: chunks and single rows; copier.go: chunks that nobody looks into; load.go: what holds a copy back
//  8. capture.go: what changed, from one repeatable-read transaction and the triggers' log; or, logical.go, from a
//     replication slot: choice.go says which, slot.go makes it, retained.go drops one that keeps too much, feed.go reads it, decode.go takes the keys out, and serverlog keeps them; repair.go: keys logged again
//  9. applier.go: the transaction at the follower; buffer.go: what it sends in bulk
//  10. share.go: a table of which only a part moves: what of it is read, watched and written
//  11. ondelete.go: what is done for the foreign keys that are cut
//  12. fence.go: open, closed, terms; hold.go: the fence made ready while writes pass
//
// Beside it, for people: examine.go says what of a server and its sessions would get in the
// way, settings.go what of its settings, rights.go what the role may and has to, managed.go what a provider withholds; writers.go who writes,
// beside.go who else might, and what the database writes by itself. ask.go: a query of somebody's that only reads.
//
// Strangler connects as a role of its own. Its sessions set everything that changes how a value is written,
// and whatever timeouts the role has are off in them.
package postgres
