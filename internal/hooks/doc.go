// Package hooks tells others over HTTP what becomes of runs: webhooks.
//
//   - hooks.go is the Sender: Tell puts an event into the queue of each hook that wants it, and never waits.
//   - deliver.go is a hook's one goroutine: an event after the other, each tried until it is taken or given up.
//   - request.go is one try: the request, its signature, and what the answer says of another try.
//
// docs/WEBHOOKS.md has what receivers may rely on.
package hooks
