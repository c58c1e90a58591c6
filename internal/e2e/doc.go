// Package e2e holds the end-to-end tests: real processes, real databases, real kills, and the one
// checker of internal/invariant.
//
// What runs against the three programs is left out of the race detector, which does not see into other
// processes, and so is the breaking of every statement in turn; the Chinook moves are for it.
package e2e
