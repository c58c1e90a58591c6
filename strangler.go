// Package strangler is the vocabulary of the toolkit: the words that the proxy, the split engine,
// the control store and the playbook share. It imports the standard library only and does nothing
// by itself.
//
// Read it in this order: capability.go (what moves), route.go (which requests that is), toggle.go
// (where they go and who owns the writes), cutover.go (how ownership changes hands), split.go (how far
// its rows have come), run.go (the playbook's ledger), outlook.go (what a run waits for, and when it may end), step.go
// (steps of the team's own), event.go (what people are told), traffic.go (what was answered), errors.go (what can be refused, and why).
//
// docs/GLOSSARY.md explains every word in a sentence.
package strangler

import "log/slog"

// Version is the release that this tree builds.
const Version = "0.1.0-dev"

// Keys of structured log records, the same in every package.
const (
	LogCapability = "capability"
	LogEpoch      = "epoch"
	LogTerm       = "term"
	LogOwner      = "owner"
	LogStep       = "step"
	LogRun        = "run"
	LogInstance   = "instance"
	LogWorker     = "worker"
	LogError      = "error"
)

// Discard is the logger of those who were given none.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
