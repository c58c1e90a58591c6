package playbook

import (
	"context"
	"errors"
	"fmt"
	"time"

	strangler "github.com/strangler-fig/strangler"
)

// Names of the steps, in their order.
const (
	Expand   = "expand"
	Copy     = "copy"
	Verify   = "verify"
	Shadow   = "shadow"
	Canary   = "canary"
	Cutover  = "cutover"
	Soak     = "soak"
	Complete = "complete"
)

// Description is what a step is about, in words. "CAP" stands for the capability's name.
type Description struct {
	Name        string   `json:"name"`
	Does        string   `json:"does"`
	Changes     string   `json:"changes"`
	Undo        string   `json:"undo"`
	Back        string   `json:"back,omitempty"`      // how to go back once it is done, and what that costs; empty: Undo says it
	ByHand      []string `json:"by_hand,omitempty"`   // what a person looks at before the run goes on; commands in backticks
	Commands    []string `json:"commands"`            // the same by hand, and to look at it
	Look        string   `json:"look,omitempty"`      // the command that shows more while the step is under way, or of why it failed
	NeedsTables bool     `json:"needs_tables"`        // passed over for a capability without tables
	Final       bool     `json:"point_of_no_return"`  // it cannot be undone
	Kind        string   `json:"kind,omitempty"`      // of a step of the capability's own: run, http, …; empty: the playbook's
	Approvers   []string `json:"approvers,omitempty"` // of the kind approve: who may; none: anybody
}

// order is the playbook: the steps that every capability has.
var order = list{
	{Description: Description{
		Name:    Expand,
		Does:    "Writes the golang-migrate scripts, if none are there, and runs the first of them on both databases.",
		Changes: "The service's database gets the tables, fenced shut; the legacy database gets change capture and a fence that stands open. No row moves, no request goes elsewhere.",
		Undo:    "The scripts run down; everything that Strangler made in either database is removed.",
		Back:    "`playbook rollback CAP --to expand` takes a moment. Users notice nothing: no request and no row has moved.",
		ByHand: []string{
			"Read the scripts in `migrations/`, and what `migrate plan CAP` remarks: keys that cross the cut, columns that come out otherwise. Commit them.",
			"The monolith writes these tables as before, and as fast: where triggers capture the changes, they work in its transactions from now on.",
		},
		Commands:    []string{"strangler migrate plan CAP", "strangler migrate up CAP", "strangler migrate status CAP"},
		Look:        "strangler migrate status CAP",
		NeedsTables: true,
	}, make: func() step { return &expandStep{} }},
	{Description: Description{
		Name:    Copy,
		Does:    "Copies the rows to the service's database while the monolith goes on writing, and follows every change.",
		Changes: "Rows appear in the service's tables. The legacy database still owns every write.",
		Undo:    "The split is cancelled: the stream stops, and what it made is removed from both databases, the scripts' work included.",
		Back:    "`playbook rollback CAP --to copy` cancels the split: both databases are as they were. The next copy begins at the first row.",
		ByHand: []string{
			"`split status CAP`: as many rows as the monolith has, and a lag that does not grow.",
			"The load of the monolith's database, and its disk: a replication slot keeps the log until it is read.",
			"`split writers CAP`, where the database tells: who writes beside the proxy, and will be refused once the service owns?",
		},
		Commands:    []string{"strangler split start CAP --follow", "strangler split status CAP", "strangler split cancel CAP"},
		Look:        "strangler split status CAP",
		NeedsTables: true,
	}, make: func() step { return &copyStep{} }},
	{Description: Description{
		Name:    Verify,
		Does:    "Compares both sides row by row. A single mismatch fails the run.",
		Changes: "Nothing; it reads.",
		Undo:    "There is nothing to undo.",
		Back:    `As at copy: the comparison itself has changed nothing.`,
		ByHand: []string{
			"No mismatch. Where there is one, find out who made it before `split verify CAP --repair`: a writer that is not captured would make the next one.",
			"Look up at both sides a few rows that matter: the oldest, the newest, the odd ones.",
		},
		Commands:    []string{"strangler split verify CAP"},
		Look:        "strangler split verify CAP",
		NeedsTables: true,
	}, make: func() step { return &verifyStep{} }},
	{Description: Description{
		Name:    Shadow,
		Does:    "Sends a sample of the requests to the service as well, and counts how it answers. Users see the monolith's answers only.",
		Changes: "The toggle: shadow.",
		Undo:    "The toggle goes to legacy.",
		Back:    "`playbook rollback CAP --to shadow` sets the toggle to legacy. It costs nothing: no user has seen the service.",
		ByHand: []string{
			"Errors and latency of the service, in its own log and in the proxy's metrics.",
			"What the answers say is not compared: ask both sides for the same few things, and look.",
		},
		Commands: []string{`strangler toggle set CAP shadow --why "…"`, `strangler toggle set CAP legacy --why "…"`},
		Look:     "strangler toggle get CAP",
	}, make: func() step { return &shadowStep{} }},
	{Description: Description{
		Name:    Canary,
		Does:    "Lets the service answer a growing share of users, each share held for a while. With tables it is their reads (GET, HEAD) that move; without, every request.",
		Changes: "The toggle: canary, percentage by percentage.",
		Undo:    "The toggle goes to legacy.",
		Back:    "`playbook rollback CAP --to canary` sets the toggle to legacy on every instance. With tables no write has moved. In a hurry, `toggle set CAP legacy --why \"…\"` does the same at once, and the run fails and says so.",
		ByHand: []string{
			"At each percentage: errors and p99 of the service beside the monolith's, what support hears, a figure of the business (orders an hour).",
			"As a user of the canary: read something, change it, read it again.",
			"`toggle get CAP` names no instance that is behind.",
		},
		Commands: []string{`strangler toggle set CAP canary --percent 10 --why "…"`, "strangler toggle history CAP", `strangler toggle set CAP legacy --why "…"`},
		Look:     "strangler toggle get CAP",
	}, make: func() step { return &canaryStep{} }},
	{Description: Description{
		Name:    Cutover,
		Does:    "Hands the writes to the service: holds them for a moment at the proxy, fences the legacy tables, catches up, decides, opens the service's tables. Past its bounds an attempt is taken back whole and tried again. Without tables the toggle alone does it.",
		Changes: "The owner: service, and with it the toggle: extracted. From here the legacy tables follow the service, so the monolith's joins go on working.",
		Undo:    "The same cutover with the roles swapped; no write is lost. Without tables the toggle goes to legacy.",
		Back:    "`playbook rollback CAP` holds the writes for another moment, and no write is lost. Of a table that goes one way, what the service has written stays behind.",
		ByHand: []string{
			"Before approving: somebody who knows both systems is there, and nobody deploys either or changes a schema.",
			"Afterwards, through the proxy: write something, read it, find its row at the service and a moment later in the monolith's table.",
			"`split status CAP`: the service owns, the phase is reversed, and the longest hold is one that you can live with.",
		},
		Commands: []string{"strangler split writers CAP", "strangler split cutover CAP", "strangler split rollback CAP"},
		Look:     "strangler split status CAP",
	}, make: func() step { return &cutoverStep{} }},
	{Description: Description{
		Name:    Soak,
		Does:    "Waits while the service owns and everything can still be taken back, counted from the cutover; at the end the stream back has to be close behind.",
		Changes: "Nothing; it waits.",
		Undo:    "There is nothing to undo.",
		Back:    "`playbook rollback CAP` is the cutover with the roles swapped, as long as the soak lasts: writes are held for a moment, none is lost. Of a table that goes one way, what the service has written stays behind.",
		ByHand: []string{
			"`split status CAP`: the lag of the stream back is small and stays so.",
			"The monolith's log: no write that its fence refused. Each is a writer that nobody thought of.",
			"Nightly jobs, reports and the end of the month have run at least once.",
		},
		Commands: []string{"strangler split status CAP", "strangler playbook rollback CAP"},
		Look:     "strangler split status CAP",
	}, make: func() step { return &soakStep{} }},
	{Description: Description{
		Name:    Complete,
		Does:    "Ends the split: the stream back stops, the legacy tables go together with their fence.",
		Changes: "The legacy database loses the capability's tables and all that Strangler made there. Without tables it is a record only.",
		Undo:    "It cannot be undone: nothing feeds the legacy side any more.",
		Back:    `There is no way back. What is left is a backup, and it lacks what was written since.`,
		ByHand: []string{
			"Before approving: a backup of the monolith's database from behind the cutover, and somebody who has restored one.",
			"Nothing in the monolith reads the tables any more: joins, reports and exports find them gone.",
			"Everybody who could want the way back has been asked. `playbook approve CAP complete` asks for the capability's name, and then it is done.",
		},
		Commands: []string{"strangler split complete CAP"},
		Look:     "strangler split status CAP",
		Final:    true,
	}, make: func() step { return &completeStep{} }},
}

// step is one of the playbook's actions. One value serves one worker going one way, so it may remember
// what it has seen; nothing may depend on that memory surviving.
type step interface {
	// Check probes the world: is the step done, may it be done, or what is missing? It changes nothing.
	// An error fails the run; one that wraps no error of the root package is taken for a passing
	// trouble of the probe, and the probe is repeated.
	Check(ctx context.Context, a *act) (verdict, error)
	// Do brings the step forward. It is idempotent and may do a part: the worker checks again after
	// it. It returns later or again when it has to be called once more after a while.
	Do(ctx context.Context, a *act) error
	// Undo takes the step back, whatever was done of it, and says what it did. It probes the world and
	// is idempotent. It returns later or again as Do does.
	Undo(ctx context.Context, a *act) (string, error)
}

type answer int

const (
	isDone    answer = iota
	isReady          // Do may run
	isMissing        // a gate is not met; it is looked at again
	isTripped        // the service fails too often for users to stay there
)

// verdict is what a Check finds.
type verdict struct {
	answer answer
	text   string        // done: what is so; ready: what will be done; missing: what is waited for
	detail string        // of isMissing: numbers that change while it waits; empty: text
	pause  time.Duration // of isMissing: how long at least until it is looked at again
	person bool          // of isMissing: a person's approval is what is missing
	blind  bool          // of isMissing: it is not known, so the ledger goes on saying that a step was begun
}

func done(format string, args ...any) verdict {
	return verdict{answer: isDone, text: fmt.Sprintf(format, args...)}
}

func ready(format string, args ...any) verdict {
	return verdict{answer: isReady, text: fmt.Sprintf(format, args...)}
}

func missing(format string, args ...any) verdict {
	return verdict{answer: isMissing, text: "waiting for " + fmt.Sprintf(format, args...)}
}

// later is not a failure: the effect is under way and not complete. It is called again until it is.
type later struct{ waitingFor string }

func (l later) Error() string { return "waiting for " + l.waitingFor }

// again is an attempt that was taken back whole and may be repeated, Config.Tries times in all.
type again struct{ err error }

func (a again) Error() string { return a.err.Error() }
func (a again) Unwrap() error { return a.err }

// decided reports whether an error is an answer, which asking again would not change.
func decided(err error) bool {
	for _, sentinel := range []error{strangler.ErrRefused, strangler.ErrStopped, strangler.ErrUnknown,
		strangler.ErrSuperseded, strangler.ErrConfig, strangler.ErrNotFound} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}
