// Package migrations is the row's walk: it moves a capability's tables from the monolith's database to
// the service's while both take traffic, hands over their ownership, and can take everything back until
// complete. docs/CUTOVER.md has the rules it keeps, each with the loss that the rule prevents.
//
// Follow a row:
//
//  1. plan.go: what stands in both databases, and the scripts made of it
//  2. scripts.go: golang-migrate runs them, stage by stage
//  3. backfill.go: ranges of rows are copied, each marked before its snapshot is taken; index.go: keys and indexes behind them
//  4. stream.go: changes are followed, batch by batch, while the copy goes on and ever after
//  5. apply.go: a batch or a chunk in the follower's one transaction
//  6. inline.go: what was applied, compared behind its batch; verify.go: all of both sides, while writes go on; repair.go: the owner's rows brought again where they differ
//  7. cutover.go: gate, fence, catch up, decide, open, release; a rollback is the same, roles swapped
//  8. takeover.go: whoever begins, or comes after a crash, first settles what was decided
//  9. complete.go: the point of no return, and its opposite, cancel
//
// Around it: migrations.go is the door, worker.go the one goroutine of each capability and its lease, status.go what people
// see, full.go what they see while a database has no room, examine.go what `check` asks of an engine, pending.go which scripts would run, beside.go who writes without a route, adopt.go what a person
// decides after a restore. note.go is what a plan has a person know. pace.go measures the copy and throttle.go slows it, retained.go bounds what it has the owner keep.
// database.go is what an engine provides, value.go the form of a row between them, kind.go that between two kinds of
// database, mapping.go other names and values at the service, oneway.go tables of which nothing comes back, share.go tables of which not all moves, pieces.go and joined.go tables whose rows go to several, ondelete.go what becomes of rows
// that refer to deleted ones across the cut, catalog.go all tables of a database, ask.go what the engines have in common where a query of somebody's is asked, fault.go where tests
// break what is durable; the engines are in the folders below.
package migrations
