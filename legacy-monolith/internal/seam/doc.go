// Package seam is the branch by abstraction: whoever accepts an order schedules its delivery through
// Scheduler, and does not know whether this program or the delivery service does it.
//
//   - owner.go reads from the request's header who owns deliveries now.
//   - toggles.go asks Strangler's admin API when there is no header.
//   - scheduler.go is the abstraction, and chooses the implementation for one request.
//   - local.go schedules in the monolith's own tables, in the transaction of the acceptance.
//   - remote.go schedules at the delivery service, before the transaction of the acceptance.
//
// Once Strangler has come, nothing here has a default: who does not know the owner refuses.
package seam
