// Package admin is the admin API: the one door through which people, the command line, seams and
// other instances ask the daemon for something.
//
// The walk of a request, in the order it takes:
//
//   - config.go is what a Server needs; ports.go is what stands behind it.
//   - server.go listens, serves, and closes; an operation lives as long as the server, not as its client.
//   - guard.go lets in who has the token, bounds the body, and logs.
//   - routes.go names every endpoint.
//   - toggles.go, splits.go and runs.go answer them, run_status.go how a run stands and what surrounds it; health.go answers probes.
//   - preview.go answers what is asked with ?dry_run=true.
//   - failure.go turns an error into its JSON and status.
//   - wire.go has the shapes of questions and answers that are not the root package's.
package admin
