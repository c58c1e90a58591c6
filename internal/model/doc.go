// Package model holds a split against a model of what was committed: random writes at both sides, workers that are
// killed, that sleep through their leases and wake, statements that fail or are reported failed, cutovers, rollbacks
// and cancellations, in an order that pgregory.net/rapid draws. It is tests only.
//
// After every action the owner has what the model has and nobody else takes a write; whenever the worker is still,
// and at the end, both sides are alike.
//
//   - model_test.go: a run. torture_test.go: thousands.
//   - machine_test.go: what a run consists of, and what may happen in it.
//   - rows_test.go: the model. operations_test.go: the statements, and what they do to it.
//   - session_test.go: a transaction of an application. writes_test.go: the actions that write.
//   - process_test.go: a worker that stands still, sleeps or dies at any call; reach_test.go: those calls.
//   - moves_test.go: the actions of workers and of people. conclude_test.go: the end of a run.
//   - speech_test.go: what engines say differently; sqlite_test.go, postgres_test.go.
//   - trace_test.go: what happened, for a run that fails.
package model
