// Package seam is the branch by abstraction: whoever accepts an order schedules its delivery through
// Scheduler, and whoever has picked it up or brought it says so there; neither knows whether this program or the delivery
// service does it.
//
//   - owner.go reads from the request's header who owns deliveries now.
//   - toggles.go asks Strangler's admin API when there is no header.
//   - scheduler.go is the abstraction, and chooses the implementation for one request.
//   - local.go works in the monolith's own tables, in the transaction of the acceptance or the step.
//   - remote.go works at the delivery service, before that transaction.
//
// What the table of orders has of a delivery, its courier and its times, leaves with deliveries, unless WholeOrders says that it
// stays. Where the service owns it, nothing here writes it; it comes back by Strangler, a moment later, and is asked for at the
// service where somebody looks at one order.
//
// Once Strangler has come, nothing here has a default: who does not know the owner refuses.
package seam
