// Package playbook moves a capability step by step, and back. It decides the order and keeps the
// ledger; what a step does is done by the toggles, the splits and the owners behind its interfaces.
//
// The walk, in the order a run takes it:
//
//  1. config.go: what an Engine needs, with the interfaces that it declares and their contracts.
//  2. playbook.go: Engine. ask.go: Run, Rollback, Only and Approve journal what a person asked for and hand
//     it to a worker; person.go: what else a person may want of a run: Pause, Continue, Abort, Skip, Retry and Accept. Status, Wait
//     and Preview look at it.
//  3. launch.go: how a run begins or goes on, lease.go: which of several daemons works on it. worker.go: one goroutine for each active run. Forward it
//     takes each step through Check and Do, back through Undo. turn.go: how it is interrupted, approved
//     and watched.
//     settings.go: what of strangler.yaml a run goes by, and that it waits where that has changed. states.go: the states of a run
//     and the ways between them, which docs/STATES.svg draws.
//  4. journal.go: the worker's writes to the ledger. What will be done is written before it is done,
//     how it ended afterwards. tell.go: who is told of it then.
//  5. steps.go: the ordered list, and what a step is. list.go: that of one capability, with the steps of its own, which own.go
//     makes. act.go: what a step gets to work with; hold.go: a time that has to pass; floor.go: how many
//     requests make evidence; recent.go: how the service has answered in the last minutes, guard.go: a canary taken back for that.
//  6. The steps: step_expand.go, step_copy.go, step_verify.go, step_shadow.go, step_canary.go,
//     step_cutover.go, step_soak.go, step_complete.go. Those of the team's own, by kind: step_run.go, which runs a program by
//     program.go (program_unix.go, program_linux.go, program_bsd.go, program_other.go), step_http.go, step_sql.go,
//     step_prometheus.go, step_approve.go, step_wait.go, step_notify.go.
//     foretell.go tells in advance what all of them would do, foretell_back.go what a rollback would; dry.go: what a person asks, decided
//     as it would be, and not done.
//  7. The runbook, from the same list. plan.go: the playbook as one capability will run it, with its gates (gates.go), its
//     ramp (ramp.go), and other words where it has no tables (stateless.go). runbook.go: what to see to before and on the
//     day, and what to do when something happens. render.go: all of it as Markdown (markdown.go), document.go: docs/PLAYBOOK.md;
//     page.go: as a page (page.gohtml), for which draw.go, draw_way.go, draw_ramp.go and draw_tables.go draw.
//  8. outlook.go: when a run may end, waits.go: what it waits for. Both look at what is known and ask nobody.
//
// # What a killed process leaves behind
//
// The ledger says what was meant; only the world says what happened. A worker that resumes asks Check,
// which probes the toggle and the split. If it finds the step done, the step is done; otherwise Do runs
// again, and Do is idempotent. After Do it is Check again that says whether the step is done.
//
// A step that the ledger calls done and Check does not was taken back by somebody since: a guard,
// a person. A worker that resumes on its own then fails the run and says so. A person who runs it
// again has it done again.
//
// What a program of the team's own did, no toggle and no database tells: its check says, if it has one. Without one the ledger alone
// knows, so a run that was cut off there is a person's to decide, unless retries say that running it again does no harm.
//
// A worker that finds in the ledger what it has not written leaves the run to whoever wrote it, and
// writes nothing more: so a process that was stopped for a while does no harm when it goes on. Of several daemons the ledger takes
// writes from the one that has the lease alone, so that nothing comes between its reading and its writing.
package playbook
