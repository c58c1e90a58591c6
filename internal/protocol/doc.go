// Package protocol searches the cutover of CUTOVER.md section 4 for a way to fork a write, to lose one, or to
// get stuck. It holds no product code: a small model in its tests, and a breadth-first search over all of its
// states within bounds. Read it as the specification of the cutover's order.
//
// # What stands in the model
//
// state_test.go: the control store (epoch, owner, one cutover row, the counter of terms), two databases (fence
// epoch, open or closed, term, tables, sequence, change log), two workers with all that they remember, one
// proxy with a gate, and at most one statement under way. Writes are numbered, and each builds on the one
// before: a table is the number of the last write in it, so a write on a stale base, or a late batch over a
// newer row, shows at once.
//
// # What a step is
//
// statement_test.go: each durable statement is one atomic step, guarded as the SQL is:
//
//	prepare       row := preparing E          where the row is the decided and released one that I know
//	close, open   epoch := :new, state := :s  where epoch < :new; epoch and state as wanted: already done
//	raise term    term := :t                  where term < :t; term as wanted: already done
//	apply batch   rows, serial + 1            where term = mine, closed, serial = the one read before the rows
//	set sequence  sequence                    where term = mine, closed; stands for chunks and repairs, too
//	set position  position := R               where term = mine, closed, not yet set for this commit
//	commit        owner, epoch + 1, R         where the row is preparing E, and nothing else
//	abort         epoch + 1                   where the row is preparing E, and nothing else
//	mark released released                    where the row is the decided one that I opened
//	gate, release at the proxy                where its epoch is lower; a release also at the same epoch
//
// A statement is answered, or it is not: then its sender goes on as after an error, and the statement is done at
// any later instant, or never. Both "done but reported failed" and "not done" are cases of this.
//
// environment_test.go: clients write to any side that takes it at any time, so a stale proxy needs no model of
// its own; the one proxy that is modelled keeps the rules, and must never meet a closed fence. Workers crash,
// lose their lease while they sleep and wake with what they remembered; a database is away for a while; the
// proxy restarts; toggles use up epochs.
//
// # The walk
//
// rules_test.go has both orders as lists; the steps are in the files named here.
//
//	cutover_test.go   prepare, and then gate
//	                  fence          the owner, with E
//	stream_test.go    stream         catch up, until the log behind the fence is empty
//	                  drawFreeze     a term, drawn after prepare
//	                  freeze         raise it at the target
//	                  confirm        read the row again: still preparing E, or stop
//	                  readSequence   at the owner, after the freeze
//	                  setSequence    at the target
//	                  readMark       R, at the target (engines with positions)
//	                  decide         no answer: read the row; preparing: abort it, and read again
//	takeover_test.go  open           the side that the row names, with the row's epoch
//	                  release        mark the row, durably
//	                  announce       push to the proxy, which polls as well
//	                  draw           a term
//	                  raiseOwner, raiseFollower
//	                  reread         the row is still the one opened by, or settle again
//	                  begin          the position, forward only (engines with positions)
//	                  stream
//
// worker_test.go: a takeover, a restart and every abort enter the same list at open, after settle has read a
// decided row: preparing is aborted and read again. A refused guard, a refused term or another row makes a
// worker stop; whoever holds the lease then settles. A worker that waits, for something to stream or for a
// database that is down, keeps looking at the row and at its term.
//
// # What is asked
//
// invariant_test.go, in every state: never two open sides; no side open but the owner's; the owner's tables hold
// every acknowledged write; an open side gives out no identity twice; what the follower lacks is still in the
// owner's log; no gate lets a write through to a closed side. And from every state, without another fault, a
// client or a new cutover, some way leads to one open side, a released gate and a running stream that has caught
// up; while only the follower is down, to an open owner and a released gate.
//
// search_test.go: the search and the way back from the goal. trace_test.go retells the shortest way to what is
// wrong. protocol_test.go: the bounds, which STRANGLER_PROTOCOL_DEPTH chooses from 0 to 3: 1 is the default,
// 0 that of the race detector (norace_test.go, race_test.go), 2 takes a minute of one core, 3 takes five and
// 7 GB. mutation_test.go takes the rules out one at a time, names each in CUTOVER.md, and demands that its loss
// is found.
//
// # What is left out
//
// Drains inside a database (a fence is one step, so its transaction must be one), drift of triggers, restores
// and adopt, ranges of the backfill, TRUNCATE, reused log ids, and verification. The control store loses
// nothing that it has answered.
package protocol
