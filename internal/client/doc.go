// Package client asks the daemon's admin API, for the command line and for whoever else needs it.
//
// The walk of a question:
//
//   - client.go is a Client and what it needs; connections are bounded, operations are not.
//   - call.go sends one question and reads its answer.
//   - failure.go turns what went wrong back into errors of the root package, and says how to start a
//     daemon that does not answer.
//   - toggles.go, splits.go and runs.go have a method for each endpoint.
package client
