// Package rehearse takes a capability forward, back and forward on scratch copies of both databases, and tells what a person
// would otherwise learn from production. Production is only read; no request is replayed.
//
// The walk:
//
//  1. rehearse.go: Options, and Run, which is the list of what happens.
//  2. scratch.go: where the copies go, that nothing else is there, and how what was made is taken away again. kind.go and
//     standing.go: the words of each kind of database for it.
//  3. tables.go: which tables are copied: those that move, and those that foreign keys lead to. copy.go: how they are made,
//     by the same statements by which a split makes the service's.
//  4. sample.go: the rows, with those that their foreign keys need; ranges.go: of where in a table.
//  5. changes.go: row changes while all this goes on, writer.go: what they are. gate.go: stands where the proxies would, and measures what is held.
//  6. walk.go: expand, copy, verify, cutover, rollback, cutover, by the real migrations.Splits over a control store of its own;
//     steps.go: each of these.
//  7. report.go: what came of it. notes.go: what was noticed on the way.
package rehearse
